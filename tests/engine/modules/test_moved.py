"""XEP-0283, section 4.4: contacts who have moved are followed, and nobody else is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.story import MODULES, Client, Story, World, elements
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem, Subscription
from xmpp_engine.xml import ns

OLD, NEW, EVE = "juliet@im.example", "juliet@capulet.example", "eve@evil.example"
SEES: tuple[Subscription, ...] = ("from", "both")
SEES_NOT: tuple[Subscription, ...] = ("none", "to")


def notification(old: str = OLD, new: str = NEW, to: str = "romeo@story.example") -> str:
    """A request that says whom it replaces."""
    said = f"<moved xmlns='{ns.MOVED}'><old-jid>{old}</old-jid></moved>"
    return f"<presence type='subscribe' from='{new}' to='{to}' id='s1'>{said}</presence>"


def statement(now: str = NEW, item: str = "current", node: str = ns.MOVED) -> str:
    """What somebody who has moved publishes."""
    moved = f"<moved xmlns='{ns.MOVED}'><new-jid>{now}</new-jid></moved>"
    return f"<pubsub xmlns='{ns.PUBSUB}'><items node='{node}'><item id='{item}'>{moved}</item></items></pubsub>"


def gone(uri: str) -> str:
    """The error of an address that is no more."""
    return f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'>{uri}</gone></error>"


REFUSAL = f"<error type='cancel'><item-not-found xmlns='{ns.STANZA_ERRORS}'/></error>"


class Stage:
    """Romeo, whose contacts are elsewhere."""

    def __init__(self, world: World, romeo: Client) -> None:
        self.world = world
        self.romeo = romeo

    def comes(self, xml: str) -> None:
        """Another server sends this."""
        for element in elements(xml):
            self.world.router.route(Stanza.parse(element))

    def sent(self) -> list[tuple[str, str, str]]:
        """Presence that went out since the last look: (to, type, kind of sender)."""
        found = [s for s in self.world.elsewhere.sent if s.kind == "presence"]
        self.world.elsewhere.sent = [s for s in self.world.elsewhere.sent if s.kind != "presence"]
        return [(str(s.to), s.type, s.sender.full) for s in found]

    def questions(self) -> list[Stanza]:
        """What old addresses are asked and have not answered."""
        return [s for s in self.world.elsewhere.sent if s.kind == "iq"]

    async def answers(self, payload: str, sender: str = "", question: Stanza | None = None) -> None:
        """An old address answers the first question, or this one."""
        asked = question or self.questions()[0]
        if not sender:
            self.world.elsewhere.sent.remove(asked)
        kind = "error" if payload.startswith("<error") else "result"
        self.comes(f"<iq type='{kind}' from='{sender or asked.to}' to='{asked.sender}' id='{asked.id}'>{payload}</iq>")
        await self.world.settle()

    async def stored(self) -> dict[str, RosterItem]:
        """What the database has."""
        await self.world.settle()
        data = await self.world.stores.accounts.load("romeo@story.example")
        assert data is not None
        return data.roster

    def state(self, jid: str) -> tuple[str, bool, bool]:
        """Subscription, own request, the contact's request."""
        item = self.world.services.accounts.resident["romeo@story.example"].roster.get(jid)
        return (item.subscription, item.ask, item.pending_in) if item else ("none", False, False)


async def meet(story: Story, subscription: Subscription = "both", **options: Any) -> Stage:
    """Romeo is online and has Juliet's old address in a group."""
    await story.begin(options={"moved": options} if options else None)
    romeo = await story("romeo")
    story.world.elsewhere.domains |= {"im.example", "capulet.example", "evil.example"}
    old = RosterItem(OLD, name="Juliet", subscription=subscription, groups=("Verona",))
    await story.world.module("roster").change(romeo.account, [old])
    await romeo.comes_online()
    story.world.elsewhere.sent.clear()
    return Stage(story.world, romeo)


def push(jid: str, subscription: str, name: str = "Juliet") -> str:
    item = f"<item jid='{jid}' subscription='{subscription}' name='{name}'><group>Verona</group></item>"
    return f"<iq type='set'><query xmlns='{ns.ROSTER}'>{item}</query></iq>"


