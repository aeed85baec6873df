"""Hats (XEP-0317): further titles of people in a room, such as "Teacher", shown in their presence.

Administrators of the room make hats and give them to addresses with ad-hoc commands (XEP-0050) of the room, each of one
form at most. A change is answered once it is stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc.saving import stored
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.commands import Caller, CommandNode, Done, Form, Run
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.rooms import RoomRecord
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

_EXTRA: Final = "hats"
_HUE: Final = re.compile(r"\d{1,3}(\.\d{1,9})?")
_TEXT: Final = 255


@dataclass(frozen=True, slots=True)
class HatOptions:
    """`hats`: of one room. `worn`: by one address. `wearers`: addresses with hats in one room. `size`: bytes of all
    that together."""

    hats: int = 50
    worn: int = 10
    wearers: int = 1_000
    size: int = 130_000


def defined(record: RoomRecord) -> dict[str, dict[str, str]]:
    """The hats of a room: URI to `title` and `hue` ("" for none). A copy."""
    return {uri: dict(hat) for uri, hat in _read(record).get("hats", {}).items()}


def worn(record: RoomRecord, bare: str) -> tuple[str, ...]:
    """The URIs of somebody's hats."""
    return tuple(_read(record).get("worn", {}).get(bare, ()))


def element(record: RoomRecord, bare: str) -> Element | None:
    """The `<hats/>` of somebody's presence in the room, None where he has none."""
    uris = worn(record, bare) if record.extras else ()
    if not uris:
        return None
    known = _facts(record)["hats"]
    found = Element(ns.HATS, "hats")
    for uri in uris:
        attrs = {"title": known[uri]["title"], "uri": uri}
        if known[uri]["hue"]:
            attrs["hue"] = known[uri]["hue"]
        found.add(ns.HATS, "hat", attrs)
    return found


def info_field(record: RoomRecord) -> Field | None:
    """What disco#info says of the hats in muc#roominfo, None for a room without hats."""
    known = _read(record).get("hats")
    if not known:
        return None
    text = "\n".join(f"{uri}\t{hat['title']}\t{hat['hue']}" for uri, hat in sorted(known.items()))
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Field("hats#hash", "text-single", "Hash of the hats", (digest,))


