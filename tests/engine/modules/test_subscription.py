"""RFC 6121, section 3 and appendix A, as clients and other servers see them."""

from __future__ import annotations

import pytest

from tests.story import Client, Story
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.modules.subscription import INBOUND, OUTBOUND, TYPES, State, state_of, with_state
from xmpp_engine.stanza.build import presence
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

REMOTE = "mercutio@away.example"
ROSTER = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"
REMOVE = "<iq type='set' id='x'><query xmlns='jabber:iq:roster'><item jid='{}' subscription='remove'/></query></iq>"


def push(jid: str, **attrs: str) -> str:
    given = "".join(f" {name}='{value}'" for name, value in attrs.items())
    return f"<iq type='set'><query xmlns='jabber:iq:roster'><item jid='{jid}'{given}/></query></iq>"


def sub(type: str, to: str | Client) -> str:
    return f"<presence type='{type}' to='{to if isinstance(to, str) else to.bare}'/>"


async def online(story: Story, *cast: str) -> list[Client]:
    clients: list[Client] = await story(*cast)
    for client in clients:
        await client.comes_online()
    for client in clients:
        await client.receives_all()
    return clients


async def meet(story: Story, state: State, approved: bool = False) -> Client:
    """Alice, online, with a contact elsewhere in this state."""
    alice: Client = await story("alice")
    story.world.elsewhere.domains.add("away.example")
    if state is not State.NONE or approved:
        item = with_state(RosterItem(REMOTE, approved=approved), state)
        await story.world.module("roster").change(alice.account, [item])
    await alice.comes_online()
    story.world.elsewhere.sent.clear()
    return alice


def sent(story: Story) -> list[tuple[str, str, str]]:
    """What went to other servers: (from, to, type)."""
    return [(s.sender.full, str(s.to), s.type) for s in story.world.elsewhere.sent]


def item_of(element: Element) -> dict[str, str]:
    query = element.find(ns.ROSTER, "query")
    assert query is not None
    item = query.first()
    assert item is not None
    return item.attrs


def test_the_tables_are_complete() -> None:
    for tables in (OUTBOUND, INBOUND):
        assert set(tables) == TYPES
        assert all(set(table) == set(State) for table in tables.values())


@pytest.mark.parametrize("state", State)
def test_a_state_survives_the_roster(state: State) -> None:
    item = with_state(RosterItem(REMOTE, name="x", request="<presence/>"), state)
    assert state_of(item) is state
    assert bool(item.request) == state.pending_in


# Appendix A in the other direction: what one learns from the four stanzas, derived from their meaning alone.


def meaning(type: str, state: State, inbound: bool) -> tuple[bool, str, bool, bool]:
    """(goes on, subscription, out, in) by what the stanzas mean, without the tables."""
    to, seen = state.subscription in ("to", "both"), state.seen
    out, pending = state.out, state.pending_in
    if not inbound:
        goes = {
            "subscribe": True,
            "unsubscribe": True,
            "subscribed": pending,
            "unsubscribed": pending or seen,
        }[type]
        if type == "subscribe":
            out = not to
        elif type == "unsubscribe":
            to = out = False
        elif type == "subscribed":
            seen, pending = seen or pending, False
        else:
            seen = pending = False
    else:
        goes = {
            "subscribe": not seen and not pending,
            "unsubscribe": seen or pending,
            "subscribed": out,
            "unsubscribed": to or out,
        }[type]
        if type == "subscribe":
            pending = not seen
        elif type == "unsubscribe":
            seen = pending = False
        elif type == "subscribed":
            to, out = to or out, False
        else:
            to = out = False
    name = "both" if to and seen else "to" if to else "from" if seen else "none"
    return goes, name, out, pending


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("type", sorted(TYPES))
def test_the_tables_mean_what_the_stanzas_mean(type: str, state: State) -> None:
    for inbound, tables in ((False, OUTBOUND), (True, INBOUND)):
        goes, new = tables[type][state]
        assert (goes, new.subscription, new.out, new.pending_in) == meaning(type, state, inbound)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("type", sorted(TYPES))
