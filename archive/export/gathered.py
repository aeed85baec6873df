"""What one export has collected: a small SQLite file among the job's scratch files.

Rows come in the order of ids and files want them by conversation, in as much memory as a page takes. And a worker may
be killed at any moment: how far collecting has got stands in the same transaction as the rows, so the file is always
what it says. Files are made of nothing else, so the same rows make the same files.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from archive import events
from archive.export.reading import Content
from archive.records import Record

#: Why a message is here: it was asked for; it acts on one that was (a correction, a reaction); a reply that was asked
#: for quotes it, or it acts on such a one. What is only quoted stands in no file as a message of its own.
ASKED: Final = 1
ACTING: Final = 2
QUOTED: Final = 3
#: Rows read at a time.
PAGE: Final = 500
_SCHEMA: Final = """
CREATE TABLE talk (number INTEGER PRIMARY KEY, key TEXT UNIQUE, room TEXT, title TEXT, people TEXT);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, talk INTEGER, role INTEGER, sender TEXT, recipient TEXT, sender_account INTEGER,
    recipient_account INTEGER, kind TEXT, origin_id TEXT, xml TEXT, room INTEGER, event INTEGER, target INTEGER,
    shown INTEGER, marking TEXT, files TEXT
);
CREATE INDEX message_talk ON message (talk, id, role);
CREATE INDEX message_target ON message (target) WHERE target > 0;
CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT);
"""
_ENTRY: Final = (
    "id, sender, recipient, sender_account, recipient_account, kind, origin_id, xml, room, talk, role, event, target,"
    " files"
)


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation: `room` is its address or "", `people` who is in it by address, with a name where one is known
    ("" for none)."""

    key: str
    room: str
    title: str
    people: dict[str, str] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """A file that a message offers, with what is known of it where it is one of ours: `size` is -1 where nobody says,
    `gone` why it cannot be fetched any more."""

    url: str
    name: str
    type: str = ""
    size: int = -1
    about: str = ""
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of the export as the archive has it, or as much of that as the export may show. `event` and `target`
    say what it does to which message, 0 for nothing."""

    record: Record
    talk: int
    role: int
    event: int
    target: int
    files: tuple[Shared, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is: messages that the files hold, those among them that people are shown, conversations, and the
    ends in time (seconds since the epoch, 0 where there is nothing)."""

    messages: int
    shown: int
    talks: int
    first: int
    last: int