class RoomHats(Module):
    """The commands by which hats are made and given."""

    name = "muc-hats"
    xeps = (Xep("0317", "0.3.1"),)
    requires = ("muc", "adhoc")
    Config = HatOptions
    features = {Target.ROOM: (ns.HATS,)}

    def setup(self, reg: Registrar) -> None:
        muc = self.needs("muc")
        muc.presence_extras[self.name] = _shown
        muc.info_fields[self.name] = _fields
        muc.extras_changed[self.name] = _changed_elsewhere
        self._add("create", "Make or change a hat", self._create, self._create_form)
        self._add("destroy", "Remove a hat", self._destroy, self._hat_form)
        self._add("list", "Hats of the room", self._list)
        self._add("assign", "Give a hat", self._assign, self._person_form)
        self._add("unassign", "Take a hat", self._unassign, self._person_form)
        self._add("list-assigned", "Who has hats", self._list_assigned)

    def _add(
        self,
        name: str,
        title: str,
        work: Callable[..., Element | None],
        fields: Callable[[Room], tuple[Field, ...]] | None = None,
    ) -> None:
        """Offer one command of rooms; `work` gets the room and the values of the form's fields."""

        def ask(run: Run) -> Form:
            assert fields is not None
            return Form(fields(run.caller.room), title, type=ns.HATS_COMMANDS)

        async def do(run: Run) -> Done:
            room: Room = run.caller.room
            result = work(room, **{var.removeprefix("hats#"): value for var, value in run.values.items()})
            await stored(room)
            return Done(payloads=() if result is None else (result,))

        stages = () if fields is None else (ask,)
        self.needs("adhoc").add(CommandNode(f"{ns.HATS_COMMANDS}:{name}", title, _administers, do, stages, Target.ROOM))

    # Forms

    def _create_form(self, _room: Room) -> tuple[Field, ...]:
        return (
            Field("hats#title", label="Title", required=True),
            Field("hats#uri", label="URI", required=True),
            Field("hats#hue", label="Colour, as an angle of hue from 0 to 360"),
        )

    def _hat_form(self, room: Room) -> tuple[Field, ...]:
        options = tuple((uri, hat["title"]) for uri, hat in sorted(defined(room.record).items()))
        # Open: an unknown hat is answered item-not-found, which says more than a value that is not offered.
        return (Field("hats#uri", "list-single", "Hat", options=options, required=True, open=True),)

    def _person_form(self, room: Room) -> tuple[Field, ...]:
        return (Field("hats#jid", "jid-single", "Address", required=True), *self._hat_form(room))

    # Work; the arguments are the fields of the forms

    def _create(self, room: Room, title: str, uri: str, hue: str = "") -> None:
        title, uri, hue = title.strip(), uri.strip(), hue.strip()
        if not title or len(title) > _TEXT or not uri or len(uri) > _TEXT or any(c.isspace() for c in uri):
            raise StanzaError("not-acceptable", f"a hat needs a title and a URI of at most {_TEXT} characters")
        if hue and (_HUE.fullmatch(hue) is None or float(hue) > 360):
            raise StanzaError("not-acceptable", "the hue is an angle from 0 to 360")
        self._fits(room, title, uri)
        hats = _facts(room.record).setdefault("hats", {})
        if uri not in hats and len(hats) >= self.config.hats:
            raise StanzaError("resource-constraint", f"a room has at most {self.config.hats} hats")
        hats[uri] = {"title": title, "hue": hue}
        self._changed(room, self._wearers(room, uri), listed=True)

    def _destroy(self, room: Room, uri: str) -> None:
        self._known(room, uri)
        wearers = self._wearers(room, uri)
        for bare in wearers:
            self._take(room, bare, uri)
        del _facts(room.record)["hats"][uri]
        self._changed(room, wearers, listed=True)

    def _assign(self, room: Room, jid: str, uri: str) -> None:
        self._known(room, uri)
        bare = Jid.parse(jid).bare
        self._fits(room, bare, uri)
        wearers = _facts(room.record).setdefault("worn", {})
        if bare not in wearers and len(wearers) >= self.config.wearers:
            raise StanzaError("resource-constraint", f"at most {self.config.wearers} people wear hats")
        hats = wearers.setdefault(bare, [])
        if uri in hats:
            return
        if len(hats) >= self.config.worn:
            raise StanzaError("resource-constraint", f"nobody wears more than {self.config.worn} hats")
        hats.append(uri)
        self._changed(room, [bare])

    def _unassign(self, room: Room, jid: str, uri: str) -> None:
        self._known(room, uri)
        bare = Jid.parse(jid).bare
        if uri not in worn(room.record, bare):
            raise StanzaError("item-not-found", "this address does not have this hat")
        self._take(room, bare, uri)
        self._changed(room, [bare])

    def _list(self, room: Room) -> Element:
        rows = [{"title": hat["title"], "uri": uri, "hue": hat["hue"]} for uri, hat in defined(room.record).items()]
        return _table("Hats of the room", ("title", "uri", "hue"), rows)

    def _list_assigned(self, room: Room) -> Element:
        known = defined(room.record)
        rows = [
            {"jid": bare, "uri": uri, "title": known[uri]["title"], "hue": known[uri]["hue"]}
            for bare, uris in _read(room.record).get("worn", {}).items()
            for uri in uris
        ]
        return _table("Who has hats", ("jid", "uri", "title", "hue"), rows)

    def _fits(self, room: Room, *more: str) -> None:
        """All hats of a room are stored as one text, which has a bound."""
        if len(json.dumps([_facts(room.record), more])) > self.config.size:
            raise StanzaError("resource-constraint", "the hats of this room take too much space")

    def _known(self, room: Room, uri: str) -> None:
        if uri not in _read(room.record).get("hats", {}):
            raise StanzaError("item-not-found", "the room has no such hat")

    def _wearers(self, room: Room, uri: str) -> list[str]:
        return [bare for bare, uris in _read(room.record).get("worn", {}).items() if uri in uris]

    def _take(self, room: Room, bare: str, uri: str) -> None:
        wearers = _facts(room.record)["worn"]
        wearers[bare].remove(uri)
        if not wearers[bare]:
            del wearers[bare]

    def _changed(self, room: Room, people: list[str], *, listed: bool = False) -> None:
        room.save()
        if listed:
            room.announce(codes=(104,))
        for occupant in list(room.occupants.values()):
            if occupant.user.bare in people:
                room.refresh(occupant)


def _changed_elsewhere(room: Room, before: Mapping[str, Any]) -> None:
    """Another node has changed the hats: those who were or are shown with one are shown again."""
    if _EXTRA not in before:
        return
    if (before[_EXTRA] or {}).get("hats", {}) != defined(room.record):
        room.announce(codes=(104,))
    for occupant in list(room.occupants.values()):
        told = [view.element.find(ns.HATS, "hats") for view in occupant.views if view is not None]
        if worn(room.record, occupant.user.bare) or not told or told[0] is not None:
            room.refresh(occupant)


def _administers(caller: Caller) -> bool:
    affiliation: str = caller.room.affiliation_of(caller.jid)
    return affiliation in ("owner", "admin")


def _facts(record: RoomRecord) -> dict[str, Any]:
    facts = record.extras.get(_EXTRA)
    if facts is None:
        facts = record.extras[_EXTRA] = {}
    return facts


def _read(record: RoomRecord) -> dict[str, Any]:
    return record.extras.get(_EXTRA) or {}


def _shown(room: Room, occupant: Occupant) -> Element | None:
    return element(room.record, occupant.user.bare)


def _fields(room: Room) -> tuple[Field, ...]:
    found = info_field(room.record)
    return () if found is None else (found,)


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, str]]) -> Element:
    form = Element(ns.DATA_FORMS, "x", {"type": "result"})
    form.add(ns.DATA_FORMS, "title", text=title)
    reported = form.add(ns.DATA_FORMS, "reported")
    for column in columns:
        reported.add(ns.DATA_FORMS, "field", {"var": f"hats#{column}"})
    for row in rows:
        item = form.add(ns.DATA_FORMS, "item")
        for column in columns:
            field = item.add(ns.DATA_FORMS, "field", {"var": f"hats#{column}"})
            if row[column]:
                field.add(ns.DATA_FORMS, "value", text=row[column])
    return form
