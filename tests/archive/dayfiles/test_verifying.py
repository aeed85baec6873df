"""Verification finds what was changed by hand, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from archive.dayfiles import options, verifying
from archive.dayfiles.models import DayFile, Manifest
from tests.archive.dayfiles.kit import DAY, JULIET, NOON, ROMEO, ROOM, Archive


@pytest.fixture
def written(archive: Archive) -> Archive:
    """Two days, the first of which is closed."""
    for number in range(5):
        archive.say(ROMEO, JULIET, f"message {number}")
    archive.say(JULIET, ROOM, "in the room")
    archive.next_day()
    archive.say(JULIET, ROMEO, "today")
    archive.follow()
    return archive


def verify(archive: Archive, **given: object) -> list[str]:
    report = verifying.verify(archive.alias, **given)  # type: ignore[arg-type]
    assert report.sound == (not report.wrong)
    return report.wrong


def test_what_was_written_is_sound(written: Archive) -> None:
    report = verifying.verify(written.alias)
    assert report.wrong == []
    # Two indexes, three files of yesterday, two of today.
    assert (report.days, report.files, report.messages) == (3, 7, 13)
    assert list(report.lines())[-1] == "All is as it was written."


def test_packed_and_changed_files_are_sound(archive: Archive) -> None:
    options.set_compress(archive.alias, True)
    secret = archive.say(ROMEO, JULIET, "secret")
    archive.next_day()
    archive.follow()
    archive.bury(secret)
    archive.commit(archive.row(ROMEO, JULIET, "late", id=archive.id(NOON + 3)))
    archive.next_day()
    archive.follow()
    assert verify(archive) == []


def change(archive: Archive) -> str:
    path = archive.path(ROMEO)
    path.write_bytes(path.read_bytes().replace(b"message 3", b"message 8"))
    return "users/romeo.xml: it was changed: its SHA-256"


def change_open(archive: Archive) -> str:
    path = archive.path(ROMEO, date(2026, 9, 22))
    path.write_bytes(path.read_bytes().replace(b"today", b"never"))
    return "22/users/romeo.xml: 1 of its messages say something else"


def cut(archive: Archive) -> str:
    path = archive.path(ROMEO)
    path.write_bytes(path.read_bytes()[:-30])
    return "bytes, not the"


def take(archive: Archive) -> str:
    archive.path(ROOM).unlink()
    return "rooms/hall.xml: the file is missing"


def add(archive: Archive) -> str:
    shutil.copy(archive.path(ROMEO), archive.path("tybalt@a.example"))
    return "users/tybalt.xml: nobody wrote this file"


def change_line(archive: Archive) -> str:
    path = archive.root / "a.example/manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"records": 5', b'"records": 6', 1))
    return "chain is broken at line 3"


def cut_manifest(archive: Archive) -> str:
    path = archive.root / "a.example/manifest.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    return "the manifest has 2 lines, not the 3"


def take_manifest(archive: Archive) -> str:
    (archive.root / "a.example/manifest.jsonl").unlink()
    return "the manifest is missing"


def change_index(archive: Archive) -> str:
    path = archive.root / "a.example/2026/09/21/index.xml"
    path.write_bytes(path.read_bytes().replace(b"messages='5' first", b"messages='4' first", 1))
    return "index.xml: it does not say what"


def break_xml(archive: Archive) -> str:
    path = archive.path(ROMEO)
    path.write_bytes(path.read_bytes().replace(b"</body>", b"</bady>", 1))
    return "cannot be read behind its message"


def change_row(archive: Archive) -> str:
    with archive.connection.cursor() as cursor:
        cursor.execute("UPDATE archive_message SET kind = 'normal' WHERE kind = 'groupchat'")
    return "rooms/hall.xml: 1 of its messages say something else"


def write_behind(archive: Archive) -> str:
    archive.commit(archive.row(ROMEO, ROMEO, "nobody counted", id=archive.id(NOON + 7)))
    return "1 messages of romeo@a.example are in the database and not in the files"


@pytest.mark.parametrize(
    "harm",
    [
        change,
        change_open,
        cut,
        take,
        add,
        change_line,
        cut_manifest,
        take_manifest,
        change_index,
        break_xml,
        change_row,
        write_behind,
    ],
)
def test_every_harm_is_found(written: Archive, harm: Callable[[Archive], str]) -> None:
    expected = harm(written)
    found = verify(written)
    assert any(expected in sentence for sentence in found), found


def test_a_manifest_that_was_made_anew_is_not_the_one_that_was_noted(written: Archive) -> None:
    mark = Manifest.objects.using(written.alias).get(domain="a.example")
    assert verify(written, anchors=lambda _domain: [(3, mark.digest)]) == []
    found = verify(written, anchors=lambda domain: [(2, "f" * 64)] if domain == "a.example" else [])
    assert any("not the one that was noted" in sentence for sentence in found)


def test_days_and_domains_are_chosen(written: Archive) -> None:
    change(written)
    assert verify(written, domain="rooms.a.example") == []
    assert verify(written, first=date(2026, 9, 22), last=date(2026, 9, 22)) == []
    assert verify(written, first=DAY, last=DAY) != []


def test_what_the_database_forgot_is_only_counted(written: Archive) -> None:
    with written.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message")
    report = verifying.verify(written.alias)
    assert report.sound
    assert report.forgotten == 13


def test_what_was_cut_off_behind_an_open_file_is_no_matter(written: Archive) -> None:
    path = written.path(ROMEO, date(2026, 9, 22))
    path.write_bytes(path.read_bytes() + b"<record id='half")
    assert verify(written) == []
    written.say(ROMEO, JULIET, "more")
    written.follow()
    assert verify(written) == []
    assert written.held(ROMEO, date(2026, 9, 22)) == written.expected(ROMEO, date(2026, 9, 22))


def test_a_file_that_was_changed_by_hand_and_then_by_us_stays_marked(written: Archive) -> None:
    change(written)
    first = min(record.id for record in [written.record(written.row_of(ROMEO).first)])
    written.bury(first)
    written.follow()
    found = verify(written)
    assert any("somebody had changed it before" in sentence for sentence in found)


def test_rows_are_compared_whoever_has_them(written: Archive) -> None:
    record = written.record(written.row_of(ROMEO).first)
    assert verifying.is_same(replace(record, sender_account=1), record)
    assert not verifying.is_same(replace(record, origin_id="other"), record)
    assert not DayFile.objects.using(written.alias).filter(pending__isnull=False).exists()
