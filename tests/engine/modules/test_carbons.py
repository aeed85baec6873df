"""XEP-0280: which resources get copies of what."""

from __future__ import annotations

from typing import Any

import pytest

from xmpp_engine.stanza.stanza import Stanza

ENABLE = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"


async def _online(*clients: Any) -> None:
    for client in clients:
        client.send(ENABLE + "<presence/>")
    for client in clients:
        await client.receives_all()


async def test_other_resources_get_what_was_sent(story: Any) -> None:
    alice1, alice2, bob = await story("alice:2", "bob")
    await _online(alice1, alice2, bob)
    alice1.send(f"<message to='{bob.full}' type='chat' id='1'><body>hi</body></message>")
    await bob.receives(f"<message from='{alice1.full}'><body>hi</body></message>")
    await alice2.receives(
        f"<message from='{alice1.bare}' type='chat'><sent xmlns='urn:xmpp:carbons:2'>"
        "<forwarded xmlns='urn:xmpp:forward:0'>"
        f"<message xmlns='jabber:client' from='{alice1.full}' to='{bob.full}'><body>hi</body></message>"
        "</forwarded></sent></message>"
    )
    await alice1.receives_nothing()


async def test_a_message_to_one_resource_is_copied_to_the_others(story: Any) -> None:
    alice, bob1, bob2 = await story("alice", "bob:2")
    await _online(alice, bob1, bob2)
    alice.send(f"<message to='{bob1.full}' type='chat'><body>hi</body></message>")
    await bob1.receives("<message><body>hi</body></message>")
    await bob2.receives("<message><received xmlns='urn:xmpp:carbons:2'/></message>")


async def test_a_message_to_the_account_reaches_each_resource_once(story: Any) -> None:
    alice, bob1, bob2 = await story("alice", "bob:2")
    await _online(alice, bob1, bob2)
    alice.send(f"<message to='{bob1.bare}' type='chat'><body>hi</body></message>")
    for bob in (bob1, bob2):
        await bob.receives("<message><body>hi</body></message>")
        await bob.receives_nothing()


async def test_private_and_uninteresting_messages_are_not_copied(story: Any) -> None:
    alice, bob1, bob2 = await story("alice", "bob:2")
    await _online(alice, bob1, bob2)
    for extra, type in (
        ("<private xmlns='urn:xmpp:carbons:2'/>", "chat"),
        ("<no-copy xmlns='urn:xmpp:hints'/>", "chat"),
        ("", "headline"),
        ("", "groupchat"),
    ):
        alice.send(f"<message to='{bob1.full}' type='{type}'><body>hi</body>{extra}</message>")
        await bob1.receives("<message><body>hi</body></message>")
        await bob2.receives_nothing()
    alice.send(f"<message to='{bob1.full}'><subject>no body</subject></message>")
    await bob2.receives_nothing()


async def test_without_asking_there_are_no_copies(story: Any) -> None:
    alice1, alice2, bob = await story("alice:2", "bob")
    await _online(alice1, alice2, bob)
    alice2.send("<iq type='set' id='d'><disable xmlns='urn:xmpp:carbons:2'/></iq>")
    await alice2.receives("<iq type='result' id='d'/>")
    alice1.send(f"<message to='{bob.full}' type='chat'><body>hi</body></message>")
    await alice2.receives_nothing()


@pytest.mark.parametrize(
    ("payload", "copied"),
    [
        ("<body>hi</body>", True),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", True),
        ("<received xmlns='urn:xmpp:receipts' id='1'/>", True),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
        ("<x xmlns='jabber:x:conference' jid='room@rooms.example'/>", True),
        ("<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@far.example'/></x>", True),
        ("<subject>no body</subject>", False),
        ("<replace xmlns='urn:xmpp:message-correct:0' id='1'/>", False),
        ("<body>hi</body><private xmlns='urn:xmpp:carbons:2'/>", False),
        ("<x xmlns='jabber:x:conference' jid='room@rooms.example'/><no-copy xmlns='urn:xmpp:hints'/>", False),
    ],
)
async def test_which_normal_messages_are_copied(story: Any, payload: str, copied: bool) -> None:
    alice, bob1, bob2 = await story("alice", "bob:2")
    await _online(alice, bob1, bob2)
    alice.send(f"<message to='{bob1.full}'>{payload}</message>")
    await bob1.receives("<message/>")
    assert len(await bob2.receives_all()) == copied


ROOM = "<x xmlns='http://jabber.org/protocol/muc#user'/>"


