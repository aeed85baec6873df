"""What a message said before it was retracted, where a hold or the rule of its domain asks to keep it: officers see it
beside the tombstone, nobody else ever does.

A corrected message needs no copy: its row keeps what it said, and the correction is a row of its own. The copy lives as
long as the tombstone's row and goes with it (`archive/removal.py`), or with a redaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from django.db.backends.base.base import BaseDatabaseWrapper

from archive.retention import holds

#: Ids of one statement.
_PAGE = 500


class Message(holds.Message, Protocol):
    """What is asked of a message that is about to become a tombstone."""

    @property
    def xml(self) -> str: ...


def keep(connection: BaseDatabaseWrapper, messages: Sequence[Message]) -> int:
    """Keep what these messages say, where it is asked for; in the transaction that is about to change them. A copy
    that is there stays: it is the older. Returns how many were kept."""
    guard = holds.Guard.read(connection)
    ruled = _ruled_domains(connection)
    wanted = []
    for message in messages:
        hold = guard.hold_on(message)
        if hold or _follows(ruled, message):
            wanted.append([message.id, message.xml, time.time(), hold])
    if wanted:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO retention_original (id, xml, kept, hold) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                wanted,
            )
    return len(wanted)


def of(connection: BaseDatabaseWrapper, wanted: Iterable[int]) -> dict[int, str]:
    """The stanzas that were kept of these messages, by id. For officers only, and audited by who shows them."""
    listed = list(wanted)
    found: dict[int, str] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(listed), _PAGE):
            part = listed[start : start + _PAGE]
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(f"SELECT id, xml FROM retention_original WHERE id IN ({marks})", part)  # noqa: S608
            found.update(cursor.fetchall())
    return found


def forget(connection: BaseDatabaseWrapper, gone: Sequence[int]) -> None:
    """Forget the copies of these messages."""
    with connection.cursor() as cursor:
        for start in range(0, len(gone), _PAGE):
            part = list(gone[start : start + _PAGE])
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(f"DELETE FROM retention_original WHERE id IN ({marks})", part)  # noqa: S608


def _ruled_domains(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT domain FROM retention_keeping")
        return {domain for (domain,) in cursor.fetchall()}


def _follows(ruled: set[str], message: Message) -> bool:
    if not ruled or "" in ruled:
        return bool(ruled)
    return any(
        domain in ruled for address in (message.sender, message.recipient) for domain in holds.domains_of(address)
    )
