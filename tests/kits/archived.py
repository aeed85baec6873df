"""Messages for tests of the archive's databases: written as a node writes them."""

from __future__ import annotations

from typing import Any

from django.db import connections

from archive import ids, indexing
from archive.document import element_of
from archive.weigh import weigh
from mlink_web.stores.ledger import Ledger
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import ArchiveRow, Batch

#: When the message with number 0 was said.
START = 1_790_000_000.0
CORRECT = "<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>"
RETRACT = "<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>"


def id_of(number: float) -> int:
    """The id of the message said so many seconds after START."""
    return ids.first_at(START + number)


def number(id: int) -> int:
    """The other way round."""
    return round(ids.time_of(id) - START)


def talk(
    number: float,
    sender: tuple[str, int],
    to: tuple[str, int],
    content: str,
    *,
    id: str = "",
) -> ArchiveRow:
    """A message between two, each an address and its account's number (0 for none here); `content` is inner XML or a
    text."""
    return _row(number, sender[0], to[0], sender[1], to[1], 0, f"{sender[0]}/r", "chat", content, id)


def said(
    number: float, sender: str, room: tuple[str, int], content: str, *, nick: str = "n", id: str = ""
) -> ArchiveRow:
    """A message in a room, an address and its number."""
    return _row(number, sender, room[0], 0, 0, room[1], f"{room[0]}/{nick}", "groupchat", content, id)


def _row(
    number: float,
    sender: str,
    to: str,
    sender_account: int,
    recipient_account: int,
    room: int,
    source: str,
    kind: str,
    content: str,
    id: str,
) -> ArchiveRow:
    inner = content if content.startswith("<") else f"<body>{content}</body>"
    origin = id or f"o{number}"
    address = "" if room else f" to='{to}'"
    xml = f"<message from='{source}' type='{kind}'{address} id='{origin}'>{inner}</message>"
    stanza = Stanza(element_of(xml), None, Jid.parse(source), kind)
    weight = weigh(stanza)
    assert weight is not None
    key = id_of(number)
    return ArchiveRow(
        key,
        ids.time_of(key),
        sender,
        to,
        sender_account,
        recipient_account,
        kind,
        weight[0],
        weight[1],
        xml,
        room,
        weight[2],
    )


async def store(alias: str, *rows: ArchiveRow, entered: bool = True) -> None:
    """Write rows as a node does; `entered` makes entries and full text current."""
    ledger = Ledger(alias)
    for start in range(0, len(rows), 500):
        await ledger.commit(Batch(archive=list(rows[start : start + 500])))
    await ledger.close()
    if entered:
        indexing.catch_up(connections[alias], words=True)


def found(alias: str, statement: str, *values: Any) -> list[Any]:
    """The first column of a query."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, list(values))
        return [row[0] for row in cursor.fetchall()]
