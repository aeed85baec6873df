"""From filters and pages to SQL: what both the protocol (`store.py`) and the pages (`services.py`) read with.

Every query is about one account's archive. A page is a range of ids, walked from one end (keyset paging): page one
hundred costs what page one costs, and messages that arrive meanwhile move nothing. Each database has its own
statement, because what makes reading quick differs (`models.py`):

    SQLite      entries in the order of ids (or the FTS table), then the message of each
    PostgreSQL  two index ranges, sent and received, of one page each, merged (or the GIN index)

Full text carries a word for the owner in both, so that a reader with few messages does not walk through everybody's
hits. Callers make the index current first (`indexing.py`).
"""

from __future__ import annotations

from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import fulltext, ids, tokens
from archive.filters import Contact, Filter, Row, Sent, text_key
from archive.text import Term
from xmpp_engine.api import escape_attr

_FIELDS: Final = "m.id, m.sender, m.recipient, m.sender_account, m.recipient_account, m.kind, m.xml, m.room"
#: More rows than any archive has.
_ALL: Final = ids.MAX_ID
#: Rooms of one person, and messages that act on those of one page, that are looked at.
_ROOMS: Final = 1_000
_EVENTS: Final = 2_000
Statement = tuple[str, list[Any]]


def page(
    connection: BaseDatabaseWrapper, wanted: Filter, limit: int, *, backwards: bool = False
) -> tuple[list[Row], bool]:
    """At most `limit` messages, oldest first, and whether there are more of them beyond: after the page, or before it
    when walking `backwards` from the end."""
    order = "DESC" if backwards else "ASC"
    chosen, values = ids_of(connection.vendor, wanted, order, limit + 1)
    # CROSS JOIN keeps SQLite from turning the order of the tables round.
    statement = f"SELECT {_FIELDS} FROM ({chosen}) c CROSS JOIN archive_message m WHERE m.id = c.id"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} ORDER BY c.id {order}", values)
        rows = _rows(wanted.account, cursor.fetchall())
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    return rows, more


def count(connection: BaseDatabaseWrapper, wanted: Filter) -> int:
    """How many messages there are."""
    chosen, values = ids_of(connection.vendor, wanted, "ASC", _ALL)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({chosen}) c", values)  # noqa: S608
        return int(cursor.fetchone()[0])


def by_ids(connection: BaseDatabaseWrapper, account: int, wanted: list[int]) -> list[Row]:
    """Those of these messages that stand in the account's archive, oldest first."""
    marks = ", ".join(["%s"] * len(wanted))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_FIELDS} FROM archive_message m WHERE m.id IN ({marks}) ORDER BY m.id", wanted)  # noqa: S608
        return _rows(account, cursor.fetchall())


def has(connection: BaseDatabaseWrapper, account: int, id: int) -> bool:
    """Whether the message stands in the account's archive."""
    return bool(by_ids(connection, account, [id]))


def bounds(connection: BaseDatabaseWrapper, account: int) -> tuple[int, int] | None:
    """The first and the last id of the account's archive, None for an empty one."""
    found = []
    with connection.cursor() as cursor:
        for order in ("ASC", "DESC"):
            cursor.execute(*ids_of(connection.vendor, Filter(account), order, 1))
            found += cursor.fetchall()
    return (int(found[0][0]), int(found[1][0])) if len(found) == 2 else None


def contacts(connection: BaseDatabaseWrapper, account: int) -> list[Contact]:
    """Everybody with whom the account has messages, the newest conversation first."""
    if connection.vendor == "sqlite":
        walks = [_walk("archive_entry", "account", "peer")]
    else:
        walks = [
            _walk("archive_message", "sender_account", "recipient"),
            _walk("archive_message", "recipient_account", "sender"),
        ]
    newest: dict[str, int] = {}
    with connection.cursor() as cursor:
        for walk in walks:
            cursor.execute(walk, [account, account, account])
            for peer, last in cursor.fetchall():
                newest[peer] = max(last, newest.get(peer, 0))
    found = [Contact(peer, last) for peer, last in newest.items()]
    found.sort(key=lambda contact: contact.last, reverse=True)
    return found


def spoken_in(connection: BaseDatabaseWrapper, sender: str) -> list[int]:
    """The numbers of the rooms in which this bare address has said something, going from room to room in the index."""
    first = "SELECT min(room) FROM archive_message WHERE room IS NOT NULL AND sender = %s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE rooms (room) AS (SELECT * FROM ({first}) f"  # noqa: S608
            f" UNION ALL SELECT ({first} AND archive_message.room > rooms.room) FROM rooms"
            " WHERE rooms.room IS NOT NULL) SELECT room FROM rooms WHERE room IS NOT NULL LIMIT %s",
            [sender, sender, _ROOMS],
        )
        return [number for (number,) in cursor.fetchall()]


