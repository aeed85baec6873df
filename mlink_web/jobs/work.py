"""A job in the hands of the worker.

A worker may be killed at any moment. So a row says who has the job and when he was last heard of; a thread tells that
every few seconds, and who is silent for a while has lost it (`services.sweep`). What was done before is not done
again: `checkpoint` says how far it had got, and the job's folder keeps its scratch files between two tries.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import storages
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections
from django.utils.module_loading import import_string

from mlink_web.jobs import kinds
from mlink_web.jobs.models import Job

log = logging.getLogger("mlink.jobs")

#: Seconds between two signs of life, and between two notes of how far it is.
BEAT_SECONDS: Final = 5.0
NOTE_SECONDS: Final = 1.0
_CHUNK: Final = 1 << 20


class Refused(Exception):
    """The job cannot be done, for a reason that its owner is told: the text is a sentence."""


class Cancelled(Exception):
    """The job was cancelled or removed, or another worker has it."""


class Work:
    """What a kind's `run` works with."""

    Refused = Refused
    Cancelled = Cancelled

    def __init__(self, job: Job) -> None:
        self.job = job
        self.parameters: dict[str, Any] = job.parameters
        self.checkpoint: dict[str, Any] = job.checkpoint
        self._noted = time.monotonic()
        self._kept: tuple[Path, str, str] | None = None

    @property
    def folder(self) -> Path:
        """Scratch files of this job on this machine, which stay when the worker is killed."""
        path = folder_of(self.job)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def note(self, done: int, *, total: int | None = None, checkpoint: dict[str, Any] | None = None) -> None:
        """Say how far it is. Writes at most once a second, or at once when there is a checkpoint: then what `folder`
        has up to it must be on disk. Raises Cancelled."""
        now = time.monotonic()
        if total is not None:
            self.job.total = total
        if checkpoint is None and now - self._noted < NOTE_SECONDS:
            return
        self._noted = now
        fields: dict[str, Any] = {"done": done, "total": self.job.total, "changed": time.time()}
        if checkpoint is not None:
            self.checkpoint = dict(checkpoint)
            # Whoever gets further has another go.
            fields.update(checkpoint=self.checkpoint, attempts=0)
        if not _mine(self.job).filter(cancelling=False).update(**fields):
            raise Cancelled
        self.job.done = done

    def keep(self, path: Path, name: str, content_type: str) -> None:
        """Make this file the result; it is taken when `run` returns, or when it raises Refused."""
        self._kept = path, name, content_type

    def _take_result(self) -> dict[str, Any]:
        """Give the result to the storage; returns the fields of the row that tell of it."""
        if self._kept is None:
            return {}
        path, name, content_type = self._kept
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            size = file.tell()
            file.seek(0)
            store = storages["exports"]
            # One that was saved by a worker that died before it could say so.
            store.delete(self.job.token)
            store.save(self.job.token, File(file))
        return {"name": name, "content_type": content_type, "size": size, "sha256": digest.hexdigest()}


def folder_of(job: Job) -> Path:
    """Where a job's scratch files are."""
    return Path(settings.MLINK_HOME) / "jobs" / job.token


def run(pk: int) -> None:
    """Do a job that waits, unless somebody else is at it; what goes wrong stands in its row and in the log."""
    holder = secrets.token_hex(8)
    waiting = Job.objects.filter(pk=pk, state=Job.State.WAITING)
    if not waiting.update(state=Job.State.WORKING, holder=holder, changed=time.time()):
        return
    job = Job.objects.get(pk=pk)
    work = Work(job)
    with _Heart(job):
        fields = _outcome(work)
    now = time.time()
    keep = _keep_seconds(job)
    fields.update(changed=now, expires=now + keep, holder="")
    if not _mine(job).update(**fields):
        # It was removed, or is somebody else's by now.
        if not Job.objects.filter(pk=pk).exists():
            storages["exports"].delete(job.token)
            _clear(job)
        return
    if fields["state"] != Job.State.WAITING:
        _clear(job)


def _outcome(work: Work) -> dict[str, Any]:
    """Do it; returns what the row says afterwards."""
    job = work.job
    try:
        try:
            import_string(kinds.find(job.kind).run)(work)
        except Refused as refusal:
            return {**work._take_result(), "state": Job.State.FAILED, "trouble": str(refusal)[:1000]}
        return {**work._take_result(), "state": Job.State.READY, "trouble": "", "done": job.total or job.done}
    except Cancelled:
        return {"state": Job.State.CANCELLED, "trouble": ""}
    except (OperationalError, InterfaceError):
        # The database went away: the job goes on from its checkpoint when it is back, as after a worker's death.
        raise
    except OSError as error:
        log.exception("job %s (%s) of %s failed", job.pk, job.kind, job.owner)
        return {"state": Job.State.FAILED, "trouble": f"The file could not be written: {error.strerror or error}."}
    except Exception:
        log.exception("job %s (%s) of %s failed", job.pk, job.kind, job.owner)
        return {"state": Job.State.FAILED, "trouble": "It failed; the administrators' log says why."}


def _keep_seconds(job: Job) -> float:
    try:
        return kinds.find(job.kind).keep_seconds
    except LookupError:
        return 0.0


def _mine(job: Job) -> Any:
    return Job.objects.filter(pk=job.pk, state=Job.State.WORKING, holder=job.holder)


def _clear(job: Job) -> None:
    shutil.rmtree(folder_of(job), ignore_errors=True)


class _Heart:
    """Tells that the worker lives, from a thread with a connection of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"job {job.pk}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        try:
            while not self._over.wait(BEAT_SECONDS):
                try:
                    _mine(self._job).update(changed=time.time())
                except DatabaseError as error:
                    log.warning("job %s cannot tell that it lives: %s", self._job.pk, error)
        finally:
            connections.close_all()
