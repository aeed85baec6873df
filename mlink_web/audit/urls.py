"""Routes, all below /admin/audit/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.audit import views

app_name = "audit"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.entries, name="entries"),
    path("audit.jsonl", views.lines, name="lines"),
    path("check", views.check, name="check"),
]
