"""Routes below /admin/archive/retention/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from archive.retention import hold_views, views

app_name = "retention"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.overview, name="overview"),
    path("policies/add/", views.add_policy, name="add"),
    path("policies/<int:pk>/", views.change_policy, name="policy"),
    path("policies/<int:pk>/remove/", views.remove_policy, name="remove"),
    path("retracted/", views.keep_retracted, name="keeping"),
    path("holds/", hold_views.listed, name="holds"),
    path("holds/place/", hold_views.place, name="place"),
    path("holds/<int:pk>/release/", hold_views.release, name="release"),
]
