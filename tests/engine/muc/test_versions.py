"""Versions of affiliations (XEP-0463)."""

from __future__ import annotations

import itertools

from xmpp_engine.muc import versions
from xmpp_engine.storage.rooms import RoomAffiliation, RoomRecord
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

ALL = ("owner", "admin", "member", "outcast", "none")


def room(**affiliations: str) -> RoomRecord:
    record = RoomRecord("conference.example.org", "heath")
    for name, affiliation in affiliations.items():
        change(record, f"{name}@example.org", affiliation)
    return record


def change(record: RoomRecord, jid: str, affiliation: str) -> None:
    record.affiliation_version += 1
    record.affiliations[jid] = RoomAffiliation(jid, affiliation, version=record.affiliation_version)


def request(since: str | None = None) -> Element:
    return Element(ns.AFFILIATION_VERSIONS, "mav", {} if since is None else {"since": since})


def told(messages: list[Element]) -> list[tuple[str | None, str | None]]:
    return [(item.get("jid"), item.get("affiliation")) for x in messages for item in x.find_all(ns.MUC_USER, "item")]


def marks(x: Element) -> tuple[str | None, str | None]:
    found = x.find(ns.AFFILIATION_VERSIONS, "mav")
    assert found is not None
    return found.get("since"), found.get("until")


def test_a_first_request_gets_all_and_a_later_one_the_changes():
    record = room(hecate="owner", crone="member", wiccarocks="outcast")
    first = versions.answers(record, request(), ALL)
    assert told(first) == [
        ("hecate@example.org", "owner"),
        ("crone@example.org", "member"),
        ("wiccarocks@example.org", "outcast"),
    ]
    since, until = marks(first[0])
    assert since is None
    assert until is not None
    assert versions.answers(record, request(until), ALL) == []

    change(record, "crone@example.org", "none")
    later = versions.answers(record, request(until), ALL)
    assert told(later) == [("crone@example.org", "none")]
    assert marks(later[0]) == (until, versions.token(record, 4))


def test_lists_that_the_asker_may_not_fetch_look_like_nothing():
    record = room(hecate="owner", crone="member")
    start = versions.token(record, 2)
    change(record, "crone@example.org", "outcast")
    allowed = ("owner", "admin", "member")
    assert told(versions.answers(record, request(start), allowed)) == [("crone@example.org", "none")]
    assert told(versions.answers(record, request(), allowed)) == [("hecate@example.org", "owner")]


def test_a_version_that_was_never_told_gets_the_whole_list():
    record = room(hecate="owner", crone="member")
    other = room(hecate="owner")
    for text in ("", "1", "1-000000000000", "٣-x", "-1", "9" * 30, versions.token(other, 1), versions.token(record, 3)):
        answer = versions.answers(record, request(text), ALL)
        assert marks(answer[0])[0] is None, text
        assert len(told(answer)) == 2


def test_an_empty_list_is_told_as_well():
    (answer,) = versions.answers(room(), request(), ALL)
    assert told([answer]) == []
    assert marks(answer)[1] is not None


def test_long_lists_come_in_messages_that_join():
    record = room(**{f"u{n}": "member" for n in range(450)})
    messages = versions.answers(record, request(), ALL)
    assert [len(x.find_all(ns.MUC_USER, "item")) for x in messages] == [200, 200, 50]
    assert marks(messages[0])[0] is None
    for one, other in itertools.pairwise(messages):
        assert marks(one)[1] == marks(other)[0]
    assert marks(messages[-1])[1] == versions.token(record, 450)
    assert len(told(versions.answers(record, request(marks(messages[1])[1]), ALL))) == 50


def test_what_is_forgotten_makes_older_versions_unknown():
    record = room(hecate="owner")
    start = versions.token(record, 1)
    for n in range(800):
        change(record, f"u{n}@example.org", "none")
        versions.forget_removed(record)
    assert len(record.affiliations) <= 751
    assert versions.number_of(record, start) is None
    assert versions.number_of(record, versions.token(record, 700)) == 700
    assert told(versions.answers(record, request(start), ALL)) == [("hecate@example.org", "owner")]
