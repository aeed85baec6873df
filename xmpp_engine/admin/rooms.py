"""Commands on rooms of a running node: what `xmppctl`, the console and administrators' clients do with them.

A room is named by its address, `hall@conference.example.org`. Options of a room go by the names of the form that its
owners get, whole (`muc#roomconfig_roomname`) or without the part before the underscore (`roomname`). What is asked of
a multi-user chat service stands in `plugin/room_administration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.room_lookup import (
    REASON,
    ROOM,
    ask,
    find,
    row,
    service_of,
)
from xmpp_engine.admin.room_options import named, resolve, typed
from xmpp_engine.admin.values import bare_address, described, parse, stamp, whole_number
from xmpp_engine.plugin.room_administration import Hosting, OccupantFacts, RoomDetails
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.rooms import RoomAffiliation

registry: Final = Registry()

SORTS: Final = ("room", "activity", "occupants")
AFFILIATIONS: Final = ("owner", "admin", "member", "none", "outcast")
ROLES: Final = ("moderator", "participant", "visitor", "none")
MAX_PAGE: Final = 500
MAX_DAYS: Final = 36_500


async def _rows(engine: Hosting, service: str, search: str, sort: str) -> list[dict[str, Any]]:
    if sort not in SORTS:
        raise CommandError(f"Rooms are sorted by one of {', '.join(SORTS)}.")
    chosen = {service: service_of(engine, service)} if service else engine.room_services()
    wanted = search.casefold()
    found = [
        row(facts, domain)
        for domain, administration in chosen.items()
        for facts in await ask(administration.rooms())
        if not wanted or wanted in f"{facts.local}@{domain}\n{facts.name}".casefold()
    ]
    found.sort(key=lambda one: str(one["room"]))
    if sort == "activity":
        found.sort(key=lambda one: str(one["last_activity"]), reverse=True)
    elif sort == "occupants":
        found.sort(key=lambda one: int(one["occupants"]), reverse=True)
    return found


@registry.command(
    "room list",
    "List the rooms.",
    Argument("service", "only those of this service", default=""),
    Argument("search", "only those with this in their address or name", option=True, default=""),
    Argument("sort", f"one of {', '.join(SORTS)}", option=True, default="room"),
    permission="read",
    where="node",
)
async def room_list(engine: Hosting, service: str, search: str, sort: str) -> list[dict[str, Any]]:
    """All rooms, or those of one service."""
    return await _rows(engine, service, search, sort)


@registry.command(
    "room page",
    "List a part of the rooms, with their number.",
    Argument("service", "only those of this service", option=True, default=""),
    Argument("search", "only those with this in their address or name", option=True, default=""),
    Argument("sort", f"one of {', '.join(SORTS)}", option=True, default="room"),
    Argument("start", "how many to leave out", option=True, default="0"),
    Argument("limit", f"how many to show, at most {MAX_PAGE}", option=True, default="50"),
    permission="read",
    where="node",
)
async def room_page(engine: Hosting, service: str, search: str, sort: str, start: str, limit: str) -> dict[str, Any]:
    """`rooms`, `total`, `services`: what a page of the console shows."""
    first, most = whole_number("start", start, 10**9), whole_number("limit", limit, MAX_PAGE)
    found = await _rows(engine, service, search, sort)
    return {
        "total": len(found),
        "waiting": sum(one["waits"] for one in found),
        "services": sorted(engine.room_services()),
        "rooms": found[first : first + most],
    }


@registry.command("room show", "Show a room.", ROOM, permission="read", where="node")
async def room_show(engine: Hosting, room: str) -> dict[str, Any]:
    """What it is and how it is."""
    service, local, address = find(engine, room)
    details: RoomDetails = await ask(service.details(local))
    shown = row(details.facts, address.partition("@")[2])
    return {
        **shown,
        "number": details.number,
        "description": details.description,
        "subject": details.subject,
        "subject_by": details.subject_nick,
        "subject_since": stamp(details.subject_time),
        "created": stamp(details.created),
        "creator": details.creator,
        "members_only": details.members_only,
        "moderated": details.moderated,
        "password": details.protected,
    }


@registry.command("room config", "Show the configuration of a room.", ROOM, permission="manage", where="node")
async def room_config(engine: Hosting, room: str) -> list[dict[str, Any]]:
    """The fields of the owners' form. It needs the right to manage: a room's password is among them."""
    service, local, _address = find(engine, room)
    fields: Sequence[Field] = await ask(service.form(local))
    return described(fields)


@registry.command(
    "room create",
    "Make a persistent room.",
    ROOM,
    Argument("owner", "bare address of its owner"),
    Argument("options", "key=value;key=value ..., or a JSON object", option=True, default="", logged=False),
    where="node",
)
async def room_create(engine: Hosting, room: str, owner: str, options: str) -> dict[str, Any]:
    """Make and store it; its owner need not be there."""
    service, local, address = find(engine, room)
    jid = bare_address(owner, "owner")
    if jid.domain == jid.bare:
        raise CommandError("A room is owned by a person, not by a domain.")
    values = resolve(await ask(service.new_form()), parse(options))
    await ask(service.create(local, jid.bare, values))
    return {"room": address, "owner": jid.bare}


@registry.command(
    "room destroy",
    "Destroy a room for good.",
    ROOM,
    REASON,
    Argument("alternate", "address of a room to go to instead", option=True, default=""),
    where="node",
)
async def room_destroy(engine: Hosting, room: str, reason: str, alternate: str) -> dict[str, Any]:
    """Everybody is put out, the room is forgotten."""
    service, local, address = find(engine, room)
    if alternate:
        try:
            other = Jid.parse(alternate.strip())
        except ValueError:
            other = None
        if other is None or not other.local or other.resource or other.bare == address:
            raise CommandError(f"{alternate!r} is not the address of another room.")
        alternate = other.bare
    await ask(service.destroy(local, reason, alternate))
    return {"room": address, "destroyed": True}


@registry.command(
    "room set",
    "Change one option of a room.",
    ROOM,
    Argument("key", "name of the option, such as roomname or membersonly; `room config` lists them"),
    Argument("value", "its value; several are separated by commas", logged=False),
    where="node",
)
async def room_set(engine: Hosting, room: str, key: str, value: str) -> dict[str, Any]:
    """Change a field of the owners' form."""
    service, local, address = find(engine, room)
    fields: Sequence[Field] = await ask(service.form(local))
    field = named(fields, key)
    await ask(service.configure(local, {field.var: typed(field, value)}))
    return {"room": address, "field": field.var, "value": value}