def request(new: str = NEW) -> str:
    """The notification as a client gets it: nothing is taken out."""
    said = f"<moved xmlns='{ns.MOVED}'><old-jid>{OLD}</old-jid></moved>"
    return f"<presence type='subscribe' from='{new}' to='romeo@story.example' id='s1'>{said}</presence>"


@pytest.mark.parametrize("subscription", SEES)
@pytest.mark.parametrize("answer", [statement(), gone(f"xmpp:{NEW}"), gone("XMPP:%6auliet@capulet.example?message")])
async def test_a_contact_who_has_moved_is_followed(story: Story, subscription: Subscription, answer: str) -> None:
    stage = await meet(story, subscription)
    stage.comes(notification())
    await stage.romeo.receives_nothing()
    (question,) = stage.questions()
    wanted = f"<items node='{ns.MOVED}'><item id='current'/></items>"
    assert (question.type, question.sender.full, str(question.to)) == ("get", stage.romeo.bare, OLD)
    assert wanted.replace("'", '"') in question.text().replace("'", '"')
    assert stage.sent() == []
    await stage.answers(answer)
    mutual = subscription == "both"
    pushes = [push(NEW, "from"), push(OLD, "to" if mutual else "none")] + [push(NEW, "from")] * mutual
    await stage.romeo.receives(*pushes)
    await stage.romeo.receives_nothing()
    assert stage.sent() == [
        (NEW, "subscribed", stage.romeo.bare),
        (NEW, "", stage.romeo.full),
        (OLD, "unavailable", stage.romeo.full),
        (OLD, "unsubscribed", stage.romeo.bare),
        *([(NEW, "subscribe", stage.romeo.bare)] if mutual else []),
    ]
    roster = await stage.stored()
    assert (roster[NEW].name, roster[NEW].groups, roster[NEW].subscription) == ("Juliet", ("Verona",), "from")
    assert roster[NEW].ask is mutual
    # Each address is followed once.
    stage.comes(notification(new=EVE))
    await stage.romeo.receives(request(EVE))
    assert stage.questions() == []


@pytest.mark.parametrize("subscription", SEES_NOT)
async def test_an_address_that_may_not_see_the_user_is_not_asked(story: Story, subscription: Subscription) -> None:
    stage = await meet(story, subscription)
    stage.comes(notification())
    await stage.romeo.receives(request())
    assert stage.questions() == []
    assert stage.state(NEW) == ("none", False, True)


@pytest.mark.parametrize(
    "xml",
    [
        notification("nobody@im.example"),
        notification(f"{OLD}/balcony"),
        notification("@"),
        notification(""),
        notification(new=NEW).replace("</moved>", f"<old-jid>{OLD}</old-jid></moved>"),
        notification().replace("</presence>", f"<moved xmlns='{ns.MOVED}'><old-jid>{OLD}</old-jid></moved></presence>"),
        notification().replace(ns.MOVED, "urn:xmpp:moved:0"),
        notification().replace("</presence>", f"<status>{'x' * 5000}</status></presence>"),
    ],
    ids=["a stranger", "a resource", "no address", "nothing", "two", "twice", "another namespace", "too long"],
)
async def test_what_is_no_notification_is_a_request(story: Story, xml: str) -> None:
    stage = await meet(story)
    stage.comes(xml)
    await stage.romeo.receives(f"<presence type='subscribe' from='{NEW}'/>")
    assert stage.questions() == []
    assert stage.state(NEW) == ("none", False, True)


@pytest.mark.parametrize(
    "answer",
    [
        REFUSAL,
        statement(EVE),
        statement(f"{NEW}/balcony"),
        statement("not an address @"),
        statement(item="older"),
        statement(node="urn:xmpp:other"),
        statement().replace("</moved>", f"<new-jid>{EVE}</new-jid></moved>"),
        gone(""),
        gone(f"xmpp:{EVE}"),
        gone(f"xmpp:{NEW}/balcony"),
        gone(f"mailto:{NEW}"),
        gone(f"xmpp://{EVE}/{NEW}"),
        gone("xmpp:%ff@capulet.example"),
        "",
    ],
)
async def test_what_is_not_confirmed_is_a_request(story: Story, answer: str) -> None:
    stage = await meet(story)
    stage.comes(notification())
    await stage.romeo.receives_nothing()
    await stage.answers(answer)
    await stage.romeo.receives(request())
    await stage.romeo.receives_nothing()
    assert stage.sent() == []
    assert (stage.state(NEW), stage.state(OLD)) == (("none", False, True), ("both", False, False))
    # The user decides.
    stage.romeo.send(f"<presence type='subscribed' to='{NEW}'/>")
    await story.world.settle()
    assert stage.state(NEW) == ("from", False, False)


