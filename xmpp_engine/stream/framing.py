"""Framing: how a stream opens, closes and separates its elements. Three small strategies behind one protocol.

* StreamFraming: one XML document, `<stream:stream>` (RFC 6120, 4) over TCP.
* ServerFraming: the same between servers. Its content namespace is jabber:server on the wire and jabber:client inside.
* FramedFraming: one element in each message, `<open/>` and `<close/>` (RFC 7395) over WebSocket.
* BodyFraming: elements inside BOSH bodies (XEP-0206). The transport reads and writes the bodies; it hands in an
  `<open/>` where a session begins or is restarted, and gets our `<open/>`, stanzas, features and stream errors as
  frames.

Framings hold no state: one object of each serves all streams.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.stanza.stanza import CLIENT, FRAMED, SERVER
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import SERVER_NAMES, StreamParser, XmlLimits, strip_declaration
from xmpp_engine.xml.writer import encode, escape_attr, write

if TYPE_CHECKING:
    from xmpp_engine.stream.stream import Stream

#: The language of our own texts (RFC 6120, 4.7.4).
_LANG: Final = "en"


class Framing(Protocol):
    """What a Stream asks of its framing."""

    #: stanza.CLIENT, stanza.FRAMED or stanza.SERVER: how stanzas are encoded.
    flavour: int
    #: What closes our side, b"" where the transport does it.
    closing: bytes
    #: Who the other side is, in sentences for people.
    peer: str

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """A parser that calls the stream, and the function that bytes of the transport go to."""

    def check(self, root: Element, parser: StreamParser) -> None:
        """Namespaces and name of the peer's header; raises StreamError."""

    def restart(self, parser: StreamParser) -> None:
        """The peer will open its stream again; what it has sent after this element is dropped."""

    def header(self, id: str, domain: str, to: str) -> bytes:
        """What opens our side; `domain` and `to` may be ""."""

    def encode(self, element: Element) -> bytes:
        """An element that stands directly in the stream."""


class StreamFraming:
    """`<stream:stream>`; the content namespace is declared as the default on the root."""

    __slots__ = ("_head", "closing", "content", "flavour", "peer")

    def __init__(self, content: str = ns.CLIENT, peer: str = "client") -> None:
        self.flavour = CLIENT
        self.peer = peer
        self.closing = b"</stream:stream>"
        self.content = content
        self._head = f"<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:stream='{ns.STREAM}' version='1.0'"

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """See Framing."""
        parser = StreamParser(stream.peer_opened, stream.on_element, stream.peer_closed, limits)
        return parser, parser.feed

    def restart(self, parser: StreamParser) -> None:
        """See Framing."""
        parser.restart()

    def header(self, id: str, domain: str, to: str) -> bytes:
        """See Framing."""
        return f"{self._head}{_header_attrs(id, domain, to)}>".encode()

    def encode(self, element: Element) -> bytes:
        """See Framing."""
        return encode(element, self.content)

    def check(self, root: Element, parser: StreamParser) -> None:
        """See Framing (RFC 6120, 4.8).

        The content namespace may be the default on the root, have a prefix there, or be declared by each stanza where
        the root itself is in the default namespace (4.8.3).
        """
        if root.ns != ns.STREAM:
            raise StreamError("invalid-namespace", "the root element is not in the namespace of streams")
        if root.name != "stream":
            raise StreamError("bad-format", "the root element is not a stream")
        if not parser.declares(self.content) and not parser.declares(ns.STREAM, default=True):
            raise StreamError("invalid-namespace", f"the content namespace of this port is {self.content}")


