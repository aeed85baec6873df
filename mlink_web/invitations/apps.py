"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class InvitationsConfig(AppConfig):
    """See the package."""

    name = "mlink_web.invitations"
    label = "invitations"
