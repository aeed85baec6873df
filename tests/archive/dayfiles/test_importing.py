"""Files come back into an empty database as they were, once, and only those that verify."""

from __future__ import annotations

import gzip
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from archive import records
from archive.dayfiles import importing, options, verifying
from archive.dayfiles.models import Change, ReservedRoom
from archive.filters import Filter, owner_of
from archive.query import page
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room
from tests.archive.dayfiles.kit import ACCOUNTS, FAR, JULIET, NOON, ROMEO, ROOM, Archive


def people(archive: Archive) -> None:
    domain = Domain.objects.using(archive.alias).create(name="a.example")
    for address, number in ACCOUNTS.items():
        Account.objects.using(archive.alias).create(
            pk=number, username=address, local=address.partition("@")[0], domain=domain
        )
    Room.objects.using(archive.alias).create(pk=7, service="rooms.a.example", local="hall")


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def written(archive: Archive, request: pytest.FixtureRequest) -> Archive:
    """A closed day with all sorts of messages."""
    people(archive)
    options.set_compress(archive.alias, request.param)
    archive.say(ROMEO, JULIET, "But soft\nwhat light — 東京 & <so> on")
    secret = archive.say(ROMEO, JULIET, "the secret")
    archive.say(FAR, JULIET, "Madam!")
    archive.say(JULIET, ROOM, "hello hall")
    retract = f"<retract xmlns='urn:xmpp:message-retract:1' id='o{secret:x}'/>"
    archive.say(ROMEO, JULIET, "", payload=retract, event=(4, f"o{secret:x}"))
    archive.tend()
    archive.next_day()
    archive.follow()
    return archive


def everything(archive: Archive) -> list[Any]:
    return list(records.between(archive.connection, 0))


def forget(archive: Archive) -> None:
    with archive.connection.cursor() as cursor:
        if archive.connection.vendor == "sqlite":
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('delete-all')")
            cursor.execute("DELETE FROM archive_entry")
        cursor.execute("DELETE FROM archive_event")
        cursor.execute("DELETE FROM archive_message")


def test_an_empty_database_gets_everything_back(written: Archive) -> None:
    before = everything(written)
    forget(written)
    report = importing.run(written.alias, written.root)
    assert everything(written) == before
    # Five messages, of which three stand in two files.
    assert (report.files, report.messages, report.new, report.refused) == (3, 7 + 1, 5, 0)
    rows, _more = page(written.connection, Filter(11, terms=tuple(parse("light"))), 10)
    assert len(rows) == 1
    rows, _more = page(written.connection, Filter(owner_of(7), terms=tuple(parse("hall"))), 10)
    assert len(rows) == 1
    assert not page(written.connection, Filter(11, terms=tuple(parse("secret"))), 10)[0]
    assert verifying.verify(written.alias).wrong == []


def test_importing_again_changes_nothing(written: Archive) -> None:
    before = everything(written)
    report = importing.run(written.alias, written.root)
    assert report.new == 0
    assert everything(written) == before


def test_a_dry_run_only_says(written: Archive) -> None:
    forget(written)
    report = importing.run(written.alias, written.root, dry_run=True)
    assert report.new >= 5
    assert everything(written) == []
    assert "would be new" in list(report.lines())[-1]


def test_days_are_chosen(written: Archive) -> None:
    forget(written)
    assert importing.run(written.alias, written.root, first=date(2026, 9, 22)).new == 0
    assert importing.run(written.alias, written.root, last=date(2026, 9, 21)).new == 5


def test_a_copy_somewhere_else_is_taken_with_its_manifest(written: Archive, tmp_path: Path) -> None:
    shutil.copytree(written.root, tmp_path / "backup")
    forget(written)
    assert importing.run(written.alias, tmp_path / "backup" / "a.example" / "2026").new == 4
    # Files that are kept here follow what came from elsewhere.
    assert Change.objects.using(written.alias).count() == 4


def test_what_does_not_verify_is_refused_unless_told_so(written: Archive, tmp_path: Path) -> None:
    forget(written)
    path = tmp_path / "alone.xml"
    path.write_text(written.text(ROMEO))
    report = importing.run(written.alias, path)
    assert (report.refused, report.new) == (1, 0)
    assert "no manifest" in report.sentences[0]
    assert importing.run(written.alias, path, unverified=True).new == 3


def test_a_file_that_was_changed_is_refused(written: Archive) -> None:
    forget(written)
    path = written.root / written.row_of(ROMEO).path
    data = path.read_bytes()
    path.write_bytes(gzip.compress(b"<archive/>") if path.suffix == ".gz" else data.replace(b"soft", b"hard"))
    report = importing.run(written.alias, path)
    assert (report.refused, report.new) == (1, 0)
    assert "it was changed" in report.sentences[0]


@pytest.mark.parametrize(
    "text",
    [
        "<archive xmlns='urn:mlink:archive:0'><record id='1'/></archive>",
        "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
        "<archive xmlns='urn:mlink:archive:0'>",
        "no xml at all",
        "",
    ],
)
def test_what_cannot_be_read_is_refused_whatever_is_told(archive: Archive, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(text)
    report = importing.run(archive.alias, path, unverified=True)
    assert report.refused == 1
    assert "cannot be read" in report.sentences[0]


def test_a_room_that_is_gone_keeps_its_messages_under_one_number(written: Archive) -> None:
    forget(written)
    Room.objects.using(written.alias).all().delete()
    assert importing.run(written.alias, written.root / "rooms.a.example").new == 1
    (record,) = everything(written)
    assert record.room not in (0, 7)
    assert ReservedRoom.objects.using(written.alias).get().number == record.room
    forget(written)
    importing.run(written.alias, written.root / "rooms.a.example")
    assert everything(written)[0].room == record.room
    assert Room.objects.using(written.alias).create(service="rooms.a.example", local="new").pk != record.room


def test_people_without_accounts_are_told_of(written: Archive) -> None:
    forget(written)
    Account.objects.using(written.alias).all().delete()
    report = importing.run(written.alias, written.root)
    assert report.unowned == 4
    assert any("no account here" in line for line in report.lines())


def test_what_was_redacted_since_does_not_come_back(written: Archive, tmp_path: Path) -> None:
    shutil.copytree(written.root, tmp_path / "backup")
    first = written.row_of(ROMEO).first
    written.bury(first)
    importing.run(written.alias, tmp_path / "backup")
    assert "But soft" not in written.record(first).xml
    assert NOON
