"""What administrators do with rooms: the commands of the registry on a whole engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import SERVICE, begin, enter, says, status, x
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.rooms import registry
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.rooms import RoomAffiliation

HALL = f"hall@{SERVICE}"
ALICE = "alice@story.example"
DAY = 86_400.0


async def run(story: Any, name: str, **arguments: str) -> Any:
    """Run a command on the engine, as the console and the terminal do."""
    command = registry.get(name)
    result = await command.function(story.world.engine, **command.bind(arguments))
    await story.world.settle()
    return result


async def stored(story: Any, local: str = "hall") -> Any:
    """The room as the store has it."""
    return await story.world.stores.rooms.load(SERVICE, local)


async def test_a_room_is_made_stored_and_entered(story: Any) -> None:
    await begin(story)
    made = await run(story, "room create", room=HALL, owner=ALICE, options="roomname=The Hall;membersonly=yes")
    assert made == {"room": HALL, "owner": ALICE}
    record = await stored(story)
    assert (record.config["name"], record.config["members_only"]) == ("The Hall", True)
    assert record.affiliations[ALICE].affiliation == "owner"
    alice, bob = await story("alice", "bob")
    alice.send(enter("Alice"))
    await alice.receives(f"<presence from='{HALL}/Alice'>{x(status(110))}</presence>")
    bob.send(enter("Bob"))
    await bob.receives(f"<presence type='error' from='{HALL}/Bob'/>")
    (row,) = await run(story, "room list")
    assert (row["room"], row["occupants"], row["affiliated"], row["persistent"]) == (HALL, 1, 1, True)
    with pytest.raises(CommandError, match="exists"):
        await run(story, "room create", room=HALL, owner=ALICE)
    with pytest.raises(ValueError, match="persistent"):
        await run(story, "room create", room=f"x@{SERVICE}", owner=ALICE, options="persistentroom=no")
    with pytest.raises(ValueError, match="number"):
        await run(story, "room create", room=f"x@{SERVICE}", owner=ALICE, options="maxhistoryfetch=many")
    assert len(await run(story, "room list")) == 1


async def test_the_service_keeps_its_bound(story: Any) -> None:
    await begin(story, max_rooms=1)
    await run(story, "room create", room=HALL, owner=ALICE)
    with pytest.raises(CommandError, match="as many rooms"):
        await run(story, "room create", room=f"other@{SERVICE}", owner=ALICE)


async def test_a_room_that_is_not_resident_is_changed_all_the_same(story: Any) -> None:
    service = await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    story.world.clock.advance(3_600)
    await service.sweep()
    assert not service.rooms
    assert await run(story, "room occupants", room=HALL) == []
    assert not service.rooms, "looking who is inside loads nothing"
    await run(story, "room set", room=HALL, key="roomname", value="Aula")
    await run(story, "room affiliate", room=HALL, jid="evil.example", affiliation="outcast", reason="spam")
    await run(story, "room subject", room=HALL, subject="Dinner")
    record = await stored(story)
    assert (record.config["name"], record.subject) == ("Aula", "Dinner")
    assert record.affiliations["evil.example"].reason == "spam"
    with pytest.raises(CommandError, match="owner"):
        await run(story, "room affiliate", room=HALL, jid=ALICE, affiliation="none")
    with pytest.raises(CommandError, match="no such room"):
        await run(story, "room set", room=f"none@{SERVICE}", key="roomname", value="x")
    with pytest.raises(ValueError, match="bytes"):
        await run(story, "room subject", room=HALL, subject="x" * 100_000)


async def test_people_inside_see_what_is_done(story: Any) -> None:
    await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    alice, bob = await story("alice", "bob")
    for client, nick in ((alice, "Alice"), (bob, "Bob")):
        client.send(enter(nick))
        await client.receives_all()
    await alice.receives_all()
    rows = await run(story, "room occupants", room=HALL)
    assert [(row["nick"], row["role"], row["affiliation"]) for row in rows] == [
        ("Alice", "moderator", "owner"),
        ("Bob", "participant", "none"),
    ]
    await run(story, "room role", room=HALL, nick="Bob", role="visitor")
    muted = x("<item role='visitor'/>")
    await bob.receives(f"<presence from='{HALL}/Bob'>{muted}</presence>")
    await run(story, "room subject", room=HALL, subject="Soup")
    await bob.receives(f"<message type='groupchat' from='{HALL}'><subject>Soup</subject></message>")
    await run(story, "room kick", room=HALL, nick="Bob", reason="enough")
    kicked = x("<item role='none'><reason>enough</reason></item>" + status(307))
    await bob.receives(f"<presence type='unavailable'>{kicked}</presence>")
    with pytest.raises(CommandError, match="Nobody"):
        await run(story, "room kick", room=HALL, nick="Bob")
    await alice.receives_all()
    await run(story, "room destroy", room=HALL, reason="moved", alternate=f"new@{SERVICE}")
    gone = x(f"<destroy jid='new@{SERVICE}'><reason>moved</reason></destroy>")
    await alice.receives(f"<presence type='unavailable'>{gone}</presence>")
    assert await stored(story) is None
    assert await run(story, "room list") == []


async def test_history_is_cleared(story: Any) -> None:
    await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    alice, bob = await story("alice", "bob")
    alice.send(enter("Alice") + says("to be forgotten"))
    await alice.receives_all()
    assert (await run(story, "room clear-history", room=HALL))["removed"] == 1
    bob.send(enter("Bob"))
    assert not any(found.child_text("jabber:client", "body") for found in await bob.receives_all())


async def test_new_rooms_wait_for_approval(story: Any) -> None:
    await begin(story, quarantine_seconds=3_600.0)
    alice = await story("alice")
    alice.send(enter("Alice"))
    await alice.receives_all()
    await run(story, "room set", room=HALL, key="persistentroom", value="yes")
    page = await run(story, "room page")
    assert (page["waiting"], page["rooms"][0]["waits"]) == (1, True)
    await run(story, "room approve", room=HALL)
    assert (await run(story, "room page"))["waiting"] == 0
    with pytest.raises(CommandError, match="does not wait"):
        await run(story, "room approve", room=HALL)


async def test_idle_rooms_go_only_when_asked(story: Any) -> None:
    service = await begin(story)
    for local in ("old", "kept", "used"):
        await run(story, "room create", room=f"{local}@{SERVICE}", owner=ALICE)
    for room in service.rooms.values():
        room.record.last_activity -= 40 * DAY
        room.save()
    alice = await story("alice")
    alice.send(enter("Alice", room=f"used@{SERVICE}"))
    await alice.receives_all()
    report = await run(story, "room idle", days="30")
    assert [row["room"] for row in report] == [f"kept@{SERVICE}", f"old@{SERVICE}"]
    assert len(service.directory) == 3
    done = await run(story, "room idle", days="30", exclude=f"kept@{SERVICE}", remove="yes")
    assert [(row["room"], row["removed"]) for row in done] == [(f"old@{SERVICE}", True)]
    assert await stored(story, "old") is None
    assert await stored(story, "kept") is not None


async def test_a_removed_account_leaves_rooms_that_are_in_memory(story: Any) -> None:
    service = await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    bob = await story("bob")
    await run(story, "room affiliate", room=HALL, jid=bob.bare, affiliation="owner")
    bob.send(enter("Bob"))
    await bob.receives_all()
    await story.world.stores.accounts.remove(bob.bare)
    await story.world.stores.accounts.remove(ALICE)
    for bare in (bob.bare, ALICE):
        await story.world.engine.outside.account_changed(bare)
    await story.world.settle()
    room = service.rooms["hall"]
    assert {entry.affiliation for entry in room.record.affiliations.values()} == {"none"}
    assert not room.occupants
    assert {entry.affiliation for entry in (await stored(story)).affiliations.values()} == {"none"}
    # Whoever gets the address later owns nothing.
    again = await story("bob")
    again.send(enter("Bob"))
    stranger = x("<item affiliation='none'/>" + status(110))
    await again.receives(f"<presence from='{HALL}/Bob'>{stranger}</presence>")


async def test_a_ban_outlives_the_account(story: Any) -> None:
    service = await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    await story.world.account("mallory")
    await run(story, "room affiliate", room=HALL, jid="mallory@story.example", affiliation="outcast")
    await story.world.stores.accounts.remove("mallory@story.example")
    await story.world.engine.outside.account_changed("mallory@story.example")
    entry = service.rooms["hall"].record.affiliations["mallory@story.example"]
    assert isinstance(entry, RoomAffiliation)
    assert entry.affiliation == "outcast"


async def test_a_store_that_is_away_is_a_sentence(story: Any) -> None:
    service = await begin(story)
    await run(story, "room create", room=HALL, owner=ALICE)
    story.world.clock.advance(3_600)
    await service.sweep()
    story.world.stores.memory.fail_with = "gone"
    with pytest.raises(CommandError, match="database does not answer"):
        await run(story, "room show", room=HALL)
    with pytest.raises(StoreUnavailable):
        await story.world.engine.rooms_of(ALICE)
    story.world.stores.memory.fail_with = None
    assert (await run(story, "room show", room=HALL))["room"] == HALL
