"""A database that was restored from an older copy knows less than the files do: what only they have is kept."""

from __future__ import annotations

import json

from archive.dayfiles import importing, options, verifying
from archive.dayfiles.models import DayFile, Manifest, Span, Writer
from tests.archive.dayfiles.kit import DAY, JULIET, NOON, ROMEO, Archive
from tests.archive.dayfiles.test_importing import people


def restore(archive: Archive, upto: int) -> None:
    """The database as it was when it had only messages up to this one."""
    with archive.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message WHERE id > %s", [upto])
    Writer.objects.using(archive.alias).update(upto=upto)
    Span.objects.using(archive.alias).all().delete()
    Manifest.objects.using(archive.alias).all().delete()
    for row in DayFile.objects.using(archive.alias).all():
        if row.kind == "index":
            row.delete()
            continue
        lines = archive.text(row.address, row.day).splitlines(keepends=True)
        kept = [line for line in lines[2:-1] if int(line[12:28], 16) <= upto]
        size = len("".join([*lines[:2], *kept]).encode())
        last = int(kept[-1][12:28], 16)
        DayFile.objects.using(archive.alias).filter(pk=row.pk).update(
            size=size, records=len(kept), last=last, state="open", sha256="", listed=True
        )


def test_what_only_the_files_have_is_put_aside_and_can_be_read_back(archive: Archive) -> None:
    people(archive)
    first = archive.say(ROMEO, JULIET, "before the backup")
    only = archive.say(ROMEO, JULIET, "after the backup")
    archive.next_day()
    archive.follow()
    restore(archive, first)
    archive.commit(archive.row(ROMEO, JULIET, "life goes on", id=archive.id(NOON + 60)))
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    aside = sorted(archive.root.rglob("*+rest-*"), key=lambda path: (path.suffix, path.name))
    assert [path.suffix for path in aside] == [".jsonl", ".xml", ".xml"]
    assert json.loads(aside[0].read_text().splitlines()[0])["sequence"] == 1
    assert "after the backup" in aside[1].read_text()
    assert aside[1].name.startswith("juliet+rest-")
    wrong = verifying.verify(archive.alias).wrong
    assert len([sentence for sentence in wrong if "nobody wrote this file" in sentence]) == 2
    report = importing.run(archive.alias, aside[1], unverified=True)
    assert report.new == 1
    assert "after the backup" in archive.record(only).xml
    for path in aside:
        path.unlink()
    archive.next_day()
    archive.follow()
    assert verifying.verify(archive.alias).wrong == []


def test_a_packed_file_that_nobody_knows_is_not_written_over(archive: Archive) -> None:
    options.set_compress(archive.alias, True)
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    archive.path(ROMEO, suffix=".gz").write_bytes(b"somebody's")
    archive.next_day()
    archive.follow()
    (aside,) = archive.root.rglob("*+rest-*")
    assert aside.read_bytes() == b"somebody's"
    assert archive.held(ROMEO) == archive.expected(ROMEO)


def test_a_message_from_before_the_files_began_makes_no_file(archive: Archive) -> None:
    old = archive.row(ROMEO, JULIET, "long ago", id=archive.id(NOON - 40 * 86_400))
    archive.commit(old)
    archive.say(ROMEO, JULIET, "today")
    archive.bury(old.id)
    archive.follow()
    assert {row.day for row in DayFile.objects.using(archive.alias).all()} == {DAY}


def test_what_was_cut_off_is_written_again_and_nothing_is_put_aside(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    archive.say(ROMEO, JULIET, "two")
    path = archive.path(ROMEO)
    path.write_bytes(path.read_bytes() + b"<record id='0000000000000001' half of a line")
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert list(archive.root.rglob("*+rest-*")) == []
