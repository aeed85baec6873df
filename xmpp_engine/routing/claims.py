"""Claims: what only one resource of an account may do at a time, whichever node it is on; offline messages are replayed
once. The leader of the cluster keeps them. Where it cannot be asked the claim is granted: messages that two resources
get are better than messages that none gets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.ports import Peers, Record

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services

log = logging.getLogger("mlink.claims")

_ASK: Final = "claim"
_RELEASE: Final = "claim end"
_ANSWER_SECONDS: Final = 3.0
#: Claims that are kept, and seconds after which a forgotten one counts no more.
_MOST: Final = 50_000
_SECONDS: Final = 600.0


class Claims:
    """Those that this node has, and all of them while it leads."""

    def __init__(self, services: Services, peers: Peers) -> None:
        self._services = services
        self._peers = peers
        #: Bare JID to resource, node and until when.
        self._held: dict[str, tuple[str, str, float]] = {}
        peers.serve(_ASK, self._asked)
        peers.handle(_RELEASE, self._released)
        peers.on_gone(self._gone)

    async def take(self, jid: Jid) -> bool:
        """Whether this resource may go on; `release` comes next then."""
        try:
            granted: Any = await self._peers.ask(
                self._peers.leader, _ASK, _ANSWER_SECONDS, bare=jid.bare, resource=jid.resource
            )
        except Exception as error:
            log.info("%s does not wait for the leader: %s", jid, error)
            return True
        return bool(granted)

    def release(self, jid: Jid) -> None:
        """It has done so."""
        if self._peers.leader == self._peers.name:
            self._release(self._peers.name, jid.bare, jid.resource)
        else:
            self._peers.post(self._peers.leader, (_RELEASE, jid.bare, jid.resource))

    async def _asked(self, node: str, bare: str, resource: str) -> bool:
        now = self._services.clock.now()
        held = self._held.get(bare)
        # The same resource on another node is another one: on the first it may still be finishing.
        if held is not None and held[2] > now and held[:2] != (resource, node):
            return False
        if len(self._held) >= _MOST:
            self._held = {name: claim for name, claim in self._held.items() if claim[2] > now}
        if len(self._held) < _MOST:
            self._held[bare] = (resource, node, now + _SECONDS)
        return True

    def _released(self, node: str, record: Record) -> None:
        self._release(node, record[1], record[2])

    def _release(self, node: str, bare: str, resource: str) -> None:
        held = self._held.get(bare)
        if held is not None and (held[0], held[1]) == (resource, node):
            del self._held[bare]

    def _gone(self, node: str, _records: list[Record]) -> None:
        self._held = {bare: claim for bare, claim in self._held.items() if claim[1] != node}
