"""Rooms of multi-user chat: what outlives a restart. The contract, and the store in memory.

Only persistent rooms are stored; a temporary one lives as long as it has occupants. A room is loaded as a whole, as an
account is, and stays resident while somebody is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

Affiliation = Literal["owner", "admin", "member", "none", "outcast"]
Role = Literal["moderator", "participant", "visitor", "none"]

#: Bounds of what is stored, in bytes of UTF-8: a part of an address (RFC 7622), an address without resource, a
#: registered nickname, a reason, the subject, and the JSON of `config`, of `extras` and of `activity`.
MAX_PART_BYTES: Final = 1_023
MAX_JID_BYTES: Final = 2_047
MAX_NICK_BYTES: Final = 1_023
MAX_REASON_BYTES: Final = 4_096
MAX_SUBJECT_BYTES: Final = 65_536
MAX_CONFIG_BYTES: Final = 131_072
MAX_EXTRAS_BYTES: Final = 524_288
MAX_ACTIVITY_BYTES: Final = 4_096
#: Entries with the affiliation "none" and no nickname that a room keeps for XEP-0463; the oldest go first.
REMOVED_KEPT: Final = 1_000
#: Numbers that are reserved at a time.
MAX_RESERVED: Final = 1_000


@dataclass(slots=True)
class RoomAffiliation:
    """One entry of a room's lists (XEP-0045, 5.2). `jid` is bare, or a domain for whole domains. `nick` is the
    registered nickname, "" for none. `version` is the room's affiliation version (XEP-0463) at which it last changed.
    An entry whose affiliation is "none" stands for a registered nickname or a removed affiliation (kept for 0463)."""

    jid: str
    affiliation: Affiliation
    nick: str = ""
    reason: str = ""
    version: int = 0


@dataclass(slots=True)
class RoomRecord:
    """A stored room. `number` is its id in the database and in the archive, 0 until stored. `config` are the values of
    `muc.config.RoomConfig` that differ from the service's defaults. Times are seconds since the epoch. `extras` holds
    further small documents by name ("vcard": its XML, "hats": a list ...). `approved` is whether an operator has ended
    the room's quarantine, `activity` what XEP-0502 counts."""

    service: str
    local: str
    number: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    subject: str = ""
    subject_nick: str = ""
    subject_time: float = 0.0
    created: float = 0.0
    creator: str = ""
    last_activity: float = 0.0
    affiliation_version: int = 0
    affiliations: dict[str, RoomAffiliation] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    approved: bool = False
    activity: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class RoomSummary:
    """One line of a service's list of stored rooms. What the room does not set itself, where it follows the service's
    default, is None. `members` counts the affiliations other than "none" and "outcast"; `protected` is whether there
    is a password."""

    number: int
    local: str
    name: str
    description: str
    public: bool | None
    last_activity: float
    members: int
    creator: str = ""
    created: float = 0.0
    approved: bool = False
    lang: str | None = None
    members_only: bool | None = None
    protected: bool | None = None
    whois: str | None = None


@dataclass(frozen=True, slots=True)
class RoomTouch:
    """What changes in a room with every message; see RoomRecord."""

    number: int
    last_activity: float
    activity: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class PersonRoom:
    """A stored room in which somebody is affiliated or has a registered nickname."""

    number: int
    service: str
    local: str
    affiliation: Affiliation
    nick: str


class RoomStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer. Removing an account (`AccountStore.remove`,
    or any other way in which its row goes) does what `forget_person` does, at once with it.

    `save` and `put_affiliations` may be tried again with the same values, and raise ValueError for what is longer than
    the bounds above, without a change.
    """

    async def load(self, service: str, local: str) -> RoomRecord | None:
        """The whole room, None where there is none stored."""

    async def rooms(self, service: str) -> list[RoomSummary]:
        """All stored rooms of a service, in the order of their local parts."""

    async def reserve(self, count: int) -> list[int]:
        """Numbers for rooms that are to be stored, 1 to 1,000 of them; no room has one or will be given it otherwise.
        Those that are not used are lost."""

    async def save(self, record: RoomRecord, *, new: bool = False) -> int:
        """Insert or replace everything but the affiliations; returns the room's number, which never changes and is
        never given to another room. A record is known by its service and local part; when it carries a number that is
        not this room's (any more), ValueError: the room was destroyed meanwhile. A `new` room is stored under the
        reserved number that it carries; ValueError where another room has that, or this address another number."""

    async def put_affiliations(self, number: int, version: int, entries: list[RoomAffiliation]) -> None:
        """Insert or replace these entries and set the room's affiliation version, in one transaction; ValueError for
        an unknown room. A version lower than the stored one leaves that (a late repetition)."""

    async def touch(self, rows: Sequence[RoomTouch]) -> None:
        """Set the last activity of some rooms, and what is counted; unknown numbers are no error."""

    async def remove(self, number: int) -> None:
        """Forget the room with its affiliations; its archive stays unless somebody clears it. An unknown number is no
        error."""

    async def of_person(self, jid: str) -> list[PersonRoom]:
        """The stored rooms in which this bare JID is affiliated or has a registered nickname, by service and local
        part."""

    async def forget_person(self, jid: str) -> list[int]:
        """The account of this bare JID was removed: its affiliations and registered nicknames become "none", each at
        the room's next affiliation version, so that whoever gets the address later inherits nothing. A ban stays: it
        is the room's decision about the address. Returns the numbers of the changed rooms; those that are resident
        must be told as well."""


def check_record(record: RoomRecord) -> None:
    """Raise ValueError where a record is longer than the bounds, or has no place."""
    if not record.service or not record.local:
        raise ValueError("A room needs a service and a local part.")
    _check("service", record.service, MAX_PART_BYTES)
    _check("local part", record.local, MAX_PART_BYTES)
    _check("subject", record.subject, MAX_SUBJECT_BYTES)
    _check("nickname of the subject", record.subject_nick, MAX_NICK_BYTES)
    _check("creator", record.creator, MAX_JID_BYTES)
    _check("configuration", json.dumps(record.config), MAX_CONFIG_BYTES)
    _check("further data", json.dumps(record.extras), MAX_EXTRAS_BYTES)
    _check("activity", json.dumps(record.activity), MAX_ACTIVITY_BYTES)


def check_count(count: int) -> None:
    """Raise ValueError for a number of numbers that is not reserved at once."""
    if not 1 <= count <= MAX_RESERVED:
        raise ValueError(f"From 1 to {MAX_RESERVED} numbers are reserved at a time.")


def check_entry(entry: RoomAffiliation) -> None:
    """Raise ValueError where an entry of a room's lists is longer than the bounds."""
    if not entry.jid:
        raise ValueError("An affiliation needs an address.")
    _check("address", entry.jid, MAX_JID_BYTES)
    _check("nickname", entry.nick, MAX_NICK_BYTES)
    _check("reason", entry.reason, MAX_REASON_BYTES)


def _check(what: str, text: str, limit: int) -> None:
    if len(text) > limit or len(text.encode()) > limit:
        raise ValueError(f"The {what} of a room has at most {limit} bytes.")


