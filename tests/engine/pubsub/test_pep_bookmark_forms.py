"""Bookmarks in their two forms: nothing is lost between XEP-0402 and XEP-0048."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.story import elements
from xmpp_engine.pubsub import pep_bookmark_forms as bookmarks
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


def element(xml: str) -> Element:
    return elements(xml)[0]


LIST = element(
    f"""<storage xmlns='{ns.BOOKMARKS_1}'>
<conference jid='Council@Conference.example' name='The Council' autojoin='1'><nick>Puck</nick><password>s</password>
<minimized xmlns='urn:gajim'>true</minimized></conference>
<url name='Works' url='https://example.org/'/>
<conference jid='plain@conference.example'/>
<conference name='nowhere'/>
</storage>"""
)


def test_a_list_becomes_one_bookmark_for_each_room() -> None:
    found, rest = bookmarks.split(LIST)
    assert list(found) == ["council@conference.example", "plain@conference.example"]
    council = found["council@conference.example"]
    assert council == element(
        f"<conference xmlns='{ns.BOOKMARKS}' name='The Council' autojoin='true'><nick>Puck</nick><password>s</password>"
        "<extensions><minimized xmlns='urn:gajim'>true</minimized></extensions></conference>"
    )
    assert found["plain@conference.example"] == Element(ns.BOOKMARKS, "conference")
    assert [child.name for child in rest] == ["url", "conference"], "what has no native form stays"


def test_bookmarks_become_the_list_again() -> None:
    found, rest = bookmarks.split(LIST)
    again, rest_again = bookmarks.split(bookmarks.storage(found, rest))
    assert (again, rest_again) == (found, rest)


def test_the_nickname_of_an_old_address_is_kept() -> None:
    found, _rest = bookmarks.split(
        element(f"<storage xmlns='{ns.BOOKMARKS_1}'><conference jid='a@b.example/Nick'/></storage>")
    )
    assert found["a@b.example"].child_text(ns.BOOKMARKS, "nick") == "Nick"


def test_of_two_entries_for_one_room_the_later_counts() -> None:
    found, _rest = bookmarks.split(
        element(
            f"<storage xmlns='{ns.BOOKMARKS_1}'><conference jid='a@b.example' name='one'/>"
            "<conference jid='A@b.example' name='two'/></storage>"
        )
    )
    assert {room: bookmark.get("name") for room, bookmark in found.items()} == {"a@b.example": "two"}


def test_what_an_old_client_does_not_know_stays() -> None:
    present = element(
        f"<conference xmlns='{ns.BOOKMARKS}' name='old'><extensions><pinned xmlns='urn:p'/><mode xmlns='urn:m'>1</mode>"
        "</extensions></conference>"
    )
    wanted = element(
        f"<conference xmlns='{ns.BOOKMARKS}' name='new'><extensions><mode xmlns='urn:m'>2</mode></extensions>"
        "</conference>"
    )
    assert bookmarks.merged(wanted, present) == element(
        f"<conference xmlns='{ns.BOOKMARKS}' name='new'><extensions><pinned xmlns='urn:p'/><mode xmlns='urn:m'>2</mode>"
        "</extensions></conference>"
    )


def test_only_what_differs_is_changed() -> None:
    present, _rest = bookmarks.split(LIST)
    present["gone@conference.example"] = Element(ns.BOOKMARKS, "conference")
    present["plain@conference.example"].attrs["autojoin"] = "0"
    wanted, _rest = bookmarks.split(LIST)
    wanted["council@conference.example"].attrs["name"] = "Oberon's"
    wanted["new@conference.example"] = Element(ns.BOOKMARKS, "conference")
    put, removed = bookmarks.changes(present, wanted)
    assert list(put) == ["council@conference.example", "new@conference.example"]
    assert removed == ["gone@conference.example"]


@pytest.mark.parametrize(("text", "truth"), [("1", True), ("true", True), ("0", False), ("yes", False), (None, False)])
def test_booleans(text: str | None, truth: bool) -> None:
    assert bookmarks.is_true(text) is truth


_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=8)
_FOREIGN = st.lists(st.sampled_from(["urn:a", "urn:b", "urn:c"]).map(lambda space: Element(space, "x")), max_size=2)


@st.composite
def a_bookmark(draw: st.DrawFn) -> Element:
    attrs = {"name": draw(_TEXT)} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        attrs["autojoin"] = draw(st.sampled_from(["1", "true", "0", "false"]))
    bookmark = Element(ns.BOOKMARKS, "conference", attrs)
    for name in ("nick", "password"):
        if draw(st.booleans()):
            bookmark.add(ns.BOOKMARKS, name, text=draw(_TEXT))
    bookmark.append(Element(ns.BOOKMARKS, "extensions", None, *draw(_FOREIGN)))
    return bookmark


@given(st.dictionaries(st.sampled_from(["a@x.example", "b@x.example", "c@x.example"]), a_bookmark()))
def test_a_list_that_is_written_as_it_was_read_changes_nothing(present: dict[str, Element]) -> None:
    wanted, rest = bookmarks.split(bookmarks.storage(present))
    assert rest == []
    assert bookmarks.changes(present, wanted) == ({}, [])
