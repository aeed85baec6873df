"""XEP-0280: a copy of each message of a conversation to the account's other resources that asked for it.

Eligible is what people would miss on another device (section 6.1, all of it, which `urn:xmpp:carbons:rules:0` says).
The copies are made in the COPY phase, after the archive gave its id and before delivery.

Private messages of a room (XEP-0045, 7.5) are their own matter. One that is sent is copied only to the resources that
are in that room too: others could make nothing of it. One that is received is not copied at all, since the room itself
sends it to every resource that is there. They are known by the domain of a chat service here, or by the `<x/>` that
rooms and clients put into them.

A message that no resource gets is stored (XEP-0160), so one that is not available gets no copy of it: it would have it
twice when it comes online, which most clients do a moment after they have asked for copies.

Errors are copied where the message was that they answer. Those of this server come through a note in that message
(`routing/bounce.py`), others are known by the ids of the last messages that were copied.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.bounce import BOUNCED
from xmpp_engine.routing.copies import COPIED
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import forwarded, message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: What makes a message of another type than chat one of a conversation.
_PAYLOADS: Final = frozenset({ns.RECEIPTS, ns.CHAT_STATES, ns.CHAT_MARKERS, ns.CONFERENCE})
#: Copied messages of an account whose errors would be copied too.
_REMEMBERED: Final = 128


def eligible(stanza: Stanza) -> bool:
    """Whether a message other than an error is copied, leaving aside the rules for rooms' private messages."""
    type = stanza.type
    if type == "groupchat" or type == "error":
        return False
    wanted = type == "chat"
    for child in stanza.element.children:
        if child.__class__ is not Element:
            continue
        space, name = child.ns, child.name
        if (space == ns.CARBONS and name == "private") or (space == ns.HINTS and name == "no-copy"):
            return False
        if (
            space in _PAYLOADS
            or (space == ns.CLIENT and name == "body" and type == "normal")
            or (space == ns.MUC_USER and name == "x" and child.find(ns.MUC_USER, "invite") is not None)
        ):
            wanted = True
    return wanted


def from_occupants(stanza: Stanza) -> bool:
    """Whether the `<x/>` of rooms' private messages is there; that of an invitation is another."""
    mark = stanza.element.find(ns.MUC_USER, "x")
    return mark is not None and mark.find(ns.MUC_USER, "invite") is None


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
        context.session.flagged()

    def disable(self, _iq: Stanza, context: IqContext) -> None:
        """No more."""
        if context.session is not None:
            context.session.carbons = False
            context.session.flagged()

    def enable_at_bind(self, _element: Element, session: Session) -> None:
        """Bind 2 may ask for carbons in the same breath."""
        session.carbons = True
        session.flagged()

    def copy_sent(self, stanza: Stanza, session: Session) -> None:
        """To the sender's other resources."""
        account = session.account
        others = account.sessions
        if len(others) < 2 or not any(s.carbons for s in others.values() if s is not session):
            return
        to = stanza.to
        assert to is not None
        if to.bare == account.bare and to.resource not in others:
            return  # they get the message itself
        if not (eligible(stanza) or (stanza.type == "error" and self._was_copied(account, stanza, to))):
            return
        private = bool(to.resource) and self._in_room(stanza, to)
        targets = [
            other
            for other in others.values()
            if other.carbons
            and other is not session
            and other.jid.full != to.full
            and (not private or other.remote or _is_in(other, to))
        ]
        if targets:
            for other in targets:
                self._send(stanza, other, "sent", private)
            if to.bare == account.bare:
                stanza.note(COPIED, targets)
            self._remember(account, stanza, to)
            stanza.note(BOUNCED, lambda error: self._copy_error(error, session))

    def copy_received(self, stanza: Stanza, account: Account, targets: list[Session]) -> None:
        """To the recipient's resources that do not get the message itself."""
        sessions = account.sessions
        if len(sessions) <= len(targets):
            return
        sender = stanza.sender
        if sender.bare == account.bare:
            return  # copied as sent already
        if stanza.type == "error":
            if not self._was_copied(account, stanza, sender):
                return
        elif not eligible(stanza) or (sender.resource and self._in_room(stanza, sender)):
            return
        # What nobody gets is stored: who is not available yet will get it from there.
        copied = [
            session
            for session in sessions.values()
            if session.carbons and session not in targets and (targets or session.presence is not None)
        ]
        for session in copied:
            self._send(stanza, session, "received")
        if copied:
            stanza.note(COPIED, copied)
            if stanza.type != "error":
                self._remember(account, stanza, sender)

    def _in_room(self, stanza: Stanza, peer: Jid) -> bool:
        """Whether a message with a full address is a private message of a room."""
        if peer.domain in self.services.router.services:
            return stanza.element.find(ns.MUC_USER, "x") is None or from_occupants(stanza)
        return from_occupants(stanza)

    def _copy_error(self, error: Stanza, session: Session) -> None:
        """The server's own error for a message whose copies were sent."""
        for other in list(session.account.sessions.values()):
            if other.carbons and other is not session:
                self._send(error, other, "received")

    def _remember(self, account: Account, stanza: Stanza, peer: Jid) -> None:
        if stanza.id:
            copied: OrderedDict[tuple[str, str], None] = account.note("carbons", OrderedDict)
            copied[stanza.id, peer.bare] = None
            if len(copied) > _REMEMBERED:
                copied.popitem(last=False)

    def _was_copied(self, account: Account, error: Stanza, peer: Jid) -> bool:
        notes = account.notes
        return bool(error.id and notes and (error.id, peer.bare) in notes.get("carbons", ()))

    def _send(self, stanza: Stanza, session: Session, direction: str, private: bool = False) -> None:
        copy = forwarded(stanza)
        if private:
            inner = copy.find(ns.CLIENT, "message")
            if inner is not None and inner.find(ns.MUC_USER, "x") is None:
                inner.add(ns.MUC_USER, "x")
        carbon = message(session.account.jid, session.jid, stanza.type, Element(ns.CARBONS, direction, None, copy))
        if private and session.remote and stanza.to is not None:
            # Its own node knows which rooms it is in.
            session.deliver_in_room(carbon, stanza.to.bare)  # type: ignore[attr-defined]
        else:
            session.deliver(carbon)


def _is_in(session: Session, room: Jid) -> bool:
    """Whether a resource is in the room of this occupant JID: it has sent its presence there."""
    directed = session.directed
    return directed is not None and any(jid.bare == room.bare for jid in directed.values())
