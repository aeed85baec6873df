"""Adoption: what waits for other servers on nodes that are gone (`storage/outbox.py`).

A node restores its own rows when it starts. Rows of a node that does not come back are taken over by another one, so
that they go out, or their senders hear that they did not: in a cluster by the leader, once it has not had the node for
ABSENT_SECONDS, whether it lost it or never knew it; on a node that is alone at once, for there they are of a name that
it had before. The store refuses while the node in question still gives signs of life to the database: then it is cut
off, and sends what it has itself.

A node that only stood still may have lost its rows meanwhile. Each time it meets another node it looks which of those
that it holds are still its own, and forgets the others: they have been sent, or will be, by who took them over.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from xmpp_engine.s2s.restore import take_up
from xmpp_engine.storage.protocols import StoreUnavailable

if TYPE_CHECKING:
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.s2s.federation import Federation

log = logging.getLogger("mlink.s2s")

#: Seconds between two looks, and for which a node must be away.
LOOK_SECONDS: Final = 15.0
ABSENT_SECONDS: Final = 60.0


class Adoption:
    """The rows of other nodes, for one node."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._services = federation.services
        #: When a node that has rows was missed first (monotonic).
        self._absent: dict[str, float] = {}
        self._timer: Timer | None = None
        self._reviewing = False
        self._ended = False
        if self._services.cluster is not None:
            self._services.cluster.on_joined(self._joined)

    def start(self) -> None:
        """Begin to look; what is left of this node's own was taken up."""
        if self._ended:
            return
        if self._services.cluster is None:
            self._spawn()
        else:
            self._later()

    def stop(self) -> None:
        """Look no more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _later(self) -> None:
        if not self._ended:
            self._timer = self._federation.clock.call_later(LOOK_SECONDS, self._spawn)

    def _spawn(self) -> None:
        self._services.tasks.spawn("what waits on nodes that are gone", self._look())

    async def _look(self) -> None:
        left = True
        try:
            left = await self._take_over()
        except StoreUnavailable as error:
            log.debug("what waits on other nodes cannot be read yet: %s", error)
        finally:
            # A node that is alone has had all there is.
            if left or self._services.cluster is not None:
                self._later()

    async def _take_over(self) -> bool:
        """Take over what may be taken over; returns whether other nodes still have rows. Raises StoreUnavailable."""
        cluster, node = self._services.cluster, self._federation.config.node
        if cluster is not None and cluster.leader != node:
            self._absent.clear()
            return True
        outbox = self._services.stores.outbox
        found = await outbox.nodes()
        now = self._federation.clock.now()
        here = {node, *(cluster.nodes if cluster is not None else ())}
        missed = self._absent
        self._absent = {name: missed.get(name, now) for name in sorted(found) if name not in here}
        for name, since in list(self._absent.items()):
            if cluster is None or now - since >= ABSENT_SECONDS:
                await self._adopt(name)
        return bool(self._absent)

    async def _adopt(self, gone: str) -> None:
        count = 0
        while rows := await self._services.stores.outbox.adopt(gone, self._federation.config.node):
            for row in rows:
                take_up(self._federation, row)
            count += len(rows)
        if count:
            del self._absent[gone]
            log.warning(
                "%d stanzas for other servers that waited on node %s, which is gone, wait here now", count, gone
            )

    # What others took over of this node

    def _joined(self, _node: str, _returned: bool) -> None:
        if not self._reviewing and not self._ended and self._stored():
            self._reviewing = True
            self._services.tasks.spawn("what is still to be sent by this node", self._review())

    def _stored(self) -> set[str]:
        """The rows that wait here and are in the database for certain."""
        committed = self._services.ledger.committed
        return {
            waiting.row
            for destination in self._federation.destinations
            for waiting in destination.queue
            if waiting.row and waiting.stanza.commit <= committed
        }

    async def _review(self) -> None:
        try:
            lost = self._stored()
            after = ""
            while rows := await self._services.stores.outbox.load(self._federation.config.node, after):
                lost.difference_update(row.id for row in rows)
                after = rows[-1].id
        except StoreUnavailable as error:
            log.warning("whether another node has taken over what waits here cannot be read: %s", error)
            return
        finally:
            self._reviewing = False
        if lost:
            count = sum(destination.forget(lost) for destination in self._federation.destinations)
            log.warning("%d stanzas for other servers were taken over by another node while this one was away", count)
