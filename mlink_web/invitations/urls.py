"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.invitations import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("invite/<str:token>", views.landing, name="invitation"),
    path("invite/<str:token>/name", views.name_check, name="invitation-name"),
    path("account/welcome/", views.welcome, name="welcome"),
    path("account/invitations/", views.own, name="invitations"),
    path("account/invitations/revoke", views.revoke_own, name="invitation-revoke"),
    path("admin/invitations/", views.console, name="console-invitations"),
    path("admin/users/<int:pk>/password-link", views.reset_of, name="password-link"),
    path("admin/invitations/revoke", views.revoke, name="console-invitation-revoke"),
]
