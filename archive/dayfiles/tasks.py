"""What the worker does for the files of the archive, every few seconds."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from archive.dayfiles import following
from mlink_web.audit import log
from mlink_web.celery import app


@app.task(name="archive.dayfiles.tasks.follow")
def follow() -> bool:
    """Write what there is to write; True where there is more."""
    return following.run(DEFAULT_DB_ALIAS, tell=tell)


def tell(domain: str, day: date, about: dict[str, Any]) -> None:
    """A day was closed: the end of the manifest's chain is noted where the files' owner cannot change it."""
    try:
        log.record("system", "archive files closed", f"{domain} {day.isoformat()}", **about)
    except log.NotWritten as error:
        logging.getLogger("mlink.archive.files").error("the manifest of %s was not noted: %s", domain, error)
