"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class RoomsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.rooms"
    label = "rooms"
