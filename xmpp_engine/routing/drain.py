"""Drain: a node sends its clients to other nodes, a few at a time, before it is stopped.

Clients are told that this node stops, and come back by their SRV records or by the load balancer, which sees `/readyz`
say no. Where the operator wants it, those over TCP are told where to go (`see-other-host`, RFC 6120, 4.9.3.19), if
another node has an address. A session that can be resumed waits here as after a lost connection: the node to which the
client comes asks for it (XEP-0198).

COMPAT(Psi+ 1.4, Pidgin 2.14, Poezio 0.14, Kaidan 0.8, Gajim 1.7, Dino 0.4; 2026-11): none of them goes where
`see-other-host` says. Psi+ takes it for an error that nothing can be done about, and stays offline until somebody signs
in again. So it is said on demand only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.routing.session import Session
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services
    from xmpp_engine.runtime.clock import Timer

log = logging.getLogger("mlink.cluster")

#: Seconds between two looks; what is to go in one of them goes together.
STEP: Final = 0.1
#: Transports that have no address of this kind.
_HTTP: Final = frozenset({"bosh", "websocket"})


class Drain:
    """The drain of one engine."""

    def __init__(self, services: Services) -> None:
        #: Called with whether it is on, at its beginning and its end.
        self.turned: Callable[[bool], None] = lambda _on: None
        self._services = services
        self._timer: Timer | None = None
        self._rate = 0
        self._redirect = False
        self._due = 0.0
        self._next = 0
        self._moved = 0
        self._ended = 0
        self._since = 0.0

    @property
    def on(self) -> bool:
        """Whether this node takes no clients."""
        return self._rate > 0

    def start(self, rate: int, *, redirect: bool = False) -> None:
        """Begin, or go on with another rate (sessions a second). With `redirect` clients are told the address of
        another node."""
        if not self.on:
            self._moved = self._ended = 0
            self._since = self._services.clock.time()
            log.warning("this node is drained: %d sessions go elsewhere", len(self._services.registry.full))
            self.turned(True)
        self._rate = rate
        self._redirect = redirect
        if self._timer is None:
            self._step()
        self._publish()

    def cancel(self) -> None:
        """Take clients again."""
        if self.on:
            log.warning("this node takes clients again; %d sessions have gone", self._moved + self._ended)
            self.turned(False)
        self._rate = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._publish()

    def progress(self) -> dict[str, Any]:
        """`state` is "", "draining" or "drained"; how many sessions went to be resumed, how many ended, how many are
        still connected, and how many wait here to be resumed elsewhere."""
        sessions = self._services.registry.full.values()
        connected = sum(session.stream is not None for session in sessions)
        state = "" if not self.on else "draining" if connected else "drained"
        return {
            "state": state,
            "since": self._since if self.on else 0.0,
            "moved": self._moved,
            "ended": self._ended,
            "connected": connected,
            "waiting": len(sessions) - connected,
        }

    def refusal(self, transport: str) -> StreamError | None:
        """What a client that opens a stream here is told, None while this node takes clients."""
        return self._elsewhere(transport) if self.on else None

    def _elsewhere(self, transport: str) -> StreamError:
        address = self._address() if self._redirect and transport not in _HTTP else ""
        text = "this node is taken down for maintenance"
        if address:
            return StreamError("see-other-host", text, value=address)
        return StreamError("system-shutdown", text)

    def _address(self) -> str:
        """One of the other nodes that take clients, in turn."""
        cluster = self._services.cluster
        if cluster is None:
            return ""
        facts = [cluster.facts_of(node) for node in cluster.nodes]
        found = [one["address"] for one in facts if one.get("address") and not one.get("draining")]
        if not found:
            return ""
        self._next += 1
        return str(found[self._next % len(found)])

    def _step(self) -> None:
        self._timer = None
        if not self.on:
            return
        self._due += self._rate * STEP
        connected: list[Session] = []
        for session in self._services.registry.full.values():
            if len(connected) >= int(self._due):
                break
            if session.stream is not None:
                connected.append(session)
        self._due = min(self._due - len(connected), 1.0)
        for session in connected:
            self._send_away(session)
        self._timer = self._services.clock.call_later(STEP, self._step)
        self._publish()

    def _send_away(self, session: Session) -> None:
        transport = session.stream.transport.name
        resumable = session.sm is not None and session.sm.resumable
        session.move(self._elsewhere(transport))
        if resumable:
            self._moved += 1
        else:
            self._ended += 1

    def _publish(self) -> None:
        cluster = self._services.cluster
        state = self.progress()["state"] if self.on else ""
        if cluster is not None and cluster.facts.get("draining", "") != state:
            cluster.publish(draining=state)
