"""Messages that say again what a message says: its corrections and what they correct, and replies that carry its text
as a quotation for clients that know no replies (XEP-0461, 3). Who redacts one is offered them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import events, indexing, records
from archive.document import body_of, element_of, spoken
from archive.records import Record
from archive.redaction.models import Redacted
from xmpp_engine.api import StreamError

#: Related messages of all that are chosen.
MOST: Final = 500
_PAGE: Final = 200


def related(connection: BaseDatabaseWrapper, chosen: Sequence[int]) -> list[tuple[Record, str]]:
    """Messages related to these, oldest first, each with how (Redacted.How); at most MOST."""
    indexing.catch_up(connection, words=False)
    found: dict[int, str] = {}
    versions = set(chosen)
    # What a correction corrects, and the corrections of that.
    for original in _targets(connection, sorted(versions)):
        versions.add(original)
    listed = _acting(connection, sorted(versions))
    versions |= {id for id, _target, kind in listed if kind == events.CORRECTION}
    for id in sorted(versions - set(chosen)):
        found[id] = Redacted.How.CORRECTION
    replies = [id for id, _target, kind in _acting(connection, sorted(versions)) if kind == events.REPLY]
    for id in replies:
        if id not in versions:
            found.setdefault(id, Redacted.How.REPLY)
    out: list[tuple[Record, str]] = []
    wanted = sorted(found)
    for start in range(0, len(wanted), _PAGE):
        for record in records.by_ids(connection, wanted[start : start + _PAGE]):
            how = found[record.id]
            if events.is_tombstone(record.xml) or (how == Redacted.How.REPLY and not _quotes(record)):
                continue
            out.append((record, str(how)))
    return out[:MOST]


def corrections(connection: BaseDatabaseWrapper, wanted: Sequence[int]) -> set[int]:
    """Those of these messages that correct another one."""
    return {id for id, _target in _corrected(connection, wanted)}


def _corrected(connection: BaseDatabaseWrapper, wanted: Sequence[int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), _PAGE):
            part = list(wanted[start : start + _PAGE])
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(
                f"SELECT id, target FROM archive_event WHERE id IN ({marks}) AND kind = %s AND target > 0",  # noqa: S608
                [*part, events.CORRECTION],
            )
            out += cursor.fetchall()
    return out


def _targets(connection: BaseDatabaseWrapper, wanted: Sequence[int]) -> list[int]:
    return [target for _id, target in _corrected(connection, wanted)]


def _acting(connection: BaseDatabaseWrapper, targets: Sequence[int]) -> list[tuple[int, int, int]]:
    """What corrects these messages or answers them: (id, target, kind)."""
    out: list[tuple[int, int, int]] = []
    with connection.cursor() as cursor:
        for start in range(0, len(targets), _PAGE):
            part = list(targets[start : start + _PAGE])
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(
                f"SELECT id, target, kind FROM archive_event WHERE target > 0 AND target IN ({marks})"  # noqa: S608
                " AND kind IN (%s, %s) ORDER BY id LIMIT %s",
                [*part, events.CORRECTION, events.REPLY, MOST],
            )
            out += cursor.fetchall()
    return out


def _quotes(record: Record) -> bool:
    """Whether a reply carries more text than is its own."""
    try:
        message = element_of(record.xml)
    except StreamError:
        return True
    return spoken(message) != body_of(message)
