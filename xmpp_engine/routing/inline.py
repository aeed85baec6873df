"""What binds and resumes inside a sign-in (XEP-0386; XEP-0198, 9): a session that must not write before the success is
written.

A bound session is known to the router at once, and telling the client where its archive ends takes a look into the
database. What is delivered meanwhile waits in `HeldOutput`, which stands in the stream's place: so nothing falls
between the archive's end as told and the first stanza, and nothing comes before the answer.
"""

from __future__ import annotations

from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.routing.session import Session
from xmpp_engine.stream.feature_sm import REQUEST
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

#: Note of a session that was bound by XEP-0386: its client finds in the archive what it has missed.
BIND2: Final = "bind 2"
#: Requests looked at in one bind, and bytes that may wait for its answer.
_MOST_REQUESTS: Final = 20
_MOST_BYTES: Final = 4_194_304


def take_over(session: Session, stream: Any) -> None:
    """From now on the session has what the stream reads."""
    stream.on_element = session.receive
    stream.on_lost = session.lost
    stream.on_idle = session.idle


class HeldOutput:
    """Stands for a stream: collects what is written and passes everything else on."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Keep it until `flush`."""
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self._stream.close(StreamError("resource-constraint", "too much was to be sent during the sign-in"))
            return
        self._waiting.append(data)

    def flush(self) -> None:
        """Send what waited, in order."""
        for data in self._waiting:
            self._stream.write(data)
        self._waiting.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._stream, name, value)


class InlineBind:
    """See `stream.role.Bound`."""

    __slots__ = ("_held", "_stream", "answer", "session")

    def __init__(self, session: Session, stream: Any) -> None:
        self.session = session
        self.answer = Element(ns.BIND2, "bound")
        self._stream = stream
        self._held = HeldOutput(stream)
        session.stream = self._held
        # Elements stay with the negotiation until `begin`, but the end of the connection is the session's already.
        stream.on_lost = session.lost
        if session.notes is None:
            session.notes = {}
        session.notes[BIND2] = True

    @property
    def jid(self) -> Jid:
        """The full JID."""
        return self.session.jid

    async def enable(self, request: Element) -> None:
        """Enable what the request asks for, then collect what every `<bound/>` tells."""
        session = self.session
        table = session.table
        for child in list(request.elements())[:_MOST_REQUESTS]:
            handler = table.bind_inline.get(child.ns)
            if handler is not None:
                result = handler(child, session)
                if result is not None:
                    self.answer.append(result)
        for source in table.bound_extras:
            try:
                told = await source(session)
            except Exception:
                # Without it the client has to ask, no more.
                refused.exception("%s is not told all at its bind", session.jid)
                continue
            if told is not None:
                self.answer.append(told)

    def begin(self) -> None:
        """See `stream.role.Bound`."""
        session = self.session
        if session.ended or session.stream is not self._held:
            return
        session.stream = self._stream
        take_over(session, self._stream)
        self._held.flush()


class InlineResumption:
    """See `stream.role.Resumed`."""

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def jid(self) -> Jid:
        """The full JID."""
        return self.session.jid

    def begin(self) -> None:
        """Send again what the client has not acknowledged."""
        session = self.session
        stream, sm = session.stream, session.sm
        if stream is None or sm is None:
            return
        for stanza, _stamp in sm.queue:
            to = stanza.to
            stream.write(stanza.encode(to.encoded if to is not None else None, session.flavour))
        if sm.queue:
            sm.asked = True
            stream.write(REQUEST)
        session.awake()
        sessions.info("%s resumed from %s, %d stanzas sent again", session.jid, stream.transport.peer, len(sm.queue))
