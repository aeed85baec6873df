"""Routes of the console's pages of the cluster, all below /admin/cluster/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.clusters import views

app_name = "clusters"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.cluster, name="cluster"),
    path("options", views.options, name="options"),
    path("drain", views.drain, name="drain"),
    path("undrain", views.undrain, name="undrain"),
]
