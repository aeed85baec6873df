"""Restore: what waited for other servers before the node was restarted (`storage/outbox.py`)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from xmpp_engine.routing.bounce import bounce
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.outbox import OutboxRow
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.s2s.federation import Federation

log = logging.getLogger("mlink.s2s")

#: The most seconds between two tries to read from a database that is away.
_LONGEST_PAUSE = 60.0


async def restore(federation: Federation) -> None:
    """Give every stanza of the outbox that is this node's to its destination, in order."""
    after = ""
    pause = 1.0
    made = federation.services.ledger.made
    while True:
        try:
            rows = await federation.services.stores.outbox.load(federation.config.node, after)
        except StoreUnavailable as error:
            log.warning("what waits for other servers cannot be read yet: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            continue
        for row in rows:
            # What is stored meanwhile is in memory already. Not told by the time: the clock may have been set back.
            if not made(row.id):
                take_up(federation, row)
        if not rows:
            return
        after = rows[-1].id


def take_up(federation: Federation, row: OutboxRow) -> None:
    """Give a row of this node to its destination, or back to its sender where there is none any more."""
    try:
        stanza = Stanza.restore(row.xml)
    except (StanzaError, StreamError) as error:
        log.error("a stanza that waited for %s cannot be read: %s", row.remote, error)
        federation.services.ledger.sent((row.id,))
        return
    destination = federation.destination(row.local, row.remote) if federation.serves(row.local) else None
    if destination is not None:
        destination.restore(stanza, row)
    else:
        federation.services.ledger.sent((row.id,))
        bounce(federation.services.router, stanza, StanzaError("remote-server-not-found"))