async def test_a_private_message_from_a_room_is_not_copied(story: Any) -> None:
    bob1, bob2 = await story("bob:2")
    await _online(bob1, bob2)
    for sender, extra, copied in (
        ("room@rooms.far.example/eve", ROOM, False),
        ("friend@far.example/phone", "", True),
        # An invitation comes from the room, and is no private message.
        ("room@rooms.far.example", "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='e@x'/></x>", True),
    ):
        story.world.router.route(
            Stanza.restore(
                f"<message xmlns='jabber:client' from='{sender}' to='{bob1.full}' type='chat'>"
                f"<body>psst</body>{extra}</message>"
            )
        )
        await bob1.receives(f"<message from='{sender}'/>")
        assert len(await bob2.receives_all()) == copied, sender


async def test_a_private_message_to_a_room_is_copied_to_who_is_there_too(story: Any) -> None:
    alice1, alice2, alice3 = await story("alice:3")
    await _online(alice1, alice2, alice3)
    story.world.elsewhere.domains.add("rooms.far.example")
    alice2.send("<presence to='room@rooms.far.example/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    alice1.send(f"<message to='room@rooms.far.example/eve' type='chat'><body>psst</body>{ROOM}</message>")
    await alice2.receives(
        "<message><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<message xmlns='jabber:client' to='room@rooms.far.example/eve'><body>psst</body>{ROOM}</message>"
        "</forwarded></sent></message>"
    )
    await alice3.receives_nothing()


async def test_the_servers_error_is_copied_where_the_message_was(story: Any) -> None:
    alice1, alice2 = await story("alice:2")
    await _online(alice1, alice2)
    alice1.send("<message to='nobody@story.example' type='chat' id='e1'><body>hi</body></message>")
    await alice1.receives("<message type='error' id='e1'/>")
    await alice2.receives(
        "<message><sent xmlns='urn:xmpp:carbons:2'/></message>",
        "<message type='error'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        "<message xmlns='jabber:client' type='error' id='e1' from='nobody@story.example'/>"
        "</forwarded></received></message>",
    )
    alice1.send("<message to='nobody@story.example' id='e2'><subject>x</subject></message>")
    await alice1.receives("<message type='error' id='e2'/>")
    await alice2.receives_nothing()


async def test_an_error_from_elsewhere_is_copied_where_the_message_was(story: Any) -> None:
    alice1, alice2 = await story("alice:2")
    await _online(alice1, alice2)
    story.world.elsewhere.domains.add("far.example")
    alice1.send("<message to='bob@far.example' type='chat' id='e1'><body>hi</body></message>")
    await alice2.receives("<message><sent xmlns='urn:xmpp:carbons:2'/></message>")
    for id, sender, copied in (
        ("e1", "bob@far.example/x", True),
        ("e1", "eve@far.example", False),
        ("e2", "bob@far.example", False),
    ):
        story.world.router.route(
            Stanza.restore(
                f"<message xmlns='jabber:client' from='{sender}' to='{alice1.full}' type='error' id='{id}'/>"
            )
        )
        await alice1.receives("<message type='error'/>")
        assert len(await alice2.receives_all()) == copied, (id, sender)


async def test_a_message_that_comes_before_the_first_presence_comes_once(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send(ENABLE)
    await bob.receives_all()
    alice.send(f"<message to='{bob.bare}' type='chat'><body>hi</body></message>")
    await bob.receives_nothing()
    bob.send("<presence/>")
    messages = [element for element in await bob.receives_all() if element.name == "message"]
    assert [message.child_text("jabber:client", "body") for message in messages] == ["hi"]


async def test_who_wants_no_messages_to_the_account_gets_copies_of_them(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send(ENABLE + "<presence><priority>-1</priority></presence>")
    await bob.receives_all()
    alice.send(f"<message to='{bob.bare}' type='chat'><body>hi</body></message>")
    await bob.receives("<message><received xmlns='urn:xmpp:carbons:2'/></message>")


async def test_a_message_to_a_resource_of_oneself_that_is_not_there_comes_once(story: Any) -> None:
    desk, phone = await story("bob:2")
    desk.send(ENABLE)
    phone.send(ENABLE)
    await phone.receives_all()
    desk.send(f"<message to='{desk.bare}/tablet' type='chat'><body>hi</body></message>")
    await phone.receives_nothing()
    phone.send("<presence/>")
    messages = [element for element in await phone.receives_all() if element.name == "message"]
    assert [message.child_text("jabber:client", "body") for message in messages] == ["hi"]
