"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.reports import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/reports/", views.reports, name="console-reports"),
    path("admin/reports/<int:number>/", views.report, name="console-report"),
    path("admin/reports/<int:number>/close", views.close, name="console-report-close"),
]
