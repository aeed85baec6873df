"""Retraction of messages in rooms: by moderators (XEP-0425) and by their authors (XEP-0424).

A moderator asks the room, the room tells everybody. The room's own memory and the archive forget the text at once, so
that who comes later does not see it. An author's retraction is an ordinary message; the room looks only that it is his
own message, and takes its text out of the history as well.

COMPAT(Gajim 1.7, 2026-11): older clients ask and are told by version 0.2 of XEP-0425, where the id stands around
everything (XEP-0422). Both ways of asking are one, and what the room tells says it in both.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.plugin.verdict import Reject, Verdict
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.build import new_id, timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import MAX_REASON_BYTES
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.writer import write

if TYPE_CHECKING:
    from xmpp_engine.muc.history import Kept
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

_ID: Final = 256
#: What a tombstone keeps of a message beside its addresses.
_KEPT: Final = frozenset({(ns.STANZA_ID, "stanza-id"), (ns.OCCUPANT_ID, "occupant-id"), (ns.STANZA_ID, "origin-id")})


class RoomModeration(Module):
    """Retracting messages."""

    name = "muc-moderation"
    xeps = (Xep("0425", "0.3.0"),)
    requires = ("muc",)

    def setup(self, reg: Registrar) -> None:
        self.needs("muc").room_features[self.name] = _features
        reg.iq_set(Target.ROOM, ns.MODERATE, "moderate", self.moderate)
        reg.iq_set(Target.ROOM, ns.FASTEN, "apply-to", self.moderate_fastened)
        reg.room_message(Phase.VALIDATE, self.check)
        reg.room_message(Phase.OBSERVE, self.observe)

    async def moderate(self, iq: Stanza, context: IqContext) -> None:
        """Retract somebody's message. Raises StanzaError (`forbidden`, `item-not-found` and the like)."""
        room: Room = context.room
        request = iq.element.first()
        assert request is not None
        asked = request.find(ns.RETRACT, "retract") is not None
        await self._ask(iq, room, request.get("id") or "", asked, request.child_text(ns.MODERATE, "reason") or "")

    async def moderate_fastened(self, iq: Stanza, context: IqContext) -> None:
        """The same as older clients ask it; other things that could be fastened are not done by rooms."""
        request = iq.element.first()
        assert request is not None
        moderate = request.find(ns.MODERATE_0, "moderate")
        if moderate is None:
            raise StanzaError("service-unavailable")
        asked = moderate.find(ns.RETRACT_0, "retract") is not None
        reason = moderate.child_text(ns.MODERATE_0, "reason") or ""
        await self._ask(iq, context.room, request.get("id") or "", asked, reason)

    async def _ask(self, iq: Stanza, room: Room, id: str, asked: bool, reason: str) -> None:
        occupant = room.occupant_of(iq.sender)
        if occupant is None or occupant.role != "moderator":
            raise StanzaError("forbidden", "only moderators retract messages of others")
        if not room.config.moderation:
            raise StanzaError("not-allowed", "messages are not retracted in this room")
        if not id or len(id) > _ID or not asked:
            raise StanzaError("bad-request", "the id of a message and what to do with it are expected")
        if len(reason.encode()) > MAX_REASON_BYTES:
            raise StanzaError("not-acceptable", f"a reason has at most {MAX_REASON_BYTES} bytes")
        await self.retract(room, id, occupant, reason)

    async def retract(self, room: Room, id: str, occupant: Occupant | None, reason: str = "") -> None:
        """Retract the message with this stanza-id in the name of a moderator, or of the room itself. Raises StanzaError
        `item-not-found` where neither history nor archive has it, StoreUnavailable."""
        now = self.services.clock.time()
        by = occupant.jid.full if occupant is not None else room.jid.full
        archive = self.services.extras.get("archive")
        known = False
        if archive is not None and room.number:
            # The message may be so new that it is still on its way to the archive.
            await self.services.ledger.sync()
            known = await archive.retract_room(room.number, id, by, reason, now)
        if room.gone:
            raise StanzaError("item-not-found", "the room is gone")
        kept = _by_stanza_id(room, id)
        if kept is not None:
            _bury(room, kept, _mark("retracted", id, by, occupant, reason, now))
        elif not known:
            raise StanzaError("item-not-found", "the room knows no such message")
        room.broadcast(_told(room, id, by, occupant, reason), None)

    def check(self, stanza: Stanza, _room: Room, occupant: Occupant | None) -> Verdict:
        """Only the room says that a moderator did it."""
        if occupant is None:
            return None
        for space, name, mark in ((ns.RETRACT, "retract", ns.MODERATE), (ns.FASTEN, "apply-to", ns.MODERATE_0)):
            # Each of them: who reads the message may look at another one than the first.
            if all(child.find(mark, "moderated") is None for child in stanza.element.find_all(space, name)):
                continue
            return Reject("not-acceptable", "ask the room to retract messages of others")
        return None

    def observe(self, stanza: Stanza, room: Room, occupant: Occupant | None) -> None:
        """An author retracts his own message: the history forgets its text."""
        if occupant is None:
            return
        retract = stanza.element.find(ns.RETRACT, "retract")
        if retract is None:
            return
        id = retract.get("id") or ""
        kept = _by_stanza_id(room, id)
        if kept is not None and _author(kept) == occupant.id:
            tombstone = Element(ns.RETRACT, "retracted", {"id": stanza.id or id})
            tombstone.attrs["stamp"] = timestamp(self.services.clock.time())
            _bury(room, kept, tombstone)


