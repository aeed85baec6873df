"""RFC 6121, section 4, as clients see it."""

from __future__ import annotations

import pytest

from tests.story import Client, Story
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns

REMOTE = "mercutio@away.example"


async def friends(story: Story, *cast: str) -> list[Client]:
    """Clients whose first two accounts see each other's presence; nobody is online yet."""
    clients: list[Client] = await story(*cast)
    accounts = {client.bare: client for client in clients}
    one, other = list(accounts.values())[:2]
    await story.world.contacts(one, other)
    return clients


def shown(client: Client) -> list[tuple[str, str]]:
    """(from, type) of the presences in the inbox."""
    return [(e.attrs["from"], e.attrs.get("type", "")) for e in client.wire.inbox if e.name == "presence"]


async def test_initial_presence_reaches_contacts_own_resources_and_the_sender(story: Story) -> None:
    alice1, alice2, bob = await friends(story, "alice:2", "bob")
    bob.send("<presence/>")
    await bob.receives(f"<presence from='{bob.full}' to='{bob.bare}'/>")
    alice1.send("<presence id='p1'><show>chat</show><status>hi</status></presence>")
    await bob.receives(f"<presence from='{alice1.full}' to='{bob.bare}' id='p1'><show>chat</show></presence>")
    await alice1.receives(
        f"<presence from='{alice1.full}'><status>hi</status></presence>",
        f"<presence from='{bob.full}' to='{alice1.full}'/>",
    )
    # A bound resource that has not sent presence is not there yet.
    await alice2.receives_nothing()
    alice2.send("<presence/>")
    await alice1.receives(f"<presence from='{alice2.full}'/>")
    await alice2.receives(f"<presence from='{alice2.full}'/>")
    await alice2.receives_in_any_order(
        f"<presence from='{alice1.full}' to='{alice2.full}'><show>chat</show></presence>",
        f"<presence from='{bob.full}' to='{alice2.full}'/>",
    )
    await alice1.receives_nothing()
    await bob.receives(f"<presence from='{alice2.full}'/>")
    await bob.receives_nothing()


