"""External: one configured component, connected or not (hot file; XEP-0114).

The router hands it what is addressed to its domain, its stream what it sends. It may speak for its domain and for names
below it, and for nobody else: another `from` ends the stream. A name below is known to the router from the first stanza
that comes from it.

What it does not take fast enough waits in its connection up to `queue_bytes`; what comes on top goes back to its sender
(`resource-constraint`, type wait), so a slow component never costs memory and never loses anything unnoticed. XEP-0114
has no acknowledgements: what was written when its connection breaks is lost with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Set
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.stanza import SERVER, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ComponentConfig
    from xmpp_engine.routing.host import Services
    from xmpp_engine.stream.stream import Stream

log = logging.getLogger("mlink.components")

_STANZAS: Final = frozenset({"message", "presence", "iq"})
#: Names below its domain that one component may use.
_NAMES: Final = 1_000
#: Seconds in which a component must say anything when another connection asks for its place.
_SIGN_OF_LIFE: Final = 10.0


class External:
    """One component. `stream` is its connection or None; `names` are those below its domain that it has used."""

    __slots__ = (
        "_bound",
        "_learned",
        "_left",
        "_overflows",
        "_pass_on",
        "_privileged",
        "_services",
        "_waits",
        "address",
        "bounced",
        "config",
        "domain",
        "jid",
        "names",
        "node",
        "received",
        "sent",
        "since",
        "stream",
    )

    def __init__(
        self,
        services: Services,
        config: ComponentConfig,
        privileged: Callable[[Stanza, Element, External], bool],
        learned: Callable[[External, str], None],
        left: Callable[[External, str], None],
        pass_on: Callable[[External, Stanza], None],
    ) -> None:
        """`privileged(stanza, payload, component)` takes what asks for a privilege (XEP-0356), `learned` is told of a
        new name, `left` that the connection has ended and why; `pass_on` takes what is for one of another node."""
        self._services = services
        self._privileged = privileged
        self._learned = learned
        self._left = left
        self._pass_on = pass_on
        self.config = config
        self.domain = config.domain
        self.jid = Jid("", config.domain)
        self.stream: Stream | None = None
        self.names: set[str] = set()
        #: The node of the cluster that has its connection, "" where this one has it or none; and from where it came.
        self.node = ""
        self.address = ""
        self.since = 0.0
        #: Stanzas from it, to it, and back to their senders.
        self.received = 0
        self.sent = 0
        self.bounced = 0
        self._bound = 0
        #: Stanzas for which there was no room; whether it waits for the ledger.
        self._overflows = 0
        self._waits = False

    @property
    def connected(self) -> bool:
        """Whether it is connected to this node."""
        return self.stream is not None

    @property
    def present(self) -> bool:
        """Whether it is connected to any node."""
        return self.stream is not None or bool(self.node)

    @property
    def waiting(self) -> int:
        """Bytes that it has not taken yet."""
        return self.stream.transport.idle_bytes() if self.stream is not None else 0

    @property
    def roomy(self) -> bool:
        """Whether much may be sent to it at once: less than half of its queue is used. Of one that another node has
        this one does not know."""
        return bool(self.node) or self.waiting * 2 < self._bound

    # Its connection

    def attach(self, stream: Stream) -> None:
        """It has proved who it is."""
        limits = stream.limits
        self.stream = stream
        self.node, self.address = "", stream.transport.peer
        self.names = set()
        self.since = self._services.clock.time()
        self.received = self.sent = self.bounced = 0
        self._overflows, self._waits = 0, False
        # The transport cuts a reader that is too slow; we stop before.
        self._bound = min(self.config.queue_bytes, max(1, limits.write_buffer_bytes - limits.stanza_bytes))
        stream.on_element = self.take
        stream.on_lost = self._lost
        stream.on_idle = self._idle
        stream.authenticated()
        stream.transport.authenticated()

    def move(self, node: str, since: float, address: str, names: list[str]) -> None:
        """Another node has its connection, or with "" none has."""
        self.node, self.since, self.address = node, since, address
        self.names = set(names)

    def close(self, error: StreamError) -> None:
        """End its connection to this node, where it has one."""
        if self.stream is not None:
            self.stream.close(error)

    def look(self) -> None:
        """Somebody else asks for its place: where it gives no sign of life, its connection ends."""
        stream = self.stream
        if stream is None:
            return
        before = stream.bytes_in

        def judge() -> None:
            if self.stream is stream and stream.bytes_in == before:
                stream.close(StreamError("connection-timeout", "no sign of life"))

        self._idle()
        self._services.clock.call_later(_SIGN_OF_LIFE, judge)

    def _lost(self, reason: str, _clean: bool) -> None:
        self.stream = None
        self.names = set()
        self._left(self, reason)

    def _idle(self) -> None:
        hosts = self._services.router.hosts.values()
        host = next((host for host in hosts if self.domain.endswith("." + host.domain)), next(iter(hosts), None))
        if host is not None:
            self.receive(build_iq(host.jid, self.jid, "get", Element(ns.PING, "ping")))

    # To it

    def receive(self, stanza: Stanza) -> None:
        """A stanza for its domain; see the router."""
        stream = self.stream
        if stream is None:
            if self.node:
                self._pass_on(self, stanza)
            else:
                self._unreachable(stanza)
            return
        if stream.transport.idle_bytes() > self._bound:
            self._overflow(stanza)
            return
        self.sent += 1
        to = stanza.to
        assert to is not None
        stream.write(stanza.encode(to.encoded, SERVER))

    def _unreachable(self, stanza: Stanza) -> None:
        # Presence that nobody waits for, as for a server that cannot be reached; who enters a room learns of it.
        if stanza.kind == "presence" and stanza.origin is None and stanza.element.find(ns.MUC, "x") is None:
            return
        self.bounced += 1
        error = StanzaError("service-unavailable", "this component is not connected", type="wait")
        bounce(self._services.router, stanza, error)

    def _overflow(self, stanza: Stanza) -> None:
        self._overflows += 1
        if self._overflows & (self._overflows - 1) == 0:
            log.warning(
                "component %s is too slow: %d bytes wait, more is refused (%d stanzas so far)",
                self.domain,
                self.waiting,
                self._overflows,
            )
        self.bounced += 1
        bounce(self._services.router, stanza, StanzaError("resource-constraint", "this component is too slow"))

    # From it

    def take(self, element: Element) -> None:
        """An element of its stream; raises StreamError for what ends it."""
        if element.ns != ns.CLIENT or element.name not in _STANZAS:
            raise StreamError("unsupported-stanza-type", f"{element.name[:64]} is not understood here")
        attrs = element.attrs
        source = attrs.get("from")
        if not source or not attrs.get("to"):
            raise StreamError("improper-addressing", "a component says from whom and to whom (XEP-0114, 3)")
        try:
            sender = Jid.parse(source)
        except ValueError:
            sender = None
        if sender is None or (sender.domain != self.domain and not self._may_use(sender.domain)):
            refused.warning("component %s spoke as %.200s", self.domain, source)
            raise StreamError("invalid-from", "a component speaks for its own domain only")
        self.received += 1
        try:
            stanza = Stanza.parse(element, sender)
        except StanzaError as error:
            self._refuse_malformed(element, sender, error)
            return
        payload = element.first()
        if (
            payload is None
            or (payload.ns != ns.PRIVILEGE and (payload.ns != ns.ROSTER or element.name != "iq"))
            or not self._privileged(stanza, payload, self)
        ):
            self._services.router.route(stanza)
        ledger = self._services.ledger
        if ledger.full and not self._waits and self.stream is not None:
            self._waits = True
            self.stream.transport.pause()
            ledger.on_room(self._go_on)

    def _go_on(self) -> None:
        if self._waits:
            self._waits = False
            if self.stream is not None:
                self.stream.transport.resume()

    def _may_use(self, domain: str) -> bool:
        """Whether it may speak for a name that is not its own: one below it that is nobody else's."""
        if domain in self.names:
            return True
        if not domain.endswith("." + self.domain) or domain in self._services.router.services:
            return False
        if any(map(self._is_anothers, _up_to(domain, self.domain))) or len(self.names) >= _NAMES:
            return False
        self.names.add(domain)
        self._learned(self, domain)
        return True

    def _is_anothers(self, name: str) -> bool:
        """Whether a name, and with it all below it, is a domain of this server or another component's own."""
        router = self._services.router
        found = router.services.get(name)
        return name in router.hosts or (found is not None and found is not self)

    def give_up(self, taken: Set[str]) -> bool:
        """Let go of names that are somebody's by the configuration, with all below them; whether it had any."""
        before = self.names
        self.names = {name for name in before if taken.isdisjoint(_up_to(name, self.domain))}
        return self.names != before

    def _refuse_malformed(self, element: Element, sender: Jid, error: StanzaError) -> None:
        refused.info("component %s sent a malformed %s: %s", self.domain, element.name, error)
        if element.attrs.get("type") in ("error", "result") or self.stream is None:
            return
        attrs = {"type": "error", "to": sender.full}
        if "id" in element.attrs:
            attrs["id"] = element.attrs["id"]
        self.stream.send(Element(ns.CLIENT, element.name, attrs, error.element()))

    # For people

    def describe(self) -> dict[str, Any]:
        """A line of lists."""
        stream = self.stream
        facts = stream.transport.tls_facts() if stream is not None else {}
        return {
            "domain": self.domain,
            "enabled": self.config.enabled,
            "connected": self.present,
            "node": self.node,
            "address": self.address if self.present else "",
            "since": self.since if self.present else 0.0,
            "tls": facts.get("version", ""),
            "received": self.received,
            "sent": self.sent,
            "bounced": self.bounced,
            "bytes_in": stream.bytes_in if stream is not None else 0,
            "bytes_out": stream.bytes_out if stream is not None else 0,
            "waiting": self.waiting,
            "names": sorted(self.names),
        }


def _up_to(name: str, domain: str) -> Iterator[str]:
    """A name and those above it, below a domain."""
    while name != domain:
        yield name
        name = name.partition(".")[2]
