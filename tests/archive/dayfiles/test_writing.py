"""The writer follows the archive: every message in the files of who had it, once, closed and listed when the day is
over."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest
from lxml import etree

from archive import records
from archive.dayfiles import manifest
from archive.dayfiles.models import Change, DayFile, Span, Stretch, Writer
from archive.export import producing
from tests.archive.dayfiles.kit import DAY, FAR, JULIET, NOON, ROMEO, ROOM, Archive
from xmpp_engine.api import ArchiveShare


def test_a_message_stands_in_the_files_of_both_and_a_rooms_in_its_own(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "But soft")
    archive.say(FAR, JULIET, "Madam!")
    archive.say(ROMEO, ROOM, "<all> & 'sundry'\nsecond line")
    archive.follow()
    for address, bodies in ((ROMEO, 1), (JULIET, 2), (ROOM, 1)):
        assert archive.held(address) == archive.expected(address)
        assert len(archive.held(address)) == bodies
    assert not archive.path(FAR).exists()
    lines = archive.text(ROOM).splitlines()
    assert len(lines) == 3
    assert "address='hall@rooms.a.example'" in lines[1]
    assert "day='2026-09-21' zone='UTC' start='2026-09-21T00:00:00.000Z'" in lines[1]


def test_what_is_not_settled_waits(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow(later=1.0)
    assert not archive.path(ROMEO).exists()
    archive.follow()
    assert len(archive.held(ROMEO)) == 1


def test_a_day_that_is_over_is_closed_indexed_and_listed(archive: Archive) -> None:
    first = archive.say(ROMEO, JULIET, "one")
    last = archive.say(ROMEO, JULIET, "two")
    archive.say(ROMEO, ROOM, "three")
    archive.follow()
    archive.next_day()
    archive.say(JULIET, ROMEO, "four")
    archive.follow()
    assert archive.text(ROMEO).endswith("</archive>\n")
    with archive.path(ROMEO).open("rb") as file:
        assert [record.id for record in records.read(file)] == [first, last]
    assert not archive.text(ROMEO, date(2026, 9, 22)).endswith("</archive>\n")
    index = (archive.root / "a.example/2026/09/21/index.xml").read_text()
    assert "files='2' messages='4'" in index
    assert f"<file kind='users' address='{ROMEO}' path='users/romeo.xml' messages='2'" in index
    chain = manifest.read(archive.root, "a.example")
    assert chain.wrong == []
    assert set(chain.last) == {f"2026/09/21/{name}" for name in ("index.xml", "users/romeo.xml", "users/juliet.xml")}
    entry = chain.last["2026/09/21/users/romeo.xml"]
    data = archive.path(ROMEO).read_bytes()
    assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert manifest.read(archive.root, "rooms.a.example").sequence == 2
    # The end of each chain is told to whoever keeps it elsewhere.
    assert {(domain, day) for domain, day, _about in archive.told} == {("a.example", DAY), ("rooms.a.example", DAY)}
    about = next(about for domain, _day, about in archive.told if domain == "a.example")
    assert about == {"files": 2, "messages": 4, "manifest": f"{chain.sequence}:{chain.digest}"}


def test_closed_files_are_as_the_schema_says(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one & <two>")
    archive.say(FAR, JULIET, "three")
    archive.say(ROMEO, ROOM, "four")
    archive.next_day()
    archive.follow()
    schema = etree.RelaxNG(etree.parse(Path(producing.__file__).parent / "archive.rng"))
    for address in (ROMEO, JULIET, ROOM):
        schema.assertValid(etree.parse(archive.path(address)))


def test_the_manifest_is_a_chain_of_hashes(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.next_day()
    archive.follow()
    lines = (archive.root / "a.example/manifest.jsonl").read_bytes().splitlines()
    previous = "0" * 64
    for number, line in enumerate(lines, 1):
        entry = json.loads(line)
        assert (entry["sequence"], entry["previous"]) == (number, previous)
        previous = hashlib.sha256(line).hexdigest()


def test_a_side_that_comes_later_has_the_message_too(archive: Archive) -> None:
    row = archive.row(ROMEO, JULIET, "loaded first", recipient_account=0)
    archive.commit(row)
    archive.follow()
    assert not archive.path(JULIET).exists()
    archive.commit(shares=[ArchiveShare(row.id, 12)])
    archive.follow()
    assert archive.held(JULIET) == archive.expected(JULIET)
    # The sender's file says so as well.
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert not Change.objects.using(archive.alias).exists()


def test_a_retraction_reaches_the_open_file(archive: Archive) -> None:
    secret = archive.say(ROMEO, JULIET, "the secret")
    archive.say(ROMEO, JULIET, "the rest")
    archive.follow()
    archive.say(
        ROMEO,
        JULIET,
        "",
        payload=f"<retract xmlns='urn:xmpp:message-retract:1' id='o{secret:x}'/>",
        event=(4, f"o{secret:x}"),
    )
    archive.tend()
    archive.follow()
    for address in (ROMEO, JULIET):
        assert "the secret" not in archive.text(address)
        assert "the rest" in archive.text(address)
        assert archive.held(address) == archive.expected(address)


def test_a_retraction_reaches_the_closed_file_and_the_manifest(archive: Archive) -> None:
    secret = archive.say(ROMEO, JULIET, "the secret")
    archive.say(ROMEO, JULIET, "the rest")
    archive.next_day()
    archive.follow()
    before = manifest.read(archive.root, "a.example")
    archive.bury(secret)
    archive.follow()
    assert "the secret" not in archive.text(ROMEO) + archive.text(JULIET)
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    chain = manifest.read(archive.root, "a.example")
    assert chain.wrong == []
    assert chain.sequence == before.sequence + 2
    entry = chain.last["2026/09/21/users/romeo.xml"]
    assert entry["what"] == "changed"
    assert entry["why"] == ["changed"]
    assert entry["ids"] == [f"{secret:016x}"]
    assert entry["before"] == before.last["2026/09/21/users/romeo.xml"]["sha256"]
    assert entry["sha256"] == hashlib.sha256(archive.path(ROMEO).read_bytes()).hexdigest()


def test_rows_committed_late_are_found_by_counting(archive: Archive) -> None:
    one, late = archive.row(ROMEO, JULIET, "in time"), archive.row(ROMEO, JULIET, "late")
    first = min(one.id, late.id)
    archive.commit(archive.row(ROMEO, JULIET, "last", id=archive.id(archive.now + 1)))
    archive.follow(later=20.0)
    archive.commit(one, late)
    archive.follow(later=1.0)
    assert len(archive.held(ROMEO)) == 1
    archive.follow(later=200.0)
    assert len(archive.held(ROMEO)) == 3
    assert archive.row_of(ROMEO).disordered
    archive.next_day()
    archive.follow()
    # Closing puts it in order.
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert archive.row_of(ROMEO).first == first


def test_rows_of_a_closed_day_change_its_files_and_index(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "in time")
    archive.next_day()
    archive.follow()
    archive.commit(archive.row(ROMEO, ROMEO, "note to self", id=archive.id(NOON + 5)))
    # Counted again a day later.
    archive.next_day()
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    index = (archive.root / "a.example/2026/09/21/index.xml").read_text()
    assert "files='2' messages='3'" in index
    chain = manifest.read(archive.root, "a.example")
    assert chain.last["2026/09/21/users/romeo.xml"]["why"] == ["late"]
    assert chain.last["2026/09/21/index.xml"]["before"]


def test_domains_that_are_off_have_no_files(archive: Archive) -> None:
    archive.switch("rooms.a.example", on=False)
    archive.say(ROMEO, ROOM, "in the room")
    archive.say(ROMEO, JULIET, "between us")
    archive.follow()
    assert not archive.path(ROOM).exists()
    assert archive.path(ROMEO).exists()
    # Switched on, the day is made whole.
    archive.switch("rooms.a.example")
    archive.follow()
    assert archive.held(ROOM) == archive.expected(ROOM)


def test_switched_off_for_a_while_nothing_of_the_current_day_is_lacking(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    archive.switch(on=False)
    archive.say(ROMEO, JULIET, "two")
    archive.follow()
    assert len(archive.held(ROMEO)) == 1
    archive.switch()
    archive.say(ROMEO, JULIET, "three")
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert len(archive.held(ROMEO)) == 3


def test_packed_files_are_read_changed_and_joined_by_late_rows(archive: Archive) -> None:
    from archive.dayfiles import options

    options.set_compress(archive.alias, True)
    secret = archive.say(ROMEO, JULIET, "the secret")
    archive.next_day()
    archive.follow()
    assert not archive.path(ROMEO).exists()
    assert archive.path(ROMEO, suffix=".gz").exists()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    archive.bury(secret)
    archive.commit(archive.row(ROMEO, JULIET, "late", id=archive.id(NOON + 5)))
    archive.next_day()
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert "the secret" not in archive.text(ROMEO)
    assert manifest.read(archive.root, "a.example").last["2026/09/21/users/romeo.xml.gz"]["what"] == "changed"


def test_nothing_to_do_writes_nothing(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    archive.follow(later=300.0)
    before = archive.path(ROMEO).stat().st_mtime_ns
    archive.follow()
    assert archive.path(ROMEO).stat().st_mtime_ns == before
    assert not Stretch.objects.using(archive.alias).exists()
    assert Span.objects.using(archive.alias).count() == 1


def test_a_clock_that_was_set_back_loses_nothing(archive: Archive) -> None:
    archive.say(ROMEO, JULIET, "at noon")
    archive.follow()
    archive.now -= 3_600
    archive.say(ROMEO, JULIET, "at eleven, by the wrong clock")
    archive.follow()
    assert Writer.objects.using(archive.alias).get().behind
    archive.now += 7_200
    archive.follow()
    archive.follow()
    assert sorted(archive.held(ROMEO)) == archive.expected(ROMEO)
    assert len(archive.held(ROMEO)) == 2


def test_a_damaged_row_is_carried_as_text(archive: Archive) -> None:
    damaged = archive.say(ROMEO, JULIET, "one")
    with archive.connection.cursor() as cursor:
        cursor.execute("UPDATE archive_message SET xml = '<message><body>\x02 & half' WHERE id = %s", [damaged])
    archive.say(ROMEO, JULIET, "two")
    archive.next_day()
    archive.follow()
    with archive.path(ROMEO).open("rb") as file:
        found = list(records.read(file))
    assert found[0].xml == "<message><body>� & half"
    assert len(found) == 2


@pytest.mark.parametrize("cut", ["taken away", "cut"])
def test_an_open_file_that_is_gone_is_written_again(archive: Archive, cut: str) -> None:
    archive.say(ROMEO, JULIET, "one")
    archive.follow()
    if cut == "cut":
        archive.path(ROMEO).write_bytes(archive.path(ROMEO).read_bytes()[:50])
    else:
        archive.path(ROMEO).unlink()
    archive.say(ROMEO, JULIET, "two")
    archive.follow()
    archive.next_day()
    archive.follow()
    assert archive.held(ROMEO) == archive.expected(ROMEO)
    assert manifest.read(archive.root, "a.example").last["2026/09/21/users/romeo.xml"]["altered"] is True
    assert DayFile.objects.using(archive.alias).filter(state="open").count() == 0