def summary_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a summary that come from the stored configuration, by name."""
    return {
        "name": str(config.get("name", "")),
        "description": str(config.get("description", "")),
        "public": _truth(config.get("public")),
        "lang": _text(config.get("lang")),
        "members_only": _truth(config.get("members_only")),
        "protected": _truth(config.get("secret")),
        "whois": _text(config.get("whois")),
    }


def _truth(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


class MemoryRooms:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rooms: dict[int, RoomRecord] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._last = 0
        memory.on_removal.append(self._forget)

    async def load(self, service: str, local: str) -> RoomRecord | None:
        """See the protocol."""
        self._memory.check()
        number = self._numbers.get((service, local))
        return None if number is None else _copy(self._rooms[number])

    async def rooms(self, service: str) -> list[RoomSummary]:
        """See the protocol."""
        self._memory.check()
        found = [record for record in self._rooms.values() if record.service == service]
        return [_summary(record) for record in sorted(found, key=lambda record: record.local)]

    async def reserve(self, count: int) -> list[int]:
        """See the protocol."""
        self._memory.check()
        check_count(count)
        first, self._last = self._last + 1, self._last + count
        return list(range(first, self._last + 1))

    async def save(self, record: RoomRecord, *, new: bool = False) -> int:
        """See the protocol."""
        self._memory.check()
        check_record(record)
        key = (record.service, record.local)
        number = self._numbers.get(key, 0)
        if new and not number and record.number and record.number not in self._rooms:
            self._numbers[key] = record.number
        elif record.number and record.number != number:
            raise ValueError(f"Room {record.number} is not {record.local}@{record.service}.")
        entries: dict[str, RoomAffiliation] = {}
        version = 0
        if number:
            entries, version = self._rooms[number].affiliations, self._rooms[number].affiliation_version
        elif record.number:
            number = record.number
        else:
            self._last = number = self._last + 1
            self._numbers[key] = number
        self._rooms[number] = replace(
            record,
            number=number,
            # As a database would keep them: without what JSON cannot tell.
            config=json.loads(json.dumps(record.config)),
            extras=json.loads(json.dumps(record.extras)),
            activity=json.loads(json.dumps(record.activity)),
            affiliations=entries,
            affiliation_version=version,
        )
        return number

    async def put_affiliations(self, number: int, version: int, entries: list[RoomAffiliation]) -> None:
        """See the protocol."""
        self._memory.check()
        for entry in entries:
            check_entry(entry)
        record = self._rooms.get(number)
        if record is None:
            raise ValueError(f"There is no room {number}.")
        record.affiliation_version = max(record.affiliation_version, version)
        for entry in entries:
            record.affiliations[entry.jid] = replace(entry)
        removed = [entry for entry in record.affiliations.values() if entry.affiliation == "none" and not entry.nick]
        for entry in sorted(removed, key=lambda entry: entry.version)[: max(0, len(removed) - REMOVED_KEPT)]:
            del record.affiliations[entry.jid]

    async def touch(self, rows: Sequence[RoomTouch]) -> None:
        """See the protocol."""
        self._memory.check()
        for row in rows:
            record = self._rooms.get(row.number)
            if record is not None:
                record.last_activity, record.activity = row.last_activity, json.loads(json.dumps(row.activity))

    async def remove(self, number: int) -> None:
        """See the protocol."""
        self._memory.check()
        record = self._rooms.pop(number, None)
        if record is not None:
            del self._numbers[record.service, record.local]

    async def of_person(self, jid: str) -> list[PersonRoom]:
        """See the protocol."""
        self._memory.check()
        found = [
            PersonRoom(record.number, record.service, record.local, entry.affiliation, entry.nick)
            for record in self._rooms.values()
            if (entry := record.affiliations.get(jid)) is not None and (entry.affiliation != "none" or entry.nick)
        ]
        return sorted(found, key=lambda row: (row.service, row.local))

    async def forget_person(self, jid: str) -> list[int]:
        """See the protocol."""
        self._memory.check()
        return self._forget(jid)

    def _forget(self, jid: str) -> list[int]:
        changed: list[int] = []
        for number, record in self._rooms.items():
            entry = record.affiliations.get(jid)
            if entry is None or entry.affiliation == "outcast" or (entry.affiliation == "none" and not entry.nick):
                continue
            record.affiliation_version += 1
            record.affiliations[jid] = RoomAffiliation(jid, "none", version=record.affiliation_version)
            changed.append(number)
        return sorted(changed)


def _copy(record: RoomRecord) -> RoomRecord:
    return replace(
        record,
        config=deepcopy(record.config),
        extras=deepcopy(record.extras),
        activity=deepcopy(record.activity),
        affiliations={jid: replace(entry) for jid, entry in record.affiliations.items()},
    )


def _summary(record: RoomRecord) -> RoomSummary:
    return RoomSummary(
        number=record.number,
        local=record.local,
        last_activity=record.last_activity,
        members=sum(entry.affiliation not in ("none", "outcast") for entry in record.affiliations.values()),
        creator=record.creator,
        created=record.created,
        approved=record.approved,
        **summary_values(record.config),
    )
