"""What changes in a room reaches the store, in order, whatever comes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.muc.inside import SERVICE, hall, room_of
from xmpp_engine.storage.protocols import StoreUnavailable


class Slow:
    """A store whose calls take some turns of the loop."""

    def __init__(self, store: Any, turns: int) -> None:
        self._store = store
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def late(*arguments: Any) -> Any:
            for _ in range(self._turns):
                await asyncio.sleep(0)
            found = await call(*arguments)
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


async def test_nobody_waits_for_ever_for_a_store_that_is_away(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmpp_engine.muc.saving._PATIENCE", 0.02)
    await hall(story)
    room = room_of(story)
    story.world.stores.memory.fail_with = "away"
    room.reconfigure(room.with_config(persistent=True))
    with pytest.raises(StoreUnavailable):
        await room.saved()
