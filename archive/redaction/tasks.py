"""What is done again and again: redactions whose job ended too early get another one."""

from __future__ import annotations

import logging

from archive.redaction import services
from mlink_web.celery import app

log = logging.getLogger("mlink.archive")


@app.task(name="archive.redaction.tasks.complete")
def complete() -> int:
    """Go on with redactions that are not done; returns how many."""
    ordered = services.complete()
    if ordered:
        log.info("%d redaction(s) are gone on with", ordered)
    return ordered
