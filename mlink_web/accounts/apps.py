"""App of the accounts."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Accounts and credentials."""

    name = "mlink_web.accounts"
    label = "accounts"
    verbose_name = "Accounts"
