"""Peers and the environment as the engine's S2sConfig."""

from __future__ import annotations

from django.conf import settings

from xmpp_engine.config.schema import S2sConfig


def read() -> S2sConfig:
    """Federation as it stands in the database; raises ValueError with the dotted path of what does not fit."""
    return S2sConfig(enabled=bool(settings.MLINK_S2S_PORT), dialback_secret=settings.SECRET_KEY)
