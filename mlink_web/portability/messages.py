"""Takes archived messages (`<result/>` of XEP-0313) into an account's archive, some hundreds in a transaction, by the
writer that the ledger has: entries, full text, events and counts come right by themselves.

An id that this kind of server gave (it tells the time that stands beside it) is kept; any other message is placed by
its time (`placing.py`). What is there stays as it is.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from django.db import connections

from archive import ids, records, sides
from archive.records import Record
from archive.weigh import weigh
from mlink_web.portability import names
from mlink_web.portability.addressing import readdress
from mlink_web.portability.mapping import Addresses
from mlink_web.portability.placing import Arrival, Placer, digest_of
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter, Writer
from xmpp_engine.api import ArchiveRow, Batch, Element, Jid, Stanza, build, ns, write

#: Messages of one transaction, and characters of them.
BATCH: Final = 500
BATCH_CHARACTERS: Final = 4_000_000
_KINDS: Final = frozenset({"chat", "normal", "groupchat", "headline", "error"})
#: Seconds by which an id and the time beside it may differ and still belong together.
_NEAR: Final = 0.05
_AHEAD: Final = 86_400.0


class NoMessage(ValueError):
    """It is not taken; the text is a sentence."""


@dataclass(slots=True)
class Counts:
    """What became of messages: new ones, sides of messages that are there, those that stand there already, and those
    left out by reason."""

    added: int = 0
    joined: int = 0
    same: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def writer(alias: str) -> Writer:
    """What writes rows of the archive into a database."""
    return SqliteWriter(alias) if connections[alias].vendor == "sqlite" else PostgresWriter(alias)


class Messages:
    """Takes the messages of one account after the other; `begin`, `take` for each, `flush` at its end. `dry` only
    counts."""

    def __init__(self, alias: str, addresses: Addresses, *, dry: bool) -> None:
        self._alias = alias
        self._addresses = addresses
        self._dry = dry
        self._writer = writer(alias)
        self._waiting: list[Arrival] = []
        self._size = 0
        self._bare = ""
        self._account = 0
        self._placer = Placer("")
        self.counts = Counts()

    def close(self) -> None:
        """Let go of the database."""
        self._writer.close()

    def begin(self, bare: str, account: int) -> None:
        """The messages of this account follow; `account` is its number, 0 where it is only counted."""
        self._waiting, self._size = [], 0
        self._bare, self._account = bare, account
        self._placer = Placer(bare)
        self.counts = Counts()

    def take(self, result: Element) -> None:
        """Take one; what does not fit is counted with its reason. Raises StoreUnavailable."""
        try:
            arrival = self._read(result)
        except NoMessage as error:
            self.counts.left_out[str(error)] += 1
            return
        self._waiting.append(arrival)
        self._size += len(arrival.xml)
        if len(self._waiting) >= BATCH or self._size >= BATCH_CHARACTERS:
            self.flush()

    def _read(self, result: Element) -> Arrival:
        if (result.ns, result.name) == (names.MLINK, "damaged"):
            raise NoMessage("It was damaged where it comes from.")
        if result.name != "result" or not result.ns.startswith("urn:xmpp:mam:"):
            raise NoMessage("It is not in the form of XEP-0313.")
        forwarded = result.find(ns.FORWARD, "forwarded")
        message = forwarded.find(ns.CLIENT, "message") if forwarded is not None else None
        delay = forwarded.find(ns.DELAY, "delay") if forwarded is not None else None
        if message is None or delay is None:
            raise NoMessage("It has no message, or no time.")
        try:
            stamp = build.parse_timestamp(delay.get("stamp") or "")
        except (ValueError, OverflowError):
            raise NoMessage("Its time is none.") from None
        if not 0.0 < stamp < time.time() + _AHEAD:
            raise NoMessage("Its time is before 1970 or in the future.")
        if not readdress(message, self._addresses, to=self._bare, sender=self._bare):
            raise NoMessage("It has an address that is none.")
        sender, recipient = (message.attrs[name].partition("/")[0] for name in ("from", "to"))
        if self._bare not in (sender, recipient):
            raise NoMessage("It is neither from nor to the account.")
        made = Arrival(
            stamp, sender, recipient, message, write(message, ns.CLIENT), digest_of(message, sender, recipient)
        )
        known = ids.from_text(result.get("id") or "")
        if known is not None and abs(ids.time_of(known) - stamp) < _NEAR:
            made.id = known
        return made

    def flush(self) -> None:
        """Write what waits. Raises StoreUnavailable."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if not waiting:
            return
        connection = connections[self._alias]
        self._know(waiting)
        self._placer.place(connection, [one for one in waiting if not one.id])
        rows: dict[int, ArchiveRow] = {}
        joined: list[sides.Side] = []
        for one in waiting:
            if not one.id:
                self.counts.left_out["There are too many messages of one moment."] += 1
            elif one.found is None and one.id not in rows:
                rows[one.id] = self._row(one)
            elif one.found is None or not self._joins(one.found, one, joined):
                self.counts.same += 1
        self.counts.added += len(rows)
        if self._dry:
            return
        if rows:
            self._writer.commit(Batch(archive=list(rows.values())))
        sides.enter(connection, joined)

    def _know(self, waiting: list[Arrival]) -> None:
        """Look for those that have an id. Where another message has it, the one that comes is placed by its time."""
        present = {
            row.id: row for row in records.by_ids(connections[self._alias], {one.id for one in waiting if one.id})
        }
        for one in waiting:
            found = present.get(one.id)
            if found is not None:
                if (found.sender, found.recipient) == (one.sender, one.recipient) and not found.room:
                    one.found = found
                else:
                    one.id, one.stamp = 0, ids.time_of(one.id)

    def _joins(self, found: Record, one: Arrival, joined: list[sides.Side]) -> bool:
        """Count an account that is entered into a row in which it does not stand yet."""
        sent = one.sender == self._bare
        if found.sender_account if sent else found.recipient_account:
            return False
        self.counts.joined += 1
        if self._account:
            joined.append(sides.Side(found, self._account, sent))
        return True

    def _row(self, one: Arrival) -> ArchiveRow:
        element = one.element
        kind = element.get("type") or "normal"
        kind = kind if kind in _KINDS else "normal"
        stanza = Stanza(element, Jid.parse(element.attrs["to"]), Jid.parse(element.attrs["from"]), kind)
        body, origin, event = weigh(stanza) or ("", stanza.id or "", None)
        return ArchiveRow(
            one.id,
            ids.time_of(one.id),
            one.sender,
            one.recipient,
            self._account if one.sender == self._bare else 0,
            self._account if one.recipient == self._bare else 0,
            kind,
            body,
            origin,
            one.xml,
            0,
            event,
        )
