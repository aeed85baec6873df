"""Invitations through a room, their refusal, and requests for voice (XEP-0045, 7.8.2, 7.13, 8.6).

They are messages to the room itself that are no part of the conversation. Direct invitations (XEP-0249) do not come
here: they go from user to user. What a room remembers of invitations and requests is bounded and lives as long as it
is resident; an account that asks too often is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import new_id
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import MAX_REASON_BYTES
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

#: Invited people whose inviter a room remembers.
_REMEMBERED: Final = 500
#: Invitations in one message.
_AT_ONCE: Final = 10
_NOTES: Final = "invited"
_REQUEST: Final = (
    Field("muc#role", "list-single", "Requested role", ("participant",), (("participant", "Participant"),)),
    Field("muc#jid", "jid-single", "Address"),
    Field("muc#roomnick", "text-single", "Nickname"),
    Field("muc#request_allow", "boolean", "Grant voice to this person?", ("0",)),
)


@dataclass(frozen=True, slots=True)
class InviteOptions:
    """Invitations, refusals and requests of one account: sustained rate, and how many may come at once."""

    per_minute: float = 10.0
    burst: int = 20


class RoomInvitations(Module):
    """Invitations and requests for voice."""

    name = "muc-invite"
    xeps = (Xep("0249", "1.2"),)
    requires = ("muc",)
    Config = InviteOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._rate = Buckets(self.config.per_minute / 60, self.config.burst)

    def reconfigured(self, config: InviteOptions) -> None:
        """Other limits: count anew."""
        super().reconfigured(config)
        self._rate = Buckets(config.per_minute / 60, config.burst)

    def setup(self, reg: Registrar) -> None:
        self.needs("muc").message_handlers[self.name] = self.take

    def take(self, stanza: Stanza, room: Room, occupant: Occupant | None) -> bool:
        """See muc.service.MessageHandler. Raises StanzaError for what is refused."""
        if stanza.type == "error":
            return _bounced(room, stanza)
        x = stanza.element.find(ns.MUC_USER, "x")
        if x is not None:
            invites = x.find_all(ns.MUC_USER, "invite")
            decline = x.find(ns.MUC_USER, "decline")
            if invites:
                self._invite(stanza, room, occupant, invites)
            elif decline is not None:
                self._decline(stanza, room, decline)
            return bool(invites) or decline is not None
        form = forms.find(stanza.element, "submit")
        if form is None or forms.form_type(form) != ns.MUC_REQUEST:
            return False
        values = forms.read(form)
        if occupant is None:
            raise StanzaError("not-acceptable", "only occupants ask for voice")
        if "muc#request_allow" in values:
            _answer_request(room, stanza.sender, occupant, values)
        else:
            self._request(room, stanza.sender, occupant, values)
        return True

    # Invitations

    def _invite(self, stanza: Stanza, room: Room, occupant: Occupant | None, invites: list[Element]) -> None:
        sender = stanza.sender
        _check_inviter(room, sender, occupant)
        if len(invites) > _AT_ONCE:
            raise StanzaError("resource-constraint", f"at most {_AT_ONCE} invitations go in one message", type="modify")
        invitees = [(_address(invite.get("to")), invite) for invite in invites]
        for invitee, invite in invitees:
            if room.affiliation_of(invitee) == "outcast":
                raise StanzaError("not-allowed", f"{invitee.bare} is banned from this room")
            _reason(invite)
        for _invitee in invitees:
            self._count(sender)
        for invitee, invite in invitees:
            if room.config.members_only and room.affiliation_of(invitee) == "none":
                room.set_affiliation(invitee.bare, "member", "", sender)
            remember(room, invitee.bare, sender)
            room.replica.noted("invited", invitee.bare, sender.full)
            send(room, invitee, sender.to_bare(), _reason(invite), invite.find(ns.MUC_USER, "continue"), stanza.id)

    def _decline(self, stanza: Stanza, room: Room, decline: Element) -> None:
        self._count(stanza.sender)
        to = _address(decline.get("to"))
        inviter = room.notes.get(_NOTES, {}).pop(stanza.sender.bare, None)
        if inviter is None or inviter.bare != to.bare:
            raise StanzaError("item-not-found", "nobody of this address has invited you")
        told = Element(ns.MUC_USER, "decline", {"from": stanza.sender.bare})
        reason = _reason(decline)
        if reason:
            told.add(ns.MUC_USER, "reason", text=reason)
        target = inviter if inviter.full in room.users else inviter.to_bare()
        _message(room, target, Element(ns.MUC_USER, "x", None, told), id=stanza.id)

    # Voice

    def _request(self, room: Room, sender: Jid, occupant: Occupant, values: forms.Submitted) -> None:
        if values.get("muc#role", ("participant",)) != ("participant",):
            raise StanzaError("bad-request", "only the role of a participant can be asked for")
        if occupant.role != "visitor":
            return
        if not room.config.voice_requests:
            raise StanzaError("forbidden", "nobody asks for voice in this room")
        self._count(sender)
        given = {"muc#jid": sender.full, "muc#roomnick": occupant.nick}
        form = forms.render(
            "form",
            ns.MUC_REQUEST,
            forms.filled(_REQUEST, given),
            title="Request for voice",
            instructions=f"{occupant.nick} asks for voice. Submit the form with the box ticked to grant it.",
        )
        for moderator in list(room.occupants.values()):
            if moderator.role == "moderator":
                room.convey(moderator, _normal(room, form))

    def _count(self, sender: Jid) -> None:
        if not self._rate.take(sender.bare, self.services.clock.now()):
            raise StanzaError("resource-constraint", "you send too many invitations or requests")


def send(
    room: Room, invitee: Jid, inviter: Jid, reason: str = "", going_on: Element | None = None, id: str | None = None
) -> None:
    """Invite somebody in the name of `inviter`, with the room's password. `going_on` is the `<continue/>` of 7.9. The
    older form (jabber:x:conference) goes along, for clients that know no other."""
    invite = Element(ns.MUC_USER, "invite", {"from": inviter.full})
    direct = Element(ns.CONFERENCE, "x", {"jid": room.jid.full})
    if reason:
        invite.add(ns.MUC_USER, "reason", text=reason)
        direct.attrs["reason"] = reason
    if going_on is not None:
        thread = going_on.get("thread")
        invite.add(ns.MUC_USER, "continue", {"thread": thread} if thread else None)
    x = Element(ns.MUC_USER, "x", None, invite)
    if room.config.secret:
        x.add(ns.MUC_USER, "password", text=room.config.secret)
        direct.attrs["password"] = room.config.secret
    _message(room, invitee, x, direct, id=id)


def _bounced(room: Room, stanza: Stanza) -> bool:
    """An invitation did not arrive: its inviter is told, if he is still here. That nobody has the address is
    `item-not-found` (7.8.2)."""
    inviter = room.notes.get(_NOTES, {}).pop(stanza.sender.bare, None)
    if inviter is None or inviter.full not in room.users:
        return False
    found = stanza.element.find(ns.CLIENT, "error")
    condition = next((child.name for child in found.elements() if child.ns == ns.STANZA_ERRORS), "") if found else ""
    if condition not in ("remote-server-not-found", "remote-server-timeout"):
        condition = "item-not-found"
    error = StanzaError(condition, f"the invitation did not reach {stanza.sender.bare}").element()
    attrs = {"type": "error"}
    if stanza.id is not None:
        attrs["id"] = stanza.id
    room.send(inviter, Stanza(Element(ns.CLIENT, "message", attrs, error), None, room.jid, "error"))
    return True


def _check_inviter(room: Room, sender: Jid, occupant: Occupant | None) -> None:
    affiliation = room.affiliation_of(sender)
    if room.locked:
        raise StanzaError("item-not-found", "the room is not configured yet")
    if affiliation in ("owner", "admin"):
        return
    if occupant is None:
        raise StanzaError("not-acceptable", "only occupants invite")
    if room.config.members_only:
        # An invitation makes a member here, so it takes the right to edit the list (9.5).
        if affiliation != "member" or not room.config.member_invites:
            raise StanzaError("forbidden", "only administrators of the room invite")
    elif occupant.role == "visitor":
        raise StanzaError("forbidden", "visitors do not invite")


def _answer_request(room: Room, sender: Jid, occupant: Occupant, values: forms.Submitted) -> None:
    if occupant.role != "moderator":
        raise StanzaError("forbidden", "only moderators grant voice")
    answer = forms.check(values, _REQUEST)
    if answer.get("muc#request_allow") is not True:
        return
    asker = room.occupants.get(str(answer.get("muc#roomnick", "")))
    jid = answer.get("muc#jid")
    if asker is None or (jid is not None and str(jid) not in asker.clients):
        raise StanzaError("item-not-found", "who asked for voice is not here any more")
    if asker.role == "visitor":
        room.set_role(asker, "participant", "", sender)


def _address(text: str | None) -> Jid:
    if not text:
        raise StanzaError("bad-request", "an address is missing")
    try:
        jid = Jid.parse(text)
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None
    if not jid.local:
        raise StanzaError("jid-malformed", "the address of a person is needed")
    return jid


def _reason(element: Element) -> str:
    reason = element.child_text(ns.MUC_USER, "reason") or ""
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise StanzaError("not-acceptable", f"a reason has at most {MAX_REASON_BYTES} bytes")
    return reason


def remember(room: Room, invitee: str, inviter: Jid) -> None:
    """Somebody (a bare JID) was invited by an occupant."""
    known: dict[str, Jid] = room.notes.setdefault(_NOTES, {})
    known.pop(invitee, None)
    while len(known) >= _REMEMBERED:
        del known[next(iter(known))]
    known[invitee] = inviter


def remembered(room: Room) -> list[tuple[str, str]]:
    """Who was invited, and by whom."""
    return [(invitee, inviter.full) for invitee, inviter in room.notes.get(_NOTES, {}).items()]


def _message(room: Room, to: Jid, *children: Element, id: str | None = None) -> None:
    room.send(to, _normal(room, *children, id=id))


def _normal(room: Room, *children: Element, id: str | None = None) -> Stanza:
    return Stanza(Element(ns.CLIENT, "message", {"id": id or new_id()}, *children), None, room.jid, "normal")
