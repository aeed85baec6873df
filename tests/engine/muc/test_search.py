"""Search for rooms."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.stage import asked, condition, text_of
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.muc.options import service_options
from xmpp_engine.muc.search import SearchOptions
from xmpp_engine.muc.service import RoomService
from xmpp_engine.stanza.forms import submit
from xmpp_engine.xml import ns
from xmpp_engine.xml.writer import write

SERVICE = "conference.story.example"
ADDRESS = "{urn:xmpp:channel-search:0:order}address"


def search(rsm: str = "", **values: object) -> str:
    form = write(submit(ns.CHANNEL_SEARCH_PARAMS, values))  # type: ignore[arg-type]
    page = f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>" if rsm else ""
    return f"<iq type='get' id='1' to='{SERVICE}'><search xmlns='{ns.CHANNEL_SEARCH}'>{page}{form}</search></iq>"


def found(answer) -> list[str]:
    return [
        item.get("address").partition("@")[0]
        for item in next(iter(answer.elements())).find_all(ns.CHANNEL_SEARCH, "item")
    ]


async def rooms(story):
    """Alice, and four rooms of which one is hidden and one has an occupant."""
    alice = await story("alice")
    service = story.world.module("muc").chat[SERVICE]
    for local, name, description, public in (
        ("heath", "The Heath", "Meetings of witches", True),
        ("castle", "Castle", "Duncan's bedroom, and WITCHES", True),
        ("wood", "Birnam", "It moves", True),
        ("cellar", "Hidden witches", "", False),
    ):
        config = RoomConfig(name=name, description=description, public=public, persistent=True)
        await service.create(local, "owner@story.example", config)
    alice.send(f"<presence to='castle@{SERVICE}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await alice.receives_all()
    return alice


async def test_the_form(story):
    alice = await rooms(story)
    answer = await asked(alice, f"<iq type='get' id='1' to='{SERVICE}'><search xmlns='{ns.CHANNEL_SEARCH}'/></iq>")
    text = text_of(answer)
    assert ns.CHANNEL_SEARCH_PARAMS in text
    for field in ("q", "sinname", "sindescription", "sinaddress", "key"):
        assert f"var='{field}'" in text


async def test_words_in_name_description_and_address(story):
    alice = await rooms(story)
    assert found(await asked(alice, search(q="witches"))) == ["castle", "heath"]
    assert found(await asked(alice, search(q="WITCHES meet"))) == ["heath"]
    assert found(await asked(alice, search(q="wood"))) == ["wood"]
    assert found(await asked(alice, search(q="wood", sinaddress=False))) == []
    assert found(await asked(alice, search(q="witches", sindescription=False))) == []
    assert found(await asked(alice, search(q="dragons"))) == []
    assert found(await asked(alice, search(all=True, key=ADDRESS))) == ["castle", "heath", "wood"]
    assert found(await asked(alice, search(all=True, min_users="1"))) == ["castle"]
    assert found(await asked(alice, search(all=True, types=("xep-0369",)))) == []
    text = text_of(await asked(alice, search(q="castle")))
    assert "<nusers>1</nusers>" in text
    assert "<is-open>true</is-open>" in text


async def test_pages(story):
    alice = await rooms(story)
    for values in ({"all": True, "key": ADDRESS}, {"all": True}):
        seen: list[str] = []
        after = ""
        for _ in range(4):
            answer = await asked(alice, search(f"<max>2</max>{after}", **values))
            result = next(iter(answer.elements()))
            page = found(answer)
            if not page:
                break
            seen += page
            last = result.find(ns.RSM, "set").child_text(ns.RSM, "last")
            assert result.find(ns.RSM, "set").child_text(ns.RSM, "count") == "3"
            after = f"<after>{last}</after>"
        assert seen == ["castle", "heath", "wood"]


@pytest.mark.parametrize(
    ("values", "expected", "app"),
    [
        ({"q": "x"}, "bad-request", "invalid-search-terms"),
        ({"q": "y" * 300}, "bad-request", "invalid-search-terms"),
        ({}, "bad-request", "no-search-conditions"),
        ({"q": "witches", "all": True}, "bad-request", "conflicting-fields"),
        ({"q": "witches", "key": "beauty"}, "feature-not-implemented", "invalid-sort-key"),
        ({"q": "witches", "min_users": "-1"}, "bad-request", ""),
        (
            {"q": "witches", "sinname": False, "sindescription": False, "sinaddress": False},
            "bad-request",
            "conflicting-fields",
        ),
    ],
)
async def test_searches_that_make_no_sense(story, values, expected, app):
    alice = await rooms(story)
    answer = await asked(alice, search(**values))
    assert condition(answer) == expected
    assert app in text_of(answer)


async def test_searches_have_a_rate(story):
    alice = await rooms(story)
    for _ in range(30):
        assert condition(await asked(alice, search(q="witches"))) == ""
    answer = await asked(alice, search(q="witches"))
    assert condition(answer) == "resource-constraint"
    assert "retry-after='1'" in text_of(answer)


async def test_rooms_that_are_not_in_memory_are_told_as_others(story):
    alice = await rooms(story)
    muc = story.world.module("muc")
    service = muc.chat[SERVICE]
    config = RoomConfig(name="Macbeth's", lang="gd", secret="x", whois="anyone", persistent=True)
    await service.create("keep", "owner@story.example", config)
    resident = text_of(await asked(alice, search(q="keep")))
    fresh = RoomService(muc, SERVICE, service.options)
    await fresh.started()
    await story.world.settle()
    assert text_of(await asked(alice, search(q="keep"))) == resident
    service.directory, service.rooms = fresh.directory, {}
    assert text_of(await asked(alice, search(q="keep"))) == resident
    for told in ("<language>gd</language>", "<is-open>false</is-open>", "none</anonymity-mode>"):
        assert told in resident


async def test_new_rooms_are_not_found_before_they_are_approved(story):
    alice = await rooms(story)
    muc = story.world.module("muc")
    service = muc.chat[SERVICE]
    service.configure(service_options({"quarantine_seconds": 3_600}))
    service.make("new", "bob@story.example", RoomConfig(name="Fresh witches", persistent=True))
    assert "new" not in found(await asked(alice, search(q="witches")))
    await service.rooms["new"].saved()
    del service.rooms["new"]
    assert "new" not in found(await asked(alice, search(q="witches")))
    story.world.clock.advance(3_700)
    assert "new" in found(await asked(alice, search(q="witches")))


@pytest.mark.parametrize("given", [{"per_minute": 0.0}, {"burst": 0}, {"page": 0}])
def test_options_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        SearchOptions(**given)
