"""Affiliations, roles and configuration: what they make of who is inside (XEP-0045, 5, 8.3 to 10.2).

Here is what a change does. Whether somebody may ask for it is decided where it is asked (admin.py, owner.py, the
console).
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import join, leave, versions, views, voices
from xmpp_engine.muc.config import RoomConfig, to_values
from xmpp_engine.muc.groups import affiliation_by_groups
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import REMOVED_KEPT, RoomAffiliation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Occupant
    from xmpp_engine.muc.room import Room
    from xmpp_engine.storage.rooms import Affiliation, Role

#: Presence stanzas that a change of configuration sends at once; more go in slices of this size.
_SLICE: Final = 5_000


def affiliation_of(room: Room, jid: Jid) -> Affiliation:
    """See Room.affiliation_of."""
    entries = room.record.affiliations
    service = room.service
    if service.is_operator(jid):
        return "owner"
    entry = entries.get(jid.bare)
    if entry is not None and entry.affiliation != "none":
        return entry.affiliation
    entry = entries.get(jid.domain)
    if entry is not None and entry.affiliation != "none":
        return entry.affiliation
    if room.config.groups:
        return affiliation_by_groups(service.groups, room.config.groups, jid.bare)
    return "none"


def default_role(config: RoomConfig, affiliation: Affiliation) -> Role:
    """The role with which somebody enters (5.1.2)."""
    if affiliation in ("owner", "admin"):
        return "moderator"
    if affiliation == "outcast":
        return "none"
    return "participant" if affiliation == "member" or not config.moderated else "visitor"


def first_role(room: Room, bare: str, affiliation: Affiliation) -> Role:
    """The role with which this bare JID enters: `default_role`, and voice that it was given earlier (5.1)."""
    role = default_role(room.config, affiliation)
    return "participant" if role == "visitor" and voices.has(room, bare) else role


def set_affiliation(
    room: Room, text: str, affiliation: Affiliation, reason: str, actor: Jid | None, nick: str | None
) -> None:
    """See Room.set_affiliation."""
    jid = Jid.parse(text)
    if jid.resource:
        raise StanzaError("bad-request", "an affiliation belongs to an address without a resource")
    entries = room.record.affiliations
    old = entries.get(jid.bare)
    if affiliation != "owner" and old is not None and old.affiliation == "owner" and len(_owners(room)) == 1:
        raise StanzaError("conflict", "the last owner cannot go")
    if nick:
        _check_nick(room, jid.bare, nick)
    kept = (old.nick if old is not None else "") if nick is None else nick
    if affiliation == "outcast":
        kept = ""
    if old is None and affiliation == "none" and not kept:
        return
    entry = RoomAffiliation(jid.bare, affiliation, kept, reason)
    _put(room, entry, actor)
    judge_line(room, entry, actor)


def judge_line(room: Room, entry: RoomAffiliation, actor: Jid | None) -> None:
    """An address is something else to the room: who is inside is reviewed for it."""
    jid = Jid.parse(entry.jid)
    voices.forget(room, jid.bare)
    changed = [
        occupant
        for occupant in list(room.occupants.values())
        if occupant.user.bare == jid.bare or (not jid.local and occupant.user.domain == jid.domain)
    ]
    for occupant in changed:
        review(room, occupant, entry.reason, actor)
    if not changed:
        _notice(room, jid, entry.affiliation, views.change_by(room, actor, entry.reason, affiliation=True))


def register_nick(room: Room, bare: str, nick: str) -> None:
    """See Room.register_nick."""
    entry = room.record.affiliations.get(bare)
    if nick:
        _check_nick(room, bare, nick)
    elif entry is None:
        return
    affiliation = entry.affiliation if entry is not None else "none"
    _put(room, RoomAffiliation(bare, affiliation, nick, entry.reason if entry is not None else ""), judged=False)


def forget(room: Room, bare: str) -> None:
    """The account of this bare JID is gone, and with it what it was to the room, even if it was the last owner. A ban
    stays: it is the room's decision about the address."""
    voices.forget(room, bare)
    entry = room.record.affiliations.get(bare)
    if entry is None or entry.affiliation == "outcast" or (entry.affiliation == "none" and not entry.nick):
        return
    with room.turn:
        _put(room, RoomAffiliation(bare, "none"))
        for occupant in [one for one in room.occupants.values() if one.user.bare == bare]:
            review(room, occupant)