@registry.command(
    "room configure",
    "Change several options of a room at once.",
    ROOM,
    Argument("values", "a JSON object: name of the option to its value or list of values", logged=False),
    where="node",
)
async def room_configure(engine: Hosting, room: str, values: str) -> dict[str, Any]:
    """Submit the owners' form, or part of it."""
    service, local, address = find(engine, room)
    submitted = resolve(await ask(service.form(local)), parse(values))
    await ask(service.configure(local, submitted))
    return {"room": address, "changed": sorted(submitted)}


@registry.command("room occupants", "List who is in a room.", ROOM, permission="read", where="node")
async def room_occupants(engine: Hosting, room: str) -> list[dict[str, Any]]:
    """One row for each nickname."""
    service, local, _address = find(engine, room)
    found: list[OccupantFacts] = await ask(service.occupants(local))
    return [
        {
            "nick": one.nick,
            "jids": list(one.jids),
            "role": one.role,
            "affiliation": one.affiliation,
        }
        for one in sorted(found, key=lambda one: one.nick.casefold())
    ]


@registry.command("room affiliations", "List the affiliations of a room.", ROOM, permission="read", where="node")
async def room_affiliations(engine: Hosting, room: str) -> list[dict[str, Any]]:
    """Owners first, outcasts last."""
    service, local, _address = find(engine, room)
    found: list[RoomAffiliation] = await ask(service.affiliations(local))
    return [
        {"jid": one.jid, "affiliation": one.affiliation, "nick": one.nick, "reason": one.reason}
        for one in sorted(found, key=lambda one: (AFFILIATIONS.index(one.affiliation), one.jid))
    ]


@registry.command(
    "room of",
    "List the stored rooms of a person.",
    Argument("jid", "bare address"),
    permission="read",
    where="node",
)
async def room_of(engine: Hosting, jid: str) -> list[dict[str, Any]]:
    """Where somebody has an affiliation or a registered nickname."""
    person = bare_address(jid, "jid").bare
    found = await ask(engine.rooms_of(person))
    return [{"room": f"{one.local}@{one.service}", "affiliation": one.affiliation, "nick": one.nick} for one in found]


