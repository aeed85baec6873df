"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.uploads import views

app_name = "uploads"
urlpatterns: list[URLPattern | URLResolver] = [
    path("account/files/", views.own, name="own"),
    path("account/files/remove", views.remove_own, name="remove-own"),
    path("admin/users/<int:pk>/files/remove", views.remove_all, name="remove-all"),
]
