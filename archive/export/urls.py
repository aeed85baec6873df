"""Routes."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

app_name = "archive_export"
urlpatterns: list[URLPattern | URLResolver] = []
