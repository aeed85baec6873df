"""Routes of the console's pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

app_name = "components"
urlpatterns: list[URLPattern | URLResolver] = []
