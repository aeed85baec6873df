"""The places that a redaction goes to, one after the other. Each may be gone to again and again: what is done there
already stays done, so a worker that is killed anywhere is followed by one that does the rest.

    database   the row becomes a tombstone (`tombstone.py`) and leaves the full text; copies that were kept of retracted
               messages go. A message that a hold covers stays: holds are read in the same transaction
    node       what the running node has in memory: histories of rooms, what waits for clients; rooms tell their
               occupants
    offline    copies for accounts that are away
    files      XML day files
    exports    which exports hold it: their files are removed by people, who see them on the redaction's page

Exports that are made later read the database. Of what clients have, nothing can be taken back; those that know
XEP-0425 remove what a room says was retracted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from archive import events, indexing, lifecycle, records
from archive.dayfiles import tombstones
from archive.export import held
from archive.records import Record
from archive.redaction import tombstone
from archive.redaction.models import Redacted, Redaction
from archive.retention import originals
from archive.retention.holds import Guard
from mlink_web.accounts.models import Account
from mlink_web.clusters import numbers
from mlink_web.node.client import EngineClient, NodeDown
from xmpp_engine.api import escape_attr, origin_of

#: Messages of one transaction, and of one question to the node.
SLICE: Final = 50
_NODE_SLICE: Final = 200
_NODE_SECONDS: Final = 30.0


class NotYet(Exception):
    """A place cannot be gone to now; it is tried again. The text is a sentence."""


def database(connection: BaseDatabaseWrapper, redaction: Redaction) -> str:
    """Rows, full text, kept originals; says how many messages are gone."""
    # What acts on others must have acted: a retraction would find nothing to act on.
    indexing.catch_up(connection, words=False)
    messages = Redacted.objects.using(connection.alias).filter(redaction=redaction)
    waiting = messages.filter(state=Redacted.State.WAITING).order_by("message")
    while part := list(waiting[:SLICE]):
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            guard = Guard.read(connection)
            for item in part:
                _bury(connection, cursor, redaction, item, guard)
                item.save(using=connection.alias, update_fields=("state", "sha256"))
    states = list(messages.values_list("state", flat=True))
    gone = states.count(Redacted.State.GONE)
    parts = [f"{gone} message{'' if gone == 1 else 's'} redacted"]
    if kept := states.count(Redacted.State.HELD):
        parts.append(f"{kept} kept by a legal hold")
    if missing := states.count(Redacted.State.MISSING):
        parts.append(f"{missing} no longer there")
    return ", ".join(parts) + "."


def _bury(
    connection: BaseDatabaseWrapper, cursor: CursorWrapper, redaction: Redaction, item: Redacted, guard: Guard
) -> None:
    lock = "" if connection.vendor == "sqlite" else " FOR UPDATE"
    cursor.execute(f"SELECT {records.FIELDS} FROM archive_message m WHERE m.id = %s{lock}", [item.message])  # noqa: S608
    row = cursor.fetchone()
    if row is None:
        item.state = Redacted.State.MISSING
        return
    record = records.of_row(row)
    if guard.hold_on(record):
        item.state = Redacted.State.HELD
        return
    said = originals.of(connection, [record.id]).get(record.id, record.xml)
    item.sha256 = hashlib.sha256(said.encode()).hexdigest()
    reason = redaction.reason if redaction.told else ""
    left = tombstone.left_of(record, redaction.pk, redaction.decided or redaction.created, reason)
    if connection.vendor == "sqlite":
        cursor.execute(lifecycle.UNLIST.format(mark="%s"), [record.id])
    cursor.execute("UPDATE archive_message SET search = '', xml = %s WHERE id = %s", [left, record.id])
    if connection.vendor == "sqlite":
        indexing.relist(cursor, [record.id])
    originals.forget(connection, [record.id])
    item.state = Redacted.State.GONE


def node(connection: BaseDatabaseWrapper, redaction: Redaction) -> str:
    """What the running nodes have in memory. Unless all can be asked none is, for rooms would be told again."""
    if apart := numbers.apart():
        raise NotYet(f"Nodes of the cluster do not hear each other: {', '.join(apart)}.")
    keys = [item.key for item in _gone(connection, redaction)]
    found = {"waiting": 0, "histories": 0, "rooms": 0}
    for start in range(0, len(keys), _NODE_SLICE):
        try:
            answer = asyncio.run(_ask(" ".join(keys[start : start + _NODE_SLICE])))
        except NodeDown:
            if others := numbers.running():
                raise NotYet(f"No node runs beside this worker, and {', '.join(others)} could not be asked.") from None
            return "No node is running: nothing is in memory."
        except NotYet:
            raise
        except TimeoutError:
            raise NotYet(f"The node did not answer within {_NODE_SECONDS:.0f} seconds.") from None
        except Exception as error:
            raise NotYet(str(error)) from None
        for name in found:
            found[name] += int(answer.get(name, 0))
    return (
        f"{found['histories']} taken out of rooms' histories, copies on their way to clients: {found['waiting']},"
        f" rooms told: {found['rooms']}."
    )


async def _ask(keys: str) -> dict[str, int]:
    async with asyncio.timeout(_NODE_SECONDS):
        client = EngineClient()
        answer = dict(await client.call("redacted", ids=keys))
    if client.warnings:
        raise NotYet(" ".join(client.warnings))
    return answer


def offline(connection: BaseDatabaseWrapper, redaction: Redaction) -> str:
    """Copies for accounts that are away."""
    found = 0
    for record in _records(connection, redaction):
        if record.room:
            continue  # rooms' messages are not kept so
        owners = {record.recipient_account, _account(connection, record.recipient)} - {0}
        for account in owners:
            found += _forget_offline(connection, record, account)
    return f"{found} cop{'y' if found == 1 else 'ies'} removed."


def _account(connection: BaseDatabaseWrapper, bare: str) -> int:
    found = Account.objects.using(connection.alias).filter(username=bare)
    return found.values_list("pk", flat=True).first() or 0


def _forget_offline(connection: BaseDatabaseWrapper, record: Record, account: int) -> int:
    """By the archive's id in the copy; one that went past the recipient's archive has only the sender's own."""
    find = "instr" if connection.vendor == "sqlite" else "strpos"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, xml FROM stores_offlinemessage WHERE account_id = %s AND ({find}(xml, %s) > 0"  # noqa: S608
            f" OR {find}(xml, %s) > 0)",
            [
                account,
                f"id='{record.key}'",
                f"id='{escape_attr(record.origin_id)}'" if record.origin_id else record.key,
            ],
        )
        copies = [
            [id]
            for id, xml in cursor.fetchall()
            if f"id='{record.key}'" in xml or origin_of(xml) == (record.sender, record.recipient, record.origin_id)
        ]
        cursor.executemany("DELETE FROM stores_offlinemessage WHERE id = %s", copies)
    return len(copies)


