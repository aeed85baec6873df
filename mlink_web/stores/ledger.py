"""The ledger's store: archive rows, offline messages, stream marks and stanzas for other servers of one batch in one
transaction (LedgerStore).

It has one thread and one connection of its own, so that a batch never waits behind another query. CPU time decides
here: each archived message passes through. On SQLite rows are written by statements of up to 64 rows, because
Python's lock is handed over at each statement and compiling a longer one costs more than it saves; nothing but the
table itself is touched, entries and full text are left to `archive/indexing.py`. On PostgreSQL archive rows are copied
in; a batch with rows that are there already, and everything else, is one JSON text that the server takes apart.

Durability: SQLite runs in WAL mode with synchronous=FULL, PostgreSQL with its own defaults. A batch of which it is
unknown whether it was committed (the connection broke during COMMIT) is looked up by its transaction number before it
is written again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from django.db import DEFAULT_DB_ALIAS, IntegrityError, InterfaceError, OperationalError, connections
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive.lifecycle import UNLIST
from archive.tally import Late
from archive.text import for_postgres, index_text
from xmpp_engine.api import ArchiveRow, ArchiveShare, Batch, StoreUnavailable, StreamMark
from xmpp_engine.storage.outbox import OutboxRow

T = TypeVar("T")
log = logging.getLogger("mlink.ledger")

_CHUNKS: Final = (64, 16, 4, 1)
_LOCK_SECONDS: Final = 20.0
#: Characters of one row's full text on PostgreSQL.
_MOST_WORDS: Final = 250_000


class Writer(Protocol):
    """The blocking half, in the ledger's thread; every method raises StoreUnavailable when nothing was written."""

    def commit(self, batch: Batch) -> None: ...

    def fetch(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]: ...

    def close(self) -> None: ...


