"""A message of the archive whoever's it is: for officers, exports and files. Readers of their own archive get
`filters.Row` instead, which never says more than they may see.

As XML a record is the stored stanza with what the archive knows of it:

    <record xmlns='urn:mlink:archive:0' id='…' stamp='…' from='bare' to='bare' kind='chat' in='sender recipient'
            room='address'>
      <message xmlns='jabber:client' …/>
    </record>
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids
from archive.document import element_of
from xmpp_engine.api import STORED_LIMITS, Element, StreamError, StreamParser, build, ns, write

NAMESPACE: Final = "urn:mlink:archive:0"
#: Rows of one query.
PAGE: Final = 500
_CHUNK: Final = 65_536
FIELDS: Final = "m.id, m.sender, m.recipient, m.sender_account, m.recipient_account, m.kind, m.origin_id, m.xml, m.room"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the archive. `sender` and `recipient` are bare addresses; `room` is the room's number or 0, and then
    `recipient` its address and `sender` the real address of who spoke. Accounts are 0 where the message does not stand
    in their archive."""

    id: int
    sender: str
    recipient: str
    sender_account: int
    recipient_account: int
    kind: str
    origin_id: str
    xml: str
    room: int

    @property
    def stamp(self) -> float:
        """Seconds since the epoch."""
        return ids.time_of(self.id)

    @property
    def key(self) -> str:
        """The id as people and clients see it."""
        return ids.text_of(self.id)


def of_row(row: tuple[Any, ...]) -> Record:
    """A record of the columns FIELDS."""
    id, sender, recipient, sender_account, recipient_account, kind, origin_id, xml, room = row
    return Record(id, sender, recipient, sender_account or 0, recipient_account or 0, kind, origin_id, xml, room or 0)


def by_ids(connection: BaseDatabaseWrapper, wanted: Iterable[int]) -> list[Record]:
    """Those of these messages that exist, in the order of ids; at most some hundreds are asked for at a time."""
    listed = list(wanted)
    if not listed:
        return []
    marks = ", ".join(["%s"] * len(listed))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {FIELDS} FROM archive_message m WHERE m.id IN ({marks}) ORDER BY m.id", listed)  # noqa: S608
        return [of_row(row) for row in cursor.fetchall()]


def between(connection: BaseDatabaseWrapper, after: int, before: int = ids.MAX_ID) -> Iterator[Record]:
    """All messages with ids between these, neither included, in the order of ids, read page by page."""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {FIELDS} FROM archive_message m WHERE m.id > %s AND m.id < %s ORDER BY m.id LIMIT {PAGE}",  # noqa: S608
                [after, before],
            )
            rows = cursor.fetchall()
        for row in rows:
            yield of_row(row)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def page(connection: BaseDatabaseWrapper, after: int, before: int, limit: int) -> list[Record]:
    """The first `limit` messages with ids between these, neither included, in the order of ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {FIELDS} FROM archive_message m WHERE m.id > %s AND m.id < %s ORDER BY m.id LIMIT %s",  # noqa: S608
            [after, before, limit],
        )
        return [of_row(row) for row in cursor.fetchall()]


def element(record: Record) -> Element:
    """The record as XML. A stored stanza that cannot be read is carried as text in `<damaged/>`."""
    attrs = {
        "id": record.key,
        "stamp": build.timestamp(record.stamp),
        "from": record.sender,
        "to": record.recipient,
        "kind": record.kind,
    }
    sides = {"sender": record.sender_account, "recipient": record.recipient_account}
    held = [name for name, account in sides.items() if account]
    if held:
        attrs["in"] = " ".join(held)
    if record.room:
        attrs["room"] = record.recipient
    if record.origin_id:
        attrs["origin-id"] = record.origin_id
    made = Element(NAMESPACE, "record", attrs)
    try:
        made.append(element_of(record.xml))
    except StreamError:
        made.add(NAMESPACE, "damaged", text=record.xml)
    return made


def read(file: BinaryIO, *, unfinished: bool = False) -> Iterator[Record]:
    """The records of a document whose root holds them, as they were written; its other elements are left out. Accounts
    and rooms are 1 where the message stood in such an archive: their numbers are no matter of files.

    Memory is that of one record; there are no entities, nothing is loaded. Raises StreamError for what is not
    well-formed or no record of ours, and where the end is missing unless the document may be `unfinished`.
    """
    found: list[Element] = []
    ended: list[bool] = []

    def is_over() -> None:
        ended.append(True)

    parser = StreamParser(_nothing, found.append, is_over, STORED_LIMITS)
    while chunk := file.read(_CHUNK):
        parser.feed(chunk)
        for child in found:
            if child.ns == NAMESPACE and child.name == "record":
                yield _of_element(child)
        found.clear()
    if not ended and not unfinished:
        raise StreamError("not-well-formed", "the end of the document is missing")


def _nothing(_root: Element) -> None:
    """The root says nothing of the messages."""


def _of_element(made: Element) -> Record:
    """The record that `element` made."""
    attrs = made.attrs
    id = ids.from_text(attrs.get("id", ""))
    message = made.find(ns.CLIENT, "message")
    damaged = made.find(NAMESPACE, "damaged")
    if id is None or "from" not in attrs or "to" not in attrs or (message is None) == (damaged is None):
        raise StreamError("bad-format", "this is no record of an archive")
    held = attrs.get("in", "").split()
    return Record(
        id,
        attrs["from"],
        attrs["to"],
        int("sender" in held),
        int("recipient" in held),
        attrs.get("kind", "normal"),
        attrs.get("origin-id", ""),
        write(message, ns.CLIENT) if message is not None else damaged.text,  # type: ignore[union-attr]
        int("room" in attrs),
    )


def xml(record: Record, outer: str = "") -> str:
    """The text of `element`; inside a document whose default namespace is `outer` that is not said again."""
    return write(element(record), outer)
