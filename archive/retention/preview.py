"""What would go if these policies were in force: counted before they are.

The numbers are those that are kept by owner and day (`archive/tally.py`), so a preview of millions of messages reads
some thousand rows. They know nothing of labels: where a policy speaks of one, the messages that have a label are looked
for among the oldest, as far as the time goes, and the answer says so. Messages that a hold covers as a whole (their
owner's address, their domain, everything) are counted apart.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids, records, tally
from archive.retention import holds, policies
from archive.retention.expiry import DAY_SECONDS
from archive.retention.models import Horizon
from archive.retention.policies import Book
from mlink_web.accounts.models import Account
from mlink_web.rooms.models import Room

#: Seconds that counting may take, and looking for labels.
SECONDS: Final = 3.0
LABEL_SECONDS: Final = 2.0
#: Owners that are listed.
LISTED: Final = 50
_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose archive loses how many messages; `days` is how long they are kept in it."""

    address: str
    kind: str
    days: int
    messages: int


@dataclass(frozen=True, slots=True)
class Labelled:
    """Messages with labels that policies name: by label how many would go and how many would stay. Not `whole`: only
    the oldest were looked at."""

    going: dict[str, int] = field(default_factory=dict)
    staying: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Preview:
    """`months` are messages that would go by the month in which they were said (of archives: a message that stands in
    two counts in both). Not `whole`: there was no time to count all, there are more."""

    messages: int
    owners: int
    listed: list[Owner]
    months: dict[date, int]
    held: int
    whole: bool
    labelled: Labelled | None


def preview(
    connection: BaseDatabaseWrapper,
    book: Book,
    *,
    now: float | None = None,
    seconds: float = SECONDS,
    label_seconds: float = LABEL_SECONDS,
) -> Preview:
    """What would go at once. `now` is for tests."""
    now = time.time() if now is None else now
    until = time.monotonic() + seconds
    guard = holds.Guard.read(connection)
    names = _Names(connection)
    months: Counter[date] = Counter()
    going: list[Owner] = []
    held = 0
    whole = True
    after = -(1 << 62)
    days = book.days
    youngest = tally.day_of(ids.first_at(now - min(days) * DAY_SECONDS)) if days else 0
    while days:
        if time.monotonic() >= until:
            whole = False
            break
        owners = _owners(connection, after)
        if not owners:
            break
        after = owners[-1]
        for owner, address in names.of(owners).items():
            kind = policies.ROOM if owner < 0 else policies.CHAT
            rule = book.rule(address, kind)
            if rule is None or rule.days is None:
                continue
            limit = min(tally.day_of(ids.first_at(now - rule.days * DAY_SECONDS)), youngest)
            counts = _days(connection, owner, limit)
            number = counts.total()
            if not number:
                continue
            if guard.holds_archive(address):
                held += number
                continue
            going.append(Owner(address, kind, rule.days, number))
            for day, messages in counts.items():
                months[_month(day)] += messages
    going.sort(key=lambda one: (-one.messages, one.address))
    labelled = _labelled(connection, book, now, label_seconds) if book.labels else None
    return Preview(months.total(), len(going), going[:LISTED], dict(sorted(months.items())), held, whole, labelled)


def _owners(connection: BaseDatabaseWrapper, after: int) -> list[int]:
    """The next owners in the counts, going from one to the next in the index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE o (owner) AS (SELECT min(owner) FROM archive_tally WHERE owner > %s UNION ALL"
            " SELECT (SELECT min(t.owner) FROM archive_tally t WHERE t.owner > o.owner) FROM o"
            " WHERE o.owner IS NOT NULL) SELECT owner FROM o WHERE owner IS NOT NULL LIMIT %s",
            [after, _ROWS],
        )
        return [owner for (owner,) in cursor.fetchall()]


def _days(connection: BaseDatabaseWrapper, owner: int, before: int) -> Counter[int]:
    """Messages of an owner by day, of the days before this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, messages FROM archive_tally WHERE owner = %s AND peer = '' AND day < %s AND messages > 0",
            [owner, before],
        )
        return Counter(dict(cursor.fetchall()))