async def test_silence_is_no_confirmation(story: Story) -> None:
    stage = await meet(story, seconds=5.0)
    stage.comes(notification())
    (question,) = stage.questions()
    await stage.answers(statement(), sender=EVE)
    await stage.answers(statement(), sender=f"{OLD}/balcony")
    await stage.romeo.receives_nothing()
    story.world.clock.advance(5.1)
    await stage.romeo.receives(request())
    await stage.answers(statement(), question=question)
    await stage.romeo.receives_nothing()
    assert stage.state(NEW) == ("none", False, True)


async def test_an_address_that_cannot_be_reached_confirms_nothing(story: Story) -> None:
    stage = await meet(story)
    story.world.elsewhere.domains.remove("im.example")
    stage.comes(notification())
    await stage.romeo.receives(request())


async def test_two_who_say_the_same_at_once(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification(new=EVE))
    stage.comes(notification())
    stage.comes(notification())
    first, second = stage.questions()
    await stage.answers(statement(), question=first)
    await stage.romeo.receives(request(EVE))
    await stage.answers(statement(), question=second)
    await stage.romeo.receives(push(NEW, "from"))
    assert stage.state(EVE) == ("none", False, True)
    assert stage.state(NEW) == ("from", True, False)


async def test_an_old_address_is_followed_once_even_by_two_answers(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification(new=EVE))
    stage.comes(notification())
    first, second = stage.questions()
    await stage.answers(statement(EVE), question=first)
    await stage.romeo.receives_all()
    await stage.answers(statement(NEW), question=second)
    await stage.romeo.receives(request())
    assert stage.state(EVE)[0] == "from"
    assert stage.state(NEW) == ("none", False, True)


