"""Events of accounts: who hears of them, and who does not (XEP-0163, 4)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.pubsub.pep_stage import (
    MOOD,
    TUNE,
    comes,
    done,
    events,
    heard,
    payload,
    publishing,
    reading,
    refused,
    stage,
)
from tests.story import Client, Story
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns


async def test_contacts_and_own_resources_hear_of_what_they_want(story: Story) -> None:
    ada1, ada2, bob1, bob2, eve = await stage(story, "ada:2", "bob:2", "eve")
    await story.world.contacts(ada1, bob1)
    await comes(ada1)
    await comes(ada2, TUNE)
    await comes(bob1, TUNE)
    await comes(bob2, MOOD)
    await comes(eve, TUNE)
    for client in (ada1, ada2, bob1, bob2, eve):
        await client.receives_all()
    answer = await done(ada1, publishing(TUNE, payload(TUNE, "Finzi"), "one"))
    assert answer.attrs["id"] == "publish"
    event = [(ada1.bare, TUNE, ["one"])]
    assert await heard(ada2) == event
    (stanza,) = await bob1.receives_all()
    assert events([stanza]) == event
    assert (stanza.attrs["type"], stanza.attrs["to"], stanza.attrs["from"]) == ("headline", bob1.full, ada1.bare)
    assert await heard(ada1) == await heard(bob2) == await heard(eve) == []


async def pair(story: Story, *wanted: str, **arguments: Any) -> tuple[Client, Client]:
    """Ada, who publishes, and Bob, her contact, whose client wants these nodes."""
    ada, bob = await stage(story, "ada", "bob", **arguments)
    await story.world.contacts(ada, bob)
    await comes(ada)
    await comes(bob, *(wanted or (TUNE,)))
    await ada.receives_all()
    return ada, bob


async def test_one_who_sees_the_presence_and_shows_none_hears_too(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob")
    bob.send(f"<presence to='{ada.bare}' type='subscribe'/>")
    await story.world.settle()
    ada.send(f"<presence to='{bob.bare}' type='subscribed'/>")
    await comes(ada, TUNE)
    await comes(bob, TUNE)
    for client in (ada, bob):
        await client.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    assert await heard(bob) == [(ada.bare, TUNE, ["one"])]
    # But not the other way about.
    await done(bob, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(ada) == [(ada.bare, TUNE, ["one"])]


async def test_what_is_taken_back_is_told(story: Story) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"max_items": "5"}))
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    retract = f"<retract node='{TUNE}' notify='true'><item id='one'/></retract>"
    await done(ada, f"<iq type='set' id='r'><pubsub xmlns='{ns.PUBSUB}'>{retract}</pubsub></iq>")
    await done(ada, f"<iq type='set' id='p'><pubsub xmlns='{ns.PUBSUB_OWNER}'><purge node='{TUNE}'/></pubsub></iq>")
    await done(ada, f"<iq type='set' id='d'><pubsub xmlns='{ns.PUBSUB_OWNER}'><delete node='{TUNE}'/></pubsub></iq>")
    assert [what for _from, _node, what in await heard(bob)] == [["one"], ["two"], ["-one"], ["purge"], ["delete"]]


@pytest.mark.parametrize(
    ("values", "hears"),
    [
        ({"access_model": "open"}, True),
        ({"access_model": "presence"}, True),
        ({"access_model": "roster", "roster_groups_allowed": "Friends"}, True),
        ({"access_model": "roster", "roster_groups_allowed": "Family"}, False),
        ({"access_model": "roster"}, False),
        ({"access_model": "whitelist"}, False),
        ({"access_model": "authorize"}, False),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
async def test_access_models(story: Story, values: dict[str, str], hears: bool) -> None:
    ada, bob = await pair(story)
    group = f"<item jid='{bob.bare}'><group>Friends</group></item>"
    await done(ada, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{group}</query></iq>")
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", values))
    assert await heard(bob) == ([(ada.bare, TUNE, ["one"])] if hears else [])


async def test_a_member_of_a_closed_node_hears(story: Story) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "whitelist"}))
    members = f"<affiliations node='{TUNE}'><affiliation jid='{bob.bare}' affiliation='member'/></affiliations>"
    await done(ada, f"<iq type='set' id='a'><pubsub xmlns='{ns.PUBSUB_OWNER}'>{members}</pubsub></iq>")
    await bob.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == [(ada.bare, TUNE, ["two"])]


async def test_who_does_not_see_the_presence_any_more_hears_nothing(story: Story) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    ada.send(f"<presence to='{bob.bare}' type='unsubscribed'/>")
    await bob.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == []
    assert await refused(bob, reading(TUNE, ada.bare)) == ["not-authorized", "presence-subscription-required"]


@pytest.mark.parametrize("blocker", ["owner", "contact"])
async def test_who_is_blocked_hears_nothing(story: Story, blocker: str) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "open"}))
    subscribe = f"<subscribe node='{TUNE}' jid='{bob.full}'/>"
    await done(bob, f"<iq type='set' id='s' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>")
    who, whom = (ada, bob) if blocker == "owner" else (bob, ada)
    block = f"<block xmlns='{ns.BLOCKING}'><item jid='{whom.bare}'/></block>"
    await done(who, f"<iq type='set' id='b'>{block}</iq>")
    await bob.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == []
    await done(who, f"<iq type='set' id='u'>{block.replace('block', 'unblock')}</iq>".replace("unblocking", "blocking"))
    await bob.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "z"), "three"))
    assert await heard(bob) == [(ada.bare, TUNE, ["three"])]


async def test_a_stranger_subscribes_to_an_open_node(story: Story) -> None:
    ada, eve = await stage(story, "ada", "eve")
    await comes(ada)
    await eve.comes_online()
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "open"}))
    subscribe = f"<subscribe node='{TUNE}' jid='{eve.bare}'/>"
    await done(eve, f"<iq type='set' id='s' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>")
    assert await heard(eve) == [(ada.bare, TUNE, ["one"])], "the last item comes with the subscription"
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(eve) == [(ada.bare, TUNE, ["two"])]


async def test_who_is_subscribed_and_a_contact_hears_once(story: Story) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    subscribe = f"<subscribe node='{TUNE}' jid='{bob.bare}'/>"
    await done(bob, f"<iq type='set' id='s' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>")
    await bob.receives_all()
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == [(ada.bare, TUNE, ["two"])]


@pytest.mark.parametrize("loss", ["unsubscribed", "group"])
async def test_a_subscription_ends_with_the_access(story: Story, loss: str) -> None:
    ada, bob = await pair(story)
    item = f"<item jid='{bob.bare}'><group>Friends</group></item>"
    await done(ada, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    model = {"access_model": "roster", "roster_groups_allowed": "Friends"}
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", model if loss == "group" else {}))
    subscribe = f"<subscribe node='{TUNE}' jid='{bob.bare}'/>"
    await done(bob, f"<iq type='set' id='s' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>")
    await bob.receives_all()
    if loss == "group":
        await done(ada, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{item.replace('Fr', 'F')}</query></iq>")
    else:
        ada.send(f"<presence to='{bob.bare}' type='unsubscribed'/>")
    told = [element.find(ns.PUBSUB_EVENT, "event") for element in await bob.receives_all()]
    (event,) = [event for event in told if event is not None]
    subscription = event.find(ns.PUBSUB_EVENT, "subscription")
    assert subscription is not None
    assert subscription.attrs["subscription"] == "none"
    asked = f"<iq type='get' id='l'><pubsub xmlns='{ns.PUBSUB_OWNER}'><subscriptions node='{TUNE}'/></pubsub></iq>"
    assert list((await done(ada, asked)).first().first().elements()) == []  # type: ignore[union-attr]


async def test_an_owner_approves_who_asks(story: Story) -> None:
    ada, bob = await pair(story)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one", {"access_model": "authorize"}))
    subscribe = f"<subscribe node='{TUNE}' jid='{bob.bare}'/>"
    answer = await done(
        bob, f"<iq type='set' id='s' to='{ada.bare}'><pubsub xmlns='{ns.PUBSUB}'>{subscribe}</pubsub></iq>"
    )
    assert answer.first().first().attrs["subscription"] == "pending"  # type: ignore[union-attr]
    (asked,) = [element for element in await ada.receives_all() if element.name == "message"]
    form = asked.find(ns.DATA_FORMS, "x")
    assert form is not None
    values = {
        field.attrs["var"]: field.child_text(ns.DATA_FORMS, "value") or ""
        for field in form.elements()
        if field.get("var")
    }
    values["pubsub#allow"] = "true"
    filled = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in values.items())
    form_xml = f"<x xmlns='{ns.DATA_FORMS}' type='submit'>{filled}</x>"
    ada.send(f"<message to='{ada.bare}' id='{asked.attrs['id']}'>{form_xml}</message>")
    assert (ada.bare, TUNE, ["one"]) in await heard(bob)


async def test_events_of_accounts_of_two_domains(story: Story) -> None:
    ada, bob = await stage(story, "ada", "bob@other.example", domains=("story.example", "other.example"))
    await story.world.contacts(ada, bob)
    await comes(ada, TUNE)
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    await comes(bob, MOOD, TUNE)
    await done(bob, publishing(MOOD, payload(MOOD, "x"), "mood"))
    await done(ada, publishing(TUNE, payload(TUNE, "y"), "two"))
    assert await heard(bob) == [(bob.bare, MOOD, ["mood"]), (ada.bare, TUNE, ["two"])]


async def test_contacts_elsewhere_hear_where_somebody_knows_what_they_want(story: Story) -> None:
    ada = await stage(story, "ada")
    world = story.world
    world.elsewhere.domains.add("far.example")
    await comes(ada)
    account = ada.account
    account.roster["zoe@far.example"] = RosterItem("zoe@far.example", subscription="both", version=1)
    world.module("pep").elsewhere = lambda _account, jid, name: [jid.with_resource("x")] if name == TUNE else []
    await done(ada, publishing(TUNE, payload(TUNE, "x"), "one"))
    await done(ada, publishing(MOOD, payload(MOOD, "x"), "two"))
    assert [stanza.to.full for stanza in world.elsewhere.sent if stanza.kind == "message"] == ["zoe@far.example/x"]
