"""Avatars of rooms (XEP-0486): a vCard that owners set and everybody may fetch.

The hashes of its pictures are made when it is set, so that disco#info and the room's own presence cost nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc.saving import stored
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.forms import Field
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import RoomRecord
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document
from xmpp_engine.xml.writer import write

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

_VCARD: Final = "vcard"
_HASHES: Final = "avatar_hashes"
_PICTURES: Final = 4


@dataclass(frozen=True, slots=True)
class AvatarOptions:
    """`limit`: bytes of a room's vCard, pictures included."""

    limit: int = 200_000


def hashes(record: RoomRecord) -> tuple[str, ...]:
    """The SHA-1 of each picture of the room (XEP-0153, 4.1), none for a room without an avatar."""
    return tuple(record.extras.get(_HASHES, ()))


def info_field(record: RoomRecord) -> Field | None:
    """What disco#info says of the avatar in muc#roominfo, None for a room without one."""
    found = hashes(record)
    return Field("muc#roominfo_avatarhash", "text-multi", "Hash of the picture", found) if found else None


def room_presence(room: Jid, record: RoomRecord) -> Stanza | None:
    """The presence of the room itself that tells of its avatar (XEP-0486, 5.2), None for a room that never had one."""
    if _HASHES not in record.extras:
        return None
    update = Element(ns.VCARD_UPDATE, "x")
    found = hashes(record)
    update.add(ns.VCARD_UPDATE, "photo", text=found[0] if found else None)
    return presence(room, None, "", update)


def picture_hashes(card: Element) -> tuple[str, ...]:
    """The hash of each picture of a vCard. Raises StanzaError (`bad-request`, `not-acceptable`) for what is no
    base64, or too many."""
    pictures = card.find_all(ns.VCARD, "PHOTO")
    if len(pictures) > _PICTURES:
        raise StanzaError("not-acceptable", f"a room has at most {_PICTURES} pictures")
    found = []
    for picture in pictures:
        text = "".join((picture.child_text(ns.VCARD, "BINVAL") or "").split())
        if not text:
            continue
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise StanzaError("bad-request", "the picture is no base64") from None
        if not (picture.child_text(ns.VCARD, "TYPE") or "image/").strip().startswith("image/"):
            raise StanzaError("not-acceptable", "the picture of a room is an image")
        found.append(hashlib.sha1(data, usedforsecurity=False).hexdigest())
    return tuple(found)


def _fields(room: Room) -> tuple[Field, ...]:
    found = info_field(room.record)
    return () if found is None else (found,)


def _welcome(room: Room, _occupant: Occupant, _entering: Element) -> tuple[Stanza, ...]:
    found = room_presence(room.jid, room.record) if hashes(room.record) else None
    return () if found is None else (found,)


def _changed_elsewhere(room: Room, before: Mapping[str, Any]) -> None:
    """Another node has set the vCard: who is inside is told."""
    if _VCARD in before or _HASHES in before:
        room.announce(codes=(104,))
    told = room_presence(room.jid, room.record) if _HASHES in before else None
    if told is not None:
        room.fan(room.pairs(), told)


class RoomAvatar(Module):
    """The vCards of rooms."""

    name = "muc-avatar"
    xeps = (Xep("0486", "0.1.0"),)
    requires = ("muc",)
    Config = AvatarOptions
    features = {Target.ROOM: (ns.VCARD,)}

    def setup(self, reg: Registrar) -> None:
        muc = self.needs("muc")
        muc.info_fields[self.name] = _fields
        muc.welcomes[self.name] = _welcome
        muc.extras_changed[self.name] = _changed_elsewhere
        reg.iq_get(Target.ROOM, ns.VCARD, "vCard", self.read)
        reg.iq_set(Target.ROOM, ns.VCARD, "vCard", self.write)

    def read(self, _iq: Stanza, context: IqContext) -> Element:
        """The room's vCard, an empty one where there is none."""
        stored = context.room.record.extras.get(_VCARD)
        return Element(ns.VCARD, "vCard") if not stored else parse_document(stored.encode(), STORED_LIMITS)

    def write(self, iq: Stanza, context: IqContext) -> Coroutine[Any, Any, None]:
        """Set the vCard, or remove it by an empty one; the occupants are told. Only for owners."""
        room: Room = context.room
        if room.affiliation_of(iq.sender) != "owner":
            raise StanzaError("forbidden", "only owners set the picture of a room")
        card = iq.element.first()
        assert card is not None
        self.put(room, card)
        return stored(room)

    def put(self, room: Room, card: Element) -> None:
        """Set a room's vCard. Raises StanzaError when it is too long or its picture is none."""
        xml = write(card)
        # As it is stored: a text in JSON.
        if len(json.dumps(xml)) > self.config.limit:
            raise StanzaError("not-acceptable", f"a vCard may have at most {self.config.limit} bytes")
        found = picture_hashes(card)
        extras = room.record.extras
        changed = found != hashes(room.record)
        if card.first() is None:
            extras.pop(_VCARD, None)
        else:
            extras[_VCARD] = xml
        if changed:
            extras[_HASHES] = list(found)
        room.save()
        room.announce(codes=(104,))
        if changed:
            told = room_presence(room.jid, room.record)
            assert told is not None
            room.fan(room.pairs(), told)
