"""Names that every file system takes, and days that neither overlap nor leave a gap."""

from __future__ import annotations

import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import ids, records
from archive.dayfiles import format, options, paths
from archive.dayfiles.days import Calendar
from archive.records import Record
from tests.archive.dayfiles.kit import DAY, NOON, Archive
from xmpp_engine.api import Element, StreamError, ns, write

NAMES = [
    ("romeo", "romeo"),
    ("Romeo", "%52omeo"),
    ("romeo.montague", "romeo.montague"),
    (".hidden", "%2ehidden"),
    ("dot.", "dot%2e"),
    ("..", "%2e%2e"),
    ("a/b\\c", "a%2fb%5cc"),
    ("con", "%63on"),
    ("com1.x", "%63om1.x"),
    ("console", "console"),
    ("ромео", "%d1%80%d0%be%d0%bc%d0%b5%d0%be"),
    ("a b+c%20", "a%20b%2bc%2520"),
    ("x" * 180, "x" * 180),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_names(text: str, name: str) -> None:
    assert paths.escape(text) == name
    assert paths.unescape(name) == text


@given(st.text(min_size=1, max_size=80))
def test_names_are_safe_and_can_be_undone(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # no address has lone surrogates
    name = paths.escape(text)
    assert len(name) <= 255 - len(".xml.gz.plain")
    assert name == name.lower()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.%+")
    assert not name.startswith(".")
    assert not name.endswith(".")
    assert paths.unescape(name) == (text if "+" not in name else None)


@given(st.text(st.sampled_from("aàß%+"), min_size=150, max_size=1_000), st.text(st.sampled_from("ab"), max_size=3))
def test_long_names_are_bounded_and_different(text: str, more: str) -> None:
    name = paths.escape(text)
    assert len(name) <= 180
    assert (paths.escape(text + more) == name) == (not more)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a//b", "../x", "a/../../x", "a/./b", "a\\b", "a\0b", "a/.."])
def test_paths_do_not_lead_out(path: str) -> None:
    with pytest.raises(ValueError):
        paths.inside(Path("/root"), path)


ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "Asia/Beirut", "America/Sao_Paulo"]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(ZONES)), max_size=4, unique_by=lambda entry: entry[0]),
    st.integers(0, 50 * 86_400),
)
def test_every_moment_is_of_one_day(changes: list[tuple[int, str]], seconds: int) -> None:
    first = date(2026, 3, 1)
    calendar = Calendar([[(first + timedelta(days=number)).isoformat(), zone] for number, zone in changes])
    id = ids.first_at(1_772_323_200.0 + seconds)
    day = calendar.day_of(id)
    low, _high = calendar.bounds(day)
    assert low <= id
    # No later day has begun.
    assert all(calendar.bounds(day + timedelta(days=more))[0] > id for more in (1, 2, 3))
    assert calendar.bounds(day)[1] == calendar.bounds(day + timedelta(days=1))[0]


def test_a_zone_counts_from_a_day_that_has_not_begun(archive: Archive) -> None:
    first = options.set_zone(archive.alias, "Europe/Berlin", NOON)
    assert first == DAY + timedelta(days=2)
    calendar = options.read(archive.alias).calendar
    assert (calendar.zone_of(DAY), calendar.zone_of(first)) == ("UTC", "Europe/Berlin")
    # The day before has 22 hours: Berlin is two hours ahead.
    assert calendar.start(first) - calendar.start(first - timedelta(days=1)) == 22 * 3_600
    with pytest.raises(ValueError):
        options.set_zone(archive.alias, "Nowhere/At all", NOON)
    with pytest.raises(ValueError):
        options.set_zone(archive.alias, "../../etc/passwd", NOON)
    assert options.set_zone(archive.alias, "UTC", NOON)
    assert options.zone(archive.alias) == "UTC"


def test_days_of_a_zone_have_its_messages(archive: Archive) -> None:
    options.set_zone(archive.alias, "Asia/Tokyo", NOON)
    archive.next_day()
    archive.next_day()
    # 16 o'clock in London is the next day in Tokyo.
    archive.now += 4 * 3_600
    archive.say("romeo@a.example", "juliet@a.example", "late")
    archive.follow()
    day = DAY + timedelta(days=3)
    assert len(archive.held("romeo@a.example", day)) == 1
    assert "zone='Asia/Tokyo' start='2026-09-23T15:00:00.000Z'" in archive.text("romeo@a.example", day)


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\r<>&'\""), max_size=30
)


@given(texts, texts, st.sampled_from(["", "7"]), st.booleans())
def test_a_line_says_what_a_record_says(body: str, origin: str, room: str, sides: bool) -> None:
    body, origin = (text.replace("￾", "").replace("￿", "") for text in (body, origin))
    element = Element(ns.CLIENT, "message", {"from": "a@b/c", "id": origin})
    element.add(ns.CLIENT, "body", text=body or "x")
    xml, sides = write(element, ns.CLIENT), int(sides)
    record = Record(ids.first_at(NOON), "a@b", "d'e@f", sides, sides, "chat", origin, xml, int(bool(room)))
    line = format.line(record)
    assert line.count(b"\n") == 1
    document = b"<archive xmlns='urn:mlink:archive:0'>\n" + line + format.END
    assert list(records.read(io.BytesIO(document))) == [record]
    assert format.id_of(line) == record.id
    (plain,) = records.read(io.BytesIO(f"<archive>{records.xml(record)}</archive>".encode()))
    assert plain == record


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<archive xmlns='urn:mlink:archive:0'>",
        b"<archive xmlns='urn:mlink:archive:0'><record/></archive>",
        b"<archive xmlns='urn:mlink:archive:0'><record id='0000000000000001' from='a' to='b'/></archive>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<archive><!-- hidden --></archive>",
        b"\xff\xfe<archive/>",
    ],
)
def test_what_is_no_archive_is_refused(document: bytes) -> None:
    with pytest.raises(StreamError):
        list(records.read(io.BytesIO(document)))


def test_a_document_that_goes_on_is_read_in_little_memory() -> None:
    class Endless:
        """A file of many records."""

        def __init__(self) -> None:
            self.left = 20_000

        def read(self, _size: int) -> bytes:
            if self.left == 20_000:
                self.left -= 1
                return b"<archive xmlns='urn:mlink:archive:0'>"
            self.left -= 1
            message = b"<message xmlns='jabber:client'><body>x</body></message>"
            return (
                b"<record id='0000000000000001' from='a' to='b'>" + message + b"</record>\n" if self.left > 0 else b""
            )

    file: Any = Endless()
    assert sum(1 for _record in records.read(file, unfinished=True)) == 19_998
