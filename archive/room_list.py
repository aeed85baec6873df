"""Which rooms a person may read on the archive page: those of which he is a member, by an entry of his own, by his
domain's or by a group, and those in which he has spoken and which he may still enter. The rooms' own tables
(`mlink_web.rooms`) say what he is there.

A room that was destroyed is not among them, though its archive remains: with the room went the rules of who may read
it, and a room that is made at the address later is another one. Officers still find what was said in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.cache import cache
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import query
from archive.access import may_read, sees_addresses
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.groups.models import GroupMember
from mlink_web.rooms.models import Room, RoomAffiliation
from xmpp_engine.api import affiliation_by_groups, room_config

#: Rooms that one person is shown, those with the newest messages.
MOST: Final = 100
#: Rooms with groups that are looked at, those with the latest activity, and for how many seconds their list is kept:
#: which of them somebody may read is always looked up anew.
_WITH_GROUPS: Final = 2_000
_KEPT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Readable:
    """A room whose archive the person may read; `last` is the id of its newest message, `sees` whether he is shown
    real addresses."""

    number: int
    address: str
    name: str
    last: int
    sees: bool


class OwnGroups:
    """The groups that one person is in, as the engine asks for them (see `xmpp_engine.api.Groups`)."""

    def __init__(self, connection: BaseDatabaseWrapper, bare: str) -> None:
        self._bare = bare
        members = GroupMember.objects.using(connection.alias).filter(jid__in=(bare, bare.rpartition("@")[2]))
        self.names = frozenset(members.values_list("group__name", flat=True))

    def contains(self, group: str, bare: str) -> bool:
        """Whether the person is in the group; False for anybody else."""
        return bare == self._bare and group.lower() in self.names


def readable(connection: BaseDatabaseWrapper, account: Account) -> list[Readable]:
    """The rooms, the newest conversation first."""
    bare = str(account)
    domain = bare.rpartition("@")[2]
    own = RoomAffiliation.objects.using(connection.alias).filter(jid=bare)
    mine = own.filter(affiliation__in=("member", "admin", "owner"))
    numbers = set(mine.values_list("room_id", flat=True)) | set(query.spoken_in(connection, bare))
    groups = OwnGroups(connection, bare)
    if groups.names:
        numbers |= {room for room, named in _with_groups(connection) if named & groups.names}
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
        if affiliation == "none":
            affiliation = affiliation_by_groups(groups, config.groups, bare)
        if may_read(config, affiliation):
            name = config.name or room.local
            found.append(Readable(room.pk, str(room), name, newest[room.pk], sees_addresses(config, affiliation)))
        if len(found) == MOST:
            break
    return found


def _with_groups(connection: BaseDatabaseWrapper) -> list[tuple[int, frozenset[str]]]:
    """Rooms whose configuration names groups, and which: to find them all configurations are gone through, so the list
    is kept for a while."""
    key = f"archive.rooms-with-groups.{connection.alias}"
    found: list[tuple[int, frozenset[str]]] | None = cache.get(key)
    if found is None:
        rooms = Room.objects.using(connection.alias).filter(config__has_key="groups").order_by("-last_activity")
        found = [
            (number, frozenset(str(entry[0]).lower() for entry in given if isinstance(entry, list) and entry))
            for number, given in rooms.values_list("pk", "config__groups")[:_WITH_GROUPS]
            if isinstance(given, list)
        ]
        cache.set(key, found, _KEPT_SECONDS)
    return found


def _rooms(connection: BaseDatabaseWrapper, numbers: list[int]) -> list[Room]:
    """These rooms, in this order; looked at beyond MOST only so far that some may be closed to the person."""
    looked_at = numbers[: 5 * MOST]
    known = Room.objects.using(connection.alias).only("service", "local", "config").in_bulk(looked_at)
    return [known[number] for number in looked_at if number in known]


def _entries(connection: BaseDatabaseWrapper, rooms: list[Room], bare: str) -> dict[tuple[int, str], str]:
    """By room and address, what the person's own entries say, and those of his domain, which count where there is none
    (XEP-0045, 5.2). Groups count where there is neither."""
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
