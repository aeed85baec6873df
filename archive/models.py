"""The archive's rows.

One row serves both sides of a message between local accounts. A row is written in large batches with the least
possible work (`mlink_web/stores/ledger.py`): the id tells the time, and the body is read from `xml` when it is shown.
What makes reading quick stands beside the table, made by the first migration:

    entries    whose archives a message stands in, and with whom, in the order of ids
    full text  over `search`, with a word for each owner, so a search reads only its own account's part of the index

On PostgreSQL the entries are two pairs of partial indexes (sent and received) and the full text is a generated column,
both current at once. On SQLite, where each index would cost more than writing the row itself, they are tables
(`archive_entry`, `archive_words`) that are filled in large slices: `archive_slice` lists the ranges of ids that are
still to be entered, `indexing.py` enters them before somebody reads.

A room's message is one row as well: its `sender` is the real address of who spoke, for operators to search by, and
`recipient` the room. Rooms have far fewer rows than their members have messages delivered, so two partial indexes
serve them on both databases and they need no entries. A room's number taken negative is an owner like an account's
(`filters.py`).

Messages that act on others (replies, reactions, corrections, retractions) are listed in `Event` by the transaction that
writes them and take effect before somebody reads (`lifecycle.py`).
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids


class RowId(models.BigIntegerField):
    """A 64-bit primary key that is SQLite's own row number and not an index beside it."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """SQLite takes only the very word `integer` for its row number; it holds 64 bits all the same."""
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class Message(models.Model):
    """An archived message. Accounts are numbers without constraint: archives outlive accounts."""

    id = RowId(primary_key=True)
    #: Bare addresses.
    sender = models.TextField()
    recipient = models.TextField()
    #: The local accounts in whose archives it stands.
    sender_account = models.BigIntegerField(null=True)
    recipient_account = models.BigIntegerField(null=True)
    kind = models.CharField(max_length=9)
    #: Words for the index (`text.py`), "" without a body.
    search = models.TextField(default="")
    #: The sender's own id of the message (XEP-0359, or the stanza's), "" for none.
    origin_id = models.TextField(default="")
    #: The stanza as it was sent, inside jabber:client (`document.py` reads it), or what a retraction left of it.
    xml = models.TextField()
    #: The number of the room in whose archive it stands (`mlink_web.rooms`); archives outlive rooms too.
    room = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return ids.text_of(self.pk)

    @property
    def stamp(self) -> float:
        """Seconds since the epoch."""
        return ids.time_of(self.pk)


class Event(models.Model):
    """A message that acts on another one. `id` is its row's, `kind` one of `events.py`, `named` the id by which it
    names the other, `target` that one's row: 0 where there is none on which it may act, null until it is looked for."""

    id = RowId(primary_key=True)
    kind = models.SmallIntegerField()
    named = models.TextField()
    target = models.BigIntegerField(null=True)

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("target", "id"), name="archive_event_target", condition=models.Q(target__gt=0)),
            models.Index(fields=("id",), name="archive_event_waiting", condition=models.Q(target=None)),
        ]

    def __str__(self) -> str:
        return ids.text_of(self.pk)
