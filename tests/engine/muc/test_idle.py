"""Rooms in which nothing happens any more."""

from __future__ import annotations

import logging

from tests.engine.muc.stage import asked
from xmpp_engine.muc import idle
from xmpp_engine.muc.config import RoomConfig

SERVICE = "conference.story.example"
DAY = 86_400


async def rooms(story, **options):
    """The service with three stored rooms, not used for ten days, one of them with alice in it; and alice."""
    await story.begin(options={"muc-idle": options} if options else None)
    alice = await story("alice")
    service = story.world.module("muc").chat[SERVICE]
    for local in ("heath", "castle", "wood"):
        await service.create(local, "owner@story.example", RoomConfig(persistent=True))
    alice.send(f"<presence to='castle@{SERVICE}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await alice.receives_all()
    for room in service.rooms.values():
        room.record.last_activity -= 10 * DAY
        room.save()
    await story.world.settle()
    return service, alice


async def stored(story) -> list[str]:
    return [room.local for room in await story.world.stores.rooms.rooms(SERVICE)]


async def test_a_report_changes_nothing(story):
    service, _alice = await rooms(story)
    now = story.world.clock.time()
    assert [listing.local for listing in idle.report(service, now - DAY)] == ["heath", "wood"]
    assert [listing.local for listing in idle.report(service, now - DAY, {f"wood@{SERVICE}"})] == ["heath"]
    assert idle.report(service, now - 20 * DAY) == []
    assert await stored(story) == ["castle", "heath", "wood"]


async def test_what_is_idle_is_removed_but_not_what_came_to_life(story):
    service, alice = await rooms(story)
    before = story.world.clock.time() - DAY
    story.world.clock.advance(1)
    alice.send(f"<presence to='wood@{SERVICE}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await alice.receives_all()
    assert await idle.remove(service, ["heath", "wood", "castle", "unknown"], before) == ["heath"]
    await story.world.settle()
    assert await stored(story) == ["castle", "wood"]


async def test_the_timer_removes_by_the_options(story):
    service, _alice = await rooms(story, days={"conference": 5}, exclude=[f"wood@{SERVICE}"])
    await story.world.module("muc-idle").tend()
    await story.world.settle()
    assert await stored(story) == ["castle", "wood"]
    assert "heath" not in service.directory


async def test_a_dry_run_only_tells(story, caplog):
    await rooms(story, days={"conference": 5}, dry_run=True)
    with caplog.at_level(logging.INFO, "mlink.rooms"):
        await story.world.module("muc-idle").tend()
    await story.world.settle()
    assert await stored(story) == ["castle", "heath", "wood"]
    assert "heath wood" in caplog.text


async def test_a_room_tells_when_it_was_last_used(story):
    _service, alice = await rooms(story)
    alice.send(f"<message to='castle@{SERVICE}' type='groupchat'><body>Anybody?</body></message>")
    await alice.receives_all()
    story.world.clock.advance(100)
    answer = await asked(alice, f"<iq type='get' id='1' to='castle@{SERVICE}'><query xmlns='jabber:iq:last'/></iq>")
    assert next(iter(answer.elements())).get("seconds") in ("100", "101")


async def test_history_can_be_forgotten(story):
    service, alice = await rooms(story)
    alice.send(f"<message to='castle@{SERVICE}' type='groupchat'><body>Anybody?</body></message>")
    await alice.receives_all()
    room = service.rooms["castle"]
    assert len(room.history) == 1
    assert await idle.clear_history(room) == 0
    assert len(room.history) == 0
