"""Refusals are logged with who and why, but a flood of them is not; floods of presence are shown in part."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, drain, enter, hall, says
from tests.engine.muc.stage import ROOM as COVEN
from tests.engine.muc.stage import made

REFUSED = "mlink.refused"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged about refusals for everybody to see."""
    return [r.getMessage() for r in caplog.records if r.name == REFUSED and r.levelno >= logging.INFO]


async def test_one_line_for_each_account_and_condition(story: Any, caplog: pytest.LogCaptureFixture) -> None:
    _alice, bob = await hall(story, "bob")
    carol = await story("carol")
    with caplog.at_level(logging.INFO, REFUSED):
        for _ in range(50):
            carol.send(says("hi"))
            carol.send(enter("bob"))
        bob.send(enter("alice"))
        await drain(carol, bob)
    found = lines(caplog)
    assert len(found) == 3, found
    assert all(ROOM in line for line in found)
    assert "carol@story.example/r1" in found[0]
    assert "not-acceptable" in found[0]
    assert "conflict" in found[1]
    assert "bob@story.example/r1" in found[2]


async def test_refused_requests_are_logged_too(story: Any, caplog: pytest.LogCaptureFixture) -> None:
    _alice, bob = await made(story, "bob")
    with caplog.at_level(logging.INFO, REFUSED):
        for _ in range(5):
            bob.send(f"<iq type='get' id='a' to='{COVEN}'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>")
            bob.send(f"<iq type='get' id='b' to='{COVEN}'><query xmlns='urn:example:unknown'/></iq>")
        await drain(bob)
    (found,) = lines(caplog)
    assert "iq of bob@story.example/r1" in found
    assert "forbidden" in found


async def test_presence_that_changes_without_end(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    for number in range(1_000):
        bob.send(f"<presence to='{ROOM}/bob'><status>{number}</status></presence>")
    seen = [e.child_text("jabber:client", "status") for e in await alice.receives_all()]
    assert seen == [str(number) for number in range(20)]
    # Who comes meanwhile, and everybody a little later, sees what is true then.
    story.world.clock.advance(1.0)
    for client in (alice, bob):
        (last,) = [e for e in await client.receives_all() if e.child_text("jabber:client", "status") == "999"]
        assert last.get("from") == f"{ROOM}/bob"
    # After a pause changes are told at once again; another nickname always is.
    story.world.clock.advance(60.0)
    bob.send(f"<presence to='{ROOM}/bob'><status>back</status></presence>")
    await alice.receives(f"<presence from='{ROOM}/bob'><status>back</status></presence>")


async def test_late_presence_of_who_has_left(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    for number in range(30):
        bob.send(f"<presence to='{ROOM}/bob'><status>{number}</status></presence>")
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await drain(alice, bob)
    story.world.clock.advance(2.0)
    await alice.receives_nothing()
    await bob.receives_nothing()
