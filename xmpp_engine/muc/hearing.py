"""What a room hears of its other replicas, and what that makes of who is inside; replica.py says by which rules.

Each function takes the room, the node that told it, and the values of the record. They are called in no turn of the
room, and begin one. Nothing heard here is told on: the node that it comes from has told everybody.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.muc import affiliations, disputes, leave, presence, views, voices, wire
from xmpp_engine.muc.config import RoomConfig, from_values, to_values
from xmpp_engine.muc.occupant import Client, Occupant
from xmpp_engine.muc.replica import EXTRA, Replica
from xmpp_engine.muc.room import KEY
from xmpp_engine.muc.wire import Entry
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.rooms import RoomAffiliation

if TYPE_CHECKING:
    from xmpp_engine.muc.room import Room

log = logging.getLogger("mlink.rooms")

# Clients


def entry(room: Room, node: str, entries: Sequence[Any], why: Any, paced: bool) -> None:
    """Clients that a node serves have come or changed."""
    change = wire.read_change(why)
    for told in map(Entry, entries):
        mentioned = room.replica.mentioned.get(node)
        if mentioned is not None:
            mentioned.add(told.full)
        _hear(room, node, told, change, paced)


def _hear(room: Room, node: str, told: Entry, why: views.Change | None, paced: bool) -> None:
    room.replica.rivals.pop(told.full, None)
    occupant = room.users.get(told.full)
    if occupant is not None:
        client = occupant.clients[told.full]
        if client.node != node and not disputes.served_elsewhere(room, client, told):
            return
        client.node, client.served = node, told.served
        if occupant.nick == told.nick:
            _update(room, occupant, client, told, why, paced)
            return
        detach(room, occupant, [client])
    _enter(room, node, told, paced=paced)


def _update(room: Room, occupant: Occupant, client: Client, told: Entry, why: views.Change | None, paced: bool) -> None:
    """A client under the nickname that it had."""
    before = occupant.lead
    client.stamp, client.role, client.affiliation = told.stamp, told.role, told.affiliation
    worn = wire.packed(client.children) != told.children or client.lang != told.lang
    if worn:
        client.wear(wire.unpacked(told.children), told.lang)
    another = occupant.choose()
    shown = another or (worn and occupant.shown is client)
    if shown:
        occupant.changed()
    leads = occupant.lead is client or occupant.lead is not before
    if leads and affiliations.follow_lead(room, occupant, why, paced=paced):
        return
    if shown:
        room.show(occupant)


def _enter(room: Room, node: str, told: Entry, *, paced: bool) -> None:
    """A client under a nickname that it did not have here."""
    jid = Jid.parse(told.full)
    occupant = room.occupants.get(told.nick)
    if occupant is not None and occupant.user.bare != jid.bare:
        if disputes.keeps(occupant, told.stamp):
            room.replica.rivals[told.full] = (node, told)
            return
        disputes.give_up(room, occupant)
        occupant = None
    client = Client(jid, None, wire.unpacked(told.children), told.lang, told.stamp, node)
    client.served, client.role, client.affiliation = told.served, told.role, told.affiliation
    _seat(room, told.nick, occupant, client, told.since, paced=paced)


def _seat(room: Room, nick: str, occupant: Occupant | None, client: Client, since: float, *, paced: bool) -> None:
    """A client that another node serves is inside, under a free nickname or together with the occupant that has it."""
    if occupant is None:
        user = client.jid.to_bare()
        id = room.occupant_id(user.bare)
        occupant = Occupant(room.jid.with_resource(nick), user, id, client.affiliation, client.role, client, since)
        room.occupants[nick] = occupant
        room.users[client.jid.full] = occupant
        if paced:
            affiliations.show_soon(room, occupant)
        elif room.shows(occupant):
            room.show_others(occupant)
        return
    occupant.clients[client.jid.full] = client
    occupant.since = min(occupant.since, since)
    room.users[client.jid.full] = occupant
    another = occupant.choose()
    if another:
        occupant.changed()
    if not affiliations.follow_lead(room, occupant) and another:
        room.show(occupant)


def nick(room: Room, node: str, old: str, entries: Sequence[Any]) -> None:
    """Clients of one occupant have another nickname."""
    told = [Entry(values) for values in entries]
    occupant = room.occupants.get(old)
    names = {one.full for one in told}
    whole = occupant is not None and names == occupant.clients.keys()
    if occupant is None or not whole or any(client.node != node for client in occupant.clients.values()):
        entry(room, node, entries, None, False)
        return
    new = told[0].nick
    other = room.occupants.get(new)
    if other is not None and other.user.bare != occupant.user.bare:
        entry(room, node, entries, None, False)
        return
    for one in told:
        client = occupant.clients[one.full]
        client.stamp, client.role, client.affiliation = one.stamp, one.role, one.affiliation
        client.wear(wire.unpacked(one.children), one.lang)
    twin = presence.move(room, occupant, new)
    room.show(twin)
    affiliations.follow_lead(room, twin)


def left(
    room: Room,
    node: str,
    fulls: Sequence[str],
    affiliation: Any,
    codes: Sequence[int],
    why: Any,
    children: bytes,
) -> None:
    """Clients that a node serves are gone."""
    change, last = wire.read_change(why), wire.unpacked(children)
    going: dict[Occupant, list[Client]] = {}
    for full in fulls:
        occupant = room.users.get(full)
        rival = room.replica.rivals.get(full)
        if rival is not None and rival[0] == node:
            del room.replica.rivals[full]
        if occupant is not None and occupant.clients[full].node == node:
            going.setdefault(occupant, []).append(occupant.clients[full])
    for occupant, clients in going.items():
        if len(clients) == len(occupant.clients):
            occupant.affiliation = affiliation or occupant.affiliation
        detach(room, occupant, clients, tuple(codes), change, last)


def detach(
    room: Room,
    occupant: Occupant,
    clients: Sequence[Client],
    codes: tuple[int, ...] = (),
    change: views.Change | None = None,
    children: tuple[Any, ...] = (),
) -> None:
    """Take clients out of an occupant, and the occupant out of the room where it has no other."""
    if len(clients) == len(occupant.clients):
        leave.take_out(room, occupant)
        leave.tell(room, occupant, codes, change, children)
        return
    for client in clients:
        leave.drop(room, occupant, client)
    leave.rest(room, occupant)


def free_nicks(room: Room) -> None:
    """Nicknames may be free for those who waited for them."""
    waiting = sorted(room.replica.rivals.values(), key=lambda rival: rival[1].stamp)
    for node, told in waiting:
        holder = room.occupants.get(told.nick)
        free = holder is None or holder.user.bare == told.full.partition("/")[0]
        if free and told.full not in room.users:
            with room.turn:
                _hear(room, node, told, None, False)


# What other nodes ask for


def expel(
    room: Room, _node: str, fulls: Sequence[str], codes: Sequence[int], reason: str, actor: str, affiliation: bool
) -> None:
    """Clients served here are to go."""
    by = _actor(actor)
    for full in fulls:
        occupant = room.users.get(full)
        if occupant is not None and not occupant.clients[full].node:
            leave.expel(room, occupant, codes, reason, by, affiliation=affiliation, everywhere=False)


def role(room: Room, _node: str, nick: str, bare: str, role: Any, reason: str, actor: str) -> None:
    """An occupant for whom this node decides gets another role."""
    occupant = room.occupants.get(nick)
    if occupant is not None and occupant.user.bare == bare and not occupant.lead.node:
        affiliations.set_role(room, occupant, role, reason, _actor(actor))


def rename(room: Room, _node: str, old: str, nick: str, fulls: Sequence[str]) -> None:
    """Clients served here go with others of the same occupant that have changed their nickname."""
    occupant = room.occupants.get(old)
    if occupant is None:
        return
    other = room.occupants.get(nick)
    here = [client for client in occupant.clients.values() if not client.node and client.jid.full in fulls]
    if here and (other is None or other.user.bare == occupant.user.bare):
        presence.shift(room, occupant, nick)


def _actor(text: str) -> Jid | None:
    return Jid.parse(text) if text else None


# What belongs to the room


def line(room: Room, _node: str, jid: str, version: int, values: Sequence[Any], actor: str, judged: bool) -> None:
    """An address has another affiliation or nickname."""
    versions = room.replica.lines.merge(jid, values)
    if versions is None:
        return
    counts = versions[0]
    entry = RoomAffiliation(jid, counts.affiliation, counts.nick, counts.reason)
    before = room.record.affiliations.get(jid)
    differs = before is None or (before.affiliation, before.nick) != (entry.affiliation, entry.nick)
    affiliations.take_line(room, entry, version)
    if len(versions) > 1:
        disputes.settle_line(room, entry, [one.stamp for one in versions])
    elif not room.saver.idle:
        disputes.write_behind(room, entry)
    if differs and judged:
        affiliations.judge_line(room, entry, _actor(actor))


def facts(room: Room, _node: str, told: Mapping[str, Sequence[Any]], actor: str = "") -> None:
    """Facts have changed elsewhere."""
    take_facts(room, told, _actor(actor))
    if room.replica.overlapped() or not room.saver.idle:
        room.keep()


def take_facts(room: Room, told: Mapping[str, Sequence[Any]], actor: Jid | None = None, *, anew: bool = False) -> None:
    """Take those facts that are later than ours, or all where `anew`."""
    replica, record = room.replica, room.record
    news: dict[str, Any] = {}
    for name, (value, stamp, *_later) in told.items():
        mine = replica.facts.get(name, 0)
        if anew or stamp > mine or (stamp == mine and _tie(replica, name, value)):
            replica.facts[name] = stamp
            news[name] = wire.plain(value)
    if not news:
        return
    if "approved" in news:
        record.approved = bool(news["approved"])
    if "subject" in news:
        record.subject, record.subject_nick, record.subject_time = news["subject"]
        room.forget_subject()
    before = {}
    for name in [name.removeprefix(EXTRA) for name in news if name.startswith(EXTRA)]:
        before[name] = record.extras.get(name)
        if news[EXTRA + name] is None:
            record.extras.pop(name, None)
        else:
            record.extras[name] = news[EXTRA + name]
    if EXTRA + KEY in news:
        disputes.other_ids(room)
    if "number" in news and news["number"] != record.number:
        disputes.settle_number(room, news["number"])
    if "config" in news or "locked" in news:
        values = news.get("config", to_values(room.config, RoomConfig()))
        affiliations.follow_config(room, from_values(RoomConfig(), values), news.get("locked", room.locked), actor)
    if before:
        for hook in room.service.muc.extras_changed.values():
            hook(room, before)
    replica.loaded()
    room.service.listed(room)


def _tie(replica: Replica, name: str, value: Any) -> bool:
    """Whether another's value counts of two that nobody has changed: one of two keys that both have made."""
    if not name.startswith(EXTRA) or replica.facts.get(name, 0):
        return False
    own = replica.values().get(name)
    return own is not None and value is not None and json.dumps(value) < json.dumps(own)