async def test_what_a_user_sends(story: Story, type: str, state: State) -> None:
    alice = await meet(story, state)
    goes, new = OUTBOUND[type][state]
    alice.send(sub(type, REMOTE + "/somewhere"))
    received = await alice.receives_all()
    routed = [entry for entry in sent(story) if entry[2] in TYPES]
    assert routed == ([(alice.bare, REMOTE, type)] if goes else [])
    assert state_of(alice.account.roster.get(REMOTE)) is new
    approved = type == "subscribed" and state in (State.NONE, State.NONE_OUT, State.TO)
    pushes = [item_of(element) for element in received]
    if new is state and not approved:
        assert pushes == []
    else:
        assert [(p["subscription"], "ask" in p, "approved" in p) for p in pushes] == [
            (new.subscription, new.out, approved)
        ]
    presences = [entry for entry in sent(story) if entry[2] not in TYPES]
    if new.seen and not state.seen:
        assert presences == [(alice.full, REMOTE, "")]
    elif state.seen and not new.seen:
        assert presences == [(alice.full, REMOTE, "unavailable")]
    else:
        assert presences == []


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("type", sorted(TYPES))
async def test_what_a_contact_sends(story: Story, type: str, state: State) -> None:
    alice = await meet(story, state)
    shown, new = INBOUND[type][state]
    story.world.router.route(presence(Jid.parse(REMOTE + "/x"), Jid.parse(alice.bare), type))
    received = await alice.receives_all()
    assert state_of(alice.account.roster.get(REMOTE)) is new
    delivered = [(e.attrs["from"], e.attrs["to"]) for e in received if e.name == "presence"]
    assert delivered == ([(REMOTE, alice.bare)] if shown else [])
    pushes = [item_of(e)["subscription"] for e in received if e.name == "iq"]
    assert pushes == ([] if new is state or type == "subscribe" else [new.subscription])
    if pushes:
        assert [e.name for e in received] == ["presence", "iq"]
    replies = sent(story)
    if type == "subscribe" and state.seen:
        assert replies == [(alice.bare, REMOTE, "subscribed"), (alice.full, REMOTE, "")]
    elif state.seen and not new.seen:
        assert replies == [(alice.full, REMOTE, "unavailable")]
    else:
        assert replies == []
    await story.world.settle()
    stored = await story.world.stores.accounts.load(alice.bare)
    assert stored is not None
    assert state_of(stored.roster.get(REMOTE)) is new


# Two accounts here


