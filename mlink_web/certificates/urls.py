"""Routes of the console's pages, all below /admin/certificates/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.certificates.views import account, lab, pages

app_name = "certificates"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", pages.certificates, name="certificates"),
    path("account/", account.account, name="account"),
    path("lab/", lab.authority, name="lab"),
    path("lab/issue", lab.issue, name="lab-issue"),
    path("lab/<int:pk>/revoke", lab.revoke, name="lab-revoke"),
    path("lab/<int:pk>/chain", lab.download, name="lab-download"),
    path("<int:pk>/", pages.domain, name="domain"),
    path("<int:pk>/upload", pages.upload, name="upload"),
    path("<int:pk>/request", pages.ask, name="request"),
    path("<int:pk>/acme", pages.acme, name="acme"),
    path("one/<int:pk>/", pages.certificate, name="certificate"),
    path("one/<int:pk>/use", pages.use, name="use"),
    path("one/<int:pk>/remove", pages.remove, name="remove"),
    path("one/<int:pk>/<str:what>.pem", pages.download, name="download"),
]
