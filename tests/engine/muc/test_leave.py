"""Leaving: by oneself, by force, by a lost connection, and with the room (XEP-0045, 7.14, 8.2, 9.1, 10.9, 17.5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, USER, drain, enter, hall, refusal, room_of, status, x
from xmpp_engine.addressing.jid import Jid


async def test_everybody_sees_who_leaves(story: Any) -> None:
    alice, bob, carol = await hall(story, "bob", "carol")
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable' id='p'><status>bye</status></presence>")
    item = "<item affiliation='none' role='none'/>"
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob' id='p'>{x(item + status(110))}</presence>")
    for client in (alice, carol):
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/bob'><status>bye</status>{x(item)}</presence>"
        )
    alice.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>")
    await bob.receives_nothing()


async def test_a_session_that_ends_leaves(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    await bob.leaves(clean=False)
    await alice.receives(f"<presence type='unavailable' from='{ROOM}/bob'/>")
    assert list(room_of(story).occupants) == ["alice"]
    await alice.leaves()
    assert story.world.module("muc").room(ROOM) is None


async def test_a_kick(story: Any) -> None:
    alice, bob, carol = await hall(story, "bob", "carol")
    room = room_of(story)
    room.set_role(room.occupants["bob"], "none", "enough", Jid.parse(alice.full))
    item = "<item affiliation='none' role='none'><actor nick='alice'/><reason>enough</reason></item>"
    await bob.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(110, 307))}</presence>")
    for client in (alice, carol):
        seen = await client.receives(
            f"<presence type='unavailable' from='{ROOM}/bob'>{x(item + status(307))}</presence>"
        )
        assert seen.find(USER, "x").first().get("jid") == (bob.full if client is alice else None)
    bob.send(enter("bob"))
    await bob.receives(f"<presence from='{ROOM}/alice'/>")


@pytest.mark.parametrize(
    "condition", ["gone", "recipient-unavailable", "remote-server-not-found", "service-unavailable"]
)
async def test_a_client_that_answers_with_errors_goes(story: Any, condition: str) -> None:
    alice, bob = await hall(story, "bob")
    bob.send(f"<message to='{ROOM}' type='error'>{refusal(condition, 'cancel')}</message>")
    await alice.receives(f"<presence type='unavailable' from='{ROOM}/bob'>{x(status(333))}</presence>")
    await bob.receives(f"<presence type='unavailable'>{x(status(110, 333))}</presence>")


async def test_other_errors_do_not_expel(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    bob.send(f"<message to='{ROOM}/alice' type='error' id='e'>{refusal('not-acceptable', 'modify')}</message>")
    await alice.receives(f"<message type='error' id='e' from='{ROOM}/bob'>{refusal('not-acceptable')}</message>")
    assert "bob" in room_of(story).occupants


async def test_who_blocks_another_stays_inside(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    block = f"<block xmlns='urn:xmpp:blocking'><item jid='{ROOM}/alice'/></block>"
    bob.send(f"<iq type='set' id='b'>{block}</iq>")
    await drain(alice, bob)
    alice.send(f"<message to='{ROOM}/bob' type='chat' id='p'><body>psst</body></message>")
    alice.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>")
    await bob.receives_nothing()
    assert "bob" in room_of(story).occupants
    answers = await alice.receives_all()
    assert [m.attrs["type"] for m in answers if m.name == "message"] in (["groupchat"], ["error", "groupchat"])


async def test_the_end_of_a_room(story: Any) -> None:
    alice, bob = await hall(story, "bob", persistent=True)
    room = room_of(story)
    await room.saved()
    room.destroy("moved", f"other@{room.service.domain}", "key")
    gone = f"<destroy jid='other@{room.service.domain}'><reason>moved</reason><password>key</password></destroy>"
    for client, nick in ((alice, "alice"), (bob, "bob")):
        await client.receives(
            f"<presence type='unavailable' from='{ROOM}/{nick}'>"
            f"{x('''<item affiliation='none' role='none'/>''' + gone)}</presence>"
        )
        await client.receives_nothing()
    await room.saved()
    assert await story.world.stores.rooms.load(room.service.domain, "hall") is None
    bob.send(enter("bob"))
    await bob.receives(f"<presence>{x(status(201))}</presence>")