def files(connection: BaseDatabaseWrapper, redaction: Redaction) -> str:
    """XML day files."""
    replaced = list(_records(connection, redaction))
    try:
        changed = tombstones.apply(connection, replaced) if replaced else []
    except tombstones.Unfinished as trouble:
        raise NotYet(str(trouble)) from None
    return f"{len(changed)} file{'' if len(changed) == 1 else 's'} rewritten."


def exports(connection: BaseDatabaseWrapper, redaction: Redaction) -> str:
    """Which exports hold it."""
    found = held.exports_with(item.message for item in _gone(connection, redaction))
    if not found:
        return "No export holds it."
    return f"{len(found)} export{'' if len(found) == 1 else 's'} made before may hold it; see below."


PLACES: Final[tuple[tuple[str, str, Callable[[BaseDatabaseWrapper, Redaction], str]], ...]] = (
    ("database", "Archive and full text", database),
    ("node", "Memory of the running node", node),
    ("offline", "Messages for people who are away", offline),
    ("files", "XML day files", files),
    ("exports", "Exports made before", exports),
)
TITLES: Final = {name: title for name, title, _function in PLACES}


def _gone(connection: BaseDatabaseWrapper, redaction: Redaction) -> Sequence[Redacted]:
    messages = Redacted.objects.using(connection.alias).filter(redaction=redaction)
    return list(messages.filter(state=Redacted.State.GONE).order_by("message"))


def _records(connection: BaseDatabaseWrapper, redaction: Redaction) -> list[Record]:
    """The rows as they are now."""
    wanted = [item.message for item in _gone(connection, redaction)]
    found: list[Record] = []
    for start in range(0, len(wanted), _NODE_SLICE):
        found += records.by_ids(connection, wanted[start : start + _NODE_SLICE])
    return [record for record in found if events.is_tombstone(record.xml)]
