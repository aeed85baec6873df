"""What can be said of a node that does not run: no sessions, and what stands in the database. Each function takes the
arguments of its command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings

from mlink_web.accounts.models import Account
from mlink_web.admin_commands import stopped_pubsub, stopped_rooms
from mlink_web.conf import snapshot
from mlink_web.conf.models import Domain
from mlink_web.stores.models import OfflineMessage


def sessions(**_asked: str) -> list[dict[str, Any]]:
    """Nobody is connected."""
    return []


def stats(**_asked: str) -> dict[str, Any]:
    """What the database tells."""
    return {
        "node": settings.MLINK_NODE_NAME,
        "running": False,
        "version": snapshot.current_version(),
        "domains": list(Domain.objects.filter(enabled=True).values_list("name", flat=True)),
        "accounts": Account.objects.count(),
        "offline_messages": OfflineMessage.objects.count(),
        "sessions": 0,
    }


ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {
    "sessions": sessions,
    "stats": stats,
    **stopped_rooms.ANSWERS,
    **stopped_pubsub.ANSWERS,
}
