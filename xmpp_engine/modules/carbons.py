"""XEP-0280: a copy of each chat message to the account's other resources that asked for it.

Eligible is what people would miss on another device: messages of type chat, and normal ones with a body, that are not
marked private. The copies are made in the COPY phase, after the archive gave its id and before delivery.
"""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import forwarded, message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


def eligible(stanza: Stanza) -> bool:
    """Whether a message is copied (XEP-0280, 6.1)."""
    element = stanza.element
    if stanza.type == "normal":
        if element.find(ns.CLIENT, "body") is None and element.find(ns.RECEIPTS, "received") is None:
            return False
    elif stanza.type != "chat":
        return False
    return element.find(ns.CARBONS, "private") is None and element.find(ns.HINTS, "no-copy") is None


class Carbons(Module):
    """Message carbons."""

    name = "carbons"
    xeps = (Xep("0280", "1.0.1"),)
    features = {Target.HOST: (ns.CARBONS, ns.CARBONS_RULES), Target.ACCOUNT: (ns.CARBONS, ns.CARBONS_RULES)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_set(Target.ACCOUNT, ns.CARBONS, "enable", self.enable, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.CARBONS, "disable", self.disable, own_only=True)
        reg.message_out(Phase.COPY, self.copy_sent)
        reg.message_in(Phase.COPY, self.copy_received)
        reg.bind_inline(ns.CARBONS, self.enable_at_bind)

    def enable(self, _iq: Stanza, context: IqContext) -> None:
        """From now on."""
        if context.session is not None:
            context.session.carbons = True

    def disable(self, _iq: Stanza, context: IqContext) -> None:
        """No more."""
        if context.session is not None:
            context.session.carbons = False

    def enable_at_bind(self, _element: Element, session: Session) -> None:
        """Bind 2 may ask for carbons in the same breath."""
        session.carbons = True

    def copy_sent(self, stanza: Stanza, session: Session) -> None:
        """To the sender's other resources."""
        others = session.account.sessions
        if len(others) > 1 and any(s.carbons for s in others.values() if s is not session) and eligible(stanza):
            to = stanza.to
            if to is not None and to.bare == session.account.bare and not to.resource:
                return  # they get the message itself
            for other in list(others.values()):
                if other.carbons and other is not session and not (to is not None and other.jid.full == to.full):
                    self._send(stanza, other, "sent")

    def copy_received(self, stanza: Stanza, account: Account, targets: list[Session]) -> None:
        """To the recipient's resources that do not get the message itself."""
        sessions = account.sessions
        if len(sessions) <= len(targets) or not eligible(stanza):
            return
        if stanza.sender.bare == account.bare:
            return  # copied as sent already
        for session in list(sessions.values()):
            if session.carbons and session not in targets:
                self._send(stanza, session, "received")

    def _send(self, stanza: Stanza, session: Session, direction: str) -> None:
        wrapper = Element(ns.CARBONS, direction, None, forwarded(stanza))
        session.deliver(message(session.account.jid, session.jid, stanza.type, wrapper))