def redacted(room: Room, messages: Mapping[str, Stanza], silent: Container[str] = ()) -> int:
    """The archive has taken back these messages: what is left of each (by the id that the room gave it) takes its place
    in the history, and everybody is told as of a moderator's retraction, except of those that are `silent`. What the
    history has already is not told again. Returns how many the history had."""
    found = 0
    for id, left in messages.items():
        kept = _by_stanza_id(room, id)
        if kept is not None:
            if kept.stanza.element.find(ns.RETRACT, "retracted") is not None and _same(kept.stanza, left):
                continue
            # The id stays, whatever is left: by it the message is known.
            rest = [child for child in left.element.elements() if child.ns != ns.STANZA_ID]
            given = kept.stanza.element.find_all(ns.STANZA_ID, "stanza-id")
            element = Element(ns.CLIENT, "message", dict(left.element.attrs), *rest, *given)
            element.attrs.pop("to", None)
            kept.stanza = Stanza(element, None, kept.stanza.sender, kept.stanza.type)
            kept.edited()
            room.replica.edited(kept)
            found += 1
        if id in silent:
            continue
        mark = left.element.find(ns.RETRACT, "retracted")
        reason = mark.child_text(ns.RETRACT, "reason") if mark is not None else None
        room.broadcast(_told(room, id, room.jid.full, None, reason or ""), None)
    return found


def _same(one: Stanza, other: Stanza) -> bool:
    """Whether two tombstones of a message say the same."""
    marks = [stanza.element.find(ns.RETRACT, "retracted") for stanza in (one, other)]
    return None not in marks and len({write(mark) for mark in marks if mark is not None}) == 1


def _features(room: Room) -> tuple[str, ...]:
    return (ns.MODERATE, ns.MODERATE_0, ns.RETRACT) if room.config.moderation else (ns.RETRACT,)


def _told(room: Room, id: str, by: str, occupant: Occupant | None, reason: str) -> Stanza:
    """What everybody is told of a retraction."""
    element = Element(ns.CLIENT, "message", {"type": "groupchat", "id": new_id()})
    element.append(_mark("retract", id, by, occupant, reason))
    moderated = element.add(ns.FASTEN, "apply-to", {"id": id}).add(ns.MODERATE_0, "moderated", {"by": by})
    moderated.add(ns.RETRACT_0, "retract")
    if reason:
        moderated.add(ns.MODERATE_0, "reason", text=reason)
    return Stanza(element, None, room.jid, "groupchat")


def _mark(name: str, id: str, by: str, occupant: Occupant | None, reason: str, now: float = 0.0) -> Element:
    """The `<retract/>` that is sent, or the `<retracted/>` of a tombstone."""
    element = Element(ns.RETRACT, name, {"id": id})
    if now:
        element.attrs["stamp"] = timestamp(now)
    moderated = element.add(ns.MODERATE, "moderated", {"by": by})
    if occupant is not None:
        moderated.add(ns.OCCUPANT_ID, "occupant-id", {"id": occupant.id})
    if reason:
        element.add(ns.RETRACT, "reason", text=reason)
    return element


def _by_stanza_id(room: Room, id: str) -> Kept | None:
    """The message of the history to which the room gave this id."""
    for kept in room.history:
        for child in kept.stanza.element.find_all(ns.STANZA_ID, "stanza-id"):
            if child.get("id") == id and child.get("by") == room.jid.full:
                return kept  # type: ignore[no-any-return]
    return None


def _author(kept: Kept) -> str | None:
    found = kept.stanza.element.find(ns.OCCUPANT_ID, "occupant-id")
    return None if found is None else found.get("id")


def _bury(room: Room, kept: Kept, mark: Element) -> None:
    """Put a tombstone in the place of a message of the history. The stanza itself may still be on its way to
    somebody's client, so it is not touched."""
    old = kept.stanza
    children: list[Any] = [child for child in old.element.elements() if (child.ns, child.name) in _KEPT]
    element = Element(ns.CLIENT, "message", dict(old.element.attrs), *children, mark)
    kept.stanza = Stanza(element, None, old.sender, old.type)
    kept.edited()
    room.replica.edited(kept)
