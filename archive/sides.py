"""Enters accounts into archived messages that stand in the archives of others already: an import finds the second side
of a conversation whose first side came before. What the engine adds later by itself goes through the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import lifecycle, tally
from archive.records import Record


@dataclass(frozen=True, slots=True)
class Side:
    """An account that is to stand in a message: as its sender or as its recipient."""

    record: Record
    account: int
    sent: bool


def enter(connection: BaseDatabaseWrapper, sides: Sequence[Side]) -> None:
    """Enter these, some hundreds at most, in one transaction. A side that somebody has already is left as it is."""
    free = [side for side in sides if not (side.record.sender_account if side.sent else side.record.recipient_account)]
    if not free:
        return
    sqlite = connection.vendor == "sqlite"
    with transaction.atomic(using=connection.alias):
        for account in sorted({side.account for side in free}):
            mine = [_with(side) for side in free if side.account == account]
            tally.add(connection, mine, side=account)
        with connection.cursor() as cursor:
            for side in free:
                id = side.record.id
                if sqlite:
                    # As a share in the ledger: out of the full text, where its owners stand, and entered anew.
                    cursor.execute(lifecycle.UNLIST.format(mark="%s"), [id])
                    cursor.execute("INSERT INTO archive_slice (low, high, size) VALUES (%s, %s, 1)", [id, id])
                column = "sender_account" if side.sent else "recipient_account"
                cursor.execute(
                    f"UPDATE archive_message SET {column} = %s WHERE id = %s AND {column} IS NULL",  # noqa: S608
                    [side.account, id],
                )


def _with(side: Side) -> Record:
    if side.sent:
        return replace(side.record, sender_account=side.account)
    return replace(side.record, recipient_account=side.account)
