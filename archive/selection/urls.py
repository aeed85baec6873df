"""Routes of the console's pages of what is archived, below /admin/archive/selection/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.selection import views

app_name = "selection"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.selection, name="selection"),
    path("decide", views.decide, name="decide"),
    path("domains/<int:pk>/", views.domain, name="domain"),
]
