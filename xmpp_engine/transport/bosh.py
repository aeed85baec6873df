"""BOSH: one stream carried by HTTP requests (XEP-0124, XEP-0206). No HTTP here: `Exchange` stands for a request.

The client numbers its requests (`rid`); we keep up to `hold` of them open and answer the oldest when there is
something to say, when a newer one arrives beyond `hold`, or after `wait` seconds. What makes it hard is that requests
arrive out of order, twice, or not at all:

        rid    ... 41   42  |  43   44   45 ...
               cached   |   |   |    +---------- beyond the window (`requests` wide): the session ends, item-not-found
               answer   |   |   +-- early: kept until 43 has come
               again    |   +-- `_next`: processed at once
                        +-- open slot: a second 42 takes the place of the first

* *In order.* A body is processed only when all before it have been; answers are given oldest first. So neither
  direction can overtake itself, however HTTP connections race.
* *Repeats.* The last answers are kept; a repeated rid gets the same bytes again and is not processed again. A request
  whose HTTP connection broke while it was open keeps its slot; data waits for a live one.
* *Flow control.* While the stream has paused reading, bodies wait as if they were early; the window bounds them. What
  the client does not fetch is bounded by the write limit.
* *Silence.* Without an open request the session lives `inactivity` seconds, or as long as the client asked to `pause`.
* *Keys.* With `newkey` each request must prove, by the next value of a hash chain, that it comes from who began.

To the stream a session is a framed transport as in RFC 7395: it gets an `<open/>` for the creation and for each restart
and a `<close/>` for `type='terminate'`; the `<open/>` it answers with becomes attributes of our body, its `<close/>`
and stream errors become our `terminate`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.transport.base import Receiver, WithoutTls
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import parse_document
from xmpp_engine.xml.writer import escape_attr

if TYPE_CHECKING:
    from xmpp_engine.transport.flush import DirtySet

log = logging.getLogger("mlink.transport")

_BODY: Final = f"<body xmlns='{ns.HTTP_BIND}'"
EMPTY: Final = f"{_BODY}/>".encode()
#: Stanzas in one answer; more wait for the next.
_ANSWER_BYTES: Final = 262_144
#: The largest rid that every client can count to (2**53 - 1).
_LARGEST_RID: Final = 9_007_199_254_740_991
#: Seconds that an empty request of a polling session must keep from the one before, if that brought nothing.
POLLING_SECONDS: Final = 2
#: Frames of the stream that the body expresses by attributes.
_SPECIAL: Final = (b"<open ", b"<close ", b"<stream:error")
#: Stream errors that have a name of their own in XEP-0124, 17.2; all others are `remote-stream-error`.
_CONDITIONS: Final = frozenset({"host-gone", "host-unknown", "improper-addressing", "system-shutdown"})
_RESTART: Final = f"{ns.XBOSH} restart"
_VERSION: Final = f"{ns.XBOSH} version"
_OPEN, _CLOSING, _CLOSED = 0, 1, 2


class Exchange:
    """One HTTP request: the endpoint waits until `response` is there (`on_answer` is called then) and tells by
    `abandon` when the client has gone away before."""

    __slots__ = ("_session", "content_type", "gone", "on_answer", "response")

    def __init__(self) -> None:
        self.response: bytes | None = None
        self.content_type = "text/xml; charset=utf-8"
        self.on_answer: Callable[[], None] | None = None
        self.gone = False
        self._session: BoshSession | None = None

    def answer(self, body: bytes) -> None:
        """Give the response; the first one counts."""
        if self.response is None:
            self.response = body
            self._session = None
            if self.on_answer is not None:
                self.on_answer()

    def abandon(self) -> None:
        """The HTTP connection broke before the answer."""
        self.gone = True
        session, self._session = self._session, None
        if session is not None:
            session.abandoned()


class _Slot:
    """A processed request without an answer, and when it must get one."""

    __slots__ = ("deadline", "exchange", "key")

    def __init__(self, exchange: Exchange, key: str | None, deadline: float) -> None:
        self.exchange = exchange
        self.key = key
        self.deadline = deadline


class BoshOptions:
    """What client and server agreed on at the creation of a session."""

    __slots__ = ("ack", "content_type", "hold", "inactivity", "max_pause", "requests", "wait", "write_limit")

    def __init__(
        self,
        *,
        hold: int = 1,
        wait: int = 60,
        inactivity: int = 90,
        max_pause: int = 120,
        write_limit: int = 2_097_152,
        ack: bool = False,
        content_type: str = "text/xml; charset=utf-8",
    ) -> None:
        #: Requests that may stay open, seconds they may; no waiting is the same as no holding.
        self.hold = hold if wait else 0
        self.wait = wait
        #: Requests that the client may have under way: one more than we hold, to send with.
        self.requests = self.hold + 1
        self.inactivity = inactivity
        self.max_pause = max_pause
        self.write_limit = write_limit
        self.ack = ack
        self.content_type = content_type

    @property
    def polling(self) -> bool:
        """Whether requests are never held."""
        return self.hold == 0


class SessionOwner:
    """Who keeps the session under its sid."""

    def session_authenticated(self, session: BoshSession) -> None:
        """See `Transport.authenticated`."""

    def session_gone(self, session: BoshSession) -> None:
        """Forget the session; called once."""


class BoshSession(WithoutTls):
    """One session: `base.Transport` above, `request` below. `first` holds attributes of the answer to the creation."""

    __slots__ = (
        "_attrs",
        "_cache",
        "_clock",
        "_condition",
        "_dirty",
        "_early",
        "_idle_timer",
        "_inbox",
        "_key",
        "_next",
        "_options",
        "_out",
        "_owner",
        "_pause",
        "_paused",
        "_polled",
        "_slots",
        "_state",
        "_taken_over",
        "_to",
        "_wait_timer",
        "_waiting",
        "address",
        "is_authenticated",
        "name",
        "peer",
        "receiver",
        "secure",
        "sid",
    )

    framed = True

    def __init__(
        self,
        sid: str,
        rid: int,
        options: BoshOptions,
        clock: Clock,
        dirty: DirtySet,
        owner: SessionOwner,
        first: dict[str, str],
    ) -> None:
        self.sid = sid
        self.address = ""
        self.peer = ""
        self.name = "bosh"
        self.secure = False
        self.is_authenticated = False
        self.receiver: Receiver | None = None
        self._options = options
        self._clock = clock
        self._dirty = dirty.mark
        self._owner = owner
        #: Attributes of the next answer.
        self._attrs = first
        self._to = ""
        self._state = _OPEN
        #: Condition of our `terminate`, "" for a plain one.
        self._condition = ""
        self._next = rid
        self._key: str | None = None
        self._slots: dict[int, _Slot] = {}
        self._early: dict[int, tuple[Element, Exchange]] = {}
        self._cache: dict[int, tuple[str | None, bytes]] = {}
        self._out: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._inbox: list[Element] = []
        self._pause = 0
        #: When the last empty request of a polling session got an empty answer.
        self._polled: float | None = None
        self._taken_over = False
        self._wait_timer: Timer | None = None
        self._idle_timer: Timer | None = None

    # From the endpoint

    def request(self, body: Element, exchange: Exchange) -> None:
        """One body of this session."""
        exchange.content_type = self._options.content_type
        rid = number(body.get("rid"), _LARGEST_RID)
        if self._state == _CLOSED:
            exchange.answer(terminate("item-not-found"))
        elif rid is None:
            self.refuse("bad-request", "a request without a number", exchange)
        elif rid < self._next:
            self._repeat(rid, body, exchange)
        elif rid - self._next >= self._options.requests:
            self.refuse("item-not-found", "a request number beyond the window", exchange)
        elif rid > self._next or self._paused:
            old = self._early.get(rid)
            if old is not None:
                old[1].answer(EMPTY)
            self._early[rid] = (body, exchange)
        else:
            self._process(rid, body, exchange)
            self._go_on()

    def abandoned(self) -> None:
        """An open request lost its HTTP connection."""
        self._watch()

    def _go_on(self) -> None:
        """Process what had come early and is due now."""
        while not self._paused and self._state != _CLOSED and self._next in self._early:
            body, exchange = self._early.pop(self._next)
            self._process(self._next, body, exchange)

    def _repeat(self, rid: int, body: Element, exchange: Exchange) -> None:
        """A rid that was processed before: the same answer, or the place of the request that is still open."""
        slot = self._slots.get(rid)
        cached = self._cache.get(rid)
        if slot is not None and slot.key == body.get("key"):
            old, slot.exchange = slot.exchange, exchange
            exchange._session = self
            old.answer(EMPTY)
            self._watch()
            self._dirty(self)
        elif cached is not None and cached[0] == body.get("key"):
            exchange.answer(cached[1])
        else:
            self.refuse("item-not-found", "a repeated request that is too old", exchange)

    def _process(self, rid: int, body: Element, exchange: Exchange) -> None:
        """The next body in order."""
        if not self._proved(body):
            self.refuse("item-not-found", "a request without the right key", exchange)
            return
        self._next = rid + 1
        self._slots[rid] = _Slot(exchange, body.get("key"), self._clock.now() + self._options.wait)
        exchange._session = self
        self._pause = 0
        pause = body.get("pause")
        if pause is not None and not self._pauses(pause):
            return
        leaves = body.get("type") == "terminate"
        restarts = body.get(_RESTART) in ("true", "1")
        if self._options.polling and not (leaves or restarts or pause) and not self._polls(body):
            return
        if restarts:
            self._deliver(self.opening(body))
        for child in body.elements():
            self._deliver(child)
        if leaves:
            self._deliver(Element(ns.FRAMING, "close"))
        if self._state != _CLOSED:
            self._watch()
            self._dirty(self)

    def _proved(self, body: Element) -> bool:
        """Follow the key sequence (XEP-0124, 15)."""
        new = body.get("newkey")
        if self._key is not None:
            key = body.get("key") or ""
            # SHA-1 is what the protocol prescribes for the chain.
            shown = hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
            if not hmac.compare_digest(shown.encode(), self._key.encode()):
                return False
            self._key = key
        if new:
            self._key = new.lower()
        return True

    def _pauses(self, text: str) -> bool:
        """The client will be silent for a while (XEP-0124, 10): its open requests are answered at once."""
        seconds = number(text, self._options.max_pause)
        if seconds is None:
            self.refuse("policy-violation", "a pause longer than allowed", None)
            return False
        self._pause = seconds
        return True

    def _polls(self, body: Element) -> bool:
        """Refuse empty requests in quick succession (XEP-0124, 12)."""
        polled, self._polled = self._polled, None
        if body.first() is not None:
            return True
        now = self._clock.now()
        if polled is not None and now - polled < POLLING_SECONDS:
            self.refuse("policy-violation", "polling too often", None)
            return False
        self._polled = now
        return True

    def opening(self, body: Element) -> Element:
        """The `<open/>` that a creation or a restart is for the stream."""
        self._to = body.get("to") or self._to
        opening = Element(ns.FRAMING, "open", {"version": body.get(_VERSION) or "1.0"})
        if self._to:
            opening.attrs["to"] = self._to
        for name in ("from", XML_LANG):
            value = body.get(name)
            if value:
                opening.attrs[name] = value
        return opening

    def begin(self, body: Element, exchange: Exchange) -> None:
        """The body that created the session; the receiver is set."""
        self._key = (body.get("newkey") or "").lower() or None
        rid = self._next
        self._next = rid + 1
        self._slots[rid] = _Slot(exchange, body.get("key"), self._clock.now() + self._options.wait)
        exchange.content_type = self._options.content_type
        exchange._session = self
        self._deliver(self.opening(body))
        for child in body.elements():
            self._deliver(child)
        self._watch()
        self._dirty(self)

    def _deliver(self, element: Element) -> None:
        """One frame to the stream, in order, not while it is paused."""
        if self._paused or self._inbox:
            self._inbox.append(element)
        elif self.receiver is not None and self._state == _OPEN:
            self.receiver.frame_element(element)

    # Answers

    def flush(self) -> None:
        """Answer what is to be answered; the dirty set calls this at the end of the tick."""
        slots = self._slots
        while slots:
            rid, slot = next(iter(slots.items()))
            if slot.exchange.gone:
                if len(slots) == 1:
                    break
                # The client went on: if it asks for this rid again it shall get nothing that the next has brought.
                self._answer(rid, b"")
            elif self._state == _CLOSING:
                self._answer(rid, self._take(), last=not self._out)
            elif self._out:
                self._answer(rid, self._take())
            elif len(slots) > self._options.hold or self._pause:
                self._answer(rid, b"")
            else:
                break
        if self._state == _CLOSING and self._taken_over and not self._out:
            self._forget("closed")
            return
        self._watch()

    def _take(self) -> bytes:
        """Stanzas for one answer."""
        out = self._out
        size, count = 0, 0
        for frame in out:
            if count and size + len(frame) > _ANSWER_BYTES:
                break
            size += len(frame)
            count += 1
        payload = b"".join(out[:count])
        del out[:count]
        self._waiting -= size
        return payload

    def _answer(self, rid: int, payload: bytes, last: bool = False) -> None:
        slot = self._slots.pop(rid)
        attrs, self._attrs = self._attrs, {}
        if self._options.ack and self._next - 1 != rid:
            attrs["ack"] = str(self._next - 1)
        if last:
            attrs["type"] = "terminate"
            if self._condition:
                attrs["condition"] = self._condition
            self._taken_over = True
        if payload:
            self._polled = None
        body = wrap(attrs, payload)
        self._cache[rid] = (slot.key, body)
        while len(self._cache) > self._options.requests + 1:
            del self._cache[next(iter(self._cache))]
        slot.exchange.answer(body)

    def _watch(self) -> None:
        """Set the timers to what is open now."""
        if self._wait_timer is not None:
            self._wait_timer.cancel()
            self._wait_timer = None
        live = [slot for slot in self._slots.values() if not slot.exchange.gone]
        if live:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            seconds = max(0.0, live[0].deadline - self._clock.now())
            self._wait_timer = self._clock.call_later(seconds, self._waited)
        elif self._idle_timer is None and self._state != _CLOSED:
            self._idle_timer = self._clock.call_later(self._pause or self._options.inactivity, self._expired)

    def _waited(self) -> None:
        """A request has been open as long as agreed: answer it and all before it."""
        self._wait_timer = None
        now = self._clock.now()
        while self._slots:
            rid, slot = next(iter(self._slots.items()))
            if not slot.exchange.gone and slot.deadline > now:
                break
            self._answer(rid, b"" if slot.exchange.gone else self._take())
        self._watch()

    def _expired(self) -> None:
        self._idle_timer = None
        self._forget("the client has not asked any more")

    # base.Transport

    def write(self, data: bytes) -> None:
        """See `Transport.write`: one frame."""
        if self._state:
            return
        if data.startswith(_SPECIAL) and self._absorbed(data):
            return
        if not self._out:
            self._dirty(self)
        self._out.append(data)
        self._waiting += len(data)
        if self._waiting > self._options.write_limit:
            self.refuse("policy-violation", "policy-violation: slow reader", None)

    def _absorbed(self, frame: bytes) -> bool:
        """Whether a frame about the stream itself is expressed by attributes; a stream error is sent as well."""
        if frame.startswith(b"<close "):
            return True
        element = parse_document(frame)
        if element.ns == ns.FRAMING and element.name == "open":
            self._attrs["xmlns:stream"] = ns.STREAM
            self._attrs["xmlns:xmpp"] = ns.XBOSH
            for ours, theirs in (("authid", "id"), ("from", "from"), ("to", "to"), (XML_LANG, XML_LANG)):
                value = element.get(theirs)
                if value:
                    self._attrs[ours] = value
            self._attrs["xmpp:version"] = element.get("version") or "1.0"
            self._attrs["xmpp:restartlogic"] = "true"
            return True
        first = element.first()
        if element.ns == ns.STREAM and first is not None:
            self._condition = first.name if first.name in _CONDITIONS else "remote-stream-error"
        return False

    def close(self) -> None:
        """See `Transport.close`. Without an open request the farewell waits for the next one."""
        if self._state:
            return
        self._state = _CLOSING
        self._inbox.clear()
        self._clock.call_later(0, self._lost, "closed")
        for _, exchange in self._early.values():
            exchange.answer(terminate(self._condition))
        self._early.clear()
        self.flush()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self.refuse("internal-server-error", "aborted", None)

    def pause(self) -> None:
        """See `Transport.pause`."""
        self._paused = True

    def resume(self) -> None:
        """See `Transport.resume`. Goes on in a turn of its own: the caller is in the middle of its work."""
        if self._paused:
            self._paused = False
            self._clock.call_later(0, self._resumed)

    def _resumed(self) -> None:
        while self._inbox and not self._paused and self._state == _OPEN and self.receiver is not None:
            self.receiver.frame_element(self._inbox.pop(0))
        self._go_on()

    def authenticated(self) -> None:
        """See `Transport.authenticated`."""
        if not self.is_authenticated:
            self.is_authenticated = True
            self._owner.session_authenticated(self)

    def idle_bytes(self) -> int:
        """See `Transport.idle_bytes`."""
        return self._waiting

    # The end

    def refuse(self, condition: str, why: str, exchange: Exchange | None) -> None:
        """The client broke a rule of BOSH, or does not fetch: everything open is told so and the session is gone."""
        if self._state == _CLOSED:
            return
        log.info("BOSH session of %s ended with %s: %s", self.peer or "?", condition, why)
        farewell = terminate(condition)
        if exchange is not None:
            exchange.answer(farewell)
        self._out.clear()
        self._forget(why, farewell)

    def _forget(self, reason: str, farewell: bytes = b"") -> None:
        """Nothing is left of the session but the answers it still owes."""
        if self._state == _CLOSED:
            return
        if self._state == _OPEN:
            self._clock.call_later(0, self._lost, reason)
        self._state = _CLOSED
        for timer in (self._wait_timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._wait_timer = self._idle_timer = None
        farewell = farewell or terminate(self._condition)
        for slot in self._slots.values():
            slot.exchange.answer(farewell)
        for _, exchange in self._early.values():
            exchange.answer(farewell)
        self._slots.clear()
        self._early.clear()
        self._inbox.clear()
        self._cache.clear()
        self._owner.session_gone(self)

    def _lost(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.connection_lost(reason)


def wrap(attrs: dict[str, Any], payload: bytes) -> bytes:
    """A body with these attributes around stanzas that carry their own declarations."""
    if not attrs and not payload:
        return EMPTY
    head = _BODY + "".join([f" {name}='{escape_attr(str(value))}'" for name, value in attrs.items()])
    return f"{head}>".encode() + payload + b"</body>" if payload else f"{head}/>".encode()


def terminate(condition: str = "") -> bytes:
    """The body that ends a session."""
    attrs = {"type": "terminate"}
    if condition:
        attrs["condition"] = condition
    return wrap(attrs, b"")


def number(text: str | None, largest: int) -> int | None:
    """A decimal attribute from 0 to `largest`, None for anything else."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 16:
        return None
    value = int(text)
    return value if value <= largest else None


def parse_body(data: bytes, limits: Any) -> Element | None:
    """The `<body/>` of a request, None for everything else."""
    try:
        body = parse_document(data, limits)
    except StreamError:
        return None
    return body if body.ns == ns.HTTP_BIND and body.name == "body" else None
