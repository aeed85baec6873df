"""Routes of the console's pages, all below /admin/domains/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.delegation import deletions, views

app_name = "delegation"
urlpatterns: list[URLPattern | URLResolver] = [
    path("<int:pk>/administrators/", views.administrators, name="administrators"),
    path("<int:pk>/administrators/dismiss", views.dismiss, name="dismiss"),
    path("<int:pk>/deletion/", deletions.delete, name="delete"),
    path("deletions/", deletions.deletions, name="deletions"),
    path("deletions/<int:pk>/", deletions.deletion, name="deletion"),
]
