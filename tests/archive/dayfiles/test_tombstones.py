"""What is redacted or removed leaves open, closed and packed files, and the manifest says so."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections

from archive.dayfiles import manifest, options, removed, tombstones, turns, verifying
from archive.dayfiles.models import Change, DayFile
from tests.archive.dayfiles.kit import DAY, JULIET, NOON, ROMEO, ROOM, Archive


@pytest.fixture(params=["open", "closed", "packed"])
def secret(archive: Archive, request: pytest.FixtureRequest) -> int:
    """A message among others, in files of each kind."""
    options.set_compress(archive.alias, request.param == "packed")
    archive.say(ROMEO, JULIET, "before")
    number = archive.say(ROMEO, JULIET, "the secret word")
    archive.say(ROMEO, JULIET, "after")
    archive.say(ROMEO, ROOM, "elsewhere")
    archive.follow()
    if request.param != "open":
        archive.next_day()
        archive.follow()
    return number


def test_a_redacted_message_is_gone_at_once(archive: Archive, secret: int) -> None:
    record = archive.bury(secret)
    assert len(tombstones.holding(archive.connection, [record])) == 2
    paths = tombstones.apply(archive.connection, [record])
    assert sorted(path.rpartition("/")[2].partition(".")[0] for path in paths) == ["juliet", "romeo"]
    assert not Change.objects.using(archive.alias).exists()
    for address in (ROMEO, JULIET):
        assert "the secret word" not in archive.text(address)
        assert archive.held(address) == archive.expected(address)
    raw = b"".join(path.read_bytes() for path in archive.root.rglob("*") if path.is_file())
    assert b"the secret word" not in raw
    if archive.row_of(ROMEO).state == DayFile.State.CLOSED:
        entry = manifest.read(archive.root, "a.example").last[paths[0].removeprefix("a.example/")]
        assert entry["why"] == ["redacted"]
        assert entry["ids"] == [f"{secret:016x}"]
        assert entry["before"] != entry["sha256"]
    assert verifying.verify(archive.alias).wrong == []


def test_the_day_goes_on_behind_a_redaction(archive: Archive, secret: int) -> None:
    tombstones.apply(archive.connection, [archive.bury(secret)])
    archive.say(JULIET, ROMEO, "and on")
    archive.next_day()
    archive.follow()
    assert verifying.verify(archive.alias).wrong == []
    assert "the secret word" not in archive.text(ROMEO)


def test_nothing_to_redact_needs_no_folder(archive: Archive) -> None:
    number = archive.say(ROMEO, JULIET, "not written yet")
    assert tombstones.apply(archive.connection, [archive.bury(number)]) == []


def test_while_the_folder_is_away_the_writer_does_it_later(archive: Archive, secret: int, settings: Any) -> None:
    moved = archive.root.with_name("moved")
    archive.root.rename(moved)
    record = archive.bury(secret)
    with pytest.raises(tombstones.Unfinished, match="Is the disk mounted"):
        tombstones.apply(archive.connection, [record])
    moved.rename(archive.root)
    archive.follow()
    assert "the secret word" not in archive.text(ROMEO)
    assert verifying.verify(archive.alias).wrong == []


def test_while_the_writer_is_at_it_others_wait(archive: Archive, secret: int) -> None:
    record = archive.bury(secret)
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.turn(archive.alias):
            begun.set()
            end.wait(30)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(30)
    with pytest.raises(turns.Busy), turns.turn(archive.alias, wait=0.1):
        raise AssertionError("two at a time")
    threading.Timer(0.2, end.set).start()
    assert len(tombstones.apply(archive.connection, [record])) == 2
    thread.join()


@pytest.mark.parametrize("by", ["record", "id"])
def test_a_removed_message_leaves_no_line(archive: Archive, secret: int, by: str) -> None:
    record = archive.record(secret)
    with archive.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message WHERE id = %s", [secret])
    paths = removed.apply([record if by == "record" else secret], alias=archive.alias)
    assert len(paths) == 2
    assert f"{secret:016x}" not in archive.text(ROMEO) + archive.text(JULIET)
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert verifying.verify(archive.alias).wrong == []


def test_the_last_message_takes_its_file_with_it(archive: Archive, secret: int) -> None:
    number = archive.row_of(ROOM).first
    with archive.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message WHERE id = %s", [number])
    removed.apply([number], alias=archive.alias)
    assert archive.text(ROOM) == ""
    assert archive.row_of(ROOM).state == DayFile.State.REMOVED
    assert verifying.verify(archive.alias).wrong == []
    # Who speaks again on that day begins it anew.
    archive.commit(archive.row(ROMEO, ROOM, "once more", id=archive.id(NOON + 9)))
    Change.objects.using(archive.alias).create(message=archive.record(archive.id(NOON + 9) - 1).id)
    archive.follow()
    assert len(archive.held(ROOM)) == 1
    archive.next_day()
    archive.follow()
    assert verifying.verify(archive.alias).wrong == []


def test_whole_days_go_but_for_what_is_held(archive: Archive, secret: int) -> None:
    archive.next_day()
    archive.follow()
    before = DAY.replace(day=22)
    gone = removed.days("a.example", before, keep=lambda _kind, who: who == JULIET, alias=archive.alias)
    assert len(gone) == 1
    assert archive.text(ROMEO) == ""
    assert archive.text(JULIET) != ""
    assert manifest.read(archive.root, "a.example").last[gone[0].removeprefix("a.example/")]["what"] == "removed"
    with archive.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message")
    assert verifying.verify(archive.alias, first=DAY, last=DAY).wrong == []


def test_a_person_who_is_erased_leaves_no_file(archive: Archive, secret: int) -> None:
    gone = removed.of_person(ROMEO, alias=archive.alias)
    assert [path.rpartition("/")[2].partition(".")[0] for path in gone] == ["romeo"]
    assert not [path for path in archive.root.rglob("romeo*") if path.is_file()]
    assert "the secret word" in archive.text(JULIET), "what others have is theirs"
    assert removed.of_person(ROMEO, alias=archive.alias) == []
