"""The devices of an account in a page of the console."""

from __future__ import annotations

from typing import Any

from django import template

from mlink_web.accounts.models import Account
from mlink_web.devices import services

register = template.Library()


@register.inclusion_tag("devices/_console.html", takes_context=True)
def account_devices(context: dict[str, Any], account: Account) -> dict[str, Any]:
    """A card with the devices, each with a button that revokes it."""
    devices = services.listed(account, services.connected_sessions(account))
    return {"devices": devices, "account": account, "csrf_token": context.get("csrf_token")}
