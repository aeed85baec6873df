"""Runs a small program that gives up all it does not need before it looks at what nobody trusts.

The program reads its input to the end and writes one answer. It bounds its own processor time and memory
(`resource`), so that what hangs or swells is its process, not the one that serves everybody.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


class TooLong(Exception):
    """The program was stopped: it had no answer within the time it was given."""


def answer_of(program: Path, wish: bytes, seconds: float) -> tuple[bytes, int]:
    """What the program writes, and its exit code (negative for the signal that ended it). Raises TooLong."""
    # -I: neither the environment nor the current folder decides what is imported.
    child = subprocess.Popen(
        [sys.executable, "-I", "-B", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    try:
        out, _ = child.communicate(wish, timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise TooLong from None
    return out, child.returncode
