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
        #: Which node was asked for what this one has, by full JID.
        self._from: dict[str, str] = {}
        peers.serve(_ASK, self._asked)
        # A question too: what is asked first is done first, also where nobody waited for the answer any more.
        peers.serve(_RELEASE, self._released)
        peers.on_gone(self._gone)

    async def take(self, jid: Jid) -> bool:
        """Whether this resource may go on; `release` comes next then."""
        leader = self._peers.leader
        try:
            granted: Any = await self._peers.ask(leader, _ASK, _ANSWER_SECONDS, bare=jid.bare, resource=jid.resource)
        except Exception as error:
            log.info("%s does not wait for the leader: %s", jid, error)
            granted = True
        if granted:
            self._from[jid.full] = leader
        return bool(granted)

    def release(self, jid: Jid) -> None:
        """It has done so."""
        leader = self._from.pop(jid.full, None)
        if leader is not None:
            self._services.tasks.spawn(f"claim of {jid} ends", self._end(leader, jid))

    async def _end(self, leader: str, jid: Jid) -> None:
        try:
            await self._peers.ask(leader, _RELEASE, _ANSWER_SECONDS, bare=jid.bare, resource=jid.resource)
        except Exception as error:
            # It has forgotten what it knew of this node, or is about to.
            log.info("%s has done, but the leader does not hear it: %s", jid, error)

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

    async def _released(self, node: str, bare: str, resource: str) -> None:
        held = self._held.get(bare)
        if held is not None and (held[0], held[1]) == (resource, node):
            del self._held[bare]

    def _gone(self, node: str, _records: list[Record]) -> None:
        self._held = {bare: claim for bare, claim in self._held.items() if claim[1] != node}
