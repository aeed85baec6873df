"""App of the configuration."""

from django.apps import AppConfig


class ConfConfig(AppConfig):
    """Domains and engine options."""

    name = "mlink_web.conf"
    label = "conf"
    verbose_name = "Configuration"