def note(room: Room, _node: str, what: str, bare: str, value: str) -> None:
    """The room remembers something of an address."""
    if what == "voice":
        voices.note(room, bare, value)  # type: ignore[arg-type]
    else:
        room.service.remember_inviter(room, bare, value)


# What is said


def said(room: Room, _node: str, stamp: float, text: bytes) -> None:
    """Somebody served elsewhere, or the room itself there, has said something."""
    room.hear(Stanza.restore(text), stamp)


def announce(room: Room, _node: str, text: bytes) -> None:
    """The room says something that is no part of the conversation."""
    room.announce(*wire.unpacked(text))


def edit(room: Room, _node: str, stamp: float, text: bytes) -> None:
    """A message of the history is another one."""
    room.history.replace(stamp, Stanza.restore(text), room.jid)


def clear(room: Room, _node: str) -> None:
    """The history is forgotten."""
    room.history.clear()


def past(room: Room, _node: str, rows: Sequence[Any]) -> None:
    """The history of another replica."""
    room.history.merge([(row[0], row[1]) for row in rows], room.jid)


# Everything at once


def lines(room: Room, node: str, rows: Sequence[Any]) -> None:
    """Lines of the lists: those with versions, or all of them where this room takes another's place."""
    for row in rows:
        jid, affiliation, nick, reason, version, versions = row[:6]
        if versions:
            line(room, node, jid, version, versions, "", True)
        elif room.replica.adopting:
            affiliations.take_line(room, RoomAffiliation(jid, affiliation, nick, reason), version)


