"""Disks that are full or away, folders that cannot be written to, a database that is gone: said once, and made good."""

from __future__ import annotations

import errno
import logging
import os
import time
from typing import Any

import pytest
from django.db import OperationalError

from archive.dayfiles import disk, following, manifest, options, turns, verifying
from archive.dayfiles.models import Change, Writer
from tests.archive.dayfiles.kit import JULIET, ROMEO, Archive


def state(archive: Archive) -> Writer:
    return Writer.objects.using(archive.alias).get(pk=1)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_full_disk_is_said_once_and_made_good(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    real = os.pwrite

    def half(descriptor: int, data: Any, place: int) -> int:
        """Some bytes still fit."""
        if len(data) > 10:
            real(descriptor, bytes(data[:10]), place)
        raise OSError(errno.ENOSPC, "No space left on device")

    archive.say(ROMEO, JULIET, "two")
    monkeypatch.setattr(disk.os, "pwrite", half)
    archive.follow()
    archive.follow()
    assert state(archive).trouble == f"The disk of {archive.root} is full."
    assert state(archive).trouble_since
    assert len(errors(caplog)) == 1
    monkeypatch.setattr(disk.os, "pwrite", real)
    archive.follow()
    assert state(archive).trouble == ""
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert verifying.verify(archive.alias).wrong == []


def test_a_disk_that_fails_when_it_is_synced_has_nothing_noted(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.say(ROMEO, JULIET, "one")

    def fail(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "settle", fail)
        archive.follow()
        assert "Input/output error" in state(archive).trouble
        assert state(archive).written == 0
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert len(archive.held(ROMEO)) == 1


def test_another_folder_is_not_written_to(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    archive.root.rename(archive.root.with_name("unmounted"))
    archive.root.mkdir()
    archive.say(ROMEO, JULIET, "two")
    archive.follow()
    assert "Is the disk mounted?" in state(archive).trouble
    assert list(archive.root.iterdir()) == []
    (archive.root / ".archive").write_text("another\n")
    archive.follow()
    assert "the folder of another archive" in state(archive).trouble
    (archive.root / ".archive").unlink()
    archive.root.rmdir()
    archive.root.with_name("unmounted").rename(archive.root)
    archive.follow()
    assert state(archive).trouble == ""
    assert archive.held(ROMEO) == archive.expected(ROMEO)


def test_a_folder_that_cannot_be_made_is_said(archive: Archive) -> None:
    archive.root.write_text("a file stands here")
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    assert state(archive).trouble.startswith(f"Writing to {archive.root} failed")
    archive.root.unlink()
    archive.follow()
    assert len(archive.held(ROMEO)) == 1


def test_a_database_that_is_gone_is_waited_for(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.say(ROMEO, JULIET, "one")

    def gone(*_arguments: Any, **_given: Any) -> None:
        raise OperationalError("the connection is closed")

    with monkeypatch.context() as patch:
        patch.setattr(following.records, "page", gone)
        archive.follow()
    assert "wait for the database" in caplog.text
    archive.follow()
    assert len(archive.held(ROMEO)) == 1


def test_who_lost_the_turn_notes_nothing(archive: Archive) -> None:
    with turns.turn(archive.alias) as turn:
        Writer.objects.using(archive.alias).update(holder="another")
        with pytest.raises(turns.Lost), turn.step():
            raise AssertionError("the turn is somebody else's")


def test_a_holder_on_another_machine_is_waited_for_until_his_lease_ends(archive: Archive) -> None:
    rows = Writer.objects.using(archive.alias)
    with turns.turn(archive.alias):
        pass
    rows.update(holder="theirs", host="another machine", until=time.time() + 30)
    with pytest.raises(turns.Busy), turns.turn(archive.alias, wait=0.1):
        raise AssertionError
    rows.update(until=time.time() - 1)
    with turns.turn(archive.alias, wait=0.1):
        pass
    # One of this machine that did not give it back is dead: the lock of the folder says so.
    with turns.turn(archive.alias, wait=0.1):
        host = rows.get().host
    rows.update(holder="dead", host=host, until=time.time() + 30)
    with turns.turn(archive.alias, wait=0.1):
        pass


def test_a_manifest_that_was_taken_away_stops_only_the_closing(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.next_day()
    archive.follow()
    (archive.root / manifest.manifest_of("a.example")).unlink()
    archive.say(ROMEO, JULIET, "two")
    archive.next_day()
    archive.say(ROMEO, JULIET, "three")
    archive.follow()
    assert state(archive).trouble
    day = options.read(archive.alias).calendar.day_of(archive.id())
    assert archive.held(ROMEO, day) == archive.expected(ROMEO, day)
    assert any("manifest is missing" in sentence for sentence in verifying.verify(archive.alias).wrong)


def test_changes_do_not_pile_up_where_nothing_is_written(archive: Archive) -> None:
    archive.switch(on=False)
    number = archive.say(ROMEO, JULIET, "one")
    archive.bury(number)
    assert Change.objects.using(archive.alias).count() == 1
    archive.follow()
    assert Change.objects.using(archive.alias).count() == 0
