"""RoomStore over the database.

A room is one row, its lists are rows of their own: a change of one affiliation among ten thousand writes two rows.
Writers of one room follow each other by the lock on the room's row, which each takes first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.stores.executor import StoreExecutor, fetch
from xmpp_engine.api import stored_rooms

REMOVED_KEPT = stored_rooms.REMOVED_KEPT
ROOM_FIELDS = (
    "config",
    "subject",
    "subject_nick",
    "subject_time",
    "created",
    "creator",
    "last_activity",
    "extras",
    "approved",
    "activity",
)
ENTRY_FIELDS = ("affiliation", "nick", "reason", "version")
#: Rows of one statement; SQLite takes at most 32,766 values.
ROWS_AT_ONCE = 500

LOAD = """
SELECT id, config, subject, subject_nick, subject_time, created, creator, last_activity, affiliation_version, extras,
  approved, activity
FROM rooms_room WHERE service = %s AND local = %s"""
ENTRIES = "SELECT jid, affiliation, nick, reason, version FROM rooms_roomaffiliation WHERE room_id = %s"
LIST = """
SELECT r.id, r.local, r.config, r.last_activity,
  (SELECT COUNT(*) FROM rooms_roomaffiliation a WHERE a.room_id = r.id AND a.affiliation NOT IN ('none', 'outcast')),
  r.creator, r.created, r.approved
