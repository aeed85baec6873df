"""XEP-0352: clients say when nobody looks at them; the queue is `stream/feature_csi.py`."""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import HANDLED, Verdict
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.feature_csi import HeldBack, feature, unimportant
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_HELD = "client_state"


class ClientState(Module):
    """Holds unimportant stanzas back while a client is inactive."""

    name = "client_state"
    xeps = (Xep("0352", "1.0.0"),)

    def setup(self, reg: Registrar) -> None:
        reg.stream_feature(self.offer)
        reg.element(ns.CSI, "active", self.active)
        reg.element(ns.CSI, "inactive", self.inactive)
        reg.presend(self.hold_back)

    def offer(self, _host: Host) -> Element:
        """The stream feature."""
        return feature()

    def inactive(self, _element: Element, session: Session) -> None:
        """Nobody looks at the client any more."""
        session.inactive = True
        if session.notes is None:
            session.notes = {}
        session.notes.setdefault(_HELD, HeldBack())

    def active(self, _element: Element, session: Session) -> None:
        """Somebody looks again: everything held goes out."""
        session.inactive = False
        self._flush(session)

    def hold_back(self, stanza: Stanza, session: Session) -> Verdict:
        """Keep what can wait; let what held stanzas precede go before an important one."""
        if not session.inactive:
            return None
        held: HeldBack = session.notes[_HELD]  # type: ignore[index]
        if unimportant(stanza) and held.keep(stanza):
            return HANDLED
        self._flush(session)
        return None

    def _flush(self, session: Session) -> None:
        if session.notes is not None and _HELD in session.notes:
            for stanza in session.notes[_HELD].flush():
                session.transmit(stanza)
