"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.devices import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("account/devices/", views.own, name="devices"),
    path("account/devices/revoke", views.revoke_own, name="device-revoke"),
    path("admin/users/<int:pk>/devices/revoke", views.revoke_of, name="device-revoke-of"),
]
