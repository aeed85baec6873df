"""The lists of a room and who may change them (XEP-0045, 5.1.3, 5.2.1, 8, 9 and 10.3 to 10.8).

One request names several items, each either a role of an occupant (by nickname) or an affiliation of an address. All
are judged (permissions.py) before the first is applied, so a request is done as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import invite, versions
from xmpp_engine.muc.permissions import check_affiliation, check_role, may_list, visible_lists
from xmpp_engine.muc.saving import stored
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza import paging, rsm
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import MAX_REASON_BYTES, Affiliation, Role
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room

_AFFILIATIONS: Final = frozenset(get_args(Affiliation))
_ROLES: Final = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class AdminOptions:
    """`items`: of one request. `page`: items of one answer; the rest is fetched with XEP-0059."""

    items: int = 200
    page: int = 1_000


@dataclass(frozen=True, slots=True)
class Item:
    """One parsed item: an affiliation or a role is wanted for an address or a nickname. `new_nick` is the nickname to
    register for an address (9.5), None to leave it."""

    affiliation: Affiliation | None
    role: Role | None
    jid: Jid | None
    nick: str
    reason: str
    new_nick: str | None = None


def parse_items(query: Element, most: int) -> list[Item]:
    """The items of a set request. Raises StanzaError (`bad-request`, `jid-malformed`, `resource-constraint`)."""
    elements = query.find_all(ns.MUC_ADMIN, "item")
    if not elements:
        raise StanzaError("bad-request", "the request has no items")
    if len(elements) > most:
        raise StanzaError("resource-constraint", f"a request has at most {most} items", type="modify")
    return [_parse_item(element) for element in elements]


def _parse_item(element: Element) -> Item:
    affiliation, role = element.get("affiliation"), element.get("role")
    if (affiliation is None) == (role is None):
        raise StanzaError("bad-request", "an item has either an affiliation or a role")
    if affiliation is not None and affiliation not in _AFFILIATIONS:
        raise StanzaError("bad-request", "there is no such affiliation")
    if role is not None and role not in _ROLES:
        raise StanzaError("bad-request", "there is no such role")
    jid_text, nick = element.get("jid"), element.get("nick")
    if jid_text is None and not nick:
        raise StanzaError("bad-request", "an item needs an address or a nickname")
    reason = element.child_text(ns.MUC_ADMIN, "reason") or ""
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise StanzaError("not-acceptable", f"a reason has at most {MAX_REASON_BYTES} bytes")
    try:
        jid = None if jid_text is None else Jid.parse(jid_text)
        prepared = Jid.make("", "nick.invalid", nick).resource if nick else ""
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None
    by_address = jid is not None and affiliation is not None
    return Item(
        cast(Affiliation | None, affiliation),
        cast(Role | None, role),
        jid,
        "" if by_address else prepared,
        reason,
        prepared if by_address and nick is not None else None,
    )


class RoomAdmin(Module):
    """Answers muc#admin."""

    name = "muc-admin"
    xeps = (Xep("0463", "0.2.0"),)
    requires = ("muc",)
    Config = AdminOptions
    features = {Target.ROOM: (ns.AFFILIATION_VERSIONS,)}

    def setup(self, reg: Registrar) -> None:
        muc = self.needs("muc")
        muc.welcomes[self.name] = _catch_up
        muc.affiliation_marks[self.name] = _mark
        reg.iq_get(Target.ROOM, ns.MUC_ADMIN, "query", self.answer)
        reg.iq_set(Target.ROOM, ns.MUC_ADMIN, "query", self.change)

    # Lists

    def answer(self, iq: Stanza, context: IqContext) -> Element:
        """One list: of a role, or of an affiliation."""
        query = iq.element.first()
        assert query is not None
        items = query.find_all(ns.MUC_ADMIN, "item")
        if len(items) != 1:
            raise StanzaError("bad-request", "a request asks for one list")
        affiliation, role = items[0].get("affiliation"), items[0].get("role")
        room: Room = context.room
        if affiliation in _AFFILIATIONS - {"none"} and role is None:
            rows = self._affiliated(room, iq.sender, cast(Affiliation, affiliation))
        elif role in _ROLES - {"none"} and affiliation is None:
            rows = self._with_role(room, iq.sender, cast(Role, role))
        else:
            raise StanzaError("bad-request", "there is no such list")
        return _paged(rows, rsm.parse(query), self.config.page)

    def _affiliated(self, room: Room, asker: Jid, wanted: Affiliation) -> list[tuple[str, Element]]:
        if not may_list(room, asker, wanted):
            raise StanzaError("forbidden", "you may not fetch this list")
        # No role goes with it: 17.4 forbids what 9.5, 10.5 and 10.8 would allow.
        inside = {occupant.user.bare: occupant for occupant in room.occupants.values()}
        rows = []
        for entry in room.record.affiliations.values():
            if entry.affiliation != wanted:
                continue
            attrs = {"affiliation": wanted, "jid": entry.jid}
            occupant = inside.get(entry.jid)
            if occupant is not None and wanted != "outcast":
                attrs["nick"] = occupant.nick
            elif entry.nick:
                attrs["nick"] = entry.nick
            item = Element(ns.MUC_ADMIN, "item", attrs)
            if entry.reason:
                item.add(ns.MUC_ADMIN, "reason", text=entry.reason)
            rows.append((entry.jid, item))
        return rows

    def _with_role(self, room: Room, asker: Jid, wanted: Role) -> list[tuple[str, Element]]:
        occupant = room.occupant_of(asker)
        moderates = occupant is not None and occupant.role == "moderator"
        if not moderates and room.affiliation_of(asker) not in ("owner", "admin"):
            raise StanzaError("forbidden", "only moderators fetch this list")
        return [
            (
                found.nick,
                Element(
                    ns.MUC_ADMIN,
                    "item",
                    {
                        "affiliation": found.affiliation,
                        "jid": found.shown.jid.full,
                        "nick": found.nick,
                        "role": found.role,
                    },
                ),
            )
            for found in room.occupants.values()
            if found.role == wanted
        ]

    # Changes

    def change(self, iq: Stanza, context: IqContext) -> Coroutine[Any, Any, None]:
        """Change roles and affiliations, all that the request names or none. Answered once it is stored."""
        query = iq.element.first()
        assert query is not None
        apply(context.room, iq.sender, parse_items(query, self.config.items))
        return stored(context.room)


