"""What the worker does for jobs."""

from __future__ import annotations

import logging
import time

from mlink_web.celery import app
from mlink_web.jobs import services, work

log = logging.getLogger("mlink.jobs")


@app.task(name="mlink_web.jobs.tasks.run")
def run(pk: int) -> None:
    """Do a job."""
    work.run(pk)


@app.task(name="mlink_web.jobs.tasks.sweep")
def sweep() -> dict[str, int]:
    """Start again what was cut off, remove what is old."""
    counts = services.sweep(time.time())
    if any(counts.values()):
        log.info("swept %s", ", ".join(f"{count} {name}" for name, count in counts.items() if count))
    return counts