def newest_in(connection: BaseDatabaseWrapper, rooms: list[int]) -> dict[int, int]:
    """The id of the newest message of each of these rooms that has one."""
    if not rooms:
        return {}
    listed = ", ".join(["(%s)"] * len(rooms[:_ROOMS]))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT v.column1, (SELECT m.id FROM archive_message m WHERE m.room = v.column1 ORDER BY m.id DESC LIMIT 1)"  # noqa: S608
            f" FROM (VALUES {listed}) v",
            rooms[:_ROOMS],
        )
        return {number: newest for number, newest in cursor.fetchall() if newest is not None}


def of_rooms(connection: BaseDatabaseWrapper, wanted: dict[int, int]) -> dict[int, Row]:
    """By their ids, messages of several rooms; `wanted` says of which each must be."""
    if not wanted:
        return {}
    marks = ", ".join(["%s"] * len(wanted))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_FIELDS} FROM archive_message m WHERE m.id IN ({marks})", list(wanted))  # noqa: S608
        return {record[0]: row for record in cursor.fetchall() for row in _rows(-wanted[record[0]], [record])}


def events_on(connection: BaseDatabaseWrapper, owner: int, targets: list[int]) -> list[tuple[int, int, Row]]:
    """What acts on these messages: (kind, target, its row), oldest first."""
    if not targets:
        return []
    marks = ", ".join(["%s"] * len(targets))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT e.kind, e.target, {_FIELDS} FROM archive_event e JOIN archive_message m ON m.id = e.id"  # noqa: S608
            f" WHERE e.target > 0 AND e.target IN ({marks}) ORDER BY e.id DESC LIMIT %s",
            [*targets, _EVENTS],
        )
        found = [(kind, target, _rows(owner, [record])) for kind, target, *record in cursor.fetchall()]
    return [(kind, target, rows[0]) for kind, target, rows in reversed(found) if rows]


