"""Subscribing, options, approval, presence (XEP-0060, 6.1 to 6.4, 8.6, 12)."""

from __future__ import annotations

from typing import Any

from tests.engine.pubsub.nodes import (
    OWNER,
    SERVICE,
    asks,
    begin,
    cast,
    event,
    form,
    gets,
    item_ids,
    node,
    publish,
    refused,
    sets,
    subscribe,
    told,
)
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.xml import ns


async def test_one_subscribes_oneself(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    found = await subscribe(bob)
    assert (found.get("subscription"), found.get("jid"), found.get("node")) == ("subscribed", bob.bare, "news")
    assert found.get("subid")
    other = "<subscribe node='news' jid='alice@story.example'/>"
    await refused(bob, "set", other, "bad-request", "invalid-jid")
    await refused(bob, "set", "<subscribe node='news'/>", "bad-request", "invalid-jid")
    await refused(bob, "set", "<subscribe node='news' jid='a@@b'/>", "jid-malformed")
    await refused(bob, "set", f"<subscribe jid='{bob.bare}'/>", "bad-request", "nodeid-required")
    await refused(bob, "set", f"<subscribe node='none' jid='{bob.bare}'/>", "item-not-found")


async def test_the_same_again_is_the_same_and_other_options_are_another(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    first = await subscribe(bob)
    assert (await subscribe(bob)).get("subid") == first.get("subid")
    second = await subscribe(bob, include_body=True)
    assert second.get("subid") != first.get("subid")
    await publish(alice, "one")
    message = await bob.receives(told("one"))
    headers = message.find(ns.SHIM, "headers")
    named = {header.text for header in headers.elements() if header.get("name") == "SubID"}  # type: ignore[union-attr]
    assert named == {first.get("subid"), second.get("subid")}
    await bob.receives_nothing()
    gone = f"<unsubscribe node='news' jid='{bob.bare}'{{}}/>"
    await refused(bob, "set", gone.format(""), "bad-request", "subid-required")
    await refused(bob, "set", gone.format(" subid='wrong'"), "not-acceptable", "invalid-subid")
    await sets(bob, gone.format(f" subid='{second.get('subid')}'"))
    await sets(bob, gone.format(""))
    await refused(bob, "set", gone.format(""), "unexpected-request", "not-subscribed")
    await publish(alice, "two")
    await bob.receives_nothing()


async def test_only_so_many(story: Any) -> None:
    options = {"subscriptions_per_user": 2, "max_subscriptions": 3}
    alice, bob, carol = await cast(story, "alice", "bob", "carol", options=options)
    await node(alice)
    for depth in (True, False):
        await subscribe(bob, include_body=depth)
    third = f"<subscribe node='news' jid='{bob.full}'/>"
    await refused(bob, "set", third, "policy-violation", "too-many-subscriptions")
    await subscribe(carol)
    mine = f"<subscribe node='news' jid='{alice.bare}'/>"
    await refused(alice, "set", mine, "policy-violation", "too-many-subscriptions")


async def test_full_addresses_are_told_apart(story: Any) -> None:
    await begin(story)
    bob1, bob2 = await story("bob:2")
    alice = await story("alice")
    for client in (alice, bob1, bob2):
        await client.comes_online()
    for client in (alice, bob1, bob2):
        await client.receives_all()
    await node(alice)
    await subscribe(bob1, jid=bob1.full)
    await publish(alice, "one")
    await bob1.receives(told("one"))
    await bob2.receives_nothing()
    await sets(bob2, f"<unsubscribe node='news' jid='{bob1.full}'/>")
    await publish(alice, "two")
    await bob1.receives_nothing()


async def test_options_are_shown_and_set(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice)
    await subscribe(bob)
    asked = f"<options node='news' jid='{bob.bare}'/>"
    found = await gets(bob, asked)
    shown = found.first().find(ns.DATA_FORMS, "x")  # type: ignore[union-attr]
    names = {field.get("var") for field in shown.find_all(ns.DATA_FORMS, "field")}  # type: ignore[union-attr]
    assert {"pubsub#deliver", "pubsub#expire", "pubsub#include_body", "pubsub#show-values"} <= names

    def submit(**fields: Any) -> str:
        return f"<options node='news' jid='{bob.bare}'>{form('subscribe_options', **fields)}</options>"

    await sets(bob, submit(deliver=False))
    await publish(alice, "one")
    await bob.receives_nothing()
    await sets(bob, submit(deliver=True))
    await publish(alice, "two")
    await bob.receives(told("two"))
    for wrong in (
        {"deliver": "perhaps"},
        {"digest": True},
        {"expire": "tomorrow"},
        {"show_values": ["late"]},
        {"x": 1},
    ):
        await refused(bob, "set", submit(**wrong), "bad-request", "invalid-options")
    await refused(carol, "get", asked, "forbidden")
    await refused(carol, "get", asked.replace("bob", "carol"), "unexpected-request", "not-subscribed")
    await refused(carol, "get", "<options node='news'/>", "bad-request", "jid-required")
    defaults = (await gets(bob, "<default/>")).first()
    assert defaults.find(ns.DATA_FORMS, "x").get("type") == "form"  # type: ignore[union-attr]
    assert (await gets(bob, "<default node='news'/>")).first().get("node") == "news"  # type: ignore[union-attr]


async def test_a_text_for_people_is_added_where_it_is_understood(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob, include_body=True)
    atom = "<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title><summary>All is well</summary></entry>"
    await publish(alice, "one", inner=atom)
    message = await bob.receives(told("one"))
    assert message.child_text(ns.CLIENT, "body") == "News\nAll is well"
    await publish(alice, "two")
    message = await bob.receives(told("two"))
    assert message.find(ns.CLIENT, "body") is None


async def test_a_subscription_ends_in_time(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob", options={"lease_seconds": 1_000})
    await node(alice)
    now = story.world.clock.time()
    past = form("subscribe_options", expire=timestamp(now - 10))
    wrong = f"<subscribe node='news' jid='{bob.bare}'/><options>{past}</options>"
    await refused(bob, "set", wrong, "bad-request", "invalid-options")
    await subscribe(bob, expire=timestamp(now + 100))
    await publish(alice, "one")
    await bob.receives(told("one"))
    story.world.clock.advance(130)
    await bob.receives(event(f"<subscription node='news' jid='{bob.bare}' subscription='none'/>"))
    await publish(alice, "two")
    await bob.receives_nothing()
    await subscribe(bob, expire=timestamp(now + 1_000_000))
    await bob.receives(told("two"))
    service = story.world.module("pubsub").hosted[SERVICE]
    (entry,) = (await service.node("news")).record.subscriptions.values()
    assert entry.expire <= story.world.clock.time() + 1_000


async def test_who_waits_for_approval(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, access_model="authorize")
    found = await subscribe(bob)
    assert found.get("subscription") == "pending"
    message = await alice.receives("<message><x xmlns='jabber:x:data' type='form'/></message>")
    again = f"<subscribe node='news' jid='{bob.bare}'/>"
    await refused(bob, "set", again, "not-authorized", "pending-subscription")
    await refused(bob, "get", "<items node='news'/>", "not-authorized", "not-subscribed")
    await publish(alice, "one")
    await bob.receives_nothing()

    def answer(allow: str, who: str = bob.bare) -> str:
        fields = form("subscribe_authorization", subid=found.get("subid"), node="news", subscriber_jid=who, allow=allow)
        return f"<message to='{SERVICE}' id='{message.get('id')}'>{fields}</message>"

    carol.send(answer("1"))
    await carol.receives(
        "<message type='error'><error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    alice.send(answer("perhaps"))
    await alice.receives("<message type='error'/>")
    alice.send(answer("true"))
    await bob.receives(
        event(f"<subscription node='news' jid='{bob.bare}' subscription='subscribed'/>"),
        told("one"),
    )
    assert await item_ids(bob) == ["one"]
    alice.send(answer("0"))
    await bob.receives(event(f"<subscription node='news' jid='{bob.bare}' subscription='none'/>"))
    await refused(bob, "get", "<items node='news'/>", "not-authorized", "not-subscribed")


async def test_requests_that_wait_are_sent_again(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, access_model="authorize")
    await subscribe(bob)
    await alice.receives_all()
    command = f"<command xmlns='{ns.COMMANDS}' node='{ns.PUBSUB_PENDING}'"
    alice.send(f"<iq type='set' id='c1' to='{SERVICE}'>{command} action='execute'/></iq>")
    shown = await alice.receives("<iq type='result' id='c1'/>")
    session = shown.first().get("sessionid")  # type: ignore[union-attr]
    submit = form("subscribe_authorization", node="news")
    alice.send(f"<iq type='set' id='c2' to='{SERVICE}'>{command} sessionid='{session}'>{submit}</command></iq>")
    await alice.receives_in_any_order(
        "<iq type='result' id='c2'/>", "<message><x xmlns='jabber:x:data' type='form'/></message>"
    )
    bob.send(f"<iq type='set' id='c3' to='{SERVICE}'>{command}/></iq>")
    answer = await bob.receives("<iq type='error' id='c3'/>")
    assert answer.find(ns.CLIENT, "error").find(ns.STANZA_ERRORS, "forbidden") is not None  # type: ignore[union-attr]


async def test_a_list_decides_what_waits(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, access_model="authorize")
    for client in (bob, carol):
        await subscribe(client)
    await alice.receives_all()
    change = "<affiliation jid='{}' affiliation='{}'/>"
    entries = change.format(bob.bare, "publisher") + change.format(carol.bare, "outcast")
    await sets(alice, f"<affiliations node='news'>{entries}</affiliations>", space=OWNER)
    await bob.receives_in_any_order(
        "<message><pubsub xmlns='http://jabber.org/protocol/pubsub'><affiliations node='news'>"
        f"<affiliation jid='{bob.bare}' affiliation='publisher'/></affiliations></pubsub></message>",
        event(f"<subscription node='news' jid='{bob.bare}' subscription='subscribed'/>"),
    )
    await carol.receives_all()
    service = story.world.module("pubsub").hosted[SERVICE]
    assert {entry.jid for entry in (await service.node("news")).record.subscriptions.values()} == {bob.bare}


async def test_access_by_contacts(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await story.world.contacts(alice, bob)
    await node(alice, "seen", access_model="presence")
    await node(alice, "friends", access_model="roster", roster_groups_allowed=["Friends"])
    seen = f"<subscribe node='seen' jid='{carol.bare}'/>"
    await refused(carol, "set", seen, "not-authorized", "presence-subscription-required")
    await refused(carol, "get", "<items node='seen'/>", "not-authorized", "presence-subscription-required")
    await subscribe(bob, "seen")
    friends = f"<subscribe node='friends' jid='{bob.bare}'/>"
    await refused(bob, "set", friends, "not-authorized", "not-in-roster-group")
    item = f"<item xmlns='jabber:iq:roster' jid='{bob.bare}'><group>Friends</group></item>"
    alice.send(f"<iq type='set' id='r'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    await alice.receives_all()
    await subscribe(bob, "friends")
    await publish(alice, "one", name="friends")
    await publish(alice, "two", name="seen")
    await bob.receives(told("one", name="friends"), told("two", name="seen"))
    item = f"<item xmlns='jabber:iq:roster' jid='{bob.bare}' subscription='remove'/>"
    alice.send(f"<iq type='set' id='r2'><query xmlns='{ns.ROSTER}'>{item}</query></iq>")
    await bob.receives_all()
    await publish(alice, "three", name="seen")
    await publish(alice, "four", name="friends")
    await bob.receives_nothing()


async def test_a_closed_node(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, access_model="whitelist")
    for client in (bob, carol):
        mine = f"<subscribe node='news' jid='{client.bare}'/>"
        await refused(client, "set", mine, "not-allowed", "closed-node")
        await refused(client, "get", "<items node='news'/>", "not-allowed", "closed-node")
    entry = f"<affiliation jid='{bob.bare}' affiliation='member'/>"
    await sets(alice, f"<affiliations node='news'>{entry}</affiliations>", space=OWNER)
    await bob.receives_all()
    await subscribe(bob)
    await publish(alice, "one")
    await bob.receives(told("one"))
    entry = f"<affiliation jid='{bob.bare}' affiliation='none'/>"
    await sets(alice, f"<affiliations node='news'>{entry}</affiliations>", space=OWNER)
    await bob.receives_all()
    await publish(alice, "two")
    await bob.receives_nothing()


async def test_nobody_may_subscribe_where_the_node_says_so(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, subscribe=False)
    mine = f"<subscribe node='news' jid='{bob.bare}'/>"
    await refused(bob, "set", mine, "feature-not-implemented", "unsupported", feature="subscribe")
    await subscribe(alice)


async def test_outcasts_have_no_part(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    entry = f"<affiliation jid='{bob.bare}' affiliation='outcast'/>"
    await sets(alice, f"<affiliations node='news'>{entry}</affiliations>", space=OWNER)
    await bob.receives_in_any_order(
        event(f"<subscription node='news' jid='{bob.bare}' subscription='none'/>"),
        "<message><pubsub xmlns='http://jabber.org/protocol/pubsub'/></message>",
    )
    await refused(bob, "set", f"<subscribe node='news' jid='{bob.bare}'/>", "forbidden")
    await refused(bob, "get", "<items node='news'/>", "forbidden")
    await publish(alice, "one")
    await bob.receives_nothing()


async def test_events_only_while_online(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, presence_based_delivery=True, notification_type="normal")
    await subscribe(bob)
    bob.send("<presence type='unavailable'/>")
    await bob.receives_all()
    await publish(alice, "one")
    bob.send("<presence/>")
    await bob.receives("<presence/>")
    await bob.receives_nothing()
    await publish(alice, "two")
    message = await bob.receives(told("two"))
    assert message.get("type", "normal") == "normal"


async def test_events_only_while_showing_something(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob, show_values=["chat", "online"])
    await publish(alice, "one")
    await bob.receives(told("one"))
    bob.send("<presence><show>dnd</show></presence>")
    await bob.receives_all()
    await publish(alice, "two")
    await bob.receives_nothing()


async def test_a_subscription_that_ends_with_presence(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await node(alice, "short", tempsub=True)
    await subscribe(bob, expire="presence")
    await subscribe(bob, "short")
    mine = (await gets(bob, "<subscriptions/>")).first()
    assert {entry.get("node") for entry in mine.elements()} == {"news", "short"}  # type: ignore[union-attr]
    service = story.world.module("pubsub").hosted[SERVICE]
    stored = await story.world.stores.pubsub.subscriptions_of(SERVICE, bob.bare)
    assert stored == [], "what ends with presence would be over after a restart"
    bob.send("<presence type='unavailable'/>")
    await bob.receives_all()
    assert (await service.node("news")).record.subscriptions == {}
    assert (await service.node("short")).record.subscriptions == {}
    assert service.temporary == {}


async def test_the_last_item_for_who_comes_online(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, send_last_published_item="on_sub_and_presence")
    await node(alice, "quiet", send_last_published_item="never")
    for name in ("news", "quiet"):
        await publish(alice, "one", name=name)
        await subscribe(bob, name)
    await bob.receives(told("one"))
    await bob.receives_nothing()
    bob.send("<presence type='unavailable'/>")
    await bob.receives_all()
    bob.send("<presence/>")
    await bob.receives("<presence/>", told("one"))
    await bob.receives_nothing()


async def test_items_go_with_their_publisher(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice, purge_offline=True, publish_model="open")
    await subscribe(carol)
    for client in (alice, bob):
        await publish(client, client.jid.local)
    await carol.receives_all()
    bob.send("<presence type='unavailable'/>")
    await carol.receives(event("<items node='news'><retract id='bob'/></items>"))
    assert await item_ids(alice) == ["alice"]


async def test_presence_from_elsewhere(story: Any) -> None:
    (alice,) = await cast(story, "alice")
    world = story.world
    world.elsewhere.domains.add("far.example")
    await node(alice, presence_based_delivery=True, send_last_published_item="on_sub_and_presence")
    await publish(alice, "one")
    service = world.module("pubsub").hosted[SERVICE]
    far = Jid.parse("zoe@far.example")
    await service.subscribe("news", far)
    await world.settle()
    asked = [stanza for stanza in world.elsewhere.sent if stanza.kind == "presence"]
    assert [(stanza.type, stanza.to.full) for stanza in asked] == [("subscribe", far.full)]
    world.elsewhere.sent.clear()
    await publish(alice, "two")
    assert world.elsewhere.sent == []
    from xmpp_engine.stanza.build import presence

    here = Jid.parse("zoe@far.example/phone")
    service.receive(presence(here, service.jid))
    await world.settle()
    assert [stanza.kind for stanza in world.elsewhere.sent] == ["message"], "the last item, as he came"
    await publish(alice, "three")
    assert len(world.elsewhere.sent) == 2
    service.receive(presence(here, service.jid, "unavailable"))
    await publish(alice, "four")
    assert len(world.elsewhere.sent) == 2
    service.receive(presence(here.to_bare(), service.jid, "subscribe"))
    assert [stanza.type for stanza in world.elsewhere.sent[2:]] == ["subscribed", ""]


async def test_owners_may_want_to_know(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice, notify_sub=True)
    await subscribe(bob)
    await alice.receives(event(f"<subscription node='news' jid='{bob.bare}' subscription='subscribed'/>"))
    await sets(bob, f"<unsubscribe node='news' jid='{bob.bare}'/>")
    await alice.receives(event(f"<subscription node='news' jid='{bob.bare}' subscription='none'/>"))


async def test_who_cannot_be_reached_is_unsubscribed(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    await publish(alice, "one")
    message = await bob.receives(told("one"))
    gone = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    busy = "<error type='wait'><recipient-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    bob.send(f"<message type='error' to='{SERVICE}' id='{message.get('id')}'>{busy}</message>")
    await publish(alice, "two")
    message = await bob.receives(told("two"))
    bob.send(f"<message type='error' to='{SERVICE}' id='nonsense'>{gone}</message>")
    bob.send(f"<message type='error' to='{SERVICE}' id='{message.get('id')}'>{gone}</message>")
    await bob.receives_nothing()
    await publish(alice, "three")
    await bob.receives_nothing()


async def test_blocked_services_are_not_heard(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    await subscribe(bob)
    item = f"<item jid='{SERVICE}'/>"
    bob.send(f"<iq type='set' id='b'><block xmlns='{ns.BLOCKING}'>{item}</block></iq>")
    await bob.receives_all()
    await publish(alice, "one")
    await bob.receives_nothing()
    service = story.world.module("pubsub").hosted[SERVICE]
    assert len((await service.node("news")).record.subscriptions) == 1


async def test_options_stand_behind_what_they_are_for(story: Any) -> None:
    alice, bob = await cast(story, "alice", "bob")
    await node(alice)
    options = form("subscribe_options", deliver=True)
    mine = f"<subscribe node='news' jid='{bob.bare}'/>"
    for wrong in (
        f"<options>{options}</options>{mine}",
        f"{mine}<options node='news'>{options}</options>",
        f"{mine}<options/>",
        f"{mine}{mine}",
    ):
        await refused(bob, "set", wrong, "bad-request")
    answer = await asks(bob, "set", f"{mine}<options>{options}</options>")
    shown = answer.first().find(ns.PUBSUB, "options")  # type: ignore[union-attr]
    assert shown.find(ns.DATA_FORMS, "x").get("type") == "result"  # type: ignore[union-attr]


async def test_a_domain_is_put_out(story: Any) -> None:
    alice, bob, carol = await cast(story, "alice", "bob", "carol")
    await node(alice)
    for client in (bob, carol):
        await subscribe(client)
    await subscribe(carol, expire="presence")
    service = story.world.module("pubsub").hosted[SERVICE]
    await service.set_affiliations("news", {"story.example": "outcast", carol.bare: "member"})
    found = await service.node("news")
    assert {entry.jid for entry in found.record.subscriptions.values()} == {carol.bare}
    await service.set_affiliations("news", {carol.bare: "outcast"})
    assert found.record.subscriptions == {}
    assert service.temporary == {}
    stored = (await story.world.stores.pubsub.load(SERVICE, ["news"]))[0]
    assert stored.subscriptions == {}
