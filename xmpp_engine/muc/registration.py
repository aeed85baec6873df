"""Registering with a room (XEP-0045, 7.10 and 7.12; XEP-0077): one's nickname is reserved, and where everybody may be a
member one becomes that."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import presence
from xmpp_engine.muc.saving import stored
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import new_id
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room
    from xmpp_engine.muc.service import RoomService

_NICK: Final = "muc#register_roomnick"
_FORM: Final = (Field(_NICK, "text-single", "Nickname to reserve", required=True),)
_TRIES: Final = 20


class RoomRegistration(Module):
    """jabber:iq:register of rooms, and names for new rooms."""

    name = "muc-registration"
    requires = ("muc",)
    features = {Target.SERVICE: (ns.MUC_UNIQUE,)}

    def setup(self, reg: Registrar) -> None:
        self.needs("muc").room_features[self.name] = _features
        reg.iq_get(Target.ROOM, ns.REGISTER, "query", self.describe)
        reg.iq_set(Target.ROOM, ns.REGISTER, "query", self.change)
        reg.iq_get(Target.SERVICE, ns.MUC_UNIQUE, "unique", self.unique)

    def describe(self, iq: Stanza, context: IqContext) -> Element:
        """What somebody is registered as, or the form to fill in."""
        room: Room = context.room
        query = Element(ns.REGISTER, "query")
        nick = reserved_nick(room, iq.sender)
        if nick:
            query.add(ns.REGISTER, "registered")
            query.add(ns.REGISTER, "username", text=nick)
            return query
        _check(room, iq.sender)
        query.add(ns.REGISTER, "instructions", text="Choose the nickname that is kept for you in this room.")
        return query.append(forms.render("form", ns.MUC_REGISTER, _FORM, title=f"Registration with {room.name}"))

    def change(self, iq: Stanza, context: IqContext) -> Coroutine[Any, Any, None]:
        """Register a nickname, another one, or none any more. Answered once it is stored."""
        self._change(iq, context.room)
        return stored(context.room)

    def _change(self, iq: Stanza, room: Room) -> None:
        query = iq.element.first()
        assert query is not None
        room.service.allow(iq.sender)
        bare = iq.sender.bare
        if query.find(ns.REGISTER, "remove") is not None:
            self._remove(room, iq.sender)
            return
        form = forms.find(query, "submit")
        if form is None:
            raise StanzaError("bad-request", "the form of the room is expected")
        nick = str(forms.check(_known(forms.read(form, ns.MUC_REGISTER)), _FORM)[_NICK])
        _check(room, iq.sender)
        nick = _prepared(room, nick)
        if _becomes_member(room, iq.sender):
            room.set_affiliation(bare, "member", "", None, nick=nick)
        else:
            room.register_nick(bare, nick)

    def _remove(self, room: Room, asker: Jid) -> None:
        entry = room.record.affiliations.get(asker.bare)
        if entry is None or not (entry.nick or entry.affiliation == "member"):
            raise StanzaError("registration-required", "you are not registered with this room")
        if entry.affiliation == "member":
            room.set_affiliation(asker.bare, "none", "", asker, nick="")
        else:
            room.register_nick(asker.bare, "")

    def unique(self, _iq: Stanza, context: IqContext) -> Element:
        """A name that no room of the service has."""
        return Element(ns.MUC_UNIQUE, "unique", None, unique_name(context.room))


def reserved_nick(room: Room, asker: Jid) -> str:
    """The nickname that somebody has registered, "" for none (7.12)."""
    entry = room.record.affiliations.get(asker.bare)
    return "" if entry is None else entry.nick


def unique_name(service: RoomService) -> str:
    """A local part that no room of the service has."""
    for _try in range(_TRIES):
        name = Jid.make(new_id().lower(), service.domain).local
        if name not in service.directory:
            return name
    raise StanzaError("resource-constraint", "no free name was found")


def _features(room: Room) -> tuple[str, ...]:
    return (ns.REGISTER,) if room.config.nick_registration else ()


def _check(room: Room, asker: Jid) -> None:
    """Raise StanzaError for who may not register."""
    affiliation = room.affiliation_of(asker)
    if affiliation == "outcast":
        raise StanzaError("not-allowed", "you are banned from this room")
    if room.locked:
        raise StanzaError("item-not-found", "the room is not ready yet")
    if not room.config.nick_registration:
        raise StanzaError("not-allowed", "nobody registers with this room")
    if affiliation == "none" and room.config.members_only:
        raise StanzaError("not-allowed", "members of this room are made by its administrators")


def _becomes_member(room: Room, asker: Jid) -> bool:
    """Whether registering makes a member: not where that would give more than a nickname, voice or an archive."""
    config = room.config
    open_to_all = not config.moderated and not config.secret and config.archive_access in ("anyone", "participants")
    return open_to_all and room.affiliation_of(asker) == "none"


def _known(submitted: forms.Submitted) -> forms.Submitted:
    return {var: values for var, values in submitted.items() if var == _NICK}


def _prepared(room: Room, nick: str) -> str:
    try:
        return presence.nickname(room, Jid.make(room.jid.local, room.jid.domain, nick.strip()))
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None