def targets_of(connection: BaseDatabaseWrapper, rows: list[int]) -> dict[int, tuple[int, int]]:
    """What these messages do, by their ids: (kind, target), the target 0 where there is none."""
    if not rows:
        return {}
    marks = ", ".join(["%s"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, kind, target FROM archive_event WHERE id IN ({marks})", rows)  # noqa: S608
        return {id: (kind, target or 0) for id, kind, target in cursor.fetchall()}


def acted_on(connection: BaseDatabaseWrapper, rows: list[int]) -> set[int]:
    """Those of these messages on which others act, in whichever archive."""
    if not rows:
        return set()
    marks = ", ".join(["%s"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT target FROM archive_event WHERE target > 0 AND target IN ({marks})", rows)  # noqa: S608
        return {int(target) for (target,) in cursor.fetchall()}


def sent_since(connection: BaseDatabaseWrapper, since: float, limit: int) -> dict[Sent, int]:
    """The newest `limit` messages since then, as their senders may send them again, with their ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sender, recipient, origin_id, search, id FROM archive_message WHERE id >= %s"
            " ORDER BY id DESC LIMIT %s",
            [ids.first_at(since), limit],
        )
        return {
            (sender, recipient, origin, text_key(search)): id
            for sender, recipient, origin, search, id in cursor.fetchall()
            if origin
        }


def ids_of(vendor: str, wanted: Filter, order: str, limit: int) -> Statement:
    """The statement for the ids of at most `limit` messages, from one end of the archive."""
    low = wanted.after if wanted.start is None else max(wanted.after, ids.first_at(wanted.start) - 1)
    high = wanted.before if wanted.end is None else min(wanted.before, ids.first_after(wanted.end))
    if wanted.account < 0 and not wanted.terms:
        return _room(vendor, wanted, low, high, order, limit)
    build = _sqlite if vendor == "sqlite" else _postgres
    return build(wanted, low, high, order, limit)


def _room(vendor: str, wanted: Filter, low: int, high: int, order: str, limit: int) -> Statement:
    """A room's messages, on both databases."""
    where = "room = %s AND id > %s AND id < %s"
    values: list[Any] = [-wanted.account, low, high]
    if wanted.peer:
        where += " AND sender = %s"
        values.append(wanted.peer)
    if wanted.full:
        head = (
            "instr(substr(xml, 1, instr(xml, '>')), %s)"
            if vendor == "sqlite"
            else "strpos(split_part(xml, '>', 1), %s)"
        )
        where += f" AND {head} > 0"
        values.append(_attribute("from", wanted.full))
    return f"SELECT id FROM archive_message WHERE {where} ORDER BY id {order} LIMIT %s", [*values, limit]  # noqa: S608


def _sqlite(wanted: Filter, low: int, high: int, order: str, limit: int) -> Statement:
    if wanted.terms:
        key = "archive_words.rowid"
        text = "SELECT archive_words.rowid AS id FROM archive_words"
        where = f"archive_words MATCH %s AND {key} > %s AND {key} < %s"
        values: list[Any] = [_fts5(wanted.account, wanted.terms), low, high]
        peer = "CASE WHEN m.sender_account = %s THEN m.recipient ELSE m.sender END = %s"
        peer_values = [wanted.account, wanted.peer]
    else:
        key = "e.id"
        text = "SELECT e.id FROM archive_entry e"
        where = "e.account = %s AND e.id > %s AND e.id < %s"
        values = [wanted.account, low, high]
        peer = "e.peer = %s"
        peer_values = [wanted.peer]
    if wanted.full or (wanted.peer and wanted.terms):
        text += " CROSS JOIN archive_message m"
        where += f" AND m.id = {key}"
    if wanted.peer:
        where += f" AND {peer}"
        values += peer_values
    if wanted.full:
        where += (
            " AND instr(substr(m.xml, 1, instr(m.xml, '>')), CASE WHEN m.sender_account = %s THEN %s ELSE %s END) > 0"
        )
        values += [wanted.account, _attribute("to", wanted.full), _attribute("from", wanted.full)]
    return f"{text} WHERE {where} ORDER BY {key} {order} LIMIT %s", [*values, limit]


def _postgres(wanted: Filter, low: int, high: int, order: str, limit: int) -> Statement:
    if wanted.terms:
        where = "words @@ %s::tsquery AND id > %s AND id < %s"
        values: list[Any] = [_tsquery(wanted.account, wanted.terms), low, high]
        for phrase in filter(None, map(fulltext.phrase, wanted.terms)):
            where += f" AND {fulltext.HOLDS}"
            values.append(phrase)
        if wanted.peer:
            where += " AND CASE WHEN sender_account = %s THEN recipient ELSE sender END = %s"
            values += [wanted.account, wanted.peer]
        if wanted.full:
            where += " AND strpos(split_part(xml, '>', 1), CASE WHEN sender_account = %s THEN %s ELSE %s END) > 0"
            values += [wanted.account, _attribute("to", wanted.full), _attribute("from", wanted.full)]
        # Materialised: the planner must not walk the primary key in the hope of an early hit.
        return (
            f"WITH hits AS MATERIALIZED (SELECT id FROM archive_message WHERE {where})"  # noqa: S608
            f" SELECT id FROM hits ORDER BY id {order} LIMIT %s"
        ), [*values, limit]
    halves = []
    values = []
    for own, other, side in (("sender_account", "recipient", "to"), ("recipient_account", "sender", "from")):
        where = f"{own} = %s AND id > %s AND id < %s"
        values += [wanted.account, low, high]
        if own == "recipient_account":
            # What somebody sent to himself stands in the first half already.
            where += " AND sender_account IS DISTINCT FROM recipient_account"
        if wanted.peer:
            where += f" AND {other} = %s"
            values.append(wanted.peer)
        if wanted.full:
            where += " AND strpos(split_part(xml, '>', 1), %s) > 0"
            values.append(_attribute(side, wanted.full))
        halves.append(f"(SELECT id FROM archive_message WHERE {where} ORDER BY id {order} LIMIT %s)")  # noqa: S608
        values.append(limit)
    return f"SELECT id FROM ({' UNION ALL '.join(halves)}) b ORDER BY id {order} LIMIT %s", [*values, limit]  # noqa: S608


def _attribute(name: str, address: str) -> str:
    """An address as it stands in a start tag, which alone is searched: our writer leaves no `>` or quote in a value."""
    return f" {name}='{escape_attr(address)}'"


def _walk(table: str, account: str, peer: str) -> str:
    """Peers and their last ids, going from one peer to the next in the index instead of reading all entries."""
    return (
        f"WITH RECURSIVE peers (peer) AS (SELECT * FROM (SELECT {peer} FROM {table} WHERE {account} = %s"  # noqa: S608
        f" ORDER BY {peer} LIMIT 1) first_peer"
        f" UNION ALL SELECT (SELECT t.{peer} FROM {table} t WHERE t.{account} = %s AND t.{peer} > peers.peer"
        f" ORDER BY t.{peer} LIMIT 1) FROM peers WHERE peers.peer IS NOT NULL)"
        f" SELECT peer, (SELECT t.id FROM {table} t WHERE t.{account} = %s AND t.{peer} = peers.peer"
        f" ORDER BY t.id DESC LIMIT 1) FROM peers WHERE peer IS NOT NULL"
    )


def _rows(account: int, records: list[tuple[Any, ...]]) -> list[Row]:
    """The records as rows of this account's archive; one that is not its own never passes, whatever the index said."""
    if account < 0:
        return [
            Row(id, sender, recipient, False, kind, xml, room)
            for id, sender, recipient, _sender_account, _recipient_account, kind, xml, room in records
            if room == -account
        ]
    return [
        Row(id, sender, recipient, sender_account == account, kind, xml)
        for id, sender, recipient, sender_account, recipient_account, kind, xml, _room in records
        if account in (sender_account, recipient_account)
    ]


def _fts5(account: int, terms: tuple[Term, ...]) -> str:
    parts = [fulltext.fts5_owner(tokens.owner(account)), *map(fulltext.fts5, terms)]
    return " AND ".join(f"({part})" for part in parts)


def _tsquery(account: int, terms: tuple[Term, ...]) -> str:
    return " & ".join([f"'{tokens.owner(account)}'", *map(fulltext.tsquery, terms)])
