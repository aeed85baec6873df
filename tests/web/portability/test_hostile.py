"""Files that are meant to do harm, or are simply wrong: refused with a sentence, or passed over with one."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.portability import reading, sources
from mlink_web.portability.models import Entry
from mlink_web.portability.sources import BadSource
from mlink_web.stores.models import RosterItem
from tests.web.portability import kit

PIE = "xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'"


def zipped(path: Path, files: dict[str, bytes | str], **more: Any) -> Path:
    """A zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def single(path: Path, text: str | bytes) -> Path:
    """An XML file."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path) -> list[reading.Event]:
    """Everything in a file."""
    source = sources.open_source(path)
    try:
        return list(reading.Reader(source).read(sources.mains(source)))
    finally:
        source.close()


def troubles(events: list[reading.Event]) -> str:
    """What was passed over."""
    return " ".join(event.sentence for event in events if isinstance(event, reading.Trouble))


def user(content: str, name: str = "romeo") -> str:
    """A document with one user."""
    return f"<server-data {PIE}><host jid='a.example'><user name='{name}'>{content}</user></host></server-data>"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "<!DOCTYPE server-data [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + user("<a xmlns='x'>&x;</a>"),
            "document type declaration",
        ),
        (
            "<!DOCTYPE s [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>" + user("<a xmlns='x'>&b;</a>"),
            "document type declaration",
        ),
        (user("<a xmlns='x'>&undefined;</a>"), "undefined entity"),
        ("<server-data xmlns='urn:example'/>", "begins with <server-data/> in the namespace"),
        ("<host xmlns='urn:xmpp:pie:0' jid='a.example'/>", "begins with <host/>"),
        (user("<query xmlns='jabber:iq:roster'>"), "mismatched tag"),
        ("", "no element found"),
        ("{}", "this is no XML"),
        (user("<a xmlns='x'>" + "<b>" * 500 + "</b>" * 500 + "</a>"), "nested too deeply"),
        (user("<a xmlns='x'" + "".join(f" n{n}='1'" for n in range(600)) + "/>"), "more than 500 attributes"),
        (user("<a xmlns='x' b='" + "x" * 10_000_000 + "'/>"), "attribute is longer"),
        (user("<a xmlns='x'>" + "x" * 17_000_000 + "</a>"), "longer than 16 MiB"),
        (user("<a xmlns='x'>" + f"<b>{'y' * 1_000}</b>" * 17_000 + "</a>"), "longer than 16 MiB"),
        (user("<a xmlns='x'/>").encode()[:-5] + b"\xff\xff", "no XML"),
        ("<?xml version='1.0' encoding='x-unknown'?>" + user(""), "encoding"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) and len(value) < 60 else "",
)
def test_documents_that_are_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(BadSource, match=sentence):
        read(single(tmp_path / "server-data.xml", text))


@pytest.mark.parametrize(
    "href",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://evil.example/x.xml",
        "a.example/../../x.xml",
        "..%2f..%2fetc%2fpasswd",
        "a\\..\\..\\x.xml",
        "%00",
        "x.xml#element(/1)",
        "",
        "missing.xml",
        "server-data.xml",
        "%ff.xml",
    ],
)
@pytest.mark.parametrize("level", ["server", "host", "user"])
def test_includes_lead_nowhere_outside(tmp_path: Path, href: str, level: str) -> None:
    include = f"<xi:include href='{href}'/>"
    inside = {"server": ("", "", include), "host": ("", include, ""), "user": (include, "", "")}[level]
    text = (
        f"<server-data {PIE}><host jid='a.example'><user name='romeo'>{inside[0]}</user>{inside[1]}</host>{inside[2]}"
        "</server-data>"
    )
    events = read(zipped(tmp_path / "x.zip", {"server-data.xml": text}))
    assert troubles(events), "it says what is passed over"
    assert [type(event) for event in events].count(reading.User) == 1
    ends = [event for event in events if isinstance(event, reading.UserEnd)]
    assert [end.whole for end in ends] == [level != "user"]


def test_includes_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    for more in ("parse='text'", "xpointer='x'"):
        events = read(single(tmp_path / "x.xml", user(f"<xi:include href='a.xml' {more}/>")))
        assert "is passed over" in troubles(events)


def test_includes_deeper_than_the_user_are_data(tmp_path: Path) -> None:
    text = user("<query xmlns='jabber:iq:private'><a xmlns='x'><xi:include href='b.xml'/></a></query>")
    events = read(zipped(tmp_path / "x.zip", {"server-data.xml": text, "b.xml": "<b xmlns='y'/>"}))
    parts = [event for event in events if isinstance(event, reading.Part)]
    inner = parts[0].element.first()
    assert inner is not None
    assert [child.name for child in inner.elements()] == ["include"]
    assert not troubles(events)


def test_a_file_is_included_once(tmp_path: Path) -> None:
    again = "<xi:include href='{}.xml'/>"
    main = f"<server-data {PIE}>{again.format('h') * 1_000}</server-data>"
    host = f"<host {PIE} jid='a.example'>{again.format('u') * 1_000}</host>"
    person = f"<user {PIE} name='romeo'>{again.format('u') * 10}</user>"
    events = read(zipped(tmp_path / "x.zip", {"server-data.xml": main, "h.xml": host, "u.xml": person}))
    assert sum(isinstance(event, reading.User) for event in events) == 1


def test_a_damaged_file_of_one_user_does_not_stop_the_others(tmp_path: Path) -> None:
    host = f"<host {PIE} jid='a.example'><xi:include href='1.xml'/><xi:include href='2.xml'/><user name='c'/></host>"
    files = {
        "server-data.xml": f"<server-data {PIE}><xi:include href='h.xml'/></server-data>",
        "h.xml": host,
        "1.xml": f"<user {PIE} name='a'><query xmlns='jabber:iq:roster'></user>",
        "2.xml": f"<user {PIE} name='b'/>",
    }
    events = read(zipped(tmp_path / "x.zip", files))
    assert {event.name for event in events if isinstance(event, reading.User)} >= {"b", "c"}
    assert "this is no XML" in troubles(events)


@pytest.mark.parametrize("name", ["../evil.xml", "/evil.xml", "a/../../evil.xml", "a\\..\\evil.xml", "C:evil.xml"])
def test_zip_files_with_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "x.zip", {"server-data.xml": user(""), name: "x"})
    with pytest.raises(BadSource, match="leads elsewhere"):
        read(path)


def test_zip_files_with_links_and_twins(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("server-data.xml")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(BadSource, match="something that is no file"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("server-data.xml", user(""))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("server-data.xml", user(""))
    with pytest.raises(BadSource, match="twice"):
        read(path)


def test_bombs(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"server-data.xml": user(f"<a xmlns='x'>{' ' * 150_000_000}</a>")})
    assert path.stat().st_size < 1_000_000
    with pytest.raises(BadSource, match="meant to fill the disk"):
        read(path)


def test_zip_files_that_lie(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"server-data.xml": user("<a xmlns='x'>text</a>" * 1_000)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(BadSource):
        read(path)
    for size in (10, 60, len(data) - 30):
        path.write_bytes(data[:size])
        with pytest.raises(BadSource):
            read(path)
    path.write_bytes(bytes(data[:200]) + os.urandom(200) + bytes(data[400:]))
    with pytest.raises(BadSource):
        read(path)


def test_other_packers_are_named(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(b"x"))
    with pytest.raises(BadSource, match="Pack the files as a zip file"):
        sources.open_source(path)


def test_folders_do_not_follow_links(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text(f"<host {PIE} jid='a.example'><user name='s'/></host>")
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "server-data.xml").write_text(
        f"<server-data {PIE}><xi:include href='link.xml'/><xi:include href='linked/secret.xml'/></server-data>"
    )
    (folder / "link.xml").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    events = read(folder)
    assert not any(isinstance(event, reading.User) for event in events)
    assert troubles(events).count("There is no file") == 2


@pytest.fixture
def here(database: str) -> str:
    """A database with a domain."""
    Domain.objects.using(database).create(name="a.example")
    return database


def test_what_is_wrong_with_accounts_is_told(here: str, tmp_path: Path) -> None:
    users = [
        "<user name='good'><query xmlns='jabber:iq:roster'><item jid='@@'/>"
        "<item jid='x@y.example' subscription='maybe'/><item jid='x y@z'/><item jid='good@a.example'/></query></user>",
        "<user name='bad name'/>",
        "<user name='a@b'/>",
        "<user/>",
        f"<user name='{'x' * 2000}'/>",
        "<user name='good'/>",
        "<user name='GOOD'/>",
        "<user name='keys'><scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>"
        "<iter-count>99999999</iter-count><salt>AAAA</salt><server-key>AAAA</server-key><stored-key>AAAA</stored-key>"
        "</scram-credentials><scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-512'/></user>",
    ]
    path = single(tmp_path / "x.xml", f"<server-data {PIE}><host jid='a.example'>{''.join(users)}</host></server-data>")
    _row, summary = kit.take(here, path)
    assert summary["accounts"] == {"made": 2, "refused": 6}
    assert set(Account.objects.using(here).values_list("local", flat=True)) == {"good", "keys"}
    assert list(RosterItem.objects.using(here).values_list("jid", "subscription")) == [("x@y.example", "none")]
    said = " ".join(sentence for entry in Entry.objects.using(here).all() for sentence in entry.troubles)
    for sentence in (
        "is no address",
        "no name of an account",
        "stands in the import twice",
        "count of iterations",
        "SCRAM-SHA-512",
        "needs a new password",
    ):
        assert sentence in said
    assert not any(character in said for character in "\x00\x07\u202e")


def test_absurd_messages_are_left_out(here: str, tmp_path: Path) -> None:
    def result(stamp: str, sender: str = "good@a.example/x", to: str = "b@b.example", inner: str = "message") -> str:
        return (
            f"<result xmlns='urn:xmpp:mam:2' id='x'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay'"
            f" stamp='{stamp}'/><{inner} xmlns='jabber:client' from='{sender}' to='{to}'><body>b</body></{inner}>"
            "</forwarded></result>"
        )

    good = "2021-01-01T00:00:00Z"
    results = [
        result("1469-07-21T00:32:29Z"),
        result("9999-12-31T23:59:59Z"),
        result("yesterday"),
        result("2021-01-01T00:00:00"),
        result(good, sender="@"),
        result(good, sender="c@c.example", to="d@d.example"),
        result(good, inner="iq"),
        "<result xmlns='urn:xmpp:mam:2'/>",
        "<other xmlns='x'/>",
        result(good),
    ]
    text = user(f"<archive xmlns='urn:xmpp:pie:0#mam'>{''.join(results)}</archive>", "good")
    _row, summary = kit.take(here, single(tmp_path / "x.xml", text))
    assert summary["counts"]["messages"] == 1
    said = " ".join(Entry.objects.using(here).get().troubles)
    assert said.count("left out") >= 5


def test_our_lines_may_be_forged(here: str, tmp_path: Path) -> None:
    head = b'{"format":"mlink domain","version":1,"domain":"a.example"}\n'
    lines = [
        b"no json",
        b"[]",
        b'{"room":{}}',
        b'{"room":{"service":"rooms.elsewhere.example","local":"x"}}',
        b'{"room":{"service":"rooms.a.example","local":"x","config":' + b"[" * 100_000 + b"}}",
        b'{"affiliations":{"service":"rooms.a.example","local":"x","entries":[{"jid":"a","affiliation":"king"}]}}',
        b'{"node":{"service":"pubsub.a.example","name":"' + b"n" * 5_000 + b'"}}',
        b'{"item":{"service":"pubsub.a.example","node":"n","id":"x"}}',
        b'{"topics":{"service":"forms.a.example","format":"other","topics":[{"suffix":"x"}]}}',
        b'{"unknown":{}}',
    ]
    files: dict[str, bytes | str] = {"server-data.xml": user(""), "a.mlink.jsonl": head + b"\n".join(lines)}
    _row, summary = kit.take(here, zipped(tmp_path / "x.zip", files))
    assert summary["extension"] == {}
    assert len(summary["notes"]) >= 7
    files["a.mlink.jsonl"] = b"{}\n"
    _row, summary = kit.take(here, zipped(tmp_path / "y.zip", files))
    assert "no file that this version reads" in summary["notes"][0]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import tracemalloc

    out = io.StringIO()
    out.write(f"<server-data {PIE}><host jid='a.example'>")
    for number in range(5_000):
        out.write(f"<user name='u{number}'><vCard xmlns='vcard-temp'><FN>{'x' * 1_000}</FN></vCard></user>")
    out.write("</host></server-data>")
    path = single(tmp_path / "x.xml", out.getvalue())
    del out
    source = sources.open_source(path)
    tracemalloc.start()
    count = sum(isinstance(event, reading.User) for event in reading.Reader(source).read(sources.mains(source)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 8_000_000