async def test_updates_are_broadcast_without_probes(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    await alice.receives_all()
    alice.send("<presence><show>away</show></presence>")
    await bob.receives(f"<presence from='{alice.full}'><show>away</show></presence>")
    await alice.receives("<presence><show>away</show></presence>")
    await alice.receives_nothing()
    await bob.receives_nothing()


async def test_unavailable_reaches_everybody_who_saw_the_resource(story: Story) -> None:
    alice1, alice2, bob = await friends(story, "alice:2", "bob")
    for client in (bob, alice1, alice2):
        await client.comes_online()
    for client in (bob, alice1):
        await client.receives_all()
    alice1.send("<presence type='unavailable'><status>gone home</status></presence>")
    gone = f"<presence type='unavailable' from='{alice1.full}'><status>gone home</status></presence>"
    for client in (bob, alice2, alice1):
        await client.receives(gone)
        await client.receives_nothing()
    assert alice1.session.presence is None
    # Presence goes to it no more.
    bob.send("<presence><show>dnd</show></presence>")
    await alice2.receives(f"<presence from='{bob.full}'/>")
    await alice1.receives_nothing()
    alice1.send("<presence type='unavailable'/>")
    await bob.receives("<presence from='bob@story.example/r1'/>")
    await bob.receives_nothing()


@pytest.mark.parametrize("clean", [True, False])
async def test_the_end_of_a_connection_is_the_end_of_its_presence(story: Story, clean: bool) -> None:
    alice, bob = await friends(story, "alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    await alice.leaves(clean=clean)
    await bob.receives(f"<presence type='unavailable' from='{alice.full}'/>")
    await bob.receives_nothing()


async def test_a_replaced_resource_goes_and_comes(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    again = await story.world.login("alice", "r1")
    again.send("<presence/>")
    await bob.receives(f"<presence type='unavailable' from='{alice.full}'/>", f"<presence from='{alice.full}'/>")
    assert alice.wire.error is not None
    assert alice.wire.error.condition == "conflict"


async def test_only_the_right_side_of_a_subscription_sees_presence(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    await bob.comes_online()
    alice.send(f"<presence to='{bob.bare}' type='subscribe'/>")
    await bob.receives("<presence type='subscribe'/>")
    bob.send(f"<presence to='{alice.bare}' type='subscribed'/>")
    await bob.receives_all()
    await alice.receives_all()
    alice.send("<presence/>")
    await alice.receives(f"<presence from='{alice.full}'/>", f"<presence from='{bob.full}'/>")
    await bob.receives_nothing()
    bob.send("<presence><show>xa</show></presence>")
    await alice.receives("<presence><show>xa</show></presence>")


async def test_contacts_who_are_away_are_not_loaded(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    await bob.leaves()
    story.world.services.accounts.forget(bob.bare)
    alice.send("<presence/><presence><show>away</show></presence>")
    await alice.receives_all()
    assert bob.bare not in story.world.services.accounts.resident
    assert not alice.session.held


async def test_a_blocked_contact_sees_nothing(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    await alice.receives_all()
    alice.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{bob.bare}'/></block></iq>")
    await bob.receives(f"<presence type='unavailable' from='{alice.full}'/>")
    alice.send("<presence><show>away</show></presence>")
    bob.send("<presence><show>away</show></presence>")
    await bob.receives(f"<presence from='{bob.full}'/>")
    await bob.receives_nothing()
    assert [e.attrs["from"] for e in await alice.receives_all() if e.name == "presence"] == [alice.full]
    # A probe from the blocked side gets no answer either.
    bob.send("<presence type='unavailable'/><presence/>")
    assert alice.full not in [e.attrs["from"] for e in await bob.receives_all()]


# Priority


@pytest.mark.parametrize(("text", "value"), [("-128", -128), ("127", 127), ("+5", 5), (" 0\n", 0), ("007", 7)])
async def test_priorities(story: Story, text: str, value: int) -> None:
    alice = await story("alice")
    alice.send(f"<presence><priority>{text}</priority></presence>")
    await alice.receives("<presence/>")
    assert alice.session.priority == value
    alice.send("<presence/>")
    assert alice.session.priority == 0


@pytest.mark.parametrize("text", ["-129", "128", "", "1.5", "one", "0x1", "٣", "9999999999"])
async def test_what_is_no_priority_is_refused(story: Story, text: str) -> None:
    alice, bob = await friends(story, "alice", "bob")
    await bob.comes_online()
    alice.send(f"<presence id='p'><priority>{text}</priority></presence>")
    await alice.receives(
        f"<presence type='error' id='p'><error><bad-request xmlns='{ns.STANZA_ERRORS}'/></error></presence>"
    )
    assert alice.session.presence is None
    await bob.receives_nothing()


async def test_presence_that_needs_an_address_is_refused_without(story: Story) -> None:
    alice = await story("alice")
    alice.send("<presence type='subscribe'/>")
    await alice.receives("<presence type='error'/>")
    alice.send("<presence type='error'/><presence type='probe'/>")
    await alice.receives_nothing()


# Directed presence


async def test_directed_presence_needs_no_subscription_and_no_initial_presence(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    alice.send(f"<presence to='{bob.full}'><status>here</status></presence>")
    await bob.receives(f"<presence from='{alice.full}' to='{bob.full}'><status>here</status></presence>")
    assert alice.session.presence is None
    # Later broadcasts are not for bob, the end is.
    alice.send("<presence/><presence><show>away</show></presence>")
    await bob.receives_nothing()
    alice.send("<presence type='unavailable'/>")
    await bob.receives(f"<presence type='unavailable' from='{alice.full}' to='{bob.full}'/>")
    await alice.leaves()
    await bob.receives_nothing()


async def test_directed_presence_ends_with_the_session(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    story.world.elsewhere.domains.add("away.example")
    alice.send(f"<presence to='{bob.full}'/><presence to='room@away.example/nick'/>")
    await bob.receives("<presence/>")
    await alice.leaves(clean=False)
    await bob.receives(f"<presence type='unavailable' from='{alice.full}' to='{bob.full}'/>")
    sent = [(str(s.to), s.type) for s in story.world.elsewhere.sent]
    assert sent == [("room@away.example/nick", ""), ("room@away.example/nick", "unavailable")]


async def test_who_was_told_already_is_not_told_twice(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    alice.send(f"<presence to='{bob.full}'/><presence to='{bob.bare}'/>")
    await bob.receives("<presence/>", "<presence/>")
    alice.send(f"<presence to='{bob.full}' type='unavailable'/>")
    await bob.receives("<presence type='unavailable'/>")
    alice.send("<presence type='unavailable'/>")
    await bob.receives(f"<presence type='unavailable' to='{bob.bare}'/>")
    await bob.receives_nothing()


async def test_directed_presence_is_bounded(story: Story) -> None:
    alice = await story("alice")
    story.world.elsewhere.domains.add("away.example")
    alice.send("".join(f"<presence to='room{n}@away.example/a'/>" for n in range(1_000)))
    await alice.receives_nothing()
    alice.send("<presence id='x' to='one@away.example/more'/><presence to='room1@away.example/a'/>")
    await alice.receives(
        f"<presence type='error' id='x'><error><resource-constraint xmlns='{ns.STANZA_ERRORS}'/></error></presence>"
    )
    await alice.receives_nothing()
    assert len(story.world.elsewhere.sent) == 1_001


# Probes


async def test_a_contact_elsewhere_is_probed_once_by_the_account(story: Story) -> None:
    alice = await story("alice")
    story.world.elsewhere.domains.add("away.example")
    await story.world.module("roster").change(alice.account, [RosterItem(REMOTE, subscription="to")])
    alice.send("<presence/><presence><show>away</show></presence>")
    await alice.receives_all()
    sent = [(s.sender.full, str(s.to), s.type) for s in story.world.elsewhere.sent]
    assert sent == [(alice.bare, REMOTE, "probe")]


async def test_a_domain_that_cannot_be_reached_is_no_error_of_a_broadcast(story: Story) -> None:
    alice = await story("alice")
    await story.world.module("roster").change(alice.account, [RosterItem(REMOTE, subscription="both")])
    alice.send("<presence/>")
    await alice.receives(f"<presence from='{alice.full}'/>")
    await alice.receives_nothing()


async def probe(story: Story, sender: str, to: str) -> list[tuple[str, str, str]]:
    """What another server gets for a probe: (from, to, type) in order."""
    world = story.world
    world.elsewhere.domains.add("away.example")
    world.elsewhere.sent.clear()
    world.router.route(presence(Jid.parse(sender), Jid.parse(to), "probe"))
    await world.settle()
    return [(s.sender.full, str(s.to), s.type) for s in world.elsewhere.sent]


async def test_who_may_see_presence_gets_the_last_one_of_every_resource(story: Story) -> None:
    alice1, alice2 = await story("alice:2")
    await story.world.module("roster").change(alice1.account, [RosterItem(REMOTE, subscription="from")])
    for client in (alice1, alice2):
        await client.comes_online("<presence/><presence><status>last</status></presence>")
    both = [(alice1.full, REMOTE, ""), (alice2.full, REMOTE, "")]
    assert await probe(story, REMOTE, alice1.bare) == both
    assert all(s.element.child_text(ns.CLIENT, "status") == "last" for s in story.world.elsewhere.sent)
    assert await probe(story, REMOTE, alice2.full) == both[1:]


async def test_a_probe_of_an_absent_account_tells_since_when(story: Story) -> None:
    alice = await story("alice")
    await story.world.module("roster").change(alice.account, [RosterItem(REMOTE, subscription="both")])
    assert await probe(story, REMOTE, alice.bare) == [(alice.bare, REMOTE, "unavailable")]
    assert story.world.elsewhere.sent[0].element.find(ns.DELAY, "delay") is None
    await alice.comes_online()
    await alice.leaves()
    assert await probe(story, REMOTE, alice.bare) == [(alice.bare, REMOTE, "unavailable")]
    delay = story.world.elsewhere.sent[0].element.find(ns.DELAY, "delay")
    assert delay is not None
    assert delay.attrs["stamp"].startswith("2023-11-14T")


async def test_a_stranger_who_probes_learns_that_he_is_not_subscribed(story: Story) -> None:
    alice = await story("alice")
    await alice.comes_online()
    assert await probe(story, REMOTE, alice.bare) == [(alice.bare, REMOTE, "unsubscribed")]
    await story.world.module("roster").change(alice.account, [RosterItem(REMOTE, subscription="to")])
    assert await probe(story, REMOTE + "/x", alice.bare) == [(alice.bare, REMOTE, "unsubscribed")]
    # Asked by its full JID a resource must not be given away.
    assert await probe(story, REMOTE, alice.full) == []
    assert await probe(story, REMOTE, "nobody@story.example") == []
    alice.send("<presence to='mercutio@away.example/x'/>")
    assert await probe(story, REMOTE + "/x", alice.full) == [(alice.full, REMOTE + "/x", "")]


async def test_a_probe_of_a_client_is_answered(story: Story) -> None:
    alice, bob = await friends(story, "alice", "bob")
    await alice.comes_online()
    alice.send(f"<presence type='probe' to='{bob.bare}'/>")
    await alice.receives(f"<presence type='unavailable' from='{bob.bare}' to='{alice.full}'/>")
    await bob.comes_online()
    await alice.receives_all()
    alice.send(f"<presence type='probe' to='{bob.bare}'/>")
    await alice.receives(f"<presence from='{bob.full}' to='{alice.full}'/>")


async def test_errors_reach_the_resource_they_are_for_and_nobody_else(story: Story) -> None:
    alice = await story("alice")
    await alice.comes_online()
    for to in (alice.bare, alice.full):
        story.world.router.route(presence(Jid.parse("room@away.example"), Jid.parse(to), "error"))
    await alice.receives(f"<presence type='error' to='{alice.full}'/>")
    await alice.receives_nothing()


# Last activity and hooks


async def test_the_last_resource_leaves_its_time_and_status(story: Story) -> None:
    alice1, alice2 = await story("alice:2")
    for client in (alice1, alice2):
        await client.comes_online()
    alice1.send("<presence type='unavailable'><status>not yet</status></presence>")
    await story.world.settle()
    assert alice1.account.data.last_logout == 0.0
    story.world.clock.advance(100)
    now = story.world.clock.time()
    alice2.send("<presence type='unavailable'><status>good night</status></presence>")
    await story.world.settle()
    data = await story.world.stores.accounts.load(alice1.bare)
    assert data is not None
    assert (data.last_logout, data.last_status) == (now, "good night")
    assert alice1.account.data.last_logout == now


async def test_coming_and_going_costs_one_row_and_the_last_one_counts(story: Story) -> None:
    alice = await story("alice")
    rows = []
    accounts = story.world.stores.accounts
    original = accounts.record_logout

    async def record(bare: str, when: float, status: str) -> None:
        rows.append(status)
        await original(bare, when, status)

    accounts.record_logout = record  # type: ignore[method-assign]
    for number in range(50):
        alice.send(f"<presence/><presence type='unavailable'><status>{number}</status></presence>")
    await story.world.settle()
    assert rows == ["49"]


async def test_modules_learn_of_every_change(story: Story) -> None:
    alice = await story("alice")
    seen: list[tuple[str | None, str | None]] = []

    def hook(_session: object, old: Stanza | None, new: Stanza | None) -> None:
        seen.append((old and old.id, new and new.id))

    def broken(_session: object, _old: Stanza | None, _new: Stanza | None) -> None:
        raise RuntimeError("a module that fails")

    table = alice.session.table
    table.presence_changed = (broken, *table.presence_changed, hook)
    alice.send("<presence id='a'/><presence id='b'/><presence type='unavailable'/><presence id='c'/>")
    await alice.leaves()
    assert seen == [(None, "a"), ("a", "b"), ("b", None), (None, "c"), ("c", None)]


async def test_who_refuses_a_presence_is_not_told_of_its_end(story: Story) -> None:
    alice = await story("alice")
    for number in range(1_005):
        alice.send(f"<presence to='room{number}@conference.{story.world.domain}'/>")
    await story.world.settle()
    assert not alice.session.directed
