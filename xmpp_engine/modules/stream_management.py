"""XEP-0198 after bind: enabling, questions and answers.

The state is `stream/feature_sm.py`, resumption is `routing/binder.py`.
"""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.stream.feature_sm import StreamManagement
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.writer import encode


class StreamManagementModule(Module):
    """Acknowledgements and resumption for clients."""

    name = "stream_management"
    xeps = (Xep("0198", "1.6.3"),)

    def setup(self, reg: Registrar) -> None:
        reg.stream_feature(self.feature)
        reg.element(ns.SM, "enable", self.enable)
        reg.element(ns.SM, "r", self.question)
        reg.element(ns.SM, "a", self.answer)
        reg.element(ns.SM, "resume", self.resume_too_late)

    def feature(self, _host: Host) -> Element:
        """Offer stream management after authentication."""
        return Element(ns.SM, "sm")

    def enable(self, element: Element, session: Session) -> None:
        """`<enable/>`: once, after bind (section 3)."""
        if session.sm is not None:
            session.stream.write(encode(_failed("unexpected-request"), ""))
            return
        resumable = element.get("resume") in ("true", "1")
        sm = StreamManagement(self.services.ledger, session.account.id, resumable, self.services.registry.unacked)
        session.sm = sm
        attrs = {}
        if resumable:
            seconds = int(self.services.registry.resume_seconds)
            wished = element.get("max") or ""
            if wished.isascii() and wished.isdigit():
                seconds = min(seconds, int(wished))
            session.resume_seconds = seconds
            self.services.registry.resumable[sm.id] = session
            attrs = {"id": sm.id, "resume": "true", "max": str(seconds)}
        session.stream.write(encode(Element(ns.SM, "enabled", attrs), ""))

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
