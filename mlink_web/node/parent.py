"""Processes that end with the one that started them, also where that one is killed.

The kernel does it (PR_SET_PDEATHSIG), if the new process asks for it. It asks by itself, as soon as it runs our code:
to have it asked between fork and exec would run Python in the copy of a process with many threads, which may stand
still for ever, and the parent with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

#: In the environment of a child: its parent's process number.
VARIABLE: Final = "MLINK_PARENT"
_PR_SET_PDEATHSIG: Final = 1


def bound() -> dict[str, str]:
    """What the environment of a child needs so that `follow` there binds it to the calling thread."""
    return {VARIABLE: str(os.getpid())}


def follow() -> None:
    """Get SIGTERM when the parent ends, in a process that was started to live no longer; else nothing happens. Those
    that this process starts are not bound by that."""
    parent = os.environ.pop(VARIABLE, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:
        # It has ended already.
        os.kill(os.getpid(), signal.SIGTERM)
