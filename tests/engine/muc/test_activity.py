"""How busy a room is."""

from __future__ import annotations

from tests.engine.muc.stage import ROOM, asked, made, text_of
from xmpp_engine.muc import activity
from xmpp_engine.storage.rooms import RoomRecord

HOUR = 3_600
INFO = f"<iq type='get' id='1' to='{ROOM}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
FIELD = "{urn:xmpp:muc-activity}message-activity"


def test_the_last_full_hours_count_a_day_at_most():
    record = RoomRecord("conference.example.org", "heath")
    assert activity.per_hour(record, 0.0) is None
    start = 1_000 * HOUR
    for second in range(12):
        activity.count(record, start + second)
    assert activity.per_hour(record, start + 60) is None
    assert activity.per_hour(record, start + HOUR) == 12.0
    activity.count(record, start + HOUR)
    assert activity.per_hour(record, start + 2 * HOUR) == 6.5
    assert activity.per_hour(record, start + 24 * HOUR) == round(13 / 24, 2)
    assert activity.per_hour(record, start + 25 * HOUR) == round(1 / 24, 2)
    assert activity.per_hour(record, start + 1_000 * HOUR) == 0.0
    assert len(record.activity["counts"]) == 25


async def test_open_rooms_tell_it(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_persistentroom": "1"})
    for body in ("<body>one</body>", "<body>two</body>", "<active xmlns='http://jabber.org/protocol/chatstates'/>"):
        bob.send(f"<message to='{ROOM}' type='groupchat'>{body}</message>")
    correction = "<body>two!</body><replace xmlns='urn:xmpp:message-correct:0' id='x'/>"
    bob.send(f"<message to='{ROOM}' type='groupchat'>{correction}</message>")
    assert FIELD not in text_of(await asked(alice, INFO))
    story.world.clock.advance(HOUR)
    room = story.world.module("muc").room(ROOM)
    text = text_of(await asked(alice, INFO))
    assert FIELD in text
    assert "<value>2</value>" in text[text.index(FIELD) :]
    for values in ({"secret": "x"}, {"members_only": True}, {"public": False}, {"persistent": False}):
        room.config = room.with_config(secret="", members_only=False, public=True, persistent=True)
        room.config = room.with_config(**values)
        assert FIELD not in text_of(await asked(alice, INFO)), values


async def test_what_was_counted_survives_a_restart(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_persistentroom": "1"})
    room = story.world.module("muc").room(ROOM)
    for _ in range(3):
        bob.send(f"<message to='{ROOM}' type='groupchat'><body>hello</body></message>")
    await alice.receives_all()
    await room.service.sweep()
    stored = await story.world.stores.rooms.load(room.service.domain, "coven")
    assert stored.activity == room.record.activity
    assert sum(stored.activity["counts"]) == 3
    assert stored.last_activity == room.record.last_activity
    # And what came after the last sweep, when the service stops.
    bob.send(f"<message to='{ROOM}' type='groupchat'><body>bye</body></message>")
    await alice.receives_all()
    await room.service.stopping()
    stored = await story.world.stores.rooms.load(room.service.domain, "coven")
    assert sum(stored.activity["counts"]) == 4


async def test_a_room_stays_in_memory_until_its_activity_is_stored(story):
    alice, bob = await made(story, "bob", config={"muc#roomconfig_persistentroom": "1"})
    room = story.world.module("muc").room(ROOM)
    bob.send(f"<message to='{ROOM}' type='groupchat'><body>hello</body></message>")
    for client in (alice, bob):
        client.send(f"<presence to='{ROOM}/{client.bare.partition('@')[0]}' type='unavailable'/>")
        await client.receives_all()
    story.world.clock.advance(3_600)
    story.world.stores.memory.fail_with = "away"
    await room.service.sweep()
    assert story.world.module("muc").room(ROOM) is room
    story.world.stores.memory.fail_with = None
    await room.service.sweep()
    assert story.world.module("muc").room(ROOM) is None
    stored = await story.world.stores.rooms.load(room.service.domain, "coven")
    assert sum(stored.activity["counts"]) == 1
