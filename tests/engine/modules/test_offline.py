"""XEP-0160: what is kept for somebody away, and how it comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.story import elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StreamError

BODY = "<message to='{}' type='chat' id='{}'><body>{}</body></message>"


async def test_messages_wait_in_order_and_come_once(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    for number in range(250):
        alice.send(BODY.format(bare, number, number))
    await alice.receives_nothing()
    bob = await story.world.login("bob", "late")
    bob.send("<presence/>")
    got = [e for e in await bob.receives_all() if e.name == "message"]
    assert [e.child_text("jabber:client", "body") for e in got] == [str(n) for n in range(250)]
    assert all(e.find("urn:xmpp:delay", "delay") is not None for e in got)
    bob.send("<presence type='unavailable'/><presence/>")
    assert not [e for e in await bob.receives_all() if e.name == "message"]


async def test_a_negative_priority_gets_nothing(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send("<presence><priority>-1</priority></presence>")
    await bob.receives_all()
    alice.send(BODY.format(bob.bare, 1, "later"))
    await bob.receives_nothing()
    bob.send("<presence><priority>0</priority></presence>")
    assert [e.name for e in await bob.receives_all() if e.name == "message"] == ["message"]


async def test_what_is_not_worth_keeping_is_dropped_silently(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    alice.send(f"<message to='{bare}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
    alice.send(f"<message to='{bare}' type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>")
    alice.send(f"<message to='{bare}' type='headline'><body>news</body></message>")
    await alice.receives_nothing()
    bob = await story.world.login("bob")
    bob.send("<presence/>")
    assert not [e for e in await bob.receives_all() if e.name == "message"]


async def test_groupchat_to_an_account_is_refused(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    alice.send(f"<message to='{bare}' type='groupchat' id='g'><body>x</body></message>")
    await alice.receives("<message type='error' id='g'/>")


async def test_over_the_quota_the_sender_is_told_and_it_frees_again(story: Any) -> None:
    await story.begin(options={"offline": {"messages": 2}})
    alice = await story("alice")
    bare = await story.world.account("bob")
    for number in range(3):
        alice.send(BODY.format(bare, number, number))
    await alice.receives("<message type='error' id='2'><error type='cancel'/></message>")
    bob = await story.world.login("bob", "r")
    await bob.comes_online()
    await bob.leaves()
    alice.send(BODY.format(bare, "again", "again"))
    await alice.receives_nothing()


async def test_an_unknown_account_looks_like_a_full_one(story: Any) -> None:
    alice = await story("alice")
    alice.send(BODY.format(f"nobody@{story.world.host.domain}", "n", "hi"))
    error = await alice.receives("<message type='error' id='n'><error type='cancel'/></message>")
    inner = error.find("jabber:client", "error")
    assert inner is not None
    assert inner.find("urn:ietf:params:xml:ns:xmpp-stanzas", "service-unavailable") is not None


async def test_a_sender_keeps_his_order_while_an_account_loads(story: Any) -> None:
    alice, carol = await story("alice", "carol")
    carol.send("<presence/>")
    await carol.receives_all()
    bare = await story.world.account("bob")
    alice.send(BODY.format(bare, 1, "first"))
    assert alice.session.held
    alice.send(BODY.format(carol.full, 2, "second") + BODY.format(carol.full, 3, "third"))
    assert not carol.wire.inbox
    await carol.receives("<message id='2'/>", "<message id='3'/>")
    assert not alice.session.held


async def test_a_held_sender_does_not_overtake_what_the_server_sent_in_his_name(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    alice.send(BODY.format(bare, 1, "first"))
    assert alice.session.held
    (between,) = elements(BODY.format(bare, 2, "second"))
    story.world.services.router.route(Stanza(between, Jid.parse(bare), alice.jid, "chat"))
    alice.send(BODY.format(bare, 3, "third"))
    await alice.receives_nothing()
    bob = await story.world.login("bob")
    bob.send("<presence/>")
    messages = [e for e in await bob.receives_all() if e.name == "message"]
    assert [e.child_text("jabber:client", "body") for e in messages] == ["first", "second", "third"]


async def test_a_replay_that_nobody_acknowledged_comes_again_once(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    for number in range(3):
        alice.send(BODY.format(bare, number, number))
    await alice.receives_nothing()
    first = await story.world.login("bob", "first")
    first.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    assert len([e for e in await first.receives_all() if e.name == "message"]) == 3
    await first.leaves(clean=False)
    story.world.clock.advance(301)
    await asyncio.sleep(0.1)
    second = await story.world.login("bob", "second")
    second.send("<enable xmlns='urn:xmpp:sm:3'/><presence/>")
    messages = [e for e in await second.receives_all() if e.name == "message"]
    assert [e.child_text("jabber:client", "body") for e in messages] == ["0", "1", "2"]
    second.send(f"<a xmlns='urn:xmpp:sm:3' h='{second.session.sm.sent}'/>")
    await asyncio.sleep(0.1)
    await second.receives_all()
    assert await story.world.stores.offline.usage(second.account.id) == (0, 0)


async def waits_for_acknowledgement(story: Any) -> tuple[Any, Any]:
    """Alice, and Bob, who has got a stored message and is not available any more before he acknowledges it; another
    one was stored since."""
    alice = await story("alice")
    bare = await story.world.account("bob")
    alice.send(BODY.format(bare, 1, "first"))
    await alice.receives_nothing()
    bob = await story.world.login("bob", "desk")
    bob.send("<enable xmlns='urn:xmpp:sm:3'/><presence/>")
    assert "first" in [element.child_text("jabber:client", "body") for element in await bob.receives_all()]
    bob.send("<presence type='unavailable'/>")
    alice.send(BODY.format(bare, 2, "second"))
    await alice.receives_nothing()
    return alice, bob


def acknowledge(client: Any) -> None:
    """All that it was sent."""
    client.send(f"<a xmlns='urn:xmpp:sm:3' h='{client.session.sm.sent}'/>")


async def _messages(story: Any, client: Any) -> list[str]:
    for _ in range(20):
        story.world.clock.advance(0.1)
        await story.world.settle()
    return [e.child_text("jabber:client", "body") for e in await client.receives_all() if e.name == "message"]


async def test_what_was_stored_while_a_replay_waited_comes_too(story: Any) -> None:
    _alice, bob = await waits_for_acknowledgement(story)
    bob.send("<presence/>")
    await bob.receives_all()
    acknowledge(bob)
    assert await _messages(story, bob) == ["second"]


async def test_what_was_stored_while_a_replay_waited_comes_to_who_is_there(story: Any) -> None:
    _alice, bob = await waits_for_acknowledgement(story)
    phone = await story.world.login("bob", "phone")
    phone.send("<presence/>")
    await phone.receives_all()
    acknowledge(bob)
    assert await _messages(story, phone) == ["second"]


async def test_what_was_acknowledged_of_a_replay_does_not_come_again(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    for number in range(3):
        alice.send(BODY.format(bare, number, number))
    await alice.receives_nothing()
    first = await story.world.login("bob", "first")
    first.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence/>")
    assert len([e for e in await first.receives_all() if e.name == "message"]) == 3
    first.send(f"<a xmlns='urn:xmpp:sm:3' h='{first.session.sm.sent - 1}'/>")
    alice.send(BODY.format(bare, 3, 3))
    await first.leaves(clean=False)
    first.session.kick(StreamError("conflict", "out"))
    story.world.clock.advance(5)
    await asyncio.sleep(0.1)
    second = await story.world.login("bob", "second")
    second.send("<presence/>")
    messages = [e for e in await second.receives_all() if e.name == "message"]
    assert sorted(e.child_text("jabber:client", "body") or "" for e in messages) == ["2", "3"]


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ("<received xmlns='urn:xmpp:receipts' id='1'/>", True),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
        ("<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>", True),
        ("<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", True),
        ("<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@far.example'/></x>", True),
        ("<store xmlns='urn:xmpp:hints'/>", True),
        ("<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>", True),
        ("<active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body>", True),
        ("<body>x</body><no-store xmlns='urn:xmpp:hints'/>", False),
        ("<store xmlns='urn:xmpp:hints'/><active xmlns='http://jabber.org/protocol/chatstates'/>", False),
        (
            "<active xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>"
            "<x xmlns='http://jabber.org/protocol/muc#user'/>",
            False,
        ),
        ("<request xmlns='urn:xmpp:receipts'/>", False),
        ("<markable xmlns='urn:xmpp:chat-markers:0'/>", False),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/><no-store xmlns='urn:xmpp:hints'/>", False),
    ],
)
async def test_what_is_worth_keeping(story: Any, payload: str, kept: bool) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    alice.send(f"<message to='{bare}' type='chat'>{payload}</message>")
    await alice.receives_nothing()
    bob = await story.world.login("bob")
    bob.send("<presence/>")
    assert len([e for e in await bob.receives_all() if e.name == "message"]) == kept