def apply(room: Room, actor: Jid | None, items: list[Item]) -> None:
    """Do what the items say in the name of `actor` (a full JID for somebody inside, None for the server itself,
    which may do everything). Raises StanzaError before the first change where one of them cannot be done."""
    affiliations: list[tuple[str, Affiliation, Item]] = []
    roles: list[tuple[Occupant, Role, Item]] = []
    for item in items:
        if item.affiliation is not None:
            jid = _address(room, item)
            _check_affiliation_item(room, actor, jid, item)
            affiliations.append((jid.bare, item.affiliation, item))
        else:
            assert item.role is not None
            for occupant in _occupants(room, item):
                _check_role_item(room, actor, occupant, item.role)
                roles.append((occupant, item.role, item))
    _check_lists(room, affiliations)
    # New owners first: then there is an owner at every moment.
    affiliations.sort(key=_no_owner)
    with room.turn:
        for bare, affiliation, item in affiliations:
            stranger = room.affiliation_of(Jid.parse(bare)) == "none"
            room.set_affiliation(bare, affiliation, item.reason, actor, nick=item.new_nick)
            if stranger and affiliation == "member" and room.config.members_only and actor is not None:
                # 9.5: who may enter from now on is told so.
                invite.send(room, Jid.parse(bare), actor.to_bare(), item.reason)
        for occupant, role, item in roles:
            if room.occupants.get(occupant.nick) is occupant:
                room.set_role(occupant, role, item.reason, actor)


def _no_owner(change: tuple[str, Affiliation, Item]) -> bool:
    return change[1] != "owner"


def _address(room: Room, item: Item) -> Jid:
    if item.jid is not None:
        return item.jid
    occupant = room.occupants.get(item.nick)
    if occupant is None:
        raise StanzaError("item-not-found", f"nobody is called {item.nick} here")
    return occupant.user


def _occupants(room: Room, item: Item) -> list[Occupant]:
    if item.nick:
        found = [room.occupants[item.nick]] if item.nick in room.occupants else []
    else:
        assert item.jid is not None
        bare = item.jid.bare
        found = [occupant for occupant in room.occupants.values() if occupant.user.bare == bare]
    if not found:
        raise StanzaError("item-not-found", f"nobody is called {item.nick or item.jid} here")
    return found


