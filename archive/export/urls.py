"""Routes."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.export import views

app_name = "archive_export"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.exports, name="exports"),
    path("order/", views.order, name="order"),
    path("<int:pk>/", views.export, name="export"),
]
