"""Notices to running nodes: "configuration N", "account J changed", "groups changed".

They carry no data and may be lost or doubled: a node reads the database, and looks every two seconds anyway. Sending
never fails the change that was made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings

log = logging.getLogger("mlink.conf")

GROUP: Final = "nodes"
#: A bulk change is told as one "look at all of them".
MAX_NOTICES: Final = 100
#: Somebody waits for the change: no longer for its notices than the nodes would take without them.
SECONDS: Final = 1.0
#: Watchers of a node in this process.
_watchers: list[Callable[[], None]] = []


def config_changed(version: int) -> None:
    """Tell all nodes that the configuration has this version now."""
    send([{"type": "config.changed", "version": version}])


def accounts_changed(addresses: Sequence[str]) -> None:
    """Tell all nodes that these accounts changed."""
    if len(addresses) > MAX_NOTICES:
        send([{"type": "account.changed", "bare": ""}])
    else:
        send([{"type": "account.changed", "bare": bare} for bare in addresses])


def groups_changed() -> None:
    """Tell all nodes that a group changed."""
    send([{"type": "groups.changed"}])


def archive_changed() -> None:
    """Tell all nodes that it was decided anew whose archives take what."""
    send([{"type": "archive.changed"}])


def send(notices: list[dict[str, Any]]) -> None:
    """Send to all nodes; what goes wrong is logged. Not for the loop's thread: services are synchronous."""
    for watcher in tuple(_watchers):
        watcher()
    if not crosses_processes():
        return
    try:
        async_to_sync(_send)(notices)
    except Exception as error:
        log.warning("nodes were not told of a change, they see it by themselves in a moment: %s", error)


async def _send(notices: list[dict[str, Any]]) -> None:
    layer = get_channel_layer()
    try:
        async with asyncio.timeout(SECONDS):
            for notice in notices:
                await layer.group_send(GROUP, notice)
    except TimeoutError:
        raise ConnectionError("Redis does not answer") from None


def crosses_processes() -> bool:
    """Whether the channel layer reaches other processes."""
    return "InMemory" not in str(settings.CHANNEL_LAYERS["default"]["BACKEND"])


def watch(watcher: Callable[[], None]) -> None:
    """Call `watcher()`, from whatever thread, after each change made in this process."""
    _watchers.append(watcher)


def unwatch(watcher: Callable[[], None]) -> None:
    """Undo `watch`."""
    if watcher in _watchers:
        _watchers.remove(watcher)