async def test_two_people_become_contacts(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send("<presence type='subscribe' to='bob@story.example' id='s1'><status>It is me</status></presence>")
    await alice.receives(push(bob.bare, subscription="none", ask="subscribe"))
    await bob.receives(
        f"<presence type='subscribe' from='{alice.bare}' to='{bob.bare}' id='s1'><status>It is me</status></presence>"
    )
    bob.send(sub("subscribed", alice))
    await alice.receives(
        f"<presence type='subscribed' from='{bob.bare}' to='{alice.bare}'/>",
        push(bob.bare, subscription="to"),
        f"<presence from='{bob.full}' to='{alice.bare}'/>",
    )
    await bob.receives(push(alice.bare, subscription="from"))
    bob.send(sub("subscribe", alice))
    await bob.receives(push(alice.bare, subscription="from", ask="subscribe"))
    await alice.receives("<presence type='subscribe'/>")
    alice.send(sub("subscribed", bob))
    await bob.receives(
        "<presence type='subscribed'/>", push(alice.bare, subscription="both"), f"<presence from='{alice.full}'/>"
    )
    await alice.receives(push(bob.bare, subscription="both"))
    for client in (alice, bob):
        await client.receives_nothing()
        assert "ask" not in item_of(await client.asks(ROSTER))


async def test_a_subscription_is_cancelled_and_given_up(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    await story.world.contacts(alice, bob)
    bob.send(sub("unsubscribed", alice))
    await alice.receives(
        f"<presence type='unavailable' from='{bob.full}' to='{alice.bare}'/>",
        f"<presence type='unsubscribed' from='{bob.bare}' to='{alice.bare}'/>",
        push(bob.bare, subscription="from"),
    )
    await bob.receives(push(alice.bare, subscription="to"))
    bob.send(sub("unsubscribe", alice))
    await alice.receives(f"<presence type='unsubscribe' from='{bob.bare}'/>", push(bob.bare, subscription="none"))
    await bob.receives_in_any_order(
        push(alice.bare, subscription="none"), f"<presence type='unavailable' from='{alice.full}' to='{bob.bare}'/>"
    )


async def test_removing_a_contact_ends_both_subscriptions(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    await story.world.contacts(alice, bob)
    alice.send(REMOVE.format(bob.bare))
    await bob.receives(
        f"<presence type='unsubscribe' from='{alice.bare}'/>",
        push(alice.bare, subscription="to"),
        f"<presence type='unavailable' from='{alice.full}'/>",
        f"<presence type='unsubscribed' from='{alice.bare}'/>",
        push(alice.bare, subscription="none"),
    )
    await alice.receives_in_any_order(
        push(bob.bare, subscription="remove"),
        f"<presence type='unavailable' from='{bob.full}'/>",
        "<iq type='result' id='x'/>",
    )
    assert bob.bare not in alice.account.roster
    bob.send("<presence><show>away</show></presence>")
    await alice.receives_nothing()


async def test_removing_a_contact_withdraws_the_own_request_and_refuses_theirs(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribe", bob))
    bob.send(sub("subscribe", alice))
    for client in (alice, bob):
        await client.receives_all()
    alice.send(REMOVE.format(bob.bare))
    await story.world.settle()
    assert state_of(bob.account.roster[alice.bare]) is State.NONE
    assert bob.bare not in alice.account.roster


# Requests that wait


async def test_a_request_waits_for_the_contact_and_comes_again_until_it_is_answered(story: Story) -> None:
    alice, bob = await story("alice", "bob")
    await alice.comes_online()
    await bob.leaves()
    story.world.services.accounts.forget(bob.bare)
    alice.send(f"<presence type='subscribe' to='{bob.bare}'><nick xmlns='urn:x'>Alice</nick></presence>")
    await alice.receives(push(bob.bare, ask="subscribe"))
    request = f"<presence type='subscribe' from='{alice.bare}'><nick xmlns='urn:x'>Alice</nick></presence>"
    for _ in range(2):
        bob = await story.world.login("bob", "r1")
        await bob.receives_nothing()
        bob.send("<presence/>")
        await bob.receives("<presence from='bob@story.example/r1'/>", request)
        bob.send("<presence><show>away</show></presence>")
        await bob.receives("<presence/>")
        await bob.receives_nothing()
        # The stranger is no contact yet.
        answer = await bob.asks(ROSTER)
        assert answer.first().children == []  # type: ignore[union-attr]
        await bob.leaves()
        story.world.services.accounts.forget(bob.bare)
    bob = await story.world.login("bob", "r1")
    bob.send(sub("unsubscribed", alice) + "<presence/>")
    await bob.receives("<presence from='bob@story.example/r1'/>")
    await bob.receives_nothing()
    assert alice.bare not in bob.account.roster
    await alice.receives(f"<presence type='unsubscribed' from='{bob.bare}'/>", push(bob.bare, subscription="none"))


async def test_a_withdrawn_request_is_forgotten(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribe", bob) + sub("unsubscribe", bob))
    await bob.receives("<presence type='subscribe'/>", "<presence type='unsubscribe'/>")
    assert alice.bare not in bob.account.roster
    stored = await story.world.stores.accounts.load(bob.bare)
    assert stored is not None
    assert stored.roster == {}


async def test_who_adds_a_stranger_that_waits_sees_him_in_the_roster(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribe", bob))
    await bob.receives("<presence type='subscribe'/>")
    bob.send(f"<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='{alice.bare}'/></query></iq>")
    await bob.receives(push(alice.bare, subscription="none"), "<iq type='result'/>")
    answer = await bob.asks(ROSTER)
    assert item_of(answer)["jid"] == alice.bare
    bob.send(sub("unsubscribed", alice))
    await bob.receives(push(alice.bare, subscription="none"))
    assert state_of(bob.account.roster[alice.bare]) is State.NONE


async def test_open_requests_are_bounded(story: Story) -> None:
    await story.begin(options={"subscription": {"pending": 3}})
    alice = await story("alice")
    for number in range(5):
        story.world.router.route(presence(Jid.parse(f"s{number}@away.example"), alice.jid.to_bare(), "subscribe"))
    assert sorted(alice.account.roster) == [f"s{n}@away.example" for n in range(3)]


async def test_a_long_request_is_kept_without_its_content(story: Story) -> None:
    alice = await story("alice")
    long = Element(ns.CLIENT, "status", None, "x" * 10_000)
    story.world.router.route(presence(Jid.parse(REMOTE), alice.jid.to_bare(), "subscribe", long))
    assert len(alice.account.roster[REMOTE].request) < 300
    alice.send("<presence/>")
    await alice.receives("<presence/>", f"<presence type='subscribe' from='{REMOTE}'/>")


async def test_a_damaged_request_still_asks(story: Story) -> None:
    alice = await story("alice")
    alice.account.roster[REMOTE] = RosterItem(REMOTE, pending_in=True, request="<presence")
    alice.send("<presence/>")
    await alice.receives("<presence/>", f"<presence type='subscribe' from='{REMOTE}' to='{alice.bare}'/>")


# Pre-approval (section 3.4)


async def test_a_contact_is_approved_in_advance(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribed", bob))
    await alice.receives(push(bob.bare, subscription="none", approved="true"))
    await bob.receives_nothing()
    bob.send(sub("subscribe", alice))
    await bob.receives(
        f"<presence type='subscribed' from='{alice.bare}'/>",
        push(alice.bare, subscription="to"),
        f"<presence from='{alice.full}'/>",
    )
    await bob.receives_nothing()
    # Alice is not asked.
    await alice.receives(push(bob.bare, subscription="from"))
    await alice.receives_nothing()


async def test_an_approval_in_advance_is_taken_back(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribed", bob) + sub("unsubscribed", bob))
    await alice.receives(push(bob.bare, approved="true"))
    assert "approved" not in item_of(await alice.receives(push(bob.bare, subscription="none")))
    await bob.receives_nothing()
    bob.send(sub("subscribe", alice))
    await alice.receives("<presence type='subscribe'/>")


async def test_the_stream_features_announce_pre_approval(story: Story) -> None:
    await story("alice")
    shown = [feature(story.world.host) for feature in story.world.host.table.stream_features]
    assert (ns.PRE_APPROVAL, "sub") in [(element.ns, element.name) for element in shown if element is not None]


# The edges


async def test_nobody_subscribes_to_himself(story: Story) -> None:
    (alice, _) = await online(story, "alice:2")
    alice.send(sub("subscribe", alice))
    await alice.receives(f"<presence type='error'><error><not-allowed xmlns='{ns.STANZA_ERRORS}'/></error></presence>")
    assert alice.account.roster == {}
    story.world.router.route(presence(alice.jid, alice.jid.to_bare(), "subscribe"))
    await alice.receives_nothing()


async def test_a_request_to_nobody_is_not_answered(story: Story) -> None:
    alice, _ = await online(story, "alice", "bob")
    alice.send(sub("subscribe", "nobody@story.example"))
    await alice.receives(push("nobody@story.example", ask="subscribe"))
    await alice.receives_nothing()
    assert not alice.session.held


async def test_a_domain_that_cannot_be_reached_is_an_error(story: Story) -> None:
    alice, _ = await online(story, "alice", "bob")
    alice.send(sub("subscribe", "x@unreachable.example"))
    await alice.receives_in_any_order(
        f"<presence type='error'><error><remote-server-not-found xmlns='{ns.STANZA_ERRORS}'/></error></presence>",
        push("x@unreachable.example", ask="subscribe"),
    )


async def test_a_full_roster_takes_no_new_contact(story: Story) -> None:
    await story.begin(options={"roster": {"items": 1}})
    alice, bob = await online(story, "alice", "bob")
    alice.send(sub("subscribe", "one@x.example") + sub("subscribe", bob))
    received = await alice.receives_all()
    assert [e.attrs.get("type") for e in received if e.name == "presence"] == ["error", "error"]
    assert list(alice.account.roster) == ["one@x.example"]
    await bob.receives_nothing()


async def test_blocked_people_cannot_ask(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    await alice.asks(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{bob.bare}'/></block></iq>")
    bob.send(sub("subscribe", alice))
    await alice.receives_nothing()
    assert alice.account.roster == {}


async def test_the_database_slows_down_who_floods_it_with_requests(story: Story) -> None:
    alice, _ = await online(story, "alice", "bob")
    alice.send(sub("subscribe", "one@x.example"))
    assert alice.session.held == "roster"
    assert alice.wire.paused
    alice.send(sub("subscribe", "two@x.example"))
    assert list(alice.account.roster) == ["one@x.example"]
    await story.world.settle()
    assert not alice.session.held
    assert not alice.wire.paused
    assert list(alice.account.roster) == ["one@x.example", "two@x.example"]


async def test_a_database_that_is_away_does_not_lose_a_subscription(story: Story) -> None:
    alice, bob = await online(story, "alice", "bob")
    world = story.world
    world.stores.memory.fail_with = "away"
    alice.send(sub("subscribe", bob))
    await bob.receives("<presence type='subscribe'/>")
    assert not alice.session.held
    world.stores.memory.fail_with = None
    world.clock.advance(3)
    await world.settle()
    for here, there in ((alice, bob), (bob, alice)):
        data = await world.stores.accounts.load(here.bare)
        assert data is not None
        assert data.roster[there.bare] == here.account.roster[there.bare]
