"""What changes in a room reaches the store, in order, whatever comes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.muc.inside import SERVICE, hall, room_of
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError


class Slow:
    """A store whose calls take some turns of the loop."""

    def __init__(self, store: Any, turns: int) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def late(*arguments: Any, **named: Any) -> Any:
            for _ in range(self._turns):
                await asyncio.sleep(0)
            found = await call(*arguments, **named)
            for _ in range(self._turns):
                await asyncio.sleep(0)
            return found

        return late


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("pause", range(12))
async def test_a_room_that_is_persistent_on_and_off(story: Any, turns: int, pause: int) -> None:
    """Whenever the change comes, in the end the store has what the room is."""
    await hall(story)
    room, stores = room_of(story), story.world.stores
    stores.rooms = Slow(stores.rooms, turns)
    for persistent in (True, False, True, False, True):
        room.reconfigure(room.with_config(persistent=persistent, name=f"{persistent}"))
        room.set_affiliation(f"u{room.record.affiliation_version}@x", "member")
        for _ in range(pause):
            await asyncio.sleep(0)
    await room.saved()
    stored = await stores.rooms.load(SERVICE, "hall")
    assert stored is not None
    assert stored.number == room.number
    assert set(stored.affiliations) == set(room.record.affiliations)
    assert stored.affiliation_version == room.record.affiliation_version
    room.reconfigure(room.with_config(persistent=False))
    await room.saved()
    assert await stores.rooms.rooms(SERVICE) == []


@pytest.mark.parametrize("pause", range(12))
async def test_a_new_room_of_a_destroyed_ones_name(story: Any, pause: int) -> None:
    (alice,) = await hall(story)
    stores = story.world.stores
    stores.rooms = Slow(stores.rooms, 2)
    old = room_of(story)
    service = old.service
    old.reconfigure(old.with_config(persistent=True, name="Old"))
    for _ in range(pause):
        await asyncio.sleep(0)
    old.destroy("enough")
    new = service.make("hall", alice.bare, old.with_config(name="New"))
    await new.saved()
    stored = await stores.rooms.load(SERVICE, "hall")
    assert stored is not None
    assert stored.config["name"] == "New"
    assert stored.number == new.number
    assert len(await stores.rooms.rooms(SERVICE)) == 1


async def test_a_subject_is_acknowledged_once_it_is_stored(story: Any) -> None:
    (alice,) = await hall(story, persistent=True)
    await alice.receives_all()
    alice.send("<enable xmlns='urn:xmpp:sm:3'/>")
    await alice.receives("<enabled xmlns='urn:xmpp:sm:3'/>")
    room, stores = room_of(story), story.world.stores
    await room.saved()
    stores.memory.fail_with = "away"
    alice.send(f"<message to='{room.jid}' type='groupchat'><subject>Soup</subject></message>")
    alice.send("<r xmlns='urn:xmpp:sm:3'/>")
    told = [one.name for one in await alice.receives_all() if one.name != "r"]
    assert told == ["message"], "everybody sees it, but it is not acknowledged"
    stores.memory.fail_with = None
    story.world.clock.advance(2.0)
    assert [one.get("h") for one in await alice.receives_all() if one.name == "a"] == ["1"]
    stored = await stores.rooms.load(SERVICE, "hall")
    assert stored is not None
    assert stored.subject == "Soup"


async def test_a_room_has_its_number_at_once(story: Any) -> None:
    """So what is said before the store has the room goes to the archive."""
    (alice,) = await hall(story)
    room, stores = room_of(story), story.world.stores
    stores.memory.fail_with = "away"
    room.reconfigure(room.with_config(persistent=True))
    number = room.number
    assert number
    assert room.service.directory["hall"].number == number
    alice.send(f"<message to='{room.jid}' type='groupchat'><body>first words</body></message>")
    await asyncio.sleep(0)
    stores.memory.fail_with = None
    story.world.clock.advance(2.0)
    await room.saved()
    stored = await stores.rooms.load(SERVICE, "hall")
    assert (stored.number, set(stored.affiliations)) == (number, set(room.record.affiliations))


async def test_without_numbers_no_room_becomes_persistent(story: Any) -> None:
    (alice,) = await hall(story)
    room, stores = room_of(story), story.world.stores
    stores.memory.fail_with = "away"
    while room.service.numbers._stock:
        room.service.numbers.take()
    with pytest.raises(StanzaError, match="no room can be stored now"):
        room.reconfigure(room.with_config(persistent=True, name="New"))
    assert (room.config.persistent, room.config.name, room.number) == (False, "", 0)
    form = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
    form += f"<field var='muc#roomconfig_roomowners'><value>{alice.bare}</value><value>x@y</value></field>"
    alice.send(
        f"<iq type='set' id='1' to='{room.jid}'><query xmlns='{ns.MUC_OWNER}'>"
        f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{form}</x></query></iq>"
    )
    answer = next(one for one in await alice.receives_all() if one.name == "iq")
    assert (answer.get("type"), list(room.record.affiliations)) == ("error", [alice.bare])


async def test_nobody_waits_for_ever_for_a_store_that_is_away(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.muc.saving._PATIENCE", 0.02)
    await hall(story)
    room = room_of(story)
    story.world.stores.memory.fail_with = "away"
    room.reconfigure(room.with_config(persistent=True))
    with pytest.raises(StoreUnavailable):
        await room.saved()
