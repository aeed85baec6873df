"""The periodic sweep of items that nobody sees any more: those of nodes that were purged or removed with many items. In
slices, so that others can write in between."""

from __future__ import annotations

import logging
from typing import Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.celery import app
from mlink_web.stores.executor import fetch

log = logging.getLogger("mlink.sweep")

SLICE: Final = 5_000
DROPPED = "SELECT id FROM pubsub_contents WHERE dropped ORDER BY id LIMIT 1"
DELETE_SLICE = """
DELETE FROM pubsub_item WHERE id IN (SELECT id FROM pubsub_item WHERE contents = %s ORDER BY sequence LIMIT %s)"""


@app.task(name="mlink_web.pubsub.tasks.sweep")
def sweep(using: str = DEFAULT_DB_ALIAS) -> int:
    """Remove all of them; returns how many."""
    database, total = connections[using], 0
    while True:
        removed = sweep_slice(database)
        if removed is None:
            break
        total += removed
    if total:
        log.info("swept %s items of publish-subscribe", total)
    return total


def sweep_slice(database: Database) -> int | None:
    """Remove some of them; returns how many, None where there are none left and no set to forget."""
    with transaction.atomic(using=database.alias), database.cursor() as cursor:
        rows = fetch(database, DROPPED, ())
        if not rows:
            return None
        contents = int(rows[0][0])
        cursor.execute(DELETE_SLICE, (contents, SLICE))
        removed = int(cursor.rowcount)
        if removed < SLICE:
            cursor.execute("DELETE FROM pubsub_contents WHERE id = %s", (contents,))
    return removed
