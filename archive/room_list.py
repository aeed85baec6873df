"""Which rooms a person may read on the archive page: those of which he is a member, and those in which he has spoken
and which he may still enter. The rooms' own tables (`mlink_web.rooms`) say what he is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import query
from archive.access import may_read, sees_addresses
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.api import room_config

#: Rooms that one person is shown, those with the newest messages.
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Readable:
    """A room whose archive the person may read; `last` is the id of its newest message, `sees` whether he is shown
    real addresses."""

    number: int
    address: str
    name: str
    last: int
    sees: bool


def readable(connection: BaseDatabaseWrapper, account: Account) -> list[Readable]:
    """The rooms, the newest conversation first."""
    bare = str(account)
    domain = bare.rpartition("@")[2]
    own = RoomAffiliation.objects.using(connection.alias).filter(jid=bare)
    mine = own.filter(affiliation__in=("member", "admin", "owner"))
    numbers = set(mine.values_list("room_id", flat=True)) | set(query.spoken_in(connection, bare))
    newest = query.newest_in(connection, sorted(numbers))
    wanted = sorted(newest, key=lambda number: newest[number], reverse=True)
    defaults: dict[str, Any] = {}
    found = []
    rooms = _rooms(connection, wanted)
    entries = _entries(connection, rooms, bare)
    for room in rooms:
        if room.service not in defaults:
            defaults[room.service] = _defaults(connection, room.service)
        config = room_config.from_values(defaults[room.service], room.config)
        affiliation = entries.get((room.pk, bare)) or entries.get((room.pk, domain)) or "none"
        # Who is banned by a group is not known here: then it takes an entry of one's own.
        banned = affiliation == "none" and any(granted == "outcast" for _group, granted in config.groups)
        if not banned and may_read(config, affiliation):
            name = config.name or room.local
            found.append(Readable(room.pk, str(room), name, newest[room.pk], sees_addresses(config, affiliation)))
        if len(found) == MOST:
            break
    return found


def _rooms(connection: BaseDatabaseWrapper, numbers: list[int]) -> list[Room]:
    """These rooms, in this order; looked at beyond MOST only so far that some may be closed to the person."""
    looked_at = numbers[: 5 * MOST]
    known = Room.objects.using(connection.alias).in_bulk(looked_at)
    return [known[number] for number in looked_at if number in known]


def _entries(connection: BaseDatabaseWrapper, rooms: list[Room], bare: str) -> dict[tuple[int, str], str]:
    """By room and address, what the person's own entries say, and those of his domain, which count where there is none
    (XEP-0045, 5.2). Membership by group is not seen here: who is in a room by that only reads it in the room."""
    listed = RoomAffiliation.objects.using(connection.alias).filter(
        room__in=rooms, jid__in=(bare, bare.rpartition("@")[2])
    )
    found = listed.exclude(affiliation="none").values_list("room_id", "jid", "affiliation")
    return {(number, jid): affiliation for number, jid, affiliation in found}


def _defaults(connection: BaseDatabaseWrapper, service: str) -> Any:
    """What the service's options say of its rooms."""
    label, _, name = service.partition(".")
    domain = Domain.objects.using(connection.alias).filter(name=name).first()
    found: Any = domain.modules if domain is not None else {}
    for key in ("muc", "services", label, "defaults"):
        found = found.get(key) if isinstance(found, dict) else None
    return room_config.from_values(room_config.RoomConfig(), found if isinstance(found, dict) else {})
