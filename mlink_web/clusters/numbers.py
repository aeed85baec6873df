"""A node's row: its number, and that it is there.

Called while a node starts, inside the turn that nodes take there, and then every few seconds from its loop's threads.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import time
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from django.db import transaction

from mlink_web.clusters.models import Node
from xmpp_engine.modules.version import VERSION

MAX_NUMBER: Final = 255
#: Seconds after which the number of a node that was never seen again may be another one's.
FORGOTTEN_SECONDS: Final = 7 * 86_400.0
#: Seconds for which a row says that its node runs.
ALIVE_SECONDS: Final = 15.0


class NoPlace(ValueError):
    """The node cannot run beside the others on this database; the text is a sentence for people."""


def claim(name: str) -> Node:
    """The row of this node, made on its first start; raises NoPlace."""
    now = time.time()
    with transaction.atomic():
        own = secret_print()
        if settings.MLINK_CLUSTER:
            for other in Node.objects.exclude(name=name).filter(seen__gt=now - ALIVE_SECONDS):
                if other.secret_print and other.secret_print != own:
                    raise NoPlace(
                        f"The node {other.name} runs on this database with another secret. All nodes need the same: "
                        f"copy secret_key from its data folder to {settings.MLINK_HOME}, or set MLINK_SECRET_KEY_FILE."
                    )
        row = Node.objects.select_for_update().filter(name=name).first()
        if row is None:
            row = Node(name=name, number=_free_number(now))
        row.address = settings.MLINK_NODE_ADDRESS
        row.machine = f"{socket.gethostname()}, process {os.getpid()}"[:200]
        row.version = VERSION
        row.secret_print = own
        # `seen` is written once the node is in: two that start at once must not take each other for running ones.
        row.started = now
        row.save()
    return row


def _free_number(now: float) -> int:
    taken = set(Node.objects.values_list("number", flat=True))
    free = next((number for number in range(1, MAX_NUMBER + 1) if number not in taken), None)
    if free is not None:
        return free
    oldest = Node.objects.select_for_update().order_by("seen").first()
    assert oldest is not None
    if oldest.seen > now - FORGOTTEN_SECONDS:
        raise NoPlace(f"There are {MAX_NUMBER} nodes on this database already; none of them was forgotten for a week.")
    number = oldest.number
    oldest.delete()
    return number


def number_of(name: str) -> int:
    """The number of a node, 0 for one that has none yet."""
    return Node.objects.filter(name=name).values_list("number", flat=True).first() or 0


def seen(name: str, now: float, hears: Sequence[str] = (), draining: str = "") -> None:
    """The node runs; with 0.0 it does not any more."""
    Node.objects.filter(name=name).update(seen=now, hears=list(hears), draining=draining)


def running() -> list[str]:
    """The nodes of the cluster that run, by their rows; one that was killed is among them for ALIVE_SECONDS."""
    alive = Node.objects.filter(seen__gt=time.time() - ALIVE_SECONDS)
    return list(alive.order_by("name").values_list("name", flat=True))


def several() -> bool:
    """Whether it is worth saying on which node something is: there is more than one, though not all may run."""
    return bool(settings.MLINK_CLUSTER) and Node.objects.count() > 1


def apart() -> list[str]:
    """The nodes that run and do not hear all others that do. While there are any, what is asked of all nodes does not
    reach everybody."""
    alive = dict(Node.objects.filter(seen__gt=time.time() - ALIVE_SECONDS).values_list("name", "hears"))
    return sorted(name for name, hears in alive.items() if alive.keys() - {name, *hears})


def secret_print() -> str:
    """What tells secrets apart without giving them away."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"print of the cluster's secret", "sha256").hex()[:32]


def envelope_secret() -> str:
    """What proves to other nodes that this is one of them."""
    return hmac.digest(settings.SECRET_KEY.encode(), b"envelopes between nodes", "sha256").hex()


def bus_prefix() -> str:
    """Begins the names of the cluster's channels: clusters that share a Redis do not hear each other."""
    return f"mlink.{hashlib.sha256(secret_print().encode()).hexdigest()[:12]}"
