"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.uploads import views

app_name = "uploads"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/users/<int:pk>/files/remove", views.remove_all, name="remove-all"),
]