def review(
    room: Room,
    occupant: Occupant,
    reason: str = "",
    actor: Jid | None = None,
    *,
    left: int = 321,
    anew: bool = False,
    paced: bool = False,
) -> None:
    """See what an occupant is to the room now: he goes where he may not stay (`left` is the status code of lost
    membership), else his role follows a changed affiliation, or is given `anew` in any case. `paced`: see `change`.
    Clients that other nodes serve are reviewed there."""
    if room.nodes and all(client.node for client in occupant.clients.values()):
        return
    affiliation = room.affiliation_of(occupant.user)
    same = affiliation == occupant.affiliation
    was = occupant.affiliation
    occupant.affiliation = affiliation
    if affiliation == "outcast":
        leave.expel(room, occupant, (301,), reason, actor, affiliation=not same, everywhere=False)
    elif affiliation == "none" and room.config.members_only:
        leave.expel(room, occupant, (left,), reason, actor, affiliation=not same, everywhere=False)
    else:
        occupant.affiliation = was
        if (same and not anew) or occupant.lead.node:
            return
        role = default_role(room.config, affiliation)
        change(room, occupant, role, affiliation, reason, actor, paced=paced)


def set_role(room: Room, occupant: Occupant, role: Role, reason: str, actor: Jid | None) -> None:
    """See Room.set_role."""
    if room.occupants.get(occupant.nick) is not occupant:
        return
    if room.config.moderated and occupant.affiliation == "none":
        voices.note(room, occupant.user.bare, role)
        room.replica.noted("voice", occupant.user.bare, role)
    if role == "none":
        leave.expel(room, occupant, (307,), reason, actor)
    elif occupant.lead.node:
        room.replica.ask_role(occupant, role, reason, actor)
    elif role != occupant.role:
        change(room, occupant, role, occupant.affiliation, reason, actor)


def change(
    room: Room,
    occupant: Occupant,
    role: Role,
    affiliation: Affiliation,
    reason: str,
    actor: Jid | None,
    *,
    paced: bool = False,
) -> None:
    """Another role or affiliation of somebody inside, and everybody sees it; where many change at once (`paced`) he
    himself now, the others soon."""
    why = views.change_by(room, actor, reason, affiliation=affiliation != occupant.affiliation)
    become(room, occupant, role, affiliation, why, paced=paced)


def follow_lead(room: Room, occupant: Occupant, why: views.Change | None = None, *, paced: bool = False) -> bool:
    """An occupant is what the node that decides for it says, where that is another one; whether this has changed it."""
    lead = occupant.lead
    if not lead.node or (lead.role, lead.affiliation) == (occupant.role, occupant.affiliation):
        return False
    become(room, occupant, lead.role, lead.affiliation, why, paced=paced)
    return True


def become(
    room: Room, occupant: Occupant, role: Role, affiliation: Affiliation, why: views.Change | None, *, paced: bool
) -> None:
    """Somebody inside has another role or affiliation; see `change`."""
    waiting = _paces(room)
    saw = room.sees_jids(occupant)
    room.unseat(occupant)
    occupant.role, occupant.affiliation = role, affiliation
    occupant.changed()
    if paced:
        room.restating[occupant] = why
    else:
        tell_others(room, occupant, why)
    room.seat(occupant)
    room.replica.entries(occupant, why=why, paced=paced)
    room.send(occupant, views.present(room, occupant, True, (110,), why))
    if room.sees_jids(occupant) and not saw:
        join.roster(room, occupant, occupant.clients.values(), True)
    if paced and occupant.lead.node:
        # Here only what other nodes have decided; what this node decides is told when all is decided.
        _pace(room, waiting)


def tell_others(room: Room, occupant: Occupant, why: views.Change | None = None) -> None:
    """The others see the occupant as he is now, or that he is gone where his role is not shown; he is not seated."""
    if room.restating:
        room.restating.pop(occupant, None)
    if room.shows(occupant):
        room.show_others(occupant, why)
    elif occupant.visible:
        hide(room, occupant)


def hide(room: Room, occupant: Occupant) -> None:
    """To those who are seated the occupant is gone: his role is not shown in this room."""
    occupant.visible = False
    for pairs, client in ((room.seeing, occupant.shown), (room.blind, None)):
        if pairs:
            room.fan(tuple(pairs.values()), views.absent(room, occupant, client))