def _check_affiliation_item(room: Room, actor: Jid | None, jid: Jid, item: Item) -> None:
    assert item.affiliation is not None
    if not jid.local and item.affiliation not in ("none", "outcast"):
        raise StanzaError("not-allowed", "a whole domain can only be banned")
    if jid.bare == room.jid.domain or jid.bare == room.jid.bare:
        raise StanzaError("not-allowed", "this is the address of the room or its service")
    if actor is None:
        return
    check_affiliation(
        room.affiliation_of(actor),
        room.affiliation_of(jid) if jid.local else _own_entry(room, jid.bare),
        item.affiliation,
        own=jid.bare == actor.bare,
    )


def _check_role_item(room: Room, actor: Jid | None, occupant: Occupant, wanted: Role) -> None:
    if actor is None:
        return
    inside = room.occupant_of(actor)
    check_role(
        room.affiliation_of(actor),
        inside.role if inside is not None else "none",
        occupant.affiliation,
        occupant.role,
        wanted,
        own=occupant.user.bare == actor.bare,
    )


def _check_lists(room: Room, changes: list[tuple[str, Affiliation, Item]]) -> None:
    """The lists as they will be: an owner is left (10.4), no list is too long, no nickname is registered twice."""
    present = room.record.affiliations
    after: dict[str, Affiliation] = {bare: affiliation for bare, affiliation, _item in changes}
    if len(after) < len(changes):
        raise StanzaError("bad-request", "the same address stands twice in the request")
    if any(_own_entry(room, bare) == "owner" for bare in after) and "owner" not in after.values():
        left = (after.get(bare, entry.affiliation) for bare, entry in present.items())
        if "owner" not in left:
            raise StanzaError("conflict", "a room needs an owner")
    fresh = sum(affiliation != "none" and _own_entry(room, bare) == "none" for bare, affiliation in after.items())
    if fresh:
        used = sum(entry.affiliation != "none" for entry in present.values())
        if used + fresh > room.service.options.max_affiliations:
            raise StanzaError("resource-constraint", "the lists of the room are full")
    wanted: dict[str, str] = {}
    for bare, _affiliation, item in changes:
        if item.new_nick and (
            room.reserved.get(item.new_nick, bare) != bare or wanted.get(item.new_nick, bare) != bare
        ):
            raise StanzaError("conflict", f"the nickname {item.new_nick} is registered")
        if item.new_nick:
            wanted[item.new_nick] = bare


def _own_entry(room: Room, bare: str) -> Affiliation:
    entry = room.record.affiliations.get(bare)
    return "none" if entry is None else entry.affiliation


def _paged(rows: list[tuple[str, Element]], page: rsm.PageRequest, most: int) -> Element:
    """The list, or the page of it that was asked for. A longer one than `most` comes in pages unasked."""
    query = Element(ns.MUC_ADMIN, "query")
    if page == rsm.PageRequest() and len(rows) <= most:
        query.children = [item for _key, item in sorted(rows, key=_by_key)]
        return query
    return paging.answer(query, sorted(rows, key=_by_key), page, most)


def _by_key(row: tuple[str, Element]) -> str:
    return row[0]


def _mark(room: Room) -> Element:
    """What the room says of versions where an affiliation changes."""
    return versions.mav(room.record, since=room.record.affiliation_version - 1)


def _catch_up(room: Room, occupant: Occupant, entering: Element) -> list[Stanza]:
    """The messages that answer the `<mav/>` of somebody who enters. Somebody who may fetch no list gets an error
    instead (XEP-0463)."""
    request = entering.find(ns.AFFILIATION_VERSIONS, "mav")
    if request is None:
        return []
    visible = visible_lists(room, occupant.shown.jid)
    if not visible:
        error = StanzaError("forbidden", "you may not fetch the lists of this room").element()
        error.attrs["by"] = room.jid.full
        return [Stanza(Element(ns.CLIENT, "message", {"type": "error"}, error), None, room.jid, "error")]
    return [
        Stanza(Element(ns.CLIENT, "message", {}, x), None, room.jid, "normal")
        for x in versions.answers(room.record, request, visible)
    ]
