"""A component on its way in (XEP-0114, `jabber:component:accept`): stream header, handshake, and then it speaks for a
domain.

    component  <stream:stream xmlns='jabber:component:accept' to='gateway.example.org'>
    server     <stream:stream ... from='gateway.example.org' id='...'>
    component  <handshake>SHA-1 of id and secret, hexadecimal</handshake>
    server     <handshake/>

There is no version, there are no features, no restart. Who the component is and whether it may come is decided by a
gate of the layer above (`component/components.py`): first the domain and the address it comes from, then, and only
then, the secret, which the gate compares. TLS is the listener's affair, from the first byte (`direct`) or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.observe.counters import Counters
from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.stanza.stanza import SERVER
from xmpp_engine.stream.framing import StreamFraming
from xmpp_engine.stream.stream import Stream
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import StreamParser, TagNames, XmlLimits
from xmpp_engine.xml.writer import encode, escape_attr

_NAMES: Final = TagNames({ns.COMPONENT_ACCEPT: ns.CLIENT})


class ComponentFraming(StreamFraming):
    """Streams of components. Inside, their content namespace is jabber:client, as between servers."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(ns.COMPONENT_ACCEPT, "component")
        self.flavour = SERVER

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """See Framing."""
        parser = StreamParser(stream.peer_opened, stream.on_element, stream.peer_closed, limits, _NAMES)
        return parser, parser.feed

    def header(self, id: str, domain: str, to: str) -> bytes:
        """See Framing; no version: who reads one would wait for features."""
        origin = f" from='{escape_attr(domain)}'" if domain else ""
        head = f"<?xml version='1.0'?><stream:stream xmlns='{self.content}' xmlns:stream='{ns.STREAM}'"
        return f"{head} id='{id}'{origin}>".encode()

    def encode(self, element: Element) -> bytes:
        """See Framing."""
        return encode(element, ns.CLIENT)


COMPONENT_STREAM: Final = ComponentFraming()


class Gate(Protocol):
    """Who decides about components (`component.components.Components`)."""

    @property
    def counters(self) -> Counters:
        """Where errors are counted."""

    @property
    def clock(self) -> Clock:
        """For the time that a handshake may take."""

    def admit(self, domain: str, peer: str) -> None:
        """Whether a component of this name is known and may come from this address; raises StreamError."""

    def prove(self, stream: Stream, domain: str, digest: str) -> None:
        """Raise WrongSecret unless the digest is that of the stream's id and the component's secret, StreamError where
        it is not even looked at."""

    def settle(self, stream: Stream, domain: str) -> None:
        """The component is who it says: take the stream over, or raise StreamError where another one has its place.
        Writes the handshake's answer."""

    def left(self, stream: Stream) -> None:
        """The connection is gone, whatever it was."""


class WrongSecret(StreamError):
    """The handshake is not that of the secret; the answer waits `delay` seconds."""

    def __init__(self, delay: float) -> None:
        super().__init__("not-authorized", "the handshake is not that of this component's secret")
        self.delay = delay


class ComponentRole:
    """The negotiation of one stream. `domain` is the component's name once its header has come."""

    __slots__ = ("_gate", "_timer", "domain", "stream")

    stream: Stream

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._timer: Timer | None = None
        self.domain = ""

    @property
    def counters(self) -> Counters:
        """See Role."""
        return self._gate.counters

    def attach(self, stream: Stream) -> None:
        """See Role."""
        self.stream = stream
        self._timer = self._gate.clock.call_later(stream.limits.negotiation_seconds, self._late)

    def opened(self, root: Element) -> None:
        """See Role; `to` is the name of the component (XEP-0114, 3)."""
        wanted = root.attrs.get("to", "")
        try:
            domain = domainpart(wanted)
        except ValueError:
            raise StreamError("host-unknown", "the stream header names no component") from None
        self._gate.admit(domain, self.stream.transport.peer)
        self.domain = domain
        self.stream.open()

    def handle(self, element: Element) -> None:
        """See Role: the handshake is the only thing that may come."""
        if (element.ns, element.name) != (ns.CLIENT, "handshake"):
            raise StreamError("not-authorized", "the handshake comes first")
        stream = self.stream
        try:
            self._gate.prove(stream, self.domain, element.text.strip().lower())
        except WrongSecret as error:
            if not error.delay:
                raise
            # Nothing more is read meanwhile, and a guesser has to wait for each answer.
            stream.on_element = _nothing
            stream.transport.pause()
            self._cancel()
            self._timer = self._gate.clock.call_later(error.delay, stream.close, error)
            return
        self._cancel()
        self._gate.settle(stream, self.domain)

    def secured(self) -> None:
        """See Role; TLS is there from the first byte or never."""

    def lost(self) -> None:
        """See Role."""
        self._cancel()
        self._gate.left(self.stream)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self.stream.close(StreamError("connection-timeout", "the handshake took too long"))


def _nothing(*_: Any) -> None:
    """What comes behind a wrong handshake."""
