"""`{% account_rooms account %}`: the rooms of a person, for his page in the console."""

from __future__ import annotations

from typing import Any

from django import template
from django.db import connection

from mlink_web.accounts.models import Account
from mlink_web.console.access import reach
from mlink_web.rooms import store

register = template.Library()

#: Rooms that the card shows; who is affiliated with more is found in the rooms' own lists.
SHOWN = 100
_ORDER = ("owner", "admin", "member", "none", "outcast")


@register.inclusion_tag("rooms/_person.html", takes_context=True)
def account_rooms(context: dict[str, Any], account: Account) -> dict[str, Any]:
    """The card: stored rooms in which the account is affiliated or has a registered nickname, owned ones first; those
    within the reach of who looks."""
    own = reach(context["request"])
    found = [row for row in store.of_person(connection, account.username) if own.covers(row.service)]
    rows = sorted(found, key=lambda row: _ORDER.index(row.affiliation))
    rooms = [
        {"room": f"{row.local}@{row.service}", "affiliation": row.affiliation, "nick": row.nick} for row in rows[:SHOWN]
    ]
    return {"rooms": rooms, "total": len(rows)}
