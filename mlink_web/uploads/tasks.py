"""The periodic sweep of shared files."""

from __future__ import annotations

import logging
import time

from mlink_web.celery import app
from mlink_web.uploads import services
from mlink_web.uploads.files import ALPHABET

log = logging.getLogger("mlink.sweep")


@app.task(name="mlink_web.uploads.tasks.sweep")
def sweep() -> dict[str, int]:
    """Remove what is over; orphans in one sixty-fourth of the storage each time."""
    now = time.time()
    gone = services.sweep(now, ALPHABET[int(now // 300) % len(ALPHABET)])
    if any(gone.values()):
        log.info("swept %s", ", ".join(f"{count} {name}" for name, count in gone.items() if count))
    return gone