async def test_a_request_that_is_known_is_examined_and_not_shown_again(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    await stage.answers(REFUSAL)
    await stage.romeo.receives(request())
    stage.comes(notification())
    await stage.answers(REFUSAL)
    await stage.romeo.receives_nothing()
    stage.comes(notification())
    await stage.answers(statement())
    await stage.romeo.receives(push(NEW, "from"))


async def test_an_answer_or_a_withdrawal_in_between_counts(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    stage.comes(f"<presence type='unsubscribe' from='{NEW}' to='{stage.romeo.bare}'/>")
    await stage.romeo.receives_all()
    await stage.answers(statement())
    await stage.romeo.receives_nothing()
    assert (stage.state(NEW), stage.state(OLD)) == (("none", False, False), ("both", False, False))
    stage.comes(notification())
    stage.romeo.send(f"<presence type='unsubscribed' to='{NEW}'/>")
    await stage.romeo.receives_all()
    await stage.answers(statement())
    await stage.romeo.receives_nothing()
    assert stage.state(NEW) == ("none", False, False)


async def test_an_old_address_that_loses_its_right_meanwhile_is_not_followed(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    stage.romeo.send(f"<presence type='unsubscribed' to='{OLD}'/>")
    await stage.romeo.receives_all()
    await stage.answers(statement())
    await stage.romeo.receives(request())


async def test_who_is_blocked_does_not_come_back_under_another_address(story: Story) -> None:
    stage = await meet(story)
    stage.romeo.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='{OLD}'/></block></iq>")
    await stage.romeo.receives_all()
    stage.sent()
    stage.comes(notification())
    await stage.romeo.receives(request())
    assert stage.questions() == []


async def test_a_contact_one_had_asked_for_already(story: Story) -> None:
    stage = await meet(story)
    await story.world.module("roster").change(stage.romeo.account, [RosterItem(NEW, name="J.", subscription="to")])
    await stage.romeo.receives_all()
    stage.comes(notification())
    await stage.answers(statement())
    await stage.romeo.receives(push(NEW, "both", "J."), push(OLD, "to"))
    await stage.romeo.receives_nothing()
    assert [entry[1] for entry in stage.sent()] == ["subscribed", "", "unavailable", "unsubscribed"]


async def test_a_full_roster_leaves_it_to_the_user(story: Story) -> None:
    await story.begin(options={"roster": {"items": 1}})
    romeo = await story("romeo")
    story.world.elsewhere.domains |= {"im.example", "capulet.example"}
    await story.world.module("roster").change(romeo.account, [RosterItem(OLD, subscription="both")])
    await romeo.comes_online()
    story.world.elsewhere.sent.clear()
    stage = Stage(story.world, romeo)
    stage.comes(notification())
    await stage.answers(statement())
    await romeo.receives(request())
    assert (stage.state(NEW), stage.state(OLD)) == (("none", False, True), ("both", False, False))


@pytest.mark.parametrize("limit", ["account", "node"])
async def test_questions_are_bounded(story: Story, limit: str) -> None:
    stage = await meet(story, **{limit: 2})
    for number in range(4):
        stage.comes(notification(new=f"n{number}@capulet.example"))
    assert len(stage.questions()) == 2
    received = await stage.romeo.receives_all()
    assert [element.attrs["from"] for element in received] == ["n2@capulet.example", "n3@capulet.example"]
    await stage.answers(REFUSAL)
    stage.comes(notification(new="n4@capulet.example"))
    assert len(stage.questions()) == 2


async def test_nothing_is_lost_when_the_account_goes(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    await stage.romeo.leaves()
    story.world.services.accounts.forget(stage.romeo.bare)
    await stage.answers(REFUSAL)
    romeo = await story.world.login("romeo", "r1")
    romeo.send("<presence/>")
    await romeo.receives("<presence/>", request())


async def test_an_account_that_is_away_follows(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    await stage.romeo.leaves()
    story.world.services.accounts.forget(stage.romeo.bare)
    await stage.answers(statement())
    roster = await stage.stored()
    assert (roster[NEW].subscription, roster[OLD].subscription) == ("from", "to")
    romeo = await story.world.login("romeo", "r1")
    romeo.send("<presence/>")
    await romeo.receives("<presence/>")
    await romeo.receives_nothing()


async def test_a_resource_that_comes_meanwhile_sees_it_only_when_it_is_a_request(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    other = await story.world.login("romeo", "r2")
    other.send("<presence/>")
    received = await other.receives_all()
    assert "subscribe" not in [element.attrs.get("type") for element in received]
    await stage.romeo.receives_all()
    await stage.answers(REFUSAL)
    for client in (stage.romeo, other):
        await client.receives(request())


async def test_a_node_that_stops_meanwhile_leaves_a_request(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    await stage.romeo.leaves()
    await story.world.engine.stop()
    again = World(stores=story.world.stores)
    await again.engine.start()
    try:
        romeo = await again.login("romeo", "r1")
        romeo.send("<presence/>")
        await romeo.receives("<presence/>", request())
    finally:
        await again.engine.stop()


async def test_other_modules_meanwhile_take_over_the_request(story: Story) -> None:
    stage = await meet(story)
    stage.comes(notification())
    world = story.world
    config = world.engine.config
    host = replace(config.hosts[world.domain], disabled_modules=frozenset({"moved"}))
    await world.engine.apply(replace(config, version=1, hosts={world.domain: host}))
    await stage.answers(statement())
    await stage.romeo.receives(request())
    stage.comes(notification(new=EVE))
    await stage.romeo.receives(request(EVE))


# Old and new address on this server


async def test_contacts_of_this_server_are_asked_here(story: Story) -> None:
    await story.begin(modules=(*MODULES, "xmpp_engine.pubsub.pep.Pep"))
    romeo, old, new = await story("romeo", "old", "new")
    for client in (romeo, old, new):
        await client.comes_online()
    await story.world.contacts(romeo, old)
    old.send(f"<iq type='set' id='p'>{_published(new.bare)}</iq>")
    await old.receives_all()
    moved = f"<moved xmlns='{ns.MOVED}'><old-jid>{old.bare}</old-jid></moved>"
    new.send(f"<presence type='subscribe' to='{romeo.bare}'>{moved}</presence>")
    await story.world.settle()
    assert romeo.account.roster[new.bare].subscription == "from"
    assert romeo.account.roster[old.bare].subscription == "to"
    assert old.account.roster[romeo.bare].subscription == "from"
    received = [(e.attrs.get("type"), e.attrs.get("from")) for e in await new.receives_all() if e.name == "presence"]
    assert received == [("subscribed", romeo.bare), (None, romeo.full), ("subscribe", romeo.bare)]


def _published(now: str) -> str:
    moved = f"<moved xmlns='{ns.MOVED}'><new-jid>{now}</new-jid></moved>"
    return (
        f"<pubsub xmlns='{ns.PUBSUB}'><publish node='{ns.MOVED}'><item id='current'>{moved}</item></publish></pubsub>"
    )


async def _moved_account(story: Story) -> tuple[Client, Client, Client, Client]:
    """Romeo and Mercutio know `old`, who is `new` now; Mercutio sees him and is not seen."""
    romeo, mercutio, old, new = await story("romeo", "mercutio", "old", "new")
    world = story.world
    world.elsewhere.domains |= {"im.example", "evil.example"}
    for client in (romeo, mercutio, old, new):
        await client.comes_online()
    await world.contacts(romeo, old)
    await world.contacts(mercutio, old)
    mercutio.send(f"<presence type='unsubscribed' to='{old.bare}'/>")
    await world.settle()
    more = [
        RosterItem("benvolio@im.example", name="B", subscription="both", groups=("Montague",)),
        RosterItem("tybalt@evil.example", subscription="both"),
        RosterItem("nobody@im.example", subscription="none", ask=True),
        RosterItem(new.bare, subscription="both"),
    ]
    await world.module("roster").change(old.account, more)
    old.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'><item jid='evil.example'/></block></iq>")
    await world.settle()
    old.account.data.moved_to = world.stores.memory.accounts[old.bare].data.moved_to = new.bare
    for client in (romeo, mercutio, old, new):
        await client.receives_all()
    world.elsewhere.sent.clear()
    return romeo, mercutio, old, new


async def test_contacts_of_an_account_that_has_moved_follow(story: Story) -> None:
    romeo, mercutio, old, new = await _moved_account(story)
    world = story.world
    told = await world.engine.tell_of_move(old.bare)
    assert told == {
        "moved_to": new.bare,
        "contacts": 4,
        "already": 0,
        "asked": 3,
        "refused": 0,
        "blocked": 1,
        "following": 1,
    }
    await world.settle()
    # Who saw and was seen has followed altogether.
    assert romeo.account.roster[new.bare].subscription == "both"
    assert romeo.account.roster[old.bare].subscription == "to"
    assert new.account.roster[romeo.bare].subscription == "both"
    assert old.account.roster[romeo.bare].subscription == "from"
    # Who did not show himself to the old address is asked, and may see the new one when he likes.
    requests = [e for e in await mercutio.receives_all() if e.attrs.get("type") == "subscribe"]
    assert [(e.attrs["from"], e.find(ns.MOVED, "moved") is not None) for e in requests] == [(new.bare, True)]
    assert new.account.roster[mercutio.bare].approved
    # Other servers are asked, but not for who is blocked.
    ((to, type, xml),) = [(str(s.to), s.type, s.text()) for s in world.elsewhere.sent if s.kind == "presence"]
    assert (to, type) == ("benvolio@im.example", "subscribe")
    assert f"<old-jid>{old.bare}</old-jid>" in xml
    item = new.account.roster["benvolio@im.example"]
    assert (item.name, item.groups, item.ask, item.approved) == ("B", ("Montague",), True, True)
    # And again: nothing is doubled.
    again = await world.engine.tell_of_move(old.bare)
    assert (again["already"], again["asked"], again["following"]) == (1, 2, 1)
    await mercutio.receives_nothing()


async def test_a_full_list_of_the_new_address_is_told(story: Story) -> None:
    await story.begin(options={"roster": {"items": 4}})
    _romeo, _mercutio, old, new = await _moved_account(story)
    await story.world.module("roster").change(new.account, [RosterItem(f"x{n}@im.example") for n in range(4)])
    told = await story.world.engine.tell_of_move(old.bare)
    assert (told["contacts"], told["refused"], told["blocked"]) == (4, 3, 1)


@pytest.mark.parametrize(
    ("moved_to", "sentence"),
    [
        ("", "has not moved"),
        ("old@im.example", "its own client tells"),
        ("nobody@story.example", "There is no account nobody@"),
    ],
)
async def test_what_cannot_be_told_is_said(story: Story, moved_to: str, sentence: str) -> None:
    old = await story("old")
    story.world.elsewhere.domains.add("im.example")
    await story.world.module("roster").change(old.account, [RosterItem("b@im.example", subscription="both")])
    old.account.data.moved_to = moved_to
    with pytest.raises(ValueError, match=sentence):
        await story.world.engine.tell_of_move(old.bare)
    with pytest.raises(ValueError, match="There is no account"):
        await story.world.engine.tell_of_move("who@story.example")


# Never a subscription for an address that the old one did not name

NAMES = ("a@capulet.example", "b@capulet.example", "c@evil.example")
OLDS = ("o1@im.example", "o2@im.example")
claim = st.tuples(st.just("claim"), st.sampled_from(NAMES), st.sampled_from(OLDS))
moves = st.one_of(
    claim,
    claim,
    st.tuples(st.just("says"), st.sampled_from(("result", "gone")), st.just("as claimed")),
    st.tuples(st.just("says"), st.sampled_from(("result", "gone", "error", "spoofed")), st.sampled_from(NAMES)),
    st.tuples(
        st.sampled_from(("relogin", "wait", "withdraw", "revoke")), st.sampled_from(NAMES), st.sampled_from(OLDS)
    ),
)


async def play(steps: list[tuple[str, str, str]]) -> None:
    world = World(options={"moved": {"seconds": 5.0}})
    await world.engine.start()
    world.elsewhere.domains |= {"im.example", "capulet.example", "evil.example"}
    romeo = await world.login("romeo", "r")
    roster = world.module("roster")
    await roster.change(romeo.account, [RosterItem(old, subscription="both") for old in OLDS])
    await romeo.comes_online()
    stage = Stage(world, romeo)
    claims: dict[tuple[str, str], bool] = {}
    #: Whose claim a question is about, by its id.
    claimants: dict[str | None, str] = {}
    #: New address to the old one that has named it when it was asked.
    named: dict[str, set[str]] = {}
    for step, one, two in steps:
        await world.settle()
        open_questions = stage.questions()
        if step == "claim":
            claims[one, two] = True
            stage.comes(notification(two, one, romeo.bare))
            claimants |= {asked.id: one for asked in stage.questions() if asked.id not in claimants}
        elif step == "says" and open_questions:
            asked = open_questions[0]
            two = claimants[asked.id] if two == "as claimed" else two
            if one == "spoofed":
                await stage.answers(statement(two), sender=two)
            else:
                if one != "error":
                    named.setdefault(two, set()).add(str(asked.to))
                await stage.answers({"result": statement(two), "gone": gone(f"xmpp:{two}"), "error": REFUSAL}[one])
        elif step == "relogin":
            await romeo.leaves()
            world.services.accounts.forget(romeo.bare)
            romeo = stage.romeo = await world.login("romeo", "r")
            await romeo.comes_online()
        elif step == "wait":
            world.clock.advance(6.0)
            world.elsewhere.sent.clear()
        elif step == "withdraw":
            stage.comes(f"<presence type='unsubscribe' from='{one}' to='{romeo.bare}'/>")
        elif step == "revoke":
            romeo.send(f"<presence type='unsubscribed' to='{two}'/>")
    await world.settle()
    stored = await stage.stored()
    assert stored == romeo.account.roster
    for new in NAMES:
        item = stored.get(new)
        if item is not None and item.subscription != "none":
            confirmed = [old for old in named.get(new, ()) if (new, old) in claims]
            assert confirmed, f"{new} may see the user"
            # The old address is followed once.
            assert any(stored[old].subscription not in SEES for old in confirmed)
        approved = [s for s in world.elsewhere.sent if s.type == "subscribed" and str(s.to) == new]
        assert not approved or named.get(new)
    followers = [jid for jid in NAMES if jid in stored and stored[jid].subscription in SEES]
    assert len(followers) <= sum(stored[old].subscription not in SEES for old in OLDS)
    await world.engine.stop()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(moves, min_size=4, max_size=30))
def test_nobody_sees_the_user_whom_the_old_address_did_not_name(steps: list[tuple[str, str, str]]) -> None:
    asyncio.run(play(steps))
