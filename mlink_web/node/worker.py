"""The child processes that run background work (Celery, one task at a time), kept running while the node runs: one for
what is due every few seconds, one for jobs that take long."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from django.conf import settings

from mlink_web.node import parent, queue_files

log = logging.getLogger("mlink.node")

#: The queue of what is due every few seconds, and all queues.
SCHEDULED: Final = "celery"
QUEUES: Final = (SCHEDULED, "jobs")
#: An idle worker takes about four seconds to notice that it is to end; nobody should wait for that. A task that is cut
#: off is done again: tasks are written to bear it.
STOP_SECONDS: Final = 1.0
#: Pauses before the worker is started again: longer each time, so that one that cannot start costs nothing.
PAUSES: Final = (1.0, 5.0, 30.0, 60.0)


class Worker:
    """Starts the worker of a queue, starts it again when it ends, ends it with the node."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start in the background."""
        self._task = asyncio.create_task(self._keep(), name=f"worker {self._queue}")

    async def _keep(self) -> None:
        failures = 0
        while True:
            started = asyncio.get_running_loop().time()
            try:
                self._process = spawn(self._queue)
            except OSError as error:
                log.error("the worker of %s cannot be started: %s", self._queue, error)
            else:
                code = await ended(self._process)
                log.error("the worker of %s ended with code %s; it is started again", self._queue, code)
            if asyncio.get_running_loop().time() - started > PAUSES[-1]:
                failures = 0
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """End the worker: politely, then not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await ended(process)
        except TimeoutError:
            # With the scheduler, which is a process of the worker's own.
            os.killpg(process.pid, signal.SIGKILL)
            await ended(process)


def sweep_queue() -> None:
    """Where the queue is files: see to what processes that were killed have left in it."""
    folder = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("data_folder_in")
    if folder is None:
        return
    try:
        counts = queue_files.sweep(Path(folder), time.time())
    except OSError as error:
        log.error("what killed processes have left in the queue cannot be looked at: %s", error)
        return
    if any(counts.values()):
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        log.warning("messages that killed processes have left in the queue: %s", told)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; returns its code."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return process.wait()


def spawn(queue: str) -> subprocess.Popen[bytes]:
    """Start the process of a queue's worker; that of SCHEDULED starts what is due, too."""
    home = Path(settings.MLINK_HOME)
    # Who runs the node as root has been told that by the system already.
    command = [
        sys.executable,
        "-W",
        "ignore:You're running the worker with superuser",
        "-m",
        "celery",
        "--app",
        "mlink_web.celery",
        "--quiet",
        "worker",
    ]
    command += ["--pool", "solo", "--queues", queue, "--loglevel", "WARNING"]
    if queue == SCHEDULED:
        command.append("--beat")
    command += ["--without-gossip", "--without-mingle", "--hostname", f"{settings.MLINK_NODE_NAME}.{queue}@%h"]
    return subprocess.Popen(
        command,
        cwd=settings.BASE_DIR,
        # A node that is killed takes the worker with it.
        env={**os.environ, "MLINK_HOME": str(home), **parent.bound()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # A group of its own: Ctrl-C is for the node, which ends the worker in its turn.
        process_group=0,
    )
