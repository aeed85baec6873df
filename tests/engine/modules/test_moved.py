"""XEP-0283, section 4.4: contacts who have moved are followed, and nobody else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.modules.moved_stage import (
    EVE,
    NEW,
    OLD,
    REFUSAL,
    SEES,
    SEES_NOT,
    Stage,
    gone,
    meet,
    notification,
    push,
    request,
    statement,
)
from tests.story import Story, World
from xmpp_engine.storage.types import RosterItem, Subscription
from xmpp_engine.xml import ns


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


async def test_who_is_never_confirmed_is_not_asked_about_for_ever(story: Story) -> None:
    stage = await meet(story)
    for _ in range(3):
        stage.comes(notification())
        await stage.answers(REFUSAL)
    stage.comes(notification())
    assert stage.questions() == []
    # Others are no worse off, and a minute later it may be true.
    stage.comes(notification(new=EVE))
    await stage.answers(REFUSAL)
    story.world.clock.advance(61.0)
    stage.comes(notification())
    await stage.answers(statement())
    assert stage.state(NEW) == ("from", True, False)


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
