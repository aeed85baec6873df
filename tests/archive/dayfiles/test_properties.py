"""Whatever happens in whatever order, with the writer killed at any step: in the end the files say what the database
says, nothing twice, and everything verifies."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from archive.dayfiles import disk, manifest, marks, options, rewriting, tombstones, verifying
from archive.dayfiles.models import DayFile
from tests.archive.dayfiles.kit import DAY, FAR, JULIET, NOON, ROMEO, ROOM, Archive
from tests.kits.databases import clear
from xmpp_engine.api import ArchiveShare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Killed(BaseException):
    """The process ends here: nobody catches it."""


#: Steps behind or before which the writer may die: what it does to the disk and to its rows.
STEPS: list[tuple[Any, str]] = [
    (disk, "append"),
    (disk, "settle"),
    (disk, "write_whole"),
    (marks, "save"),
    (rewriting.os, "replace"),
    (rewriting, "_finish"),
    (rewriting, "_drop_old"),
    (manifest, "append"),
]

sides = st.sampled_from([(ROMEO, JULIET), (JULIET, ROMEO), (ROMEO, ROMEO), (FAR, ROMEO), (JULIET, FAR), (ROMEO, ROOM)])
says = st.tuples(st.just("say"), sides, st.integers(-30, 3))
acts = st.one_of(
    says,
    says,
    says,
    st.tuples(st.just("bury"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("share"), st.integers(0, 20), st.none()),
    st.tuples(st.just("follow"), st.floats(0.0, 200.0), st.none()),
    st.tuples(st.just("die"), st.sampled_from(STEPS), st.tuples(st.integers(1, 6), st.booleans())),
    st.tuples(st.just("day"), st.none(), st.none()),
    st.tuples(st.just("pack"), st.booleans(), st.none()),
)


class Story:
    """Acts on an archive, and remembers what it did."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.ids: list[int] = []
        self.shares: list[int] = []

    def say(self, sides: tuple[str, str], ago: int) -> None:
        """A message, that may be committed late."""
        archive = self.archive
        late = archive.now + 3_600 * (ago + 10) if ago < -25 else archive.now + ago
        given = {"recipient_account": 0} if len(self.ids) % 5 == 4 else {}
        row = archive.row(*sides, f"text {len(self.ids)}\nof it", id=archive.id(late), **given)
        if given and sides[1] == JULIET:
            self.shares.append(row.id)
        self.ids += archive.commit(row)
        archive.now += 1

    def bury(self, place: int, at_once: bool) -> None:
        """A message is taken back, or redacted."""
        if self.ids:
            record = self.archive.bury(self.ids[place % len(self.ids)])
            if at_once:
                tombstones.apply(self.archive.connection, [record])

    def share(self, place: int, _none: None) -> None:
        """A message gets its second side."""
        if self.shares:
            self.archive.commit(shares=[ArchiveShare(self.shares.pop(place % len(self.shares)), 12)])

    def follow(self, later: float, _none: None) -> None:
        """The writer works."""
        self.archive.follow(later=later)

    def die(self, step: tuple[Any, str], when: tuple[int, bool]) -> None:
        """The writer works until it dies before or behind a step."""
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(*step, dying(getattr(*step), *when)))
            try:
                self.archive.follow(later=400.0)
            except Killed:
                pass

    def day(self, _none: None, _nothing: None) -> None:
        """A day passes."""
        self.archive.next_day()

    def pack(self, on: bool, _none: None) -> None:
        """Files are packed when they are closed, or not."""
        options.set_compress(self.archive.alias, on)


def dying(function: Callable[..., Any], count: int, before: bool) -> Callable[..., Any]:
    """The function, at whose nth call the process dies."""
    left = count

    def call(*arguments: Any, **given: Any) -> Any:
        nonlocal left
        left -= 1
        if before and not left:
            raise Killed
        value = function(*arguments, **given)
        if not left:
            raise Killed
        return value

    return call


@pytest.fixture
def folder(settings: Any) -> Any:
    base = Path(tempfile.mkdtemp(prefix="mlink-files-"))
    settings.MLINK_ARCHIVE_FILES = base / "files"
    yield base
    shutil.rmtree(base, ignore_errors=True)


@rules(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(acts, max_size=25))
def test_in_the_end_files_and_database_are_equal(
    database: str, folder: Path, history: list[tuple[Any, Any, Any]]
) -> None:
    clear(database)
    shutil.rmtree(folder / "files", ignore_errors=True)
    archive = Archive(database, folder / "files", NOON - 2 * 86_400)
    archive.switch()
    archive.now = NOON
    try:
        story = Story(archive)
        for act, *arguments in history:
            getattr(story, act)(*arguments)
        archive.follow(later=400.0)
        # The last of the counts is a day after a day's end.
        for _ in range(3):
            archive.next_day()
            archive.follow(later=400.0)
        check(archive)
    finally:
        archive.close()


def check(archive: Archive) -> None:
    """Files and database are equal, and all verifies."""
    assert verifying.verify(archive.alias).wrong == []
    rows = DayFile.objects.using(archive.alias)
    assert not rows.filter(pending__isnull=False).exists()
    assert not rows.filter(listed=False).exists()
    left = [
        path.name for path in archive.root.rglob("*") if "+rest" in path.name or path.name.endswith((".new", ".plain"))
    ]
    assert left == []
    for number in range(-2, 30):
        day: date = DAY + timedelta(days=number)
        for address in (ROMEO, JULIET, ROOM):
            expected = archive.expected(address, day)
            text = archive.text(address, day)
            assert bool(text) == bool(expected), (address, day)
            if text:
                assert archive.held(address, day) == expected
