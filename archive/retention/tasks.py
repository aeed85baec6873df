"""The periodic expiry. One run is short, for the worker does one thing at a time: while something is left, the next run
follows after a pause in which others have their turn."""

from __future__ import annotations

import time
from typing import Final

from django.db import connection

from archive.retention.expiry import RUN_SECONDS, Expiry
from archive.retention.models import Run
from mlink_web.celery import app

#: Seconds between two runs when nothing is left, and while something is.
EVERY_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 20.0


@app.task(name="archive.retention.tasks.expire")
def expire(follows: int = 0) -> dict[str, int]:
    """Let go what is due; returns how many messages went, lost one side and were held. `follows` is the run that this
    one goes on with; the scheduler's do nothing while such runs follow each other."""
    last = Run.objects.order_by("-pk").first()
    under_way = last is not None and not last.complete and not last.trouble
    if follows:
        if last is not None and last.pk != follows:
            return {}
    elif last is not None and under_way and last.started > time.time() - 2 * (AGAIN_SECONDS + RUN_SECONDS):
        return {}
    done = Expiry(connection).run()
    if not done.complete:
        expire.apply_async(args=[done.pk], countdown=AGAIN_SECONDS)
    return {"messages": done.removed, "sides": done.sides, "held": done.held}
