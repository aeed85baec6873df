"""XEP-0045, 7.2: entering a room, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.muc.inside import ROOM, SERVICE, begin, drain, enter, hall, refusal, room_of, status, x


async def test_the_first_makes_the_room_and_owns_it(story: Any) -> None:
    service = await begin(story)
    alice, bob = await story("alice", "bob")
    alice.send(enter("alice"))
    item = f"<item affiliation='owner' role='moderator' jid='{alice.full}'/>"
    await alice.receives(
        f"<presence from='{ROOM}/alice' id='join'>{x(item + status(110, 201))}</presence>",
        f"<message from='{ROOM}' type='groupchat'><subject/></message>",
    )
    assert service.rooms["hall"].locked
    bob.send(enter("bob"))
    await bob.receives(f"<presence type='error' from='{ROOM}/bob' id='join'>{refusal('item-not-found')}</presence>")
    service.rooms["hall"].unlock()
    bob.send(enter("bob"))
    await bob.receives(f"<presence from='{ROOM}/alice'/>")


async def test_others_first_then_oneself_history_and_subject(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    alice.send(f"<message to='{ROOM}' type='groupchat'><subject>Tea</subject></message>")
    bob.send(f"<message to='{ROOM}' type='groupchat' id='1'><body>hi</body></message>")
    await drain(alice, bob)
    carol = await story("carol")
    carol.send(enter("carol", children="<show>away</show>"))
    await carol.receives(
        f"<presence from='{ROOM}/alice'>{x('''<item affiliation='owner' role='moderator'/>''')}</presence>",
        f"<presence from='{ROOM}/bob'>{x('''<item affiliation='none' role='participant'/>''')}</presence>",
        f"<presence from='{ROOM}/carol'><show>away</show>{x(status(110))}</presence>",
        f"<message from='{ROOM}/bob' id='1'><body>hi</body><delay xmlns='urn:xmpp:delay' from='{ROOM}'/></message>",
        f"<message from='{ROOM}/alice'><subject>Tea</subject><delay xmlns='urn:xmpp:delay' from='{ROOM}'/></message>",
    )
    await carol.receives_nothing()
    # Moderators see who it is, others do not.
    seen = await alice.receives(f"<presence from='{ROOM}/carol'><show>away</show></presence>")
    assert seen.find("http://jabber.org/protocol/muc#user", "x").first().get("jid") == carol.full
    seen = await bob.receives(f"<presence from='{ROOM}/carol'><show>away</show></presence>")
    assert seen.find("http://jabber.org/protocol/muc#user", "x").first().get("jid") is None


async def test_real_jids_in_a_non_anonymous_room(story: Any) -> None:
    (alice,) = await hall(story, whois="anyone")
    bob = await story("bob")
    bob.send(enter("bob"))
    item = f"<item jid='{alice.full}'/>"
    await bob.receives(
        f"<presence from='{ROOM}/alice'>{x(item)}</presence>", f"<presence>{x(status(100, 110))}</presence>"
    )


@pytest.mark.parametrize(
    ("config", "affiliation", "inner", "condition"),
    [
        ({}, "outcast", "", "forbidden"),
        ({"members_only": True}, "none", "", "registration-required"),
        ({"members_only": True}, "member", "", ""),
        ({"secret": "sesame"}, "none", "", "not-authorized"),
        ({"secret": "sesame"}, "member", "<password>wrong</password>", "not-authorized"),
        ({"secret": "sesame"}, "none", "<password>sesame</password>", ""),
        ({"secret": "sesame"}, "owner", "", ""),
        ({"max_occupants": 1}, "member", "", "service-unavailable"),
        ({"max_occupants": 1}, "admin", "", ""),
    ],
)
async def test_who_may_enter(story: Any, config: dict[str, Any], affiliation: Any, inner: str, condition: str) -> None:
    (alice,) = await hall(story, **config)
    bob = await story("bob")
    room_of(story).set_affiliation(bob.bare, affiliation)
    await drain(alice)
    bob.send(enter("bob", inner))
    if condition:
        await bob.receives(f"<presence type='error' from='{ROOM}/bob' id='join'>{refusal(condition)}</presence>")
        await bob.receives_nothing()
        await alice.receives_nothing()
        assert bob.full not in room_of(story).users
    else:
        await bob.receives(f"<presence from='{ROOM}/alice'/>", f"<presence from='{ROOM}/bob'/>")


async def test_a_banned_domain(story: Any) -> None:
    await hall(story)
    bob = await story("bob")
    room_of(story).set_affiliation("story.example", "outcast")
    bob.send(enter("bob"))
    await bob.receives(f"<presence type='error'>{refusal('forbidden', 'auth')}</presence>")
    # His own entry comes first.
    room_of(story).set_affiliation(bob.bare, "member")
    bob.send(enter("bob"))
    await bob.receives(f"<presence from='{ROOM}/alice'/>")


async def test_nicknames_in_use_and_registered(story: Any) -> None:
    await hall(story)
    bob = await story("bob")
    bob.send(enter("alice"))
    await bob.receives(f"<presence type='error' from='{ROOM}/alice'>{refusal('conflict', 'cancel')}</presence>")
    room_of(story).register_nick("carol@story.example", "queen")
    bob.send(enter("queen"))
    await bob.receives(f"<presence type='error'>{refusal('conflict')}</presence>")
    bob.send(enter("").replace(f"{ROOM}/", ROOM))
    await bob.receives(f"<presence type='error'>{refusal('jid-malformed')}</presence>")
    bob.send(enter(" \u00a0"))
    await bob.receives(f"<presence type='error'>{refusal('not-acceptable')}</presence>")
    bob.send(enter("n" * 300))
    await bob.receives(f"<presence type='error'>{refusal('not-acceptable')}</presence>")
    bob.send(enter("bob", children=f"<status>{'s' * 9_000}</status>"))
    await bob.receives(f"<presence type='error'>{refusal('policy-violation')}</presence>")
    assert len(room_of(story).occupants) == 1


async def test_clients_of_one_user_share_a_nickname(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    other = await story.world.login("bob", "phone")
    other.send(enter("bob"))
    await other.receives(f"<presence from='{ROOM}/alice'/>", f"<presence from='{ROOM}/bob'>{x(status(110))}</presence>")
    await drain(other)
    await alice.receives_nothing()
    alice.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>")
    for client in (bob, other):
        await client.receives(f"<message from='{ROOM}/alice'><body>hi</body></message>")
    await drain(alice)
    # A part of one is nobody else's business; that of the last is.
    bob.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await bob.receives(f"<presence type='unavailable'>{x(status(110))}</presence>")
    assert list(room_of(story).occupants["bob"].clients) == [other.full]
    seen = await alice.receives(f"<presence from='{ROOM}/bob'/>")
    assert "type" not in seen.attrs
    await drain(other)
    other.send(f"<presence to='{ROOM}/bob' type='unavailable'/>")
    await alice.receives(f"<presence from='{ROOM}/bob' type='unavailable'/>")


async def test_who_lost_track_is_told(story: Any) -> None:
    alice, bob = await hall(story, "bob")
    carol = await story("carol")
    carol.send(f"<presence to='{ROOM}/carol' id='p'/>")
    await carol.receives(
        f"<presence type='unavailable' id='p' from='{ROOM}/carol'>{x(status(110, 307, 333))}</presence>"
    )
    carol.send(f"<presence to='nowhere@{SERVICE}/carol'/>")
    await carol.receives(f"<presence type='unavailable'>{x(status(333))}</presence>")
    # One who is inside and enters again gets everything again.
    bob.send(enter("bob"))
    await bob.receives(
        f"<presence from='{ROOM}/alice'/>",
        f"<presence from='{ROOM}/bob'>{x(status(110))}</presence>",
        "<message><subject/></message>",
    )
    await bob.receives_nothing()
    assert len(await alice.receives_all()) == 1


async def test_what_only_the_room_may_say_is_removed(story: Any) -> None:
    (alice,) = await hall(story)
    bob = await story("bob")
    forged = x("<item affiliation='owner' role='moderator'/>")
    bob.send(enter("bob", children=f"{forged}<occupant-id xmlns='urn:xmpp:occupant-id:0' id='alice'/><c xmlns='z'/>"))
    seen = await alice.receives(f"<presence from='{ROOM}/bob'><c xmlns='z'/></presence>")
    assert len(seen.find_all("http://jabber.org/protocol/muc#user", "x")) == 1
    (id,) = seen.find_all("urn:xmpp:occupant-id:0", "occupant-id")
    assert id.get("id") == room_of(story).occupant_id(bob.bare) != room_of(story).occupant_id(alice.bare)


async def test_a_flood_of_joins_is_stopped(story: Any) -> None:
    service = await begin(story, join_burst=50, max_rooms=10_000)
    eve = await story("eve")
    for number in range(200):
        eve.send(enter("eve", room=f"room{number}@{SERVICE}"))
    await story.world.settle()
    refused = [p for p in await eve.receives_all() if p.attrs.get("type") == "error"]
    assert len(refused) == 150
    assert len(service.rooms) == 50
    story.world.clock.advance(10)
    eve.send(enter("eve", room=f"later@{SERVICE}"))
    await eve.receives(f"<presence from='later@{SERVICE}/eve'>{x(status(201))}</presence>")


@pytest.mark.slow
@pytest.mark.parametrize(("people", "shown"), [(2_000, ("moderator",)), (400, ("moderator", "participant", "visitor"))])
async def test_many_in_one_room(story: Any, people: int, shown: tuple[str, ...]) -> None:
    (alice,) = await hall(story, options={"join_burst": 5_000}, presence_of=shown)
    alice.wire.write = lambda data: None
    clients = [await story.world.login(f"user{number}") for number in range(people - 1)]
    for number, client in enumerate(clients):
        client.wire.write = lambda data, wire=client.wire: setattr(wire, "bytes_out", wire.bytes_out + 1)
        client.send(enter(f"user{number}"))
    room = room_of(story)
    assert len(room.occupants) == people
    before = [client.wire.bytes_out for client in clients]
    # The last saw alice and everybody else who is shown, himself, and the subject.
    assert before[-1] == (people - 1 if len(shown) == 3 else 1) + 2
    alice.send(f"<message to='{ROOM}' type='groupchat'><body>hi</body></message>")
    assert [client.wire.bytes_out - count for client, count in zip(clients, before, strict=True)] == [1] * (people - 1)
    room.destroy("enough")
    assert [client.wire.bytes_out - count for client, count in zip(clients, before, strict=True)] == [2] * (people - 1)
