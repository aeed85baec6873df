"""A process that ends with its parent, whatever ends that one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from mlink_web.node import parent
from tests.live import ROOT

CHILD = "from mlink_web.node import parent; parent.follow(); print('here', flush=True); import time; time.sleep(60)"
PARENT = f"""
import os, subprocess, sys, time
from mlink_web.node import parent
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], env={{**os.environ, **parent.bound()}})
print(child.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Whether there is a process that has not ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_ends_with_its_killed_parent() -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}
    child = int((lines - {"here"}).pop())
    assert is_alive(child)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_whose_parent_has_ended_before_it_began_ends_too() -> None:
    environment = {**os.environ, parent.VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, b"")


def test_nobody_else_is_bound() -> None:
    code = f"{CHILD.partition('import time')[0]} import os; print(os.environ.get({parent.VARIABLE!r}))"
    environment = {**os.environ, **parent.bound()}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert done.stdout == b"here\nNone\n", "its own children are not"