class ServerFraming(StreamFraming):
    """Streams between servers (RFC 6120, 4; XEP-0220, 2.1). The one who opens a stream gives it no id."""

    __slots__ = ("_initiating",)

    def __init__(self, initiating: bool) -> None:
        super().__init__(ns.SERVER, "other server")
        self.flavour = SERVER
        self._initiating = initiating
        self._head = self._head.replace(" xmlns:stream=", f" xmlns:db='{ns.DIALBACK}' xmlns:stream=")

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """See Framing."""
        parser = StreamParser(stream.peer_opened, stream.on_element, stream.peer_closed, limits, SERVER_NAMES)
        return parser, parser.feed

    def header(self, id: str, domain: str, to: str) -> bytes:
        """See Framing."""
        return super().header("" if self._initiating else id, domain, to)

    def encode(self, element: Element) -> bytes:
        """See Framing."""
        return encode(element, ns.CLIENT)


class FramedFraming:
    """RFC 7395: each frame is one element with all its declarations."""

    __slots__ = ("closing", "flavour", "peer")

    def __init__(self) -> None:
        self.flavour = FRAMED
        self.peer = "client"
        self.closing = f"<close xmlns='{ns.FRAMING}'/>".encode()

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """See Framing."""
        found: list[Element] = []
        parser = StreamParser.framed(found.append, limits)

        def read(data: bytes) -> None:
            parser.feed(strip_declaration(data))
            if len(found) > 1 or not parser.between:
                raise StreamError("not-well-formed", "a frame holds one whole element")
            if found:
                stream.frame(found.pop())

        return parser, read

    def check(self, root: Element, parser: StreamParser) -> None:
        """See Framing; an `<open/>` was recognised by its namespace already."""

    def restart(self, parser: StreamParser) -> None:
        """See Framing; each frame stands for itself, so nothing is left to drop."""

    def header(self, id: str, domain: str, to: str) -> bytes:
        """See Framing."""
        return f"<open xmlns='{ns.FRAMING}' version='1.0'{_header_attrs(id, domain, to)}/>".encode()

    def encode(self, element: Element) -> bytes:
        """See Framing."""
        return _self_contained(element)


class BodyFraming:
    """BOSH: the body around the elements is the transport's."""

    __slots__ = ("closing", "flavour", "peer")

    def __init__(self) -> None:
        self.flavour = FRAMED
        self.closing = b""
        self.peer = "client"

    def reader(self, stream: Stream, limits: XmlLimits) -> tuple[StreamParser, Callable[[bytes], None]]:
        """See Framing; bodies are parsed by the transport, a lone element is accepted all the same."""
        return FRAMES.reader(stream, limits)

    def check(self, root: Element, parser: StreamParser) -> None:
        """See Framing."""

    def restart(self, parser: StreamParser) -> None:
        """See Framing."""

    def header(self, id: str, domain: str, to: str) -> bytes:
        """See Framing; the transport takes `from`, `authid` and the rest as attributes of its body from this frame."""
        return FRAMES.header(id, domain, to)

    def encode(self, element: Element) -> bytes:
        """See Framing."""
        return _self_contained(element)


def _header_attrs(id: str, domain: str, to: str) -> str:
    origin = f" from='{escape_attr(domain)}'" if domain else ""
    target = f" to='{escape_attr(to)}'" if to else ""
    given = f" id='{id}'" if id else ""
    return f"{given}{origin}{target} {XML_LANG}='{_LANG}'"


def _self_contained(element: Element) -> bytes:
    text = write(element, "")
    if element.ns == ns.STREAM:
        name = "<stream:" + element.name
        text = f"{name} xmlns:stream='{ns.STREAM}'{text[len(name) :]}"
    return text.encode()


@lru_cache(maxsize=64)
def xml_limits(limits: StreamLimits, authenticated: bool) -> XmlLimits:
    """What the parser allows, one shared object for all streams of a listener."""
    size = limits.stanza_bytes if authenticated else min(limits.preauth_bytes, limits.stanza_bytes)
    return XmlLimits(size, limits.depth, limits.attributes)


CLIENT_STREAM: Final = StreamFraming()
SERVER_IN: Final = ServerFraming(initiating=False)
SERVER_OUT: Final = ServerFraming(initiating=True)
FRAMES: Final = FramedFraming()
BODIES: Final = BodyFraming()
