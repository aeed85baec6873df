"""App of the instant messaging data."""

from django.apps import AppConfig


class StoresConfig(AppConfig):
    """Rosters, offline messages, private data, vCards, blocks, stream marks."""

    name = "mlink_web.stores"
    label = "stores"
    verbose_name = "Instant messaging data"
