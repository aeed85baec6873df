"""Routes, all below /jobs/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.jobs import views

app_name = "jobs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("<str:token>/", views.job, name="job"),
    path("<str:token>/state", views.state, name="state"),
    path("<str:token>/file", views.file, name="file"),
    path("<str:token>/cancel", views.cancel, name="cancel"),
    path("<str:token>/remove", views.remove, name="remove"),
]