def reconfigure(room: Room, config: RoomConfig, actor: Jid | None) -> None:
    """See Room.reconfigure."""
    old, was_logged = room.config, room.logged
    if config.persistent and not old.persistent:
        room.record.number = room.service.numbers.take()
    room.config = config
    first = room.locked
    room.locked = False
    if old.persistent and not config.persistent:
        room.saver.remove(room.record)
    elif config.persistent and not old.persistent:
        room.saver.put(room.record, list(room.record.affiliations.values()))
    room.save(actor)
    _follow(room, old, actor, was_logged=was_logged, first=first)


def follow_config(room: Room, config: RoomConfig, locked: bool, actor: Jid | None) -> None:
    """Another node has configured the room, which is stored there."""
    old, was_logged, first = room.config, room.logged, room.locked
    room.config, room.locked = config, locked
    room.record.config = to_values(config, room.service.defaults)
    if config != old:
        _follow(room, old, actor, was_logged=was_logged, first=first)


def _follow(room: Room, old: RoomConfig, actor: Jid | None, *, was_logged: bool, first: bool) -> None:
    """What another configuration makes of the room and of who is inside."""
    config = room.config
    room.history.resize(min(config.history, room.service.options.history_limit))
    if config.whois != old.whois:
        _change_sight(room)
    waiting = _paces(room)
    moderated = config.moderated != old.moderated
    if moderated:
        voices.forget_all(room)
    for occupant in list(room.occupants.values()):
        if moderated and occupant.affiliation == "none" and occupant.role != "moderator":
            review(room, occupant, "", actor, left=322, anew=True, paced=True)
        elif config.groups != old.groups or config.members_only:
            review(room, occupant, "", actor, left=322)
    if config.presence_of != old.presence_of:
        for occupant in room.occupants.values():
            if occupant.visible != room.shows(occupant):
                room.restating.setdefault(occupant, None)
    _pace(room, waiting)
    if not first:
        codes = _codes(room, old, was_logged)
        if codes:
            room.announce(codes=codes)


def _change_sight(room: Room) -> None:
    """Others may see real JIDs from now on: seat everybody anew and show who is there where that tells more."""
    occupants = list(room.occupants.values())
    room.seeing.clear()
    room.blind.clear()
    for occupant in occupants:
        room.seat(occupant)
    show_again(room, [occupant for occupant in occupants if occupant.role != "moderator"])


def show_again(room: Room, occupants: list[Occupant]) -> None:
    """Send these occupants the presence of all others as they see it now."""
    waiting = _paces(room)
    room.showing.update(dict.fromkeys(occupants))
    _pace(room, waiting)


def show_soon(room: Room, occupant: Occupant) -> None:
    """Somebody is inside, one of many who come at the same time: the others see him soon."""
    waiting = _paces(room)
    room.restating[occupant] = None
    _pace(room, waiting)


# Many at a time would stop the server, so a large room is told in slices. What an occupant may do changes at once; what
# is sent of him is what is true when it is sent, and `Occupant.visible` says what the others believe until then.


def _paces(room: Room) -> bool:
    return bool(room.showing or room.restating)


def _pace(room: Room, waiting: bool) -> None:
    """Tell the first slice, and the rest soon; `waiting` is whether some was waiting already."""
    _tell_slice(room)
    if _paces(room) and not waiting:
        room.service.services.tasks.spawn(f"show {room.jid}", _tell_rest(room))


