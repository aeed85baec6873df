"""What is left of redacted messages, for the running node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import records
from archive.document import element_of, with_id
from archive.redaction import related
from xmpp_engine.api import TakenBack, write

_PAGE: Final = 200


def read(connection: BaseDatabaseWrapper, wanted: Sequence[int]) -> list[TakenBack]:
    """Those of these messages of which it is written down that they were redacted: that a stanza looks like it says
    nothing. A redacted correction is told to nobody: it is not a message of its own, and naming it would take back the
    message that it corrects."""
    known: list[int] = []
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), _PAGE):
            part = list(wanted[start : start + _PAGE])
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(
                f"SELECT DISTINCT message FROM redaction_redacted WHERE message IN ({marks}) AND state = 'gone'",  # noqa: S608
                part,
            )
            known += [message for (message,) in cursor.fetchall()]
    silent = related.corrections(connection, known)
    found = []
    for start in range(0, len(known), _PAGE):
        for record in records.by_ids(connection, known[start : start + _PAGE]):
            if record.room:
                xml = with_id(record.xml, record.id, record.recipient)
            else:
                # A document of its own says its namespace.
                xml = write(element_of(record.xml), "")
            found.append(TakenBack(record.key, record.recipient if record.room else "", xml, record.id in silent))
    return found
