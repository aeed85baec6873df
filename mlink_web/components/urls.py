"""Routes of the console's pages of components, all below /admin/components/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.components import views

app_name = "components"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.components, name="components"),
    path("add/", views.add, name="add"),
    path("disconnect", views.kick, name="kick"),
    path("<int:pk>/", views.component, name="component"),
    path("<int:pk>/secret/", views.renew, name="secret"),
    path("<int:pk>/remove/", views.remove, name="remove"),
]