def _tell_slice(room: Room) -> None:
    count = max(1, _SLICE // max(1, len(room.users)))
    for occupant in list(islice(room.restating, count)):
        why = room.restating.pop(occupant, None)
        if room.occupants.get(occupant.nick) is occupant:
            room.unseat(occupant)
            tell_others(room, occupant, why)
            room.seat(occupant)
            count -= 1
    for occupant in list(islice(room.showing, max(0, count))):
        room.showing.pop(occupant, None)
        if room.occupants.get(occupant.nick) is occupant:
            join.roster(room, occupant, list(occupant.clients.values()), room.sees_jids(occupant))


async def _tell_rest(room: Room) -> None:
    while _paces(room) and not room.gone:
        await asyncio.sleep(0)
        with room.turn:
            _tell_slice(room)


def _codes(room: Room, old: RoomConfig, was_logged: bool) -> list[int]:
    """The status codes of a change of configuration (10.2.1)."""
    config = room.config
    codes = []
    if room.logged != was_logged:
        codes.append(170 if room.logged else 171)
    if config.whois != old.whois:
        codes.append(172 if config.whois == "anyone" else 173)
    if not codes and config != old:
        codes.append(104)
    return codes


def _owners(room: Room) -> list[str]:
    return [entry.jid for entry in room.record.affiliations.values() if entry.affiliation == "owner"]


def _check_nick(room: Room, bare: str, nick: str) -> None:
    if room.reserved.get(nick, bare) != bare:
        raise StanzaError("conflict", "the nickname is registered for somebody else")
    other = room.occupants.get(nick)
    if other is not None and other.user.bare != bare:
        raise StanzaError("conflict", "somebody in the room has this nickname")


def _put(room: Room, entry: RoomAffiliation, actor: Jid | None = None, *, judged: bool = True) -> None:
    """Enter or replace an entry of the lists, with the next version."""
    record = room.record
    if entry.jid not in record.affiliations:
        _make_place(room)
    record.affiliation_version += 1
    entry.version = record.affiliation_version
    _enter(room, entry)
    if entry.affiliation == "none" and not entry.nick and versions.forget_removed(record):
        room.replica.forgotten()
        room.save()
    if room.config.persistent and not room.gone:
        room.saver.put(record, [entry])
    room.service.listed(room)
    room.replica.line(entry, actor, judged=judged)


def _enter(room: Room, entry: RoomAffiliation) -> None:
    entries = room.record.affiliations
    old = entries.get(entry.jid)
    if old is not None and old.nick and room.reserved.get(old.nick) == entry.jid:
        del room.reserved[old.nick]
    if entry.nick:
        room.reserved[entry.nick] = entry.jid
    entries[entry.jid] = entry


def take_line(room: Room, entry: RoomAffiliation, version: int) -> None:
    """Enter or replace an entry of the lists as another node has it. Where that was changed there while this node had
    other changes of the same versions, all of them get the next one, so that nobody who asks for what is new misses
    one (XEP-0463)."""
    record = room.record
    if version > record.affiliation_version:
        record.affiliation_version = version
    else:
        record.affiliation_version += 1
        for other in record.affiliations.values():
            if other.version >= version:
                other.version = record.affiliation_version
    entry.version = record.affiliation_version
    holder = room.reserved.get(entry.nick, entry.jid) if entry.nick else entry.jid
    if holder != entry.jid:
        # Registered for two people apart: for the first.
        if room.replica.lines.stamp(holder) <= room.replica.lines.stamp(entry.jid):
            entry.nick = ""
        else:
            room.record.affiliations[holder].nick = ""
    _enter(room, entry)
    if entry.affiliation == "none" and not entry.nick and versions.forget_removed(record):
        room.replica.forgotten()
    room.service.listed(room)


def _make_place(room: Room) -> None:
    """Keep the lists inside their bounds: the oldest of the removed entries go."""
    entries = room.record.affiliations
    if len(entries) < min(room.service.options.max_affiliations, REMOVED_KEPT):
        return
    removed = sorted(
        (entry.version, entry.jid) for entry in entries.values() if entry.affiliation == "none" and not entry.nick
    )
    full = len(entries) >= room.service.options.max_affiliations
    oldest = removed[: max(len(removed) - REMOVED_KEPT, 1 if full else 0)]
    for _version, jid in oldest:
        del entries[jid]
    if oldest:
        room.replica.forgotten()
    if len(entries) >= room.service.options.max_affiliations:
        raise StanzaError("resource-constraint", "the lists of this room are full")


def _notice(room: Room, jid: Jid, affiliation: Affiliation, why: views.Change | None) -> None:
    """An affiliation changed of somebody who is not inside: those who may see real JIDs are told (9.3, 9.5)."""
    if not room.seeing:
        return
    item = Element(ns.MUC_USER, "item", {"affiliation": affiliation, "jid": jid.full, "role": "none"})
    if why is not None:
        if why.nick:
            item.add(ns.MUC_USER, "actor", {"nick": why.nick})
        if why.reason:
            item.add(ns.MUC_USER, "reason", text=why.reason)
    x = Element(ns.MUC_USER, "x", None, item, *(why.marks if why is not None else ()))
    element = Element(ns.CLIENT, "message", {"type": "groupchat"}, x)
    room.fan(tuple(room.seeing.values()), Stanza(element, None, room.jid, "groupchat"))
