"""The writer's process is killed by SIGKILL: at chosen steps, and at any moment while messages keep coming. What it
leaves is finished by the next one: nothing is lost, nothing stands twice, and everything verifies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from archive.dayfiles import options, verifying
from archive.dayfiles.models import Writer
from tests.archive.dayfiles.kit import JULIET, ROMEO, ROOM, Archive
from tests.archive.dayfiles.test_properties import check

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[3]
STEPS = (
    "archive.dayfiles.disk.append",
    "archive.dayfiles.disk.settle",
    "archive.dayfiles.disk.write_whole",
    "archive.dayfiles.marks.save",
    "archive.dayfiles.rewriting.carry_out",
    "archive.dayfiles.rewriting._finish",
    "archive.dayfiles.rewriting._apply",
    "archive.dayfiles.manifest.append",
    "archive.dayfiles.closing.close_some",
    "archive.dayfiles.following._new",
)


def environment(archive: Archive) -> dict[str, str]:
    """For processes that use the test's database and folder."""
    set = archive.connection.settings_dict
    if archive.connection.vendor == "sqlite":
        url = f"sqlite:///{set['NAME']}"
    else:
        url = f"postgresql://{set['USER']}:{set['PASSWORD']}@{set['HOST']}:{set['PORT']}/{set['NAME']}"
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
    home = archive.root.parent / "home"
    home.mkdir(exist_ok=True)
    return {**own, "MLINK_HOME": str(home), "MLINK_DATABASE_URL": url, "MLINK_ARCHIVE_FILES": str(archive.root)}


class Processes:
    """Starts writers one after the other, see writer_process.py."""

    def __init__(self, archive: Archive) -> None:
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "tests.archive.dayfiles.writer_process"],
            cwd=ROOT,
            env=environment(archive),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def write(self, now: float, step: str = "-", count: int = 0) -> int:
        """Let one write; returns how it ended, -9 when it was killed."""
        self._process.stdin.write(f"{now} {step} {count}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """No more of them."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@pytest.fixture
def processes(archive: Archive) -> Iterator[Processes]:
    made = Processes(archive)
    yield made
    made.end()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_killed_at_chosen_steps(archive: Archive, processes: Processes, packed: bool) -> None:
    options.set_compress(archive.alias, packed)
    said: list[int] = []
    killed = 0
    for number, step in enumerate((*STEPS, *STEPS)):
        said += [archive.say(ROMEO, JULIET, f"text {number}.{part}") for part in range(3)]
        archive.say(JULIET, ROOM, f"text {number}")
        archive.commit(archive.row(JULIET, ROMEO, "late", id=archive.id(archive.now - 40)))
        if number > 2:
            archive.bury(said[-5])
        if number % 3 == 2:
            archive.next_day()
        killed += processes.write(archive.now + 400, step, number % 4 + 1) == -signal.SIGKILL
    assert killed >= len(STEPS)
    for _ in range(3):
        archive.next_day()
        assert processes.write(archive.now) == 0
    check(archive)


def test_killed_at_any_moment_while_messages_come(archive: Archive) -> None:
    """As a worker runs it, by the command; the clock is the real one."""
    archive.switch(on=False)
    archive.now = time.time()
    archive.switch()
    over = threading.Event()

    def talk() -> None:
        number = 0
        speaker = Archive(archive.alias, archive.root)
        while not over.wait(0.02):
            speaker.now = time.time()
            speaker.commit(*(speaker.row(ROMEO, JULIET, f"text {number} {part}") for part in range(20)))
            number += 1
        speaker.close()
        connections.close_all()

    talking = threading.Thread(target=talk)
    talking.start()
    chance = random.Random(7)
    try:
        for _ in range(3):
            writer = subprocess.Popen(
                [sys.executable, "manage.py", "archive_files", "write", "--seconds", "60"],
                cwd=ROOT,
                env={**environment(archive), "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            before = _upto(archive)
            try:
                # Until it has written something, then for a moment of chance.
                wait_for(lambda before=before: _upto(archive) > before)
                time.sleep(chance.uniform(0.0, 0.5))
            finally:
                writer.kill()
                writer.wait(30)
    finally:
        over.set()
        talking.join()
    archive.now = time.time()
    archive.follow(later=200.0)
    assert verifying.verify(archive.alias).wrong == []
    day = options.read(archive.alias).calendar.day_of(archive.id())
    assert archive.held(ROMEO, day) == archive.expected(ROMEO, day)
    assert len(archive.held(ROMEO, day)) > 50


def _upto(archive: Archive) -> int:
    """Up to which message the files go."""
    return int(Writer.objects.using(archive.alias).values_list("upto", flat=True).get(pk=1))


def wait_for(happened: Any, seconds: float = 60.0) -> None:
    """Until it has happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