@registry.command(
    "room affiliate",
    "Change the affiliation of an address with a room.",
    ROOM,
    Argument("jid", "bare address, or a domain"),
    Argument("affiliation", f"one of {', '.join(AFFILIATIONS)}"),
    REASON,
    where="node",
)
async def room_affiliate(engine: Hosting, room: str, jid: str, affiliation: str, reason: str) -> dict[str, Any]:
    """Make somebody an owner, administrator, member, nothing, or keep them out."""
    service, local, address = find(engine, room)
    person = bare_address(jid, "jid").bare
    if affiliation not in AFFILIATIONS:
        raise CommandError(f"An affiliation is one of {', '.join(AFFILIATIONS)}.")
    await ask(service.affiliate(local, person, affiliation, reason))
    return {"room": address, "jid": person, "affiliation": affiliation}


@registry.command(
    "room kick", "Put somebody out of a room.", ROOM, Argument("nick", "nickname in the room"), REASON, where="node"
)
async def room_kick(engine: Hosting, room: str, nick: str, reason: str) -> dict[str, Any]:
    """Kick; the person may come back unless the room keeps them out."""
    return await _role(engine, room, nick, "none", reason)


@registry.command(
    "room role",
    "Change the role of somebody who is in a room.",
    ROOM,
    Argument("nick", "nickname in the room"),
    Argument("role", f"one of {', '.join(ROLES)}"),
    REASON,
    where="node",
)
async def room_role(engine: Hosting, room: str, nick: str, role: str, reason: str) -> dict[str, Any]:
    """Give or take voice, or moderation."""
    if role not in ROLES:
        raise CommandError(f"A role is one of {', '.join(ROLES)}.")
    return await _role(engine, room, nick, role, reason)


async def _role(engine: Hosting, room: str, nick: str, role: str, reason: str) -> dict[str, Any]:
    service, local, address = find(engine, room)
    if not await ask(service.set_role(local, nick, role, reason)):
        raise CommandError(f"Nobody in {address} has the nickname {nick!r}.")
    return {"room": address, "nick": nick, "role": role}


@registry.command(
    "room subject", "Change the subject of a room.", ROOM, Argument("subject", "the new subject"), where="node"
)
async def room_subject(engine: Hosting, room: str, subject: str) -> dict[str, Any]:
    """Everybody in the room sees it."""
    service, local, address = find(engine, room)
    await ask(service.set_subject(local, subject))
    return {"room": address, "subject": subject}


@registry.command("room clear-history", "Forget the messages of a room.", ROOM, where="node")
async def room_clear_history(engine: Hosting, room: str) -> dict[str, Any]:
    """History and archive."""
    service, local, address = find(engine, room)
    return {"room": address, "removed": await ask(service.clear_history(local))}


@registry.command("room approve", "Let a room out of quarantine.", ROOM, where="node")
async def room_approve(engine: Hosting, room: str) -> dict[str, Any]:
    """From now on it is as any other."""
    service, local, address = find(engine, room)
    if not await ask(service.approve(local)):
        raise CommandError(f"{address} does not wait for approval.")
    return {"room": address, "approved": True}


@registry.command(
    "room idle",
    "Report rooms in which nothing has happened for some days, and remove them if asked to.",
    Argument("days", "days without activity", option=True),
    Argument("service", "only rooms of this service", option=True, default=""),
    Argument("exclude", "addresses of rooms to keep, separated by spaces", option=True, default=""),
    Argument("only", "addresses of the only rooms to look at, separated by spaces", option=True, default=""),
    Argument("remove", "yes to destroy them; otherwise they are only listed", option=True, default="no"),
    Argument("reason", "what is told of their end", option=True, default="the room was not used"),
    where="node",
)
async def room_idle(
    engine: Hosting, days: str, service: str, exclude: str, only: str, remove: str, reason: str
) -> list[dict[str, Any]]:
    """Without `remove` nothing changes. A room that somebody entered meanwhile stays."""
    most = whole_number("days", days, MAX_DAYS)
    if most < 1:
        raise CommandError("days must be at least 1.")
    if remove not in ("yes", "no"):
        raise CommandError("remove is yes or no.")
    kept = {find(engine, room)[2] for room in exclude.split()}
    wanted = {find(engine, room)[2] for room in only.split()}
    before = engine.now() - most * 86_400
    chosen = {service: service_of(engine, service)} if service else engine.room_services()
    answer = []
    for domain, administration in sorted(chosen.items()):
        for facts in sorted(await ask(administration.idle(before)), key=lambda facts: facts.local):
            line = row(facts, domain)
            if line["room"] in kept or (wanted and line["room"] not in wanted):
                continue
            answer.append({"room": line["room"], "name": line["name"], "last_activity": line["last_activity"]})
            if remove == "yes":
                answer[-1]["removed"] = await ask(administration.remove_idle(facts.local, before, reason))
    return answer
