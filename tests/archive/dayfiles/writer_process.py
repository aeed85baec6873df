"""The writer in processes of its own that can be killed: reads lines from its input, each of which says what the next
process is to do, and tells how that ended.

    <time> <module>.<function> <count>     write, and die by SIGKILL at the count-th call of this function
    <time> - 0                             write all there is

Each process is a fork of this one, which has no connection to the database itself.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

import django


def main() -> None:
    """Until the input ends."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.dev")
    django.setup()
    from archive.dayfiles import following  # noqa: F401  (loaded once for all)

    print("ready", flush=True)
    for line in sys.stdin:
        now, where, count = line.split()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                write(float(now), where, int(count))
                code = 0
            finally:
                os._exit(code)
        _pid, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def write(now: float, where: str, count: int) -> None:
    """What a process does."""
    from archive.dayfiles import following

    if where != "-":
        module_name, _, name = where.rpartition(".")
        module = importlib.import_module(module_name)
        setattr(module, name, dying(getattr(module, name), count))
    while following.run("default", seconds=30.0, clock=lambda: now):
        pass


def dying(function: Any, count: int) -> Any:
    """The function, in whose nth call the process is killed: before it does anything for odd numbers, else behind."""
    left = count

    def call(*arguments: Any, **given: Any) -> Any:
        nonlocal left
        left -= 1
        if not left and count % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        value = function(*arguments, **given)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    return call


if __name__ == "__main__":
    main()
