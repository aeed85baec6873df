"""XEP-0198 end to end: acknowledgements wait for the disk, lost streams come back, nothing is lost or doubled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.story import Wire
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml.element import Element

ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
SM = "urn:xmpp:sm:3"
FACTS = SimpleNamespace(mechanism="STORY")


async def _managed(client: Any) -> str:
    client.send(ENABLE)
    enabled = await client.receives(f"<enabled xmlns='{SM}' resume='true'/>")
    return str(enabled.attrs["id"])


async def test_an_answer_waits_until_an_offline_message_is_durable(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    await _managed(alice)
    alice.send(f"<message to='{bare}' type='chat'><body>1</body></message><r xmlns='{SM}'/>")
    await alice.receives_nothing()
    assert story.world.engine.ledger.depth == 1
    await alice.receives(f"<a xmlns='{SM}' h='1'/>")
    assert story.world.engine.ledger.depth == 0


async def test_a_lost_stream_is_resumed_with_what_it_missed(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send("<presence/>")
    await bob.receives_all()
    sm_id = await _managed(bob)
    await bob.leaves(clean=False)
    for number in range(3):
        alice.send(f"<message to='{bob.full}' type='chat' id='{number}'><body>x</body></message>")
    await alice.receives_nothing()
    wire = Wire(story.world)
    request = Element(SM, "resume", {"previd": sm_id, "h": "0"})
    assert await story.world.binder.resume(wire, Jid.parse(bob.bare), request, FACTS)
    assert [e.name for e in wire.inbox] == ["resumed", "message", "message", "message", "r"]
    assert [e.get("id") for e in wire.inbox if e.name == "message"] == ["0", "1", "2"]
    wire.inbox.clear()
    bob.session.receive(Element(SM, "a", {"h": "3"}))
    assert not bob.session.sm.queue


async def test_only_the_owner_resumes(story: Any) -> None:
    bob, eve = await story("bob", "eve")
    sm_id = await _managed(bob)
    await bob.leaves(clean=False)
    wire = Wire(story.world)
    assert not await story.world.binder.resume(
        wire, Jid.parse(eve.bare), Element(SM, "resume", {"previd": sm_id, "h": "0"}), FACTS
    )
    assert wire.inbox[0].name == "failed"
    assert "h" not in wire.inbox[0].attrs


async def test_what_nobody_acknowledged_goes_offline_when_the_time_is_over(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send("<presence/>")
    await bob.receives_all()
    await _managed(bob)
    await bob.leaves(clean=False)
    alice.send(f"<message to='{bob.bare}' type='chat'><body>kept</body></message>")
    alice.send(f"<iq to='{bob.full}' type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>")
    await alice.receives_nothing()
    story.world.clock.advance(301)
    await alice.receives("<iq type='error' id='q'/>")
    again = await story.world.login("bob", "new")
    again.send("<presence/>")
    messages = [e for e in await again.receives_all() if e.name == "message"]
    assert [e.child_text("jabber:client", "body") for e in messages] == ["kept"]


async def test_a_failed_resumption_tells_what_was_handled(story: Any) -> None:
    alice = await story("alice")
    bare = await story.world.account("bob")
    sm_id = await _managed(alice)
    for _ in range(4):
        alice.send(f"<message to='{bare}' type='chat'><body>1</body></message>")
    await alice.receives_nothing()
    await alice.leaves(clean=False)
    story.world.clock.advance(301)
    await story.world.settle()
    wire = Wire(story.world)
    assert not await story.world.binder.resume(
        wire, Jid.parse(alice.bare), Element(SM, "resume", {"previd": sm_id, "h": "0"}), FACTS
    )
    assert wire.inbox[0].attrs == {"h": "4"}


async def test_a_client_that_acknowledges_nothing_is_ended_and_nothing_is_lost(story: Any) -> None:
    alice, bob = await story("alice", "bob")
    bob.send("<presence/>")
    await bob.receives_all()
    await _managed(bob)
    bob.session.sm.limit = 5
    for number in range(8):
        story.world.clock.advance(3)
        alice.send(f"<message to='{bob.bare}' type='chat'><body>{number}</body></message>")
    await alice.receives_nothing()
    assert bob.session.ended
    again = await story.world.login("bob", "new")
    again.send("<presence/>")
    messages = [e for e in await again.receives_all() if e.name == "message"]
    assert [e.child_text("jabber:client", "body") for e in messages] == [str(n) for n in range(8)]


async def test_a_second_enable_and_a_late_resume_fail(story: Any) -> None:
    alice = await story("alice")
    await _managed(alice)
    alice.send(ENABLE)
    await alice.receives(f"<failed xmlns='{SM}'/>")
    alice.send(f"<resume xmlns='{SM}' previd='x' h='0'/>")
    await alice.receives(f"<failed xmlns='{SM}'/>")


async def test_acknowledging_too_much_ends_the_stream(story: Any) -> None:
    alice = await story("alice")
    await _managed(alice)
    alice.send(f"<a xmlns='{SM}' h='9'/>")
    assert alice.wire.error is not None
    assert alice.wire.error.app.name == "handled-count-too-high"  # type: ignore[union-attr]
