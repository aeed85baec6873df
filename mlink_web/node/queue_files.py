"""The queue of a node without Redis: files, by kombu's transport, each of them there as a whole or not at all.

kombu makes a file empty, locks it and then writes: a process that looks in between, or whose forerunner was killed
there, ends at once, for "" is no JSON. That is so for messages, one file each, and for the file that says which queues
an exchange leads to; where that one stays empty, no worker starts any more. Here they are written beside and put in
their place, and who takes a message takes it by a name of his own, in the queue's folder and not in the system's
temporary one.

A process that is killed may leave what it was at: `.new`, a message that was being put, and `.taken`, one that was
being taken. Whoever removes the `.taken` one has the message, and only then does Celery see it: what is left was begun
by nobody, and `sweep` puts it back. That is all that is asked of the queue. Celery calls a message done before its task
begins (`acks_late` is off, and kombu keeps nothing of it on the disk), so a task that was begun is not begun again by
it, and none of ours needs that: a job is a row that the sweep of jobs hands over again, and what is due every few
seconds or minutes looks at the database itself, so the next time does it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.transport.filesystem import exchange_queue_t
from kombu.utils.json import dumps, loads

log = logging.getLogger("mlink.node")

_LOCK: Final = "bindings.lock"
#: Seconds after which a file that is being put or taken was left by somebody who is dead.
LEFT_SECONDS: Final = 3_600.0


class Channel(filesystem.Channel):
    """Writes and takes files in one step."""

    def get_table(self, exchange: str) -> list[Any]:
        """The bindings of an exchange; none where the file is cut off."""
        try:
            found: list[Any] = super().get_table(exchange)
        except ValueError:
            return []
        return found

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        file = self._exchange_file(exchange)
        binding = exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with (self.control_folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self.get_table(exchange)
            if binding in known:
                return
            beside = file.with_name(f"{file.name}.new")
            beside.write_text(dumps([binding, *known]))
            os.replace(beside, file)

    def _put(self, queue: str, payload: Any, **_options: Any) -> None:
        # Taken by name, the first first: the clock of the wall has as many digits tomorrow and goes on after a reboot.
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        path = Path(self.data_folder_out, name)
        beside = path.with_suffix(".new")
        try:
            beside.write_text(dumps(payload))
            os.replace(beside, path)
        except OSError as error:
            raise ChannelError(f"Cannot add {path}: {error.strerror}") from error

    def _get(self, queue: str) -> Any:
        for name in sorted(os.listdir(self.data_folder_in)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            path = Path(self.data_folder_in, name)
            taken = path.with_suffix(".taken")
            try:
                os.replace(path, taken)
            except FileNotFoundError:
                continue  # Another one has it.
            try:
                text = taken.read_text()
                taken.unlink()
            except FileNotFoundError:
                continue  # This process stood still for so long that it was put back.
            try:
                return loads(text)
            except ValueError:
                log.error("a message in the queue %s is damaged and left out: %s", queue, name)
        raise Empty


def sweep(folder: Path, now: float) -> dict[str, int]:
    """Put back what processes that were killed had taken, and finish or remove what they had been putting, where that
    is LEFT_SECONDS ago at `now` (seconds since the epoch); returns how many of each there were."""
    counts = {"put back": 0, "finished": 0, "removed": 0}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix not in (".new", ".taken"):
            continue
        try:
            # Renaming does not count as writing: when it was taken is when the file last changed in any way.
            if path.stat().st_ctime > now - LEFT_SECONDS:
                continue
            if path.suffix == ".taken":
                done = "put back"
            else:
                done = "finished" if _is_whole(path) else "removed"
            if done == "removed":
                path.unlink()
            else:
                os.replace(path, path.with_suffix(".msg"))
        except FileNotFoundError:
            continue  # Another node sweeps too.
        counts[done] += 1
    return counts


def _is_whole(path: Path) -> bool:
    try:
        loads(path.read_text())
    except ValueError:
        return False
    return True


class Transport(filesystem.Transport):
    """kombu's, with these channels."""

    Channel = Channel


def use() -> None:
    """Have `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
