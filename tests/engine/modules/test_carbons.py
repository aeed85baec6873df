"""XEP-0280: which resources get copies of what."""

from __future__ import annotations

from typing import Any

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
