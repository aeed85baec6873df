"""Loading: what is addressed to a stored room that is not resident waits, in order and bounded, for the room.

One task loads one room, whoever writes to it meanwhile. Names that belong to no stored room are remembered for some
seconds, and who asks for many of them is slowed down: each costs the database a query.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.options import ServiceOptions
    from xmpp_engine.muc.service import RoomService

#: Stanzas that wait for one room to be loaded, and for all.
_WAITING: Final = 1_000
_ALL_WAITING: Final = 20_000
#: Seconds for which a name is known to belong to no stored room, and names so remembered.
_UNKNOWN_SECONDS: Final = 5.0
_UNKNOWN: Final = 10_000


class Loading:
    """The rooms of one service that are being loaded."""

    def __init__(self, service: RoomService, options: ServiceOptions) -> None:
        self._service = service
        self._waiting: dict[str, deque[Stanza]] = {}
        self._count = 0
        self._unknown: dict[str, float] = {}
        self.configure(options)

    def configure(self, options: ServiceOptions) -> None:
        """Take other limits."""
        self._lookups = Buckets(options.joins_per_second, options.join_burst)

    def receive(self, stanza: Stanza, local: str) -> None:
        """Something for a room that is not resident: it waits while the room is loaded, unless there is none. Raises
        StanzaError."""
        service = self._service
        now = service.services.clock.now()
        waiting = self._waiting.get(local)
        if waiting is None and service.neighbours is not None and service.elsewhere(local):
            # One who speaks to a room that is elsewhere as somebody inside, or from another server without entering it,
            # gets no room here for that.
            foreign = stanza.sender.domain not in service.services.router.hosts
            enters = stanza.kind == "presence" and stanza.type == "" and stanza.element.find(ns.MUC, "x") is not None
            if stanza.type in ("unavailable", "error", "result") or (foreign and not enters):
                service.neighbours.to_holder(stanza, local)
                return
            if self._count >= _ALL_WAITING:
                raise StanzaError("resource-constraint", "too much waits for rooms")
            waiting = self._begin(local)
        if waiting is None:
            if stanza.type in ("unavailable", "error", "result", "probe"):
                return  # Nobody is in a room that is not resident, so nothing waits for this.
            until = self._unknown.get(local)
            if until is not None and until > now:
                service.absent(stanza, local)
                return
            saver = service.savers.get(local)
            if saver is not None and not saver.idle and local not in service.directory:
                service.absent(stanza, local)  # Destroyed, and on its way out of the store.
                return
            if self._count >= _ALL_WAITING:
                raise StanzaError("resource-constraint", "too much waits for rooms")
            if local not in service.directory and not self._lookups.take(stanza.sender.bare, now):
                raise StanzaError("policy-violation", "too many rooms that are not there", type="wait")
            waiting = self._begin(local)
        elif len(waiting) >= _WAITING or self._count >= _ALL_WAITING:
            raise StanzaError("resource-constraint", "too much waits for this room")
        waiting.append(stanza)
        self._count += 1

    def _begin(self, local: str) -> deque[Stanza]:
        waiting = self._waiting[local] = deque()
        self._service.services.tasks.spawn(f"load {local}@{self._service.domain}", self._load(local))
        return waiting

    def made(self, local: str) -> None:
        """There is a room of this name now."""
        self._unknown.pop(local, None)

    def sweep(self) -> None:
        """Forget what is over."""
        now = self._service.services.clock.now()
        for local in [local for local, until in self._unknown.items() if until <= now]:
            del self._unknown[local]

    async def _load(self, local: str) -> None:
        service = self._service
        error: StanzaError | None = None
        try:
            if await service.restore(local) is None:
                self._remember(local)
        except asyncio.CancelledError:
            raise
        except Exception as caught:
            refused.error("the room %s@%s could not be loaded: %s", local, service.domain, caught)
            error = StanzaError("internal-server-error", "the database does not answer", type="wait")
        finally:
            waiting = self._waiting.pop(local)
            self._count -= len(waiting)
        for stanza in waiting:
            if error is not None:
                bounce(service.services.router, stanza, error)
            else:
                service.receive(stanza)

    def _remember(self, local: str) -> None:
        if len(self._unknown) >= _UNKNOWN:
            self._unknown.clear()
        self._unknown[local] = self._service.services.clock.now() + _UNKNOWN_SECONDS
