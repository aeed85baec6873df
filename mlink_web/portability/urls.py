"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.portability import views

app_name = "portability"
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/portability/", views.overview, name="overview"),
    path("admin/portability/export", views.order_export, name="order-export"),
    path("admin/portability/try", views.order_trial, name="order-trial"),
    path("admin/portability/imports/<int:pk>/", views.one_import, name="import"),
    path("admin/portability/imports/<int:pk>/take", views.order_import, name="order-import"),
    path("admin/users/<int:pk>/erase/", views.erase, name="erase"),
    path("admin/erasures/<int:pk>/", views.erasure, name="erasure"),
    path("account/data/", views.own_data, name="own"),
]
