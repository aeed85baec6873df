"""`{% upload_usage account %}`: how much an account has shared, with the button that removes it."""

from __future__ import annotations

from typing import Any

from django import template

from mlink_web.uploads import services

register = template.Library()


@register.inclusion_tag("uploads/_usage.html", takes_context=True)
def upload_usage(context: template.Context, account: Any) -> dict[str, Any]:
    """The card of the account's page in the console."""
    files, size = services.usage(account.pk)
    return {"account": account, "files": files, "bytes": size, "csrf_token": context.get("csrf_token")}