class Gathered:
    """The file. Use it in one thread; closing it keeps it."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes a new one where there is none or it is of no use any more (OSError and
        sqlite3.OperationalError where it cannot be made)."""
        self.path = path
        self._db = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def progress(self, name: str) -> Any:
        """What was noted under this name, None for nothing."""
        found = self._db.execute("SELECT value FROM progress WHERE name = ?", [name]).fetchone()
        return json.loads(found[0]) if found else None

    def note(self, **values: Any) -> None:
        """Note how far the work is, in a transaction of its own."""
        with self._db:
            self._note(values)

    def talk(self, key: str) -> Talk | None:
        """The conversation of this key, None where there is none."""
        found = self._db.execute("SELECT key, room, title, people, number FROM talk WHERE key = ?", [key]).fetchone()
        return _talk(found) if found else None

    def talks(self) -> list[Talk]:
        """All conversations that have a message in the files, in their order."""
        rows = self._db.execute(
            "SELECT key, room, title, people, number FROM talk t"
            " WHERE EXISTS (SELECT 1 FROM message m WHERE m.talk = t.number AND m.role < ?) ORDER BY number",
            [QUOTED],
        )
        return [_talk(row) for row in rows]

    def add(self, entries: Iterable[tuple[Entry, Content]], **progress: Any) -> None:
        """Take in messages with what they say, and how far the work is with them, in one transaction. One that is here
        already keeps the stronger reason."""
        with self._db:
            self._db.executemany(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET role = min(role, excluded.role)",
                [_values(entry, content) for entry, content in entries],
            )
            self._note(progress)

    def number_of(self, talk: Talk) -> int:
        """The number of a conversation, which is made known where it is new."""
        known = self.talk(talk.key)
        if known is not None:
            return known.number
        with self._db:
            made = self._db.execute(
                "INSERT INTO talk (key, room, title, people) VALUES (?, ?, ?, ?)",
                [talk.key, talk.room, talk.title, json.dumps(talk.people)],
            )
        return int(made.lastrowid or 0)

    def span(self, number: int) -> tuple[int, int, int]:
        """Of a conversation, how many messages the files hold, and the ids of the first and the last."""
        found = self._db.execute(
            "SELECT count(*), min(id), max(id) FROM message WHERE talk = ? AND role < ?", [number, QUOTED]
        ).fetchone()
        return found[0], found[1] or 0, found[2] or 0

    def renew(self, id: int, xml: str, content: Content) -> None:
        """The archive has something else under this id by now: take that."""
        with self._db:
            self._db.execute(
                "UPDATE message SET xml = ?, shown = ?, marking = ?, files = '[]' WHERE id = ?",
                [xml, _shown(content), content.label.text if content.label else "", id],
            )

    def forget(self, ids: Iterable[int]) -> None:
        """Let go of messages that the archive has no longer, or that may not be shown any more."""
        with self._db:
            self._db.executemany("DELETE FROM message WHERE id = ?", [[id] for id in ids])

    def forget_talk(self, key: str) -> None:
        """Let go of a whole conversation."""
        with self._db:
            self._db.execute("DELETE FROM message WHERE talk = (SELECT number FROM talk WHERE key = ?)", [key])

    def counts(self) -> Counts:
        """What there is."""
        found = self._db.execute(
            "SELECT count(*), coalesce(sum(shown), 0), count(DISTINCT talk), coalesce(min(id), 0), coalesce(max(id), 0)"
            " FROM message WHERE role < ?",
            [QUOTED],
        ).fetchone()
        return Counts(*found)

    def size(self) -> int:
        """All rows, those that are only quoted too."""
        return int(self._db.execute("SELECT count(*) FROM message").fetchone()[0])

    def markings(self, limit: int) -> list[str]:
        """What labels say in the messages of the files, each once, at most so many."""
        rows = self._db.execute(
            "SELECT DISTINCT marking FROM message WHERE role < ? AND marking <> '' ORDER BY marking LIMIT ?",
            [QUOTED, limit],
        )
        return [text for (text,) in rows]

    def ids(self) -> Iterator[int]:
        """The ids of all messages of which a file has something, in order."""
        for (id,) in self._db.execute("SELECT id FROM message ORDER BY id"):
            yield id

    def rows(self, after: int = 0) -> Iterator[tuple[int, str]]:
        """The ids after this one with their stanzas, in order."""
        while page := self._db.execute(
            "SELECT id, xml FROM message WHERE id > ? ORDER BY id LIMIT ?", [after, PAGE]
        ).fetchall():
            yield from page
            after = page[-1][0]

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """The messages of the files in the order of ids, page by page."""
        while page := self._db.execute(
            f"SELECT {_ENTRY} FROM message WHERE id > ? AND role < ? ORDER BY id LIMIT ?",  # noqa: S608
            [after, QUOTED, PAGE],
        ).fetchall():
            yield from map(_entry, page)
            after = page[-1][0]

    def by_talk(self, skip: int, limit: int) -> Iterator[Entry]:
        """The messages of the files in the order of conversations, so many behind the first `skip`."""
        start = self._db.execute(
            "SELECT talk, id FROM message WHERE role < ? ORDER BY talk, id LIMIT 1 OFFSET ?", [QUOTED, skip]
        ).fetchone()
        if start is None:
            return
        talk, id = start[0], start[1] - 1
        while limit > 0:
            page = self._db.execute(
                f"SELECT {_ENTRY} FROM message WHERE (talk, id) > (?, ?) AND role < ? ORDER BY talk, id LIMIT ?",  # noqa: S608
                [talk, id, QUOTED, min(limit, PAGE)],
            ).fetchall()
            yield from map(_entry, page)
            if len(page) < min(limit, PAGE):
                return
            limit -= len(page)
            talk, id = page[-1][9], page[-1][0]

    def acting_on(self, ids: list[int], most: int) -> list[Entry]:
        """What changes these messages or reacts to them, oldest first; of each sort at most so many, the newest."""
        if not ids:
            return []
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(
            f"SELECT {_ENTRY} FROM (SELECT *, row_number() OVER (PARTITION BY target, event ORDER BY id DESC) AS place"  # noqa: S608
            f" FROM message WHERE target > 0 AND target IN ({marks}) AND event > ?) WHERE place <= ? ORDER BY id",
            [*ids, events.REPLY, most],
        )
        return [_entry(row) for row in rows]

    def of_ids(self, ids: list[int]) -> dict[int, Entry]:
        """Those of these messages that are here, whatever for."""
        if not ids:
            return {}
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(f"SELECT {_ENTRY} FROM message WHERE id IN ({marks})", ids)  # noqa: S608
        return {row[0]: _entry(row) for row in rows}

    def _note(self, values: dict[str, Any]) -> None:
        self._db.executemany(
            "INSERT INTO progress VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [[name, json.dumps(value)] for name, value in values.items()],
        )

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # The machine went down in the midst of a write: nothing is lost but work.
            self.path.unlink()
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'progress'").fetchone()[0] == 0:
                db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        except BaseException:
            db.close()
            raise
        return db


def _values(entry: Entry, content: Content) -> list[Any]:
    record = entry.record
    return [
        record.id,
        entry.talk,
        entry.role,
        record.sender,
        record.recipient,
        record.sender_account,
        record.recipient_account,
        record.kind,
        record.origin_id,
        record.xml,
        record.room,
        entry.event,
        entry.target,
        _shown(content),
        content.label.text if content.label else "",
        json.dumps([astuple(file) for file in entry.files]) if entry.files else "[]",
    ]


def _shown(content: Content) -> int:
    return int(not content.signal)


def _entry(row: tuple[Any, ...]) -> Entry:
    files = tuple(Shared(*each) for each in json.loads(row[13])) if row[13] != "[]" else ()
    return Entry(Record(*row[:9]), *row[9:13], files)


def _talk(row: tuple[Any, ...]) -> Talk:
    key, room, title, people, number = row
    return Talk(key, room, title, json.loads(people), number)
