"""What the worker does for forms: files with many of them, and the sweep of such files."""

from __future__ import annotations

import logging
import time

from fdp import export_jobs
from mlink_web.celery import app

log = logging.getLogger("mlink.sweep")


@app.task(name="fdp.tasks.export")
def export(pk: int) -> None:
    """Make the file of an export."""
    export_jobs.run(pk)


@app.task(name="fdp.tasks.sweep")
def sweep() -> dict[str, int]:
    """Remove what is over."""
    gone = export_jobs.sweep(time.time())
    if any(gone.values()):
        log.info("swept %s", ", ".join(f"{count} {name}" for name, count in gone.items() if count))
    return gone