class Ledger:
    """LedgerStore over the project's database."""

    def __init__(self, database: str = DEFAULT_DB_ALIAS) -> None:
        """`database` is an alias of the settings; it is opened by the first call, in the ledger's thread."""
        sqlite = connections[database].vendor == "sqlite"
        self._writer: Writer = SqliteWriter(database) if sqlite else PostgresWriter(database)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    async def commit(self, batch: Batch) -> None:
        """See LedgerStore."""
        await self._call(self._writer.commit, batch)

    async def stream_mark(self, sm_id: str) -> tuple[int, int] | None:
        """See LedgerStore."""
        rows = await self._call(
            self._writer.fetch, "SELECT account_id, handled FROM stores_streammark WHERE sm_id = %s", [sm_id]
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def close(self) -> None:
        """Give the connection back; after this the store is not used any more."""
        await self._call(self._writer.close)
        self._thread.shutdown()

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _values(row: ArchiveRow, words: Callable[[str], str]) -> tuple[Any, ...]:
    """A row in the order of _COLUMNS; `words` makes the indexed text of a body."""
    body = row.body
    return (
        row.id,
        row.sender,
        row.recipient,
        row.sender_account or None,
        row.recipient_account or None,
        row.kind,
        words(body) if body else "",
        row.origin_id,
        row.xml,
    )


def _events(rows: Iterable[ArchiveRow]) -> list[tuple[int, int, str]]:
    """The rows that act on others, in the order of _EVENT."""
    return [(row.id, *row.event) for row in rows if row.event is not None]


_COLUMNS: Final = "id, sender, recipient, sender_account, recipient_account, kind, search, origin_id, xml"
#: Messages of rooms have one column more; the others are spared it.
_ROOM: Final = f"{_COLUMNS}, room"
_EVENT: Final = "id, kind, named"
_OFFLINE: Final = "account_id, stamp, xml, size, expires"
_OUTBOX: Final = "id, node, local, remote, xml, created, expires, size"
_MARK: Final = "sm_id, account_id, handled, updated"
_REPLACE_MARK: Final = (
    " ON CONFLICT (sm_id) DO UPDATE SET account_id = excluded.account_id, handled = excluded.handled,"
    " updated = excluded.updated"
)
#: A share takes the row out of the full text, where its owners stand, and has the row's range entered anew.
_UNLIST: Final = UNLIST.format(mark="?")


class SqliteWriter:
    """Writes with a connection of its own; Django's would add its layers to every row."""

    def __init__(self, database: str) -> None:
        self._path = str(connections[database].settings_dict["NAME"])
        self._connection: sqlite3.Connection | None = None

    def commit(self, batch: Batch) -> None:
        """See LedgerStore; any failure leaves nothing written."""
        rows = [_values(row, index_text) for row in batch.archive if not row.room]
        spoken = [(*_values(row, index_text), row.room) for row in batch.archive if row.room]
        events = _events(batch.archive)
        offline = [(row.account_id, row.stamp, row.xml, row.size, row.expires) for row in batch.offline]
        kept, ended = _marks(batch.marks.values())
        late = _late(batch)
        with self._Transaction(self) as execute:
            if late is not None:
                Late(execute, lambda text, values: execute(text, values).fetchall(), "?").add(*late)
            if rows:
                _insert(execute, f"INSERT OR IGNORE INTO archive_message ({_COLUMNS})", rows)
            if spoken:
                _insert(execute, f"INSERT OR IGNORE INTO archive_message ({_ROOM})", spoken)
            if events:
                _insert(execute, f"INSERT OR IGNORE INTO archive_event ({_EVENT})", events)
            if batch.archive:
                numbers = [row.id for row in batch.archive]
                _slice(execute, min(numbers), max(numbers), len(numbers))
            for share in batch.shares:
                execute(_UNLIST, (share.id,))
                execute(
                    "UPDATE archive_message SET recipient_account = ? WHERE id = ?", (share.recipient_account, share.id)
                )
                _slice(execute, share.id, share.id, 1)
            if offline:
                _insert(execute, f"INSERT INTO stores_offlinemessage ({_OFFLINE})", offline)
            if kept:
                _insert(execute, f"INSERT INTO stores_streammark ({_MARK})", kept, _REPLACE_MARK)
            for sm_id in ended:
                execute("DELETE FROM stores_streammark WHERE sm_id = ?", (sm_id,))
            if batch.outgoing:
                _insert(execute, f"INSERT OR IGNORE INTO outbox_waitingstanza ({_OUTBOX})", _waiting(batch.outgoing))
            for id in batch.sent:
                execute("DELETE FROM outbox_waitingstanza WHERE id = ?", (id,))

    def fetch(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            return self._open().execute(statement.replace("%s", "?"), values).fetchall()
        except sqlite3.Error as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            opened = sqlite3.connect(self._path, timeout=_LOCK_SECONDS, isolation_level=None, cached_statements=64)
            try:
                opened.execute("PRAGMA journal_mode=WAL")
                opened.execute("PRAGMA synchronous=FULL")
                # Pages that change with every batch are then copied into the file once for many of them.
                opened.execute("PRAGMA wal_autocheckpoint=4000")
            except BaseException:
                opened.close()
                raise
            self._connection = opened
        return self._connection

    def _lost(self, error: sqlite3.Error) -> Exception:
        """What a failure means to the caller: the connection is opened anew next time."""
        self.close()
        if isinstance(error, sqlite3.OperationalError):
            return StoreUnavailable(str(error))
        return error

    class _Transaction:
        """`with` gives the connection's `execute` inside BEGIN IMMEDIATE ... COMMIT."""

        def __init__(self, writer: SqliteWriter) -> None:
            self._writer = writer

        def __enter__(self) -> Callable[..., Any]:
            try:
                execute = self._writer._open().execute
                execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise self._writer._lost(error) from error
            return execute

        def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
            opened = self._writer._connection
            assert opened is not None
            if error is None:
                try:
                    opened.execute("COMMIT")
                except sqlite3.Error as failed:
                    # Closing rolls back: a COMMIT that fails has written nothing.
                    raise self._writer._lost(failed) from failed
            elif isinstance(error, sqlite3.Error):
                raise self._writer._lost(error) from error
            else:
                opened.execute("ROLLBACK")


def _insert(execute: Callable[..., Any], head: str, rows: list[tuple[Any, ...]], tail: str = "") -> None:
    """All rows, by as few statements as their fixed sizes allow: each size is compiled once and kept."""
    one = f"({', '.join('?' * len(rows[0]))})"
    start = 0
    for size in _CHUNKS:
        if len(rows) - start < size:
            continue
        statement = f"{head} VALUES {', '.join([one] * size)}{tail}"
        while len(rows) - start >= size:
            execute(statement, [value for row in rows[start : start + size] for value in row])
            start += size


def _slice(execute: Callable[..., Any], low: int, high: int, size: int) -> None:
    """List a range of ids whose rows are still to be entered."""
    execute("INSERT INTO archive_slice (low, high, size) VALUES (?, ?, ?)", (low, high, size))


def _late(batch: Batch) -> tuple[list[ArchiveRow], list[ArchiveShare]] | None:
    """What of a batch the numbers of messages may have passed already; almost never anything."""
    below = Late.below()
    rows = [row for row in batch.archive if row.id < below]
    shares = [share for share in batch.shares if share.id < below]
    return (rows, shares) if rows or shares else None


def _marks(marks: Iterable[StreamMark]) -> tuple[list[tuple[str, int, int, float]], list[str]]:
    """Marks to keep as rows, and ids of streams that have ended."""
    now = time.time()
    kept: list[tuple[str, int, int, float]] = []
    ended: list[str] = []
    for mark in marks:
        if mark.handled < 0:
            ended.append(mark.sm_id)
        else:
            kept.append((mark.sm_id, mark.account_id, mark.handled, now))
    return kept, ended


def _waiting(rows: Iterable[OutboxRow]) -> list[tuple[Any, ...]]:
    """Rows of the outbox in the order of _OUTBOX."""
    return [(row.id, row.node, row.local, row.remote, row.xml, row.created, row.expires, row.size) for row in rows]


def _from_json(table: str, columns: str, types: str, tail: str = "") -> str:
    """An INSERT that takes its rows from one JSON array of arrays: `types` are those of the columns."""
    fields = ", ".join(f"(value->>{number})::{type}" for number, type in enumerate(types.split()))
    return f"INSERT INTO {table} ({columns}) SELECT {fields} FROM json_array_elements(%s::json){tail}"  # noqa: S608


_PG_ARCHIVE: Final = _from_json(
    "archive_message", _ROOM, "int8 text text int8 int8 text text text text int8", " ON CONFLICT (id) DO NOTHING"
)
_PG_COPY: Final = f"COPY archive_message ({_ROOM}) FROM STDIN"
#: Rows from which copying is worth its two more turns.
_COPIED: Final = 8
_PG_EVENTS: Final = _from_json("archive_event", _EVENT, "int8 int2 text", " ON CONFLICT (id) DO NOTHING")
_PG_OFFLINE: Final = _from_json("stores_offlinemessage", _OFFLINE, "int8 float8 text int4 float8")
_PG_MARKS: Final = _from_json("stores_streammark", _MARK, "text int8 int8 float8", _REPLACE_MARK)
_PG_OUTBOX: Final = _from_json(
    "outbox_waitingstanza", _OUTBOX, "text text text text text float8 float8 int4", " ON CONFLICT (id) DO NOTHING"
)
_PG_SHARES: Final = (
    "UPDATE archive_message SET recipient_account = (value->>1)::int8 FROM json_array_elements(%s::json)"
    " WHERE id = (value->>0)::int8"
)


def _words(body: str) -> str:
    """The indexed text of a body. PostgreSQL's full text takes a mebibyte for one row, and would refuse the row with
    more: a domain may allow stanzas of which the end is not searched for then."""
    words = for_postgres(index_text(body))
    return words if len(words) <= _MOST_WORDS else words[:_MOST_WORDS].rpartition(" ")[0]


class PostgresWriter:
    """Writes with the Django connection of the ledger's thread."""

    def __init__(self, database: str) -> None:
        self._database = database
        #: Number of a transaction of which it is not known whether it was committed, and its batch.
        self._doubtful: tuple[int, Batch] | None = None

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._database]

    def commit(self, batch: Batch) -> None:
        """See LedgerStore."""
        doubtful, self._doubtful = self._doubtful, None
        connection = self._connection
        number = 0
        try:
            if doubtful is not None and doubtful[1] is batch and self._was_committed(doubtful[0]):
                return
            connection.set_autocommit(False)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_xact_id()::text::int8")
                number = cursor.fetchone()[0]
                self._write(cursor, batch)
            connection.commit()
            connection.set_autocommit(True)
        except (OperationalError, InterfaceError) as error:
            if number:
                self._doubtful = (number, batch)
            elif doubtful is not None:
                self._doubtful = doubtful
            connection.close()
            raise StoreUnavailable(str(error)) from error
        except BaseException:
            connection.close()
            raise

    def fetch(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        except DatabaseError as error:
            self._connection.close()
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Close this thread's connection."""
        self._connection.close()

    def _write(self, cursor: CursorWrapper, batch: Batch) -> None:
        execute = cursor.execute
        late = _late(batch)
        if late is not None:
            Late(execute, self.fetch, "%s").add(*late)
        if batch.archive:
            rows = [(*_values(row, _words), row.room or None) for row in batch.archive]
            if len(rows) < _COPIED or not self._copied(cursor, rows):
                execute(_PG_ARCHIVE, [_json(rows)])
            events = _events(batch.archive)
            if events:
                execute(_PG_EVENTS, [_json(events)])
        if batch.shares:
            execute(_PG_SHARES, [_json([(share.id, share.recipient_account) for share in batch.shares])])
        if batch.offline:
            rows = [(row.account_id, row.stamp, row.xml, row.size, row.expires) for row in batch.offline]
            execute(_PG_OFFLINE, [_json(rows)])
        kept, ended = _marks(batch.marks.values())
        if kept:
            # In one order everywhere: two nodes that write the same marks must not wait for each other in a circle.
            execute(_PG_MARKS, [_json(sorted(kept))])
        if ended:
            execute("DELETE FROM stores_streammark WHERE sm_id = ANY(%s)", [ended])
        if batch.outgoing:
            execute(_PG_OUTBOX, [_json(_waiting(batch.outgoing))])
        if batch.sent:
            execute("DELETE FROM outbox_waitingstanza WHERE id = ANY(%s)", [batch.sent])

    def _copied(self, cursor: CursorWrapper, rows: list[tuple[Any, ...]]) -> bool:
        """Copy archive rows in, which takes the server half the time; False, and nothing is done, where one of them is
        there already."""
        cursor.execute("SAVEPOINT copying")
        try:
            with self._connection.wrap_database_errors, cursor.copy(_PG_COPY) as copy:
                for row in rows:
                    copy.write_row(row)
        except IntegrityError:
            cursor.execute("ROLLBACK TO SAVEPOINT copying")
            return False
        return True

    def _was_committed(self, number: int) -> bool:
        """Whether the server committed a transaction before the connection broke."""
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_xact_status(%s::text::xid8)", [str(number)])
            status = cursor.fetchone()[0]
        if status == "in progress":
            raise OperationalError("the server still works on the lost transaction")
        return bool(status == "committed")


_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
