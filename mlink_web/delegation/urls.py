"""Routes of the console's pages, all below /admin/domains/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.delegation import views

app_name = "delegation"
urlpatterns: list[URLPattern | URLResolver] = [
    path("<int:pk>/administrators/", views.administrators, name="administrators"),
    path("<int:pk>/administrators/dismiss", views.dismiss, name="dismiss"),
]
