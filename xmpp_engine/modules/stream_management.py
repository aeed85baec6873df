"""XEP-0198 after bind: enabling, questions and answers.

The state is `stream/feature_sm.py`, resumption is `routing/binder.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.stream.feature_sm import StreamManagement
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.writer import encode

_LONG: Final = "long resumption"


@dataclass(frozen=True, slots=True)
class StreamManagementOptions:
    """`asleep`: sessions of the domain that may wait to be resumed at a time; over it the one that waits longest ends,
    and what it has not acknowledged goes to offline storage."""

    asleep: int = 20_000


class StreamManagementModule(Module):
    """Acknowledgements and resumption for clients."""

    name = "stream_management"
    xeps = (Xep("0198", "1.6.3"),)
    Config = StreamManagementOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: Sessions that wait to be resumed, the longest first.
        self._asleep: OrderedDict[Session, None] = OrderedDict()

    def setup(self, reg: Registrar) -> None:
        reg.stream_feature(self.feature)
        reg.element(ns.SM, "enable", self.enable)
        reg.element(ns.SM, "r", self.question)
        reg.element(ns.SM, "a", self.answer)
        reg.element(ns.SM, "resume", self.resume_too_late)
        reg.bind_inline(ns.SM, self.enable_at_bind)
        reg.session_asleep(self.fell_asleep)
        reg.session_awake(self.woke)
        reg.session_closed(self.closed)

    def feature(self, _host: Host) -> Element:
        """Offer stream management after authentication."""
        return Element(ns.SM, "sm")

    def enable(self, element: Element, session: Session) -> None:
        """`<enable/>`: once, after bind (section 3)."""
        session.stream.write(encode(self.enable_at_bind(element, session), ""))

    def enable_at_bind(self, element: Element, session: Session) -> Element:
        """The same inside a bind (section 9.1): the answer stands in `<bound/>`."""
        if session.sm is not None or element.name != "enable":
            return _failed("unexpected-request")
        resumable = element.get("resume") in ("true", "1")
        sm = StreamManagement(self.services.ledger, session.account.id, resumable, self.services.registry.unacked)
        if self.services.iq.tag and resumable:
            # Another node of the cluster sees by it whom to ask.
            sm.id = f"{self.services.iq.tag}.{sm.id}"
        session.sm = sm
        attrs = {}
        if resumable:
            seconds = int(max(self.services.registry.resume_seconds, (session.notes or {}).get(_LONG, 0)))
            wished = element.get("max") or ""
            if wished.isascii() and wished.isdigit() and len(wished) <= 10:
                seconds = min(seconds, int(wished))
            session.resume_seconds = seconds
            self.services.registry.resumable[sm.id] = session
            # No `location` (section 3): every node of a cluster resumes every stream, and there are clients that go
            # nowhere else once they were told a place, though its node is dead (QXmpp 1.4, and so Kaidan).
            attrs = {"id": sm.id, "resume": "true", "max": str(seconds)}
        return Element(ns.SM, "enabled", attrs)

    def lengthen(self, session: Session, seconds: float) -> None:
        """Let a session be resumed for at least so long: its device will be woken, and may then be told to come back
        much later than it was promised."""
        if session.notes is None:
            session.notes = {}
        session.notes[_LONG] = seconds
        if session.sm is not None and session.sm.resumable:
            session.resume_seconds = max(session.resume_seconds, seconds)

    def fell_asleep(self, session: Session) -> None:
        """One more waits; the bound keeps their memory in bounds."""
        self._asleep[session] = None
        if len(self._asleep) > self.config.asleep:
            oldest = next(iter(self._asleep))
            self.services.counters.count("asleep_ended_total")
            oldest.kick(StreamError("resource-constraint", "too many sessions wait to be resumed"))

    def woke(self, session: Session) -> None:
        """It is back."""
        self._asleep.pop(session, None)

    def closed(self, session: Session, _reason: str) -> None:
        """It is over."""
        self._asleep.pop(session, None)

    def question(self, _element: Element, session: Session) -> None:
        """`<r/>`: answered now, or when the ledger has everything."""
        if session.sm is None:
            return
        answer = session.sm.question()
        if answer is not None:
            session.stream.write(answer)
        else:
            self.services.ledger.on_commit(session.committed)

    def answer(self, element: Element, session: Session) -> None:
        """`<a h=''/>`."""
        if session.sm is not None:
            session.sm.acknowledged(element.get("h"))

    def resume_too_late(self, _element: Element, session: Session) -> None:
        """`<resume/>` after bind is refused (section 5)."""
        session.stream.write(encode(_failed("unexpected-request"), ""))


def _failed(condition: str, **attrs: str) -> Element:
    return Element(ns.SM, "failed", dict(attrs), Element(ns.STANZA_ERRORS, condition))
