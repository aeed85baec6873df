"""Takes archived messages (`<result/>` of XEP-0313) into an account's archive, some hundreds in a transaction, by the
writer that the ledger has: entries, full text, events and counts come right by themselves.

Ids. One that this kind of server gave (it tells the time that stands beside it) is kept. Any other becomes one made of
the time and a digest of the message, so whoever imports the same once more finds it there, and the two sides of a
conversation that both come in one import are one row. Equal messages of one moment are told apart by their number.

A message that is there stays as it is: one that was retracted or redacted does not come back. Where another message
has the id, the next one is taken, the same each time.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connections

from archive import events, ids, records, sides
from archive.document import element_of
from archive.records import Record
from archive.weigh import weigh
from mlink_web.portability import names
from mlink_web.portability.intake import readdress
from mlink_web.portability.mapping import Addresses
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter, Writer
from xmpp_engine.api import ArchiveRow, Batch, Element, Jid, Stanza, StreamError, build, ns, write

#: Messages of one transaction, and characters of them.
BATCH: Final = 500
BATCH_CHARACTERS: Final = 4_000_000
_KINDS: Final = frozenset({"chat", "normal", "groupchat", "headline", "error"})
#: Seconds by which an id and the time beside it may differ and still belong together.
_NEAR: Final = 0.05
_AHEAD: Final = 86_400.0
#: How often the next id is tried where another message has one.
_TRIES: Final = 64
#: The part of an id that does not tell the time.
_REST: Final = ids.first_at(0.001) - 1


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


@dataclass(slots=True)
class _Waiting:
    """A message that waits for its batch."""

    id: int
    kept: bool
    sender: str
    recipient: str
    element: Element
    xml: str
    digest: bytes


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
        self._waiting: list[_Waiting] = []
        self._size = 0
        self._moment = 0.0
        self._equal: Counter[bytes] = Counter()
        self._bare = ""
        self._account = 0
        self.counts = Counts()

    def close(self) -> None:
        """Let go of the database."""
        self._writer.close()

    def begin(self, bare: str, account: int) -> None:
        """The messages of this account follow; `account` is its number, 0 where it is only counted."""
        self.flush()
        self._bare, self._account = bare, account
        self._moment = 0.0
        self.counts = Counts()

    def take(self, result: Element) -> None:
        """Take one; what does not fit is counted with its reason."""
        try:
            waiting = self._read(result)
        except NoMessage as error:
            self.counts.left_out[str(error)] += 1
            return
        self._waiting.append(waiting)
        self._size += len(waiting.xml)
        if len(self._waiting) >= BATCH or self._size >= BATCH_CHARACTERS:
            self.flush()

    def _read(self, result: Element) -> _Waiting:
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
        digest = digest_of(message, sender, recipient)
        xml = write(message, ns.CLIENT)
        known = ids.from_text(result.get("id") or "")
        if known is not None and abs(ids.time_of(known) - stamp) < _NEAR:
            return _Waiting(known, True, sender, recipient, message, xml, digest)
        if stamp != self._moment:
            self._moment = stamp
            self._equal.clear()
        number = self._equal[digest]
        self._equal[digest] += 1
        return _Waiting(_made(stamp, digest, number), False, sender, recipient, message, xml, digest)

    def flush(self) -> None:
        """Write what waits. Raises StoreUnavailable."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            self._store(waiting)

    def _store(self, waiting: list[_Waiting]) -> None:
        connection = connections[self._alias]
        rows: dict[int, tuple[ArchiveRow, bytes]] = {}
        joined: list[sides.Side] = []
        for _ in range(_TRIES):
            present = {row.id: row for row in records.by_ids(connection, {one.id for one in waiting})}
            again: list[_Waiting] = []
            for one in waiting:
                found, mine = present.get(one.id), rows.get(one.id)
                if found is not None:
                    if not self._is(found, one):
                        again.append(self._next(one))
                    elif self._joins(found, one, joined):
                        self.counts.joined += 1
                    else:
                        self.counts.same += 1
                elif mine is not None:
                    if mine[1] == one.digest:
                        self.counts.same += 1
                    else:
                        again.append(self._next(one))
                else:
                    rows[one.id] = self._row(one), one.digest
            waiting = again
            if not waiting:
                break
        if waiting:
            self.counts.left_out["There is no room left for it in its moment."] += len(waiting)
        self.counts.added += len(rows)
        if self._dry:
            return
        if rows:
            self._writer.commit(Batch(archive=[row for row, _digest in rows.values()]))
        sides.enter(connection, joined)

    def _next(self, one: _Waiting) -> _Waiting:
        """The same message under the next id: where its own was given to another one."""
        if one.kept:
            # From here on it goes like one of another server.
            return _Waiting(_made(ids.time_of(one.id), one.digest, 0), False, *_rest(one))
        rest = one.id & _REST
        return _Waiting(one.id - rest + ((rest + 1) & _REST), False, *_rest(one))

    def _is(self, found: Record, one: _Waiting) -> bool:
        """Whether a row that is there is this message, in whatever state it is by now."""
        if (found.sender, found.recipient) != (one.sender, one.recipient) or found.room:
            return False
        if one.kept or events.is_tombstone(found.xml):
            return True
        try:
            return digest_of(element_of(found.xml), found.sender, found.recipient) == one.digest
        except StreamError:
            return False

    def _joins(self, found: Record, one: _Waiting, joined: list[sides.Side]) -> bool:
        """Note that this account is entered into a row in which it does not stand yet."""
        sent = one.sender == self._bare
        mine = found.sender_account if sent else found.recipient_account
        if mine:
            return False
        if self._account:
            joined.append(sides.Side(found, self._account, sent))
        return True

    def _row(self, one: _Waiting) -> ArchiveRow:
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


def digest_of(message: Element, sender: str, recipient: str) -> bytes:
    """What is equal for the copies of a message in two archives: who wrote what to whom, without what servers add."""
    plain = Element("", "message", {name: message.attrs[name] for name in ("id", "type") if name in message.attrs})
    added = ((ns.STANZA_ID, "stanza-id"), (ns.DELAY, "delay"))
    plain.children = [
        child for child in message.children if isinstance(child, Element) and (child.ns, child.name) not in added
    ]
    text = f"{sender}\n{recipient}\n{write(plain)}"
    return hashlib.sha256(text.encode()).digest()


def _made(stamp: float, digest: bytes, number: int) -> int:
    """An id of a time and a digest; `number` tells equal messages of one moment apart."""
    if number:
        digest = hashlib.sha256(digest + number.to_bytes(8, "big")).digest()
    return max(ids.first_at(stamp) | (int.from_bytes(digest[:4], "big") & _REST), 1)


def _rest(one: _Waiting) -> tuple[Any, ...]:
    return one.sender, one.recipient, one.element, one.xml, one.digest
