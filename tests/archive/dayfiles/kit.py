"""An archive whose files are written to a folder of the test's own, with a clock that the test moves.

Rows are written as a node writes them (`mlink_web.stores.ledger`), files by the real writer. What the files should hold
is worked out here in the simplest way there is: from all rows of the database.
"""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from django.db import connections, transaction

from archive import ids, indexing, records
from archive.dayfiles import following, options
from archive.dayfiles.models import DayFile
from archive.records import Record
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter
from xmpp_engine.api import ArchiveRow, ArchiveShare, Batch, ns, parse_document, write

#: Noon of 2026-09-21, UTC.
NOON = 1_789_992_000.0
DAY = date(2026, 9, 21)
ROMEO, JULIET, FAR = "romeo@a.example", "juliet@a.example", "nurse@far.example"
ROOM = "hall@rooms.a.example"
ACCOUNTS = {ROMEO: 11, JULIET: 12}


class Archive:
    """One database, one folder, one clock."""

    def __init__(self, alias: str, root: Path, now: float = NOON) -> None:
        self.alias, self.root, self.now = alias, root, now
        self.connection = connections[alias]
        self._writer = SqliteWriter(alias) if self.connection.vendor == "sqlite" else PostgresWriter(alias)
        self._counter = itertools.count(1)
        self.told: list[tuple[str, date, dict[str, Any]]] = []

    def close(self) -> None:
        """Give the connection back."""
        self._writer.close()

    def switch(self, domain: str = "a.example", on: bool = True) -> None:
        """Have a domain's files written, or not."""
        options.set_domain(self.alias, domain, on, self.now)

    def id(self, seconds: float | None = None) -> int:
        """An id of now, or of another time."""
        return ids.first_at(self.now if seconds is None else seconds) + next(self._counter) % 1_000

    def row(self, sender: str, recipient: str, body: str, *, id: int = 0, **given: Any) -> ArchiveRow:
        """A row as the archive's module makes it."""
        number = id or self.id()
        room = 7 if recipient == ROOM else 0
        values: dict[str, Any] = {
            "sender_account": 0 if room else ACCOUNTS.get(sender, 0),
            "recipient_account": 0 if room else ACCOUNTS.get(recipient, 0),
            "origin": f"o{number:x}",
            "payload": "",
            "event": None,
            **given,
        }
        kind = "groupchat" if room else "chat"
        who = f"{ROOM}/{sender.partition('@')[0]}" if room else f"{sender}/r"
        element = parse_document(
            f"<message xmlns='{ns.CLIENT}' from='{who}' id='{values['origin']}' type='{kind}' to='{recipient}'>"
            f"<body/>{values['payload']}</message>".encode()
        )
        spoken = element.find(ns.CLIENT, "body")
        assert spoken is not None
        spoken.children = [body] if body else []
        return ArchiveRow(
            number,
            ids.time_of(number),
            sender,
            recipient,
            values["sender_account"],
            values["recipient_account"],
            kind,
            body,
            values["origin"],
            write(element, ns.CLIENT),
            room,
            values["event"],
        )

    def commit(self, *rows: ArchiveRow, shares: Iterable[ArchiveShare] = ()) -> list[int]:
        """Write rows as a node does; returns their ids."""
        self._writer.commit(Batch(archive=list(rows), shares=list(shares)))
        return [row.id for row in rows]

    def say(self, sender: str, recipient: str, body: str, **given: Any) -> int:
        """One message, and a second passes."""
        (number,) = self.commit(self.row(sender, recipient, body, **given))
        self.now += 1
        return number

    def bury(self, id: int, text: str = "gone") -> Record:
        """Replace what a message says, as a retraction does; returns its record."""
        with transaction.atomic(using=self.alias), self.connection.cursor() as cursor:
            cursor.execute(
                "UPDATE archive_message SET xml = %s WHERE id = %s",
                [f"<message type='chat'><retracted xmlns='urn:xmpp:message-retract:1' id='{text}'/></message>", id],
            )
        return self.record(id)

    def record(self, id: int) -> Record:
        """A message as the database has it."""
        (found,) = records.by_ids(self.connection, [id])
        return found

    def tend(self) -> None:
        """Let messages that act on others take effect."""
        indexing.catch_up(self.connection, words=True)

    def follow(self, *, later: float = 10.0, times: int = 50) -> None:
        """Let the writer do all that is to be done, some seconds later."""
        self.now += later
        for _ in range(times):
            if not following.run(self.alias, seconds=60.0, clock=lambda: self.now, tell=self._tell):
                return
        raise AssertionError("the writer does not come to an end")

    def next_day(self) -> None:
        """Go to noon of the next day."""
        self.now = (self.now // 86_400 + 1.5) * 86_400

    def _tell(self, domain: str, day: date, about: dict[str, Any]) -> None:
        self.told.append((domain, day, about))

    # What files hold

    def path(self, address: str, day: date = DAY, suffix: str = "") -> Path:
        """Where the file of an address is."""
        local, _, domain = address.partition("@")
        kind = "rooms" if address == ROOM else "users"
        return self.root / domain / f"{day:%Y/%m/%d}" / kind / f"{local}.xml{suffix}"

    def text(self, address: str, day: date = DAY) -> str:
        """What stands in a file, packed or not; "" where there is none."""
        path = self.path(address, day)
        if path.exists():
            return path.read_text()
        packed = self.path(address, day, ".gz")
        return gzip.decompress(packed.read_bytes()).decode() if packed.exists() else ""

    def held(self, address: str, day: date = DAY) -> list[str]:
        """The records of a file, as text, in the order in which they stand."""
        path = self.path(address, day)
        data = path.read_bytes() if path.exists() else gzip.decompress(self.path(address, day, ".gz").read_bytes())
        return [records.xml(record) for record in records.read(io.BytesIO(data), unfinished=True)]

    def expected(self, address: str, day: date = DAY) -> list[str]:
        """The records that it should hold: by the rows of the database."""
        calendar = options.read(self.alias).calendar
        found = []
        for record in records.between(self.connection, 0):
            mine = (
                (record.recipient == address)
                if record.room
                else (
                    (record.sender == address and record.sender_account)
                    or (record.recipient == address and record.recipient_account)
                )
            )
            if mine and calendar.day_of(record.id) == day:
                found.append(records.xml(record))
        return found

    def row_of(self, address: str, day: date = DAY) -> DayFile:
        """The row of a file."""
        return DayFile.objects.using(self.alias).get(address=address, day=day)
