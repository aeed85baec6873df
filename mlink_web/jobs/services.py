"""Ordering, cancelling and removing jobs, and the sweep that starts those again whose worker died."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import storages
from django.db import transaction
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from mlink_web.jobs import kinds
from mlink_web.jobs.models import Job
from mlink_web.jobs.work import folder_of

log = logging.getLogger("mlink.jobs")

#: Jobs of everybody that may be under way.
MOST: Final = 200
#: A worker that was not heard of for so long has died.
SILENT_SECONDS: Final = 30.0
#: A job that waits for so long was lost on its way to the worker, or the worker is busy: it is handed over again.
WAITING_SECONDS: Final = 60.0
#: How often a job is begun without getting any further.
ATTEMPTS: Final = 3
_UNDER_WAY: Final = (Job.State.WAITING, Job.State.WORKING)


class TooMany(ValueError):
    """There is no room for another job; the text is a sentence."""


def order(kind: str, owner: str, about: str, parameters: Mapping[str, Any], *, total: int = 0, unit: str = "") -> Job:
    """Have something done, once the caller's transaction is committed. `owner` is the bare address of who wants it,
    `parameters` what JSON can hold. Raises TooMany."""
    known = kinds.find(kind)
    under_way = Job.objects.filter(state__in=_UNDER_WAY)
    if under_way.filter(kind=kind, owner=owner).count() >= known.per_owner:
        raise TooMany("You have several of these under way; wait until one is ready, or cancel one.")
    if under_way.count() >= MOST:
        raise TooMany("The server has much to do; try again when some of it is done.")
    now = time.time()
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            owner=owner,
            about=about[:500],
            parameters=dict(parameters),
            total=total,
            unit=unit,
            created=now,
            changed=now,
        )
        transaction.on_commit(lambda: start(job.pk))
    over = Job.objects.filter(kind=kind, owner=owner).exclude(state__in=_UNDER_WAY)
    for old in over[known.kept :]:
        remove(old)
    return job


def start(pk: int) -> None:
    """Hand a job to the worker. Where the queue takes nothing the job waits, and the sweep hands it over later."""
    from mlink_web.jobs.tasks import run

    try:
        run.delay(pk)
    except OperationalError as error:
        log.warning("job %d waits, for the queue of the workers takes nothing: %s", pk, error)


def recent(kind: str, owner: str = "", limit: int = 20) -> list[Job]:
    """The newest jobs of a kind, of everybody or one owner."""
    found = Job.objects.filter(kind=kind)
    return list((found.filter(owner=owner) if owner else found)[:limit])


def cancel(job: Job) -> None:
    """End a job that is under way: at once while it waits, else when its worker next says how far it is."""
    now = time.time()
    with transaction.atomic():
        if not Job.objects.filter(pk=job.pk, state=Job.State.WAITING).update(
            state=Job.State.CANCELLED, changed=now, expires=now + kinds.find(job.kind).keep_seconds
        ):
            Job.objects.filter(pk=job.pk, state=Job.State.WORKING).update(cancelling=True)


def remove(job: Job) -> None:
    """The row, its result and what was begun of it."""
    try:
        ended = kinds.find(job.kind).ended
    except LookupError:
        ended = ""
    if ended:
        import_string(ended)(job)
    token = job.token
    Job.objects.filter(pk=job.pk).delete()
    storages["exports"].delete(token)
    shutil.rmtree(folder_of(job), ignore_errors=True)


def open_result(job: Job) -> File:
    """The result of a job; raises FileNotFoundError."""
    if not job.name:
        raise FileNotFoundError(job.token)
    return storages["exports"].open(job.token)


def sweep(now: float) -> dict[str, int]:
    """Start those again whose worker died, hand those over again that wait long, remove what is old."""
    counts = {"jobs begun again": 0, "jobs given up": 0, "old jobs": 0}
    for job in Job.objects.filter(state=Job.State.WORKING, changed__lt=now - SILENT_SECONDS):
        mine = Job.objects.filter(pk=job.pk, state=Job.State.WORKING, holder=job.holder, changed=job.changed)
        if job.cancelling:
            mine.update(state=Job.State.CANCELLED, changed=now, expires=now + _keep(job))
        elif job.attempts >= ATTEMPTS:
            counts["jobs given up"] += mine.update(
                state=Job.State.FAILED,
                changed=now,
                expires=now + _keep(job),
                trouble="Its worker ended several times while it was at it.",
            )
        elif mine.update(state=Job.State.WAITING, changed=now, attempts=job.attempts + 1, holder=""):
            counts["jobs begun again"] += 1
            start(job.pk)
    for job in Job.objects.filter(state=Job.State.WAITING, changed__lt=now - WAITING_SECONDS):
        if Job.objects.filter(pk=job.pk, state=Job.State.WAITING).update(changed=now):
            start(job.pk)
    for job in Job.objects.filter(expires__gt=0, expires__lt=now):
        remove(job)
        counts["old jobs"] += 1
    _clear_scratch()
    return counts


def _clear_scratch() -> None:
    """Scratch files on this machine of jobs that are over or gone: another machine may have finished them."""
    folder = Path(settings.MLINK_HOME) / "jobs"
    names = [path.name for path in islice(folder.iterdir(), 4 * MOST)] if folder.is_dir() else []
    used = set(Job.objects.filter(token__in=names, state__in=_UNDER_WAY).values_list("token", flat=True))
    for name in names:
        if name not in used:
            shutil.rmtree(folder / name, ignore_errors=True)


def _keep(job: Job) -> float:
    try:
        return kinds.find(job.kind).keep_seconds
    except LookupError:
        return 0.0
