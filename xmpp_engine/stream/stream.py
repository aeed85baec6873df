"""Stream: one XMPP stream over any transport (hot file; RFC 6120, 4; RFC 7395).

Sans-IO: the transport calls `data_received`, the stream calls `transport.write`, time comes from the clock. What
happens with an element is not decided here: the parser calls whatever `on_element` points to, `role.handle` during
negotiation and `session.receive` once bound. So a bound stanza passes no test of states.

    transport --data_received--> parser --on_element--> role.handle | session.receive
    transport --connection_lost----------on_lost------> session.lost
              <--write-- send, write, close

The end comes once. `close` writes the stream error (after our header, if that was still missing: RFC 6120, 4.9.1.1) and
the closing tag, calls `on_lost` and closes the transport, which sends all of it and gives the peer a moment to close
its side. What is still read is dropped.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.config.schema import StreamLimits
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.stanza.stanza import FRAMED
from xmpp_engine.stream.framing import Framing, xml_limits
from xmpp_engine.transport.base import Transport
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.stream.role import HostLike, Role

log = logging.getLogger("mlink.stream")

#: Conditions that end many streams at once by our own will: one line in the log says so, not one for each stream.
_QUIET: Final = frozenset({"system-shutdown", "reset"})


class Stream:
    """One stream.

    `role` negotiates; `host` is the domain once `to` is known; `lang` the language of the peer's header.
    `on_lost(reason, clean)` is set by whoever takes the stream over and is called once, when it ends by whatever means;
    `clean` says that the peer closed its stream properly. `on_idle` is called by the sweep after `idle_seconds` of
    silence. `active` is set by each read, `seen` is the monotonic time the sweep last found it set, `since` seconds
    since the epoch. `error` is the stream error that ended the stream, `clean` whether the peer closed it.
    """

    __slots__ = (
        "_feed",
        "_handler",
        "_opened",
        "_parser",
        "active",
        "bytes_in",
        "bytes_out",
        "clean",
        "clock",
        "closed",
        "error",
        "flavour",
        "framed",
        "framing",
        "host",
        "id",
        "lang",
        "limits",
        "on_idle",
        "on_lost",
        "peer_id",
        "pinged",
        "role",
        "seen",
        "since",
        "transport",
    )

    def __init__(self, transport: Transport, framing: Framing, role: Role, clock: Clock, limits: StreamLimits) -> None:
        self.transport = transport
        self.framing = framing
        self.flavour = framing.flavour
        #: Whether elements come one in a frame, through `frame`.
        self.framed = framing.flavour == FRAMED
        self.role = role
        self.clock = clock
        self.limits = limits
        self.id = ""
        #: The address the peer gave in its header, "" for none; it goes back as `to` of ours.
        self.peer_id = ""
        self.host: HostLike | None = None
        self.lang = ""
        self.on_lost: Callable[[str, bool], Any] | None = None
        self.on_idle: Callable[[], Any] | None = None
        self.active = True
        self.pinged = False
        self.seen = clock.now()
        self.since = clock.time()
        self.bytes_in = 0
        self.bytes_out = 0
        self.closed = False
        self.clean = False
        self.error: StreamError | None = None
        self._opened = False
        self._handler: Callable[[Element], Any] = role.handle
        self._parser, self._feed = framing.reader(self, xml_limits(limits, False))
        role.attach(self)

    # What elements go to

    @property
    def on_element(self) -> Callable[[Element], Any]:
        """Where elements go; re-pointing works in the middle of a read."""
        return self._handler

    @on_element.setter
    def on_element(self, handler: Callable[[Element], Any]) -> None:
        if self.closed:
            return
        self._handler = handler
        if not self.framed:
            self._parser.on_element = handler

    # From the transport

    def data_received(self, data: bytes) -> None:
        """Bytes, or one frame; never raises."""
        if self.closed:
            return
        self.active = True
        self.bytes_in += len(data)
        try:
            self._feed(data)
        except StreamError as error:
            self.close(error)
        except Exception:
            self.failed()

    def frame_element(self, element: Element) -> None:
        """One frame that the transport has parsed already (BOSH); never raises."""
        if self.closed:
            return
        self.active = True
        try:
            self.frame(element)
        except StreamError as error:
            self.close(error)
        except Exception:
            self.failed()

    def connection_lost(self, reason: str) -> None:
        """The connection is gone; called once by the transport."""
        self.closed = True
        self.ended(reason)
        # Parser and role point back here; without that the memory goes at once and not at some later collection.
        self._feed = self._parser.on_open = self._parser.on_close = _nothing
        self.role.lost()
        self.role = _NOBODY

    def tls_established(self) -> None:
        """The handshake has ended; the peer opens a new stream."""
        if not self.closed:
            self.active = True
            self.role.secured()

    # From the parser

    def peer_opened(self, root: Element) -> None:
        """The peer's stream header; raises StreamError when it is not acceptable."""
        self.framing.check(root, self._parser)
        self.role.opened(root)

    def peer_closed(self) -> None:
        """The peer's closing tag."""
        if self.closed:
            return
        self.clean = True
        self.close()

    def frame(self, element: Element) -> None:
        """One frame: opens, closes, or an element for `on_element`."""
        if self.closed:
            return
        if element.ns == ns.FRAMING:
            if element.name == "close":
                self.peer_closed()
            elif element.name == "open" and not self._opened:
                self.role.opened(element)
            else:
                raise StreamError("bad-format", "this frame is not expected here")
        elif self._opened:
            self._handler(element)
        else:
            raise StreamError("bad-format", "the stream was not opened")

    # To the peer

    def open(self) -> None:
        """Write our header with a fresh id (RFC 6120, 4.7.3)."""
        self._opened = True
        self.id = secrets.token_urlsafe(12)
        host = self.host
        header = self.framing.header(self.id, host.domain if host is not None else self.role.domain, self.peer_id)
        if header:
            self.write(header)

    def write(self, data: bytes) -> None:
        """Send bytes, or one frame; after the end a no-op."""
        if not self.closed:
            self.bytes_out += len(data)
            self.transport.write(data)

    def send(self, element: Element) -> None:
        """Send an element that stands directly in the stream."""
        self.write(self.framing.encode(element))

    def restart(self) -> None:
        """The peer opens its stream again (RFC 6120, 4.3.3); what it sent after this element is dropped."""
        if not self.closed:
            self._opened = False
            self.framing.restart(self._parser)

    def authenticated(self) -> None:
        """From now on the full limits hold."""
        self._parser.limit(xml_limits(self.limits, True))

    def declares(self, uri: str) -> bool:
        """Whether the peer's header declared this namespace."""
        return self._parser.declares(uri)

    def park(self) -> None:
        """Free what an idle stream does not need."""
        self._parser.park()

    def close(self, error: StreamError | None = None) -> None:
        """End the stream, with this error or without; after the end a no-op."""
        if self.closed:
            return
        if error is not None:
            self._report(error)
        if not self._opened:
            self.open()
        if error is not None:
            self.send(error.element())
        if self.framing.closing:
            self.write(self.framing.closing)
        self.closed = True
        reason = f"closed by the {self.framing.peer}" if self.clean else "closed"
        self.ended(str(error) if error is not None else reason)
        self.transport.close()

    # The end

    def _report(self, error: StreamError) -> None:
        self.error = error
        self.role.counters.count("stream_errors_total", error.condition)
        if error.condition not in _QUIET and not error.told:
            log.info("stream of %s over %s ended: %s", self.transport.peer or "?", self.transport.name, error)

    def failed(self) -> None:
        """Call in an exception handler: a defect of ours must not take the node down, nor go unseen."""
        log.exception("stream of %s over %s failed", self.transport.peer or "?", self.transport.name)
        self.close(StreamError("internal-server-error"))

    def ended(self, reason: str) -> None:
        """Read nothing more and tell the owner, once; also one that came when the stream had ended already."""
        self._handler = _nothing
        parser = self._parser
        parser.on_element = _nothing
        parser.restart()
        on_lost, self.on_lost, self.on_idle = self.on_lost, None, None
        if on_lost is not None:
            try:
                on_lost(reason, self.clean)
            except Exception:
                log.exception("the owner of a stream failed at its end")


#: The role of a stream without a connection; nothing asks for it any more.
_NOBODY: Final[Any] = None


def _nothing(*_: Any) -> None:
    """What an ended stream does with all it gets."""
