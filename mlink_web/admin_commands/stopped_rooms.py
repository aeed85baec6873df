"""Rooms as the database has them, for commands and pages while the node does not run: nobody is in any of them.

The rows are those of `xmpp_engine.admin.rooms`. What a room's service sets as default is known to the node alone, so an
option that the room does not set itself is shown as None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.rooms import AFFILIATIONS, MAX_DAYS, MAX_PAGE, SORTS
from xmpp_engine.admin.values import stamp, whole_number

_COUNTED: Final = Count("affiliations", filter=~Q(affiliations__affiliation__in=("none", "outcast")))


def _found(service: str = "", search: str = "", sort: str = "room") -> list[dict[str, Any]]:
    if sort not in SORTS:
        raise CommandError(f"Rooms are sorted by one of {', '.join(SORTS)}.")
    rooms: QuerySet[Room] = Room.objects.annotate(affiliated=_COUNTED)
    if service:
        rooms = rooms.filter(service=service)
    wanted = search.casefold()
    rows = [row for room in rooms if wanted in f"{(row := _row(room))['room']}\n{row['name']}".casefold()]
    rows.sort(key=lambda row: str(row["room"]))
    if sort == "activity":
        rows.sort(key=lambda row: str(row["last_activity"]), reverse=True)
    return rows


def _row(room: Any) -> dict[str, Any]:
    return {
        "room": str(room),
        "name": str(room.config.get("name", "")),
        "occupants": 0,
        "affiliated": room.affiliated,
        "persistent": True,
        "public": room.config.get("public"),
        "waits": None,
        "last_activity": stamp(room.last_activity),
    }


def _find(address: str) -> Any:
    local, _, service = address.strip().rpartition("@")
    room = Room.objects.annotate(affiliated=_COUNTED).filter(service=service, local=local).first()
    if room is None:
        raise CommandError("There is no such stored room.")
    return room


def room_list(service: str, search: str, sort: str) -> list[dict[str, Any]]:
    """See `room list`."""
    return _found(service, search, sort)


def room_page(service: str, search: str, sort: str, start: str, limit: str) -> dict[str, Any]:
    """See `room page`."""
    first, most = whole_number("start", start, 10**9), whole_number("limit", limit, MAX_PAGE)
    rows = _found(service, search, sort)
    services = Room.objects.order_by("service").values_list("service", flat=True).distinct()
    return {"total": len(rows), "waiting": 0, "services": list(services), "rooms": rows[first : first + most]}


def room_show(room: str) -> dict[str, Any]:
    """See `room show`."""
    found = _find(room)
    return {
        **_row(found),
        "number": found.pk,
        "description": str(found.config.get("description", "")),
        "subject": found.subject,
        "subject_by": found.subject_nick,
        "subject_since": stamp(found.subject_time),
        "created": stamp(found.created),
        "creator": found.creator,
        "members_only": found.config.get("members_only"),
        "moderated": found.config.get("moderated"),
        "password": bool(found.config.get("secret")),
    }


def room_occupants(room: str) -> list[dict[str, Any]]:
    """See `room occupants`: nobody."""
    _find(room)
    return []


def room_affiliations(room: str) -> list[dict[str, Any]]:
    """See `room affiliations`."""
    entries = RoomAffiliation.objects.filter(room=_find(room)).exclude(affiliation="none", nick="")
    return [
        {"jid": one.jid, "affiliation": one.affiliation, "nick": one.nick, "reason": one.reason}
        for one in sorted(entries, key=lambda one: (AFFILIATIONS.index(one.affiliation), one.jid))
    ]


def room_of(jid: str) -> list[dict[str, Any]]:
    """See `room of`."""
    entries = RoomAffiliation.objects.select_related("room").filter(jid=jid.strip())
    rows = [
        {"room": str(entry.room), "affiliation": entry.affiliation, "nick": entry.nick}
        for entry in entries.exclude(affiliation="none", nick="")
    ]
    return sorted(rows, key=lambda row: str(row["room"]))


def room_idle(days: str, service: str, exclude: str, only: str, remove: str, reason: str) -> list[dict[str, Any]]:
    """See `room idle`; only the report."""
    if remove != "no":
        raise CommandError("Rooms are removed by a running node: start it first.")
    before = timezone.now().timestamp() - whole_number("days", days, MAX_DAYS) * 86_400
    kept, wanted = set(exclude.split()), set(only.split())
    idle = Room.objects.filter(last_activity__lt=before)
    rows = map(_idle_row, idle.filter(service=service) if service else idle)
    chosen = [row for row in rows if row["room"] not in kept and (not wanted or row["room"] in wanted)]
    return sorted(chosen, key=lambda row: str(row["room"]))


def _idle_row(room: Room) -> dict[str, Any]:
    return {
        "room": str(room),
        "name": str(room.config.get("name", "")),
        "last_activity": stamp(room.last_activity),
    }


ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {
    "room list": room_list,
    "room page": room_page,
    "room show": room_show,
    "room occupants": room_occupants,
    "room affiliations": room_affiliations,
    "room of": room_of,
    "room idle": room_idle,
}
