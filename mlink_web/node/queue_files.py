"""The queue of a node without Redis: files, by kombu's transport, each of them there as a whole or not at all.

kombu makes a file empty, locks it and then writes: a process that looks in between, or whose forerunner was killed
there, ends at once, for "" is no JSON. That is so for messages, one file each, and for the file that says which queues
an exchange leads to; where that one stays empty, no worker starts any more. Here they are written beside and put in
their place, and who takes a message takes it by a name of his own, in the queue's folder and not in the system's
temporary one.
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
            text = taken.read_text()
            taken.unlink()
            try:
                return loads(text)
            except ValueError:
                log.error("a message in the queue %s is damaged and left out: %s", queue, name)
        raise Empty


class Transport(filesystem.Transport):
    """kombu's, with these channels."""

    Channel = Channel


def use() -> None:
    """Have `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