FROM rooms_room r WHERE r.service = %s"""
OF_PERSON = """
SELECT r.id, r.service, r.local, a.affiliation, a.nick
FROM rooms_roomaffiliation a JOIN rooms_room r ON r.id = a.room_id
WHERE a.jid = %s AND (a.affiliation <> 'none' OR a.nick <> '')"""
TOUCH = "UPDATE rooms_room SET last_activity = %s, activity = %s WHERE id = %s"
RESERVE_POSTGRESQL = "SELECT nextval(pg_get_serial_sequence('rooms_room', 'id')) FROM generate_series(1, %s)"
RAISE_VERSION = """
UPDATE rooms_room SET affiliation_version =
  CASE WHEN affiliation_version < %s THEN %s ELSE affiliation_version END WHERE id = %s"""
NEXT_VERSION = "UPDATE rooms_room SET affiliation_version = affiliation_version + 1 WHERE id = %s"
FORGET = """
UPDATE rooms_roomaffiliation SET affiliation = 'none', nick = '', reason = '',
  version = (SELECT affiliation_version FROM rooms_room WHERE id = room_id) WHERE jid = %s AND room_id = %s"""


class DatabaseRooms:
    """Rooms; see `storage.rooms.RoomStore`."""

    def __init__(self, executor: StoreExecutor) -> None:
        self._executor = executor

    async def load(self, service: str, local: str) -> stored_rooms.RoomRecord | None:
        """See the protocol."""
        return await self._executor.read((service, local), _load, service, local)

    async def rooms(self, service: str) -> list[stored_rooms.RoomSummary]:
        """See the protocol."""
        return await self._executor.read((service, ""), _rooms, service)

    async def reserve(self, count: int) -> list[int]:
        """See the protocol."""
        stored_rooms.check_count(count)
        return await self._executor.write(("rooms", "numbers"), _reserve, count)

    async def save(self, record: stored_rooms.RoomRecord, *, new: bool = False) -> int:
        """See the protocol."""
        stored_rooms.check_record(record)
        return await self._executor.write((record.service, record.local), _save, record, new)

    async def put_affiliations(self, number: int, version: int, entries: list[stored_rooms.RoomAffiliation]) -> None:
        """See the protocol."""
        for entry in entries:
            stored_rooms.check_entry(entry)
        await self._executor.write(("room", number), _put_affiliations, number, version, entries)

    async def touch(self, rows: Sequence[stored_rooms.RoomTouch]) -> None:
        """See the protocol."""
        if rows:
            await self._executor.write(None, _touch, sorted(rows, key=lambda row: row.number))

    async def remove(self, number: int) -> None:
        """See the protocol."""
        await self._executor.write(("room", number), _remove, number)

    async def of_person(self, jid: str) -> list[stored_rooms.PersonRoom]:
        """See the protocol."""
        return await self._executor.read(jid, of_person, jid)

    async def forget_person(self, jid: str) -> list[int]:
        """See the protocol."""
        return await self._executor.write(jid, forget_person, jid)


def _load(database: Database, service: str, local: str) -> stored_rooms.RoomRecord | None:
    rows = fetch(database, LOAD, (service, local))
    if not rows:
        return None
    row = rows[0]
    entries = {entry[0]: stored_rooms.RoomAffiliation(*entry) for entry in fetch(database, ENTRIES, (row[0],))}
    # An entry may have been written between the two queries.
    version = max(row[8], max((entry.version for entry in entries.values()), default=0))
    return stored_rooms.RoomRecord(
        service=service,
        local=local,
        number=row[0],
        config=_document(row[1]),
        subject=row[2],
        subject_nick=row[3],
        subject_time=row[4],
        created=row[5],
        creator=row[6],
        last_activity=row[7],
        affiliation_version=version,
        affiliations=entries,
        extras=_document(row[9]),
        approved=bool(row[10]),
        activity=_document(row[11]),
    )


def _rooms(database: Database, service: str) -> list[stored_rooms.RoomSummary]:
    found = []
    for number, local, config, last_activity, members, creator, created, approved in fetch(database, LIST, (service,)):
        found.append(
            stored_rooms.RoomSummary(
                number=number,
                local=local,
                last_activity=last_activity,
                members=members,
                creator=creator,
                created=created,
                approved=bool(approved),
                **stored_rooms.summary_values(_document(config)),
            )
        )
    # Sorted here: databases have alphabets of their own.
    return sorted(found, key=lambda summary: summary.local)


def _reserve(database: Database, count: int) -> list[int]:
    """Move the sequence of the table on, which both databases keep apart from the rows."""
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute(RESERVE_POSTGRESQL, (count,))
            return sorted(number for (number,) in cursor.fetchall())
        cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = 'rooms_room'", (count,))
        if not cursor.rowcount:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('rooms_room', %s)", (count,))
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rooms_room'")
        last = int(cursor.fetchone()[0])
    return list(range(last - count + 1, last + 1))


def _save(database: Database, record: stored_rooms.RoomRecord, new: bool) -> int:
    values = {name: getattr(record, name) for name in ROOM_FIELDS}
    rooms = Room.objects.using(database.alias)
    if record.number:
        if rooms.filter(pk=record.number, service=record.service, local=record.local).update(**values):
            return record.number
        try:
            if new:
                with transaction.atomic(using=database.alias):
                    rooms.create(id=record.number, service=record.service, local=record.local, **values)
                return record.number
        except IntegrityError:
            pass
        raise ValueError(f"Room {record.number} is not {record.local}@{record.service}.")
    row = Room(service=record.service, local=record.local, **values)
    with transaction.atomic(using=database.alias):
        rooms.bulk_create([row], update_conflicts=True, update_fields=ROOM_FIELDS, unique_fields=("service", "local"))
    return int(row.pk)


def _put_affiliations(
    database: Database, number: int, version: int, entries: list[stored_rooms.RoomAffiliation]
) -> None:
    alias = database.alias
    # A statement may not meet the same row twice: of two entries for an address the later one stands.
    rows = {
        entry.jid: RoomAffiliation(
            room_id=number,
            jid=entry.jid,
            affiliation=entry.affiliation,
            nick=entry.nick,
            reason=entry.reason,
            version=entry.version,
        )
        for entry in entries
    }
    with transaction.atomic(using=alias):
        with database.cursor() as cursor:
            cursor.execute(RAISE_VERSION, (version, version, number))
            if not cursor.rowcount:
                raise ValueError(f"There is no room {number}.")
        stored = RoomAffiliation.objects.using(alias)
        stored.bulk_create(
            rows.values(),
            update_conflicts=True,
            update_fields=ENTRY_FIELDS,
            unique_fields=("room", "jid"),
            batch_size=ROWS_AT_ONCE,
        )
        if any(entry.affiliation == "none" and not entry.nick for entry in entries):
            removed = stored.filter(room_id=number, affiliation="none", nick="")
            surplus = list(removed.order_by("-version", "-id").values_list("id", flat=True)[REMOVED_KEPT:])
            for start in range(0, len(surplus), ROWS_AT_ONCE):
                stored.filter(id__in=surplus[start : start + ROWS_AT_ONCE]).delete()


def _touch(database: Database, rows: list[stored_rooms.RoomTouch]) -> None:
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        cursor.executemany(TOUCH, [(row.last_activity, json.dumps(row.activity), row.number) for row in rows])


def _remove(database: Database, number: int) -> None:
    Room.objects.using(database.alias).filter(pk=number).delete()


def of_person(database: Database, jid: str) -> list[stored_rooms.PersonRoom]:
    """See `storage.rooms.RoomStore.of_person`; for threads."""
    found = [stored_rooms.PersonRoom(*row) for row in fetch(database, OF_PERSON, (jid,))]
    return sorted(found, key=lambda row: (row.service, row.local))


def forget_person(database: Database, jid: str) -> list[int]:
    """See `storage.rooms.RoomStore.forget_person`; for threads. Joins a transaction that is open."""
    numbers = sorted(row.number for row in of_person(database, jid) if row.affiliation != "outcast")
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        for number in numbers:
            cursor.execute(
                "UPDATE rooms_room SET affiliation_version = affiliation_version + 1 WHERE id = %s", (number,)
            )
            cursor.execute(FORGET, (jid, number))
    return numbers


def _document(value: Any) -> dict[str, Any]:
    """A JSON column of a raw query: text on SQLite, and on PostgreSQL too where the driver does not read it."""
    return dict(json.loads(value) if isinstance(value, str | bytes) else value)
