"""A change of configuration of a large room is told in slices, and nobody believes what is not so meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, drain, enter, hall, room_of
from xmpp_engine.muc import affiliations
from xmpp_engine.xml import ns

NAMES = ("bob", "carol", "dave", "erin", "frank")


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One occupant at a time."""
    monkeypatch.setattr(affiliations, "_SLICE", 1)


async def seen(client: Any) -> list[tuple[str, str]]:
    """(nickname, role or "gone") of the presences that came."""
    found = []
    for stanza in await client.receives_all():
        if stanza.name == "presence":
            item = stanza.find(ns.MUC_USER, "x").find(ns.MUC_USER, "item")
            gone = stanza.get("type") == "unavailable"
            found.append((stanza.get("from").partition("/")[2], "gone" if gone else item.get("role")))
    return found


@pytest.mark.usefixtures("small_slices")
async def test_voices_change_at_once_and_are_told_soon(story: Any) -> None:
    alice, *others = await hall(story, *NAMES)
    room = room_of(story)
    await drain(alice, *others)
    before = story.world.writes
    room.reconfigure(room.with_config(moderated=True))
    assert {one.role for one in room.occupants.values()} == {"moderator", "visitor"}
    assert len(room.restating) == len(NAMES) - 1, "one slice is told"
    bob = others[0]
    bob.send(f"<message to='{ROOM}' type='groupchat'><body>still there?</body></message>")
    told = await bob.receives_all()
    assert "forbidden" in {child.name for one in told for error in one.elements() for child in error.elements()}
    assert not room.restating
    assert sorted(await seen(alice)) == [(name, "visitor") for name in NAMES]
    assert story.world.writes > before


@pytest.mark.usefixtures("small_slices")
async def test_who_goes_before_it_is_told_is_gone_for_all(story: Any) -> None:
    alice, *others = await hall(story, *NAMES)
    room = room_of(story)
    room.reconfigure(room.with_config(moderated=True))
    await drain(alice, *others)
    room.reconfigure(room.with_config(moderated=True, presence_of=("moderator",)))
    *_, frank = others
    assert room.occupants["frank"] in room.restating
    frank.send(f"<presence to='{ROOM}/frank' type='unavailable'/>")
    await frank.receives_all()
    assert sorted(await seen(alice)) == [(name, "gone") for name in NAMES]
    # Who enters while others are to be shown again sees each of them.
    room.reconfigure(room.with_config(presence_of=("moderator", "visitor")))
    frank.send(enter("frank"))
    erin = next(one for one in room.occupants.values() if one.nick == "erin")
    room.expel(erin)
    views: dict[str, str] = dict(await seen(frank))
    assert {nick for nick, role in views.items() if role != "gone"} == {"alice", "bob", "carol", "dave", "frank"}


async def test_a_slice_is_bounded(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, *others = await hall(story, *NAMES)
    room = room_of(story)
    await drain(alice, *others)
    monkeypatch.setattr(affiliations, "_SLICE", 2 * len(room.users))
    shown = []
    monkeypatch.setattr(type(room), "show_others", lambda self, occupant, why=None: shown.append(occupant.nick))
    room.reconfigure(room.with_config(moderated=True))
    assert len(shown) == 2
    await alice.receives_all()
    assert len(shown) == len(NAMES)