def done(room: Room, node: str) -> None:
    """A node has told everything: those that it did not name are gone."""
    room.replica.foreign.discard(node)
    mentioned = room.replica.mentioned.pop(node, None)
    if mentioned is not None:
        forget(room, node, mentioned)
    if room.replica.adopting == node:
        disputes.adopted(room)


def forget(room: Room, node: str, but: set[str] | frozenset[str] = frozenset(), limit: int = 0) -> bool:
    """The clients of a node are gone without a word (333), those of `but` stay. At most `limit` of them where it is
    given; returns whether some are left."""
    rivals = room.replica.rivals
    for full in [full for full, (at, _told) in rivals.items() if at == node and full not in but]:
        del rivals[full]
    going: dict[Occupant, list[Client]] = {}
    count = 0
    for occupant in list(room.occupants.values()):
        clients = [one for one in occupant.clients.values() if one.node == node and one.jid.full not in but]
        if clients:
            if limit and count >= limit:
                return True
            going[occupant] = clients
            count += 1
            detach(room, occupant, clients, (333,))
    return False


#: What may stand in a record.
HEARD: Final[dict[str, Callable[..., None]]] = {
    "entry": entry,
    "nick": nick,
    "left": left,
    "expel": expel,
    "role": role,
    "rename": rename,
    "line": line,
    "facts": facts,
    "note": note,
    "said": said,
    "announce": announce,
    "edit": edit,
    "clear": clear,
}