def _month(day: int) -> date:
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().replace(day=1)


class _Names:
    """Addresses of owners, of those too whose account or room is gone."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def of(self, owners: list[int]) -> dict[int, str]:
        """Those of these owners that are known, by number."""
        alias = self._connection.alias
        found: dict[int, str] = {}
        for start in range(0, len(owners), 500):
            part = owners[start : start + 500]
            people = Account.objects.using(alias).filter(pk__in=[owner for owner in part if owner > 0])
            found.update(people.values_list("pk", "username"))
            for pk, service, local in (
                Room.objects.using(alias)
                .filter(pk__in=[-owner for owner in part if owner < 0])
                .values_list("pk", "service", "local")
            ):
                found[-pk] = f"{local}@{service}"
        for owner in owners:
            if owner and owner not in found:
                address = self._said(owner)
                if address:
                    found[owner] = address
        return found

    def _said(self, owner: int) -> str:
        """The address in a message of an owner that is gone."""
        with self._connection.cursor() as cursor:
            for statement, value in _ADDRESS[self._connection.vendor] if owner > 0 else _ROOM_ADDRESS:
                cursor.execute(statement, [abs(owner)] * value)
                row = cursor.fetchone()
                if row is not None:
                    return str(row[0])
        return ""


_ROOM_ADDRESS: Final[tuple[tuple[str, int], ...]] = (
    ("SELECT recipient FROM archive_message WHERE room = %s LIMIT 1", 1),
)
_ADDRESS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "sqlite": (
        (
            "SELECT CASE WHEN m.sender_account = %s THEN m.sender ELSE m.recipient END FROM archive_entry e"
            " JOIN archive_message m ON m.id = e.id WHERE e.account = %s LIMIT 1",
            2,
        ),
    ),
    "postgresql": (
        ("SELECT sender FROM archive_message WHERE sender_account = %s LIMIT 1", 1),
        ("SELECT recipient FROM archive_message WHERE recipient_account = %s LIMIT 1", 1),
    ),
}


def _labelled(connection: BaseDatabaseWrapper, book: Book, now: float, seconds: float) -> Labelled:
    """Messages with labels, among the oldest."""
    until = time.monotonic() + seconds
    going: Counter[str] = Counter()
    staying: Counter[str] = Counter()
    looked_at = 0
    for record in records.between(connection, 0):
        looked_at += 1
        if looked_at % 200 == 0 and time.monotonic() >= until:
            return Labelled(dict(going), dict(staying), looked_at, False)
        label = policies.label_of(record.xml)
        if not label:
            continue
        for side in policies.sides(record):
            rule = book.rule(side.owner, side.kind, label)
            over = rule is not None and rule.days is not None and record.stamp < now - rule.days * DAY_SECONDS
            (going if over else staying)[label[:100]] += 1
    return Labelled(dict(going), dict(staying), looked_at, True)


def waiting(connection: BaseDatabaseWrapper, now: float | None = None) -> list[dict[str, Any]]:
    """For each number of days how many messages have come of age and are still to be looked at: `days`, `messages`
    (tally.Counted) and `reached` (seconds since the epoch, None before the first)."""
    now = time.time() if now is None else now
    book = Book.read(connection)
    version = policies.version(connection)
    reached = {
        horizon.days: horizon.reached if horizon.version == version else 0
        for horizon in Horizon.objects.using(connection.alias).all()
    }
    found = []
    for days in book.days:
        after = reached.get(days, 0)
        before = ids.first_at(now - days * DAY_SECONDS)
        counted = tally.everything(connection, after, before)
        found.append({"days": days, "messages": counted, "reached": ids.time_of(after) if after else None})
    return found
