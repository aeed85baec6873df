"""The pages of this app."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from mlink_web.pushes import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("account/devices/push/off", views.switch_off, name="push-off"),
]
