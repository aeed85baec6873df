"""Publish-subscribe with real clients: slixmpp and stanza (StanzaJS) do all that owners, publishers and subscribers do.

None of them is ours, so what they do not understand is our mistake.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.clients.stanza import INSTALLED, Refused, StanzaPeer, node_js
from tests.live import LiveNode, User

NewUser = Callable[[], User]
Peers = Callable[[User], Awaitable[StanzaPeer]]
ATOM = "http://www.w3.org/2005/Atom"
stanza_js = pytest.mark.skipif(
    node_js() is None or not INSTALLED.exists(), reason="stanza is not installed; `make setup` installs it"
)


@pytest.fixture
def service(live_node: LiveNode) -> str:
    """The address of the service."""
    return f"pubsub.{live_node.domain}"


@pytest.fixture
def name() -> str:
    """A node that is not there yet."""
    return f"poems-{secrets.token_hex(4)}"


@pytest.fixture
async def peers(live_node: LiveNode) -> AsyncIterator[Peers]:
    """A function that starts a stanza client for an account."""
    running: list[StanzaPeer] = []

    async def come(who: User) -> StanzaPeer:
        running.append(await StanzaPeer.come(live_node, who))
        return running[-1]

    yield come
    for peer in running:
        await peer.go()


def pubsub(client: Slix) -> Any:
    """slixmpp's part for publish-subscribe."""
    return client.plugin["xep_0060"]


def entry(title: str) -> Element:
    """A payload."""
    element = Element(f"{{{ATOM}}}entry")
    SubElement(element, f"{{{ATOM}}}title").text = title
    return element


def title(item: Any) -> str:
    """The title of an item's payload, "" for none."""
    payload = item["payload"]
    return "" if payload is None else payload.findtext(f"{{{ATOM}}}title") or ""


def form(client: Slix, kind: str, **values: Any) -> Any:
    """A form to submit."""
    made = client.plugin["xep_0004"].make_form(ftype="submit")
    made.add_field(var="FORM_TYPE", ftype="hidden", value=f"http://jabber.org/protocol/pubsub#{kind}")
    for field, value in values.items():
        made.add_field(var=f"pubsub#{field}", value=value)
    return made


class Ear:
    """What a slixmpp client hears of nodes: (kind, node, message)."""

    def __init__(self, client: Slix) -> None:
        self.client = client
        self.heard: list[tuple[str, str, Any]] = []
        kinds = {"publish": "items", "retract": "items", "purge": "purge", "delete": "delete"}
        kinds |= {"config": "configuration", "subscription": "subscription"}
        for kind, element in kinds.items():
            client.add_event_handler(
                f"pubsub_{kind}",
                lambda message, kind=kind, element=element: self.heard.append(
                    (kind, message["pubsub_event"][element]["node"], message)
                ),
            )

    async def hears(self, kind: str, node: str, number: int = 1) -> Any:
        """The message of the `number`th event of this kind about this node."""

        def found() -> list[Any]:
            return [message for one, about, message in self.heard if (one, about) == (kind, node)]

        await self.client.until(lambda: len(found()) >= number, f"{kind} of {node}")
        return found()[number - 1]


async def test_publisher_and_subscriber(login: Login, user: NewUser, service: str, name: str) -> None:
    romeo, juliet = await login(user()), await login(user())
    ear = Ear(juliet)
    await pubsub(romeo).create_node(service, name, timeout=STEP_SECONDS)
    done = await pubsub(juliet).subscribe(service, name, timeout=STEP_SECONDS)
    assert done["pubsub"]["subscription"]["subscription"] == "subscribed"
    published = await pubsub(romeo).publish(service, name, id="one", payload=entry("But soft"))
    assert published["type"] == "result"
    event = await ear.hears("publish", name)
    (item,) = event["pubsub_event"]["items"]["substanzas"]
    assert (item["id"], title(item), event["from"]) == ("one", "But soft", service)
    made = await pubsub(romeo).publish(service, name, payload=entry("What light"))
    second = made["pubsub"]["publish"]["item"]["id"]
    assert second
    event = await ear.hears("publish", name, 2)
    assert event["pubsub_event"]["items"]["item"]["id"] == second

    items = (await pubsub(juliet).get_items(service, name))["pubsub"]["items"]["substanzas"]
    assert [(item["id"], title(item)) for item in items] == [("one", "But soft"), (second, "What light")]
    one = (await pubsub(juliet).get_item(service, name, "one"))["pubsub"]["items"]["item"]
    assert title(one) == "But soft"
    newest = (await pubsub(juliet).get_items(service, name, max_items=1))["pubsub"]["items"]["substanzas"]
    assert [item["id"] for item in newest] == [second]
    listed = (await pubsub(juliet).get_item_ids(service, name))["disco_items"]["items"]
    assert {identity for _jid, _node, identity in listed} == {"one", second}

    await pubsub(romeo).retract(service, name, "one", notify=True)
    event = await ear.hears("retract", name)
    assert event["pubsub_event"]["items"]["retract"]["id"] == "one"
    await pubsub(romeo).purge(service, name)
    await ear.hears("purge", name)
    await pubsub(romeo).delete_node(service, name)
    await ear.hears("delete", name)
    with pytest.raises(IqError) as gone:
        await pubsub(juliet).get_items(service, name)
    assert gone.value.condition == "item-not-found"


async def test_the_service_tells_what_it_is(login: Login, user: NewUser, service: str, name: str) -> None:
    romeo = await login(user())
    disco = romeo.plugin["xep_0030"]
    info = (await disco.get_info(jid=service))["disco_info"]
    assert ("pubsub", "service") in {(category, kind) for category, kind, _lang, _name in info["identities"]}
    features = set(info["features"])
    wanted = ("create-nodes", "publish", "subscribe", "persistent-items", "retrieve-items", "publish-options")
    assert {f"http://jabber.org/protocol/pubsub#{feature}" for feature in wanted} <= features
    await pubsub(romeo).create_node(service, name, form(romeo, "node_config", title="Poems of Romeo"))
    nodes = (await pubsub(romeo).get_nodes(service))["disco_items"]["items"]
    assert any((node, label) == (name, "Poems of Romeo") for _jid, node, label in nodes)
    about = (await disco.get_info(jid=service, node=name))["disco_info"]
    assert ("pubsub", "leaf") in {(category, kind) for category, kind, _lang, _name in about["identities"]}
    values = about["form"].get_values()
    assert values["pubsub#title"] == "Poems of Romeo"
    assert values["pubsub#owner"] == [romeo.boundjid.bare]


async def test_configuration(login: Login, user: NewUser, service: str, name: str) -> None:
    romeo, juliet = await login(user()), await login(user())
    ear = Ear(juliet)
    config = form(romeo, "node_config", access_model="open", max_items="2", notify_config="1")
    await pubsub(romeo).create_node(service, name, config)
    shown = (await pubsub(romeo).get_node_config(service, name))["pubsub_owner"]["configure"]["form"]
    assert shown.get_values()["pubsub#max_items"] == "2"
    assert not shown.get_values()["pubsub#title"]
    await pubsub(juliet).subscribe(service, name)
    with pytest.raises(IqError) as refused:
        await pubsub(juliet).get_node_config(service, name)
    assert refused.value.condition == "forbidden"
    await pubsub(romeo).set_node_config(service, name, form(romeo, "node_config", title="Two poems"))
    told = (await ear.hears("config", name))["pubsub_event"]["configuration"]["form"]
    assert told.get_values()["pubsub#title"] == "Two poems"
    for number in range(3):
        await pubsub(romeo).publish(service, name, id=str(number), payload=entry("Again"))
    items = (await pubsub(juliet).get_items(service, name))["pubsub"]["items"]["substanzas"]
    assert [item["id"] for item in items] == ["1", "2"]
    options = form(romeo, "publish-options", access_model="whitelist")
    with pytest.raises(IqError) as unmet:
        await pubsub(romeo).publish(service, name, id="x", payload=entry("No"), options=options)
    assert unmet.value.condition == "conflict"
    assert unmet.value.iq.xml.find(".//{http://jabber.org/protocol/pubsub#errors}precondition-not-met") is not None
    default = (await pubsub(romeo).get_node_config(service))["pubsub_owner"]["default"]["form"]
    assert default.get_values()["pubsub#node_type"] == "leaf"


async def test_options_of_a_subscription(login: Login, user: NewUser, service: str, name: str) -> None:
    romeo, juliet = await login(user()), await login(user())
    ear = Ear(juliet)
    await pubsub(romeo).create_node(service, name)
    await pubsub(juliet).subscribe(service, name, options=form(juliet, "subscribe_options", deliver="0"))
    shown = await pubsub(juliet).get_subscription_options(service, name, juliet.boundjid.bare)
    assert shown["pubsub"]["options"]["options"].get_values()["pubsub#deliver"] in (False, "0")
    await pubsub(romeo).publish(service, name, id="unheard", payload=entry("Psst"))
    # slixmpp would send this as a get.
    change = juliet.make_iq_set(ito=service)
    change["pubsub"]["options"]["node"] = name
    change["pubsub"]["options"]["jid"] = juliet.boundjid.bare
    change["pubsub"]["options"].append(form(juliet, "subscribe_options", deliver="1"))
    await change.send(timeout=STEP_SECONDS)
    await pubsub(romeo).publish(service, name, id="heard", payload=entry("Hear"))
    event = await ear.hears("publish", name)
    assert event["pubsub_event"]["items"]["item"]["id"] == "heard"
    mine = (await pubsub(juliet).get_subscriptions(service, name))["pubsub"]["subscriptions"]["substanzas"]
    assert [(one["node"], str(one["jid"]), one["subscription"]) for one in mine] == [
        (name, juliet.boundjid.bare, "subscribed")
    ]
    await pubsub(juliet).unsubscribe(service, name)
    mine = (await pubsub(juliet).get_subscriptions(service))["pubsub"]["subscriptions"]["substanzas"]
    assert mine == []


async def test_affiliations_and_approval(login: Login, user: NewUser, service: str, name: str) -> None:
    names = [user(), user(), user()]
    romeo, juliet, tybalt = [await login(one) for one in names]
    ear = Ear(juliet)
    await pubsub(romeo).create_node(service, name, form(romeo, "node_config", access_model="authorize"))
    await pubsub(romeo).modify_affiliations(service, name, [(names[2].jid, "outcast"), (names[1].jid, "publisher")])
    lists = (await pubsub(romeo).get_node_affiliations(service, name))["pubsub_owner"]["affiliations"]["substanzas"]
    assert {str(one["jid"]): one["affiliation"] for one in lists} == {
        names[0].jid: "owner",
        names[1].jid: "publisher",
        names[2].jid: "outcast",
    }
    mine = (await pubsub(juliet).get_affiliations(service, name))["pubsub"]["affiliations"]["substanzas"]
    assert [(one["node"], one["affiliation"]) for one in mine] == [(name, "publisher")]
    with pytest.raises(IqError) as banned:
        await pubsub(tybalt).subscribe(service, name)
    assert banned.value.condition == "forbidden"
    await pubsub(romeo).modify_affiliations(service, name, [(names[1].jid, "none")])
    asked = await pubsub(juliet).subscribe(service, name)
    assert asked["pubsub"]["subscription"]["subscription"] == "pending"
    await romeo.until(lambda: any(m["form"]["fields"] for m in romeo.messages if m["from"] == service), "the request")
    request = next(m for m in romeo.messages if m["from"] == service and m["form"]["fields"])
    values = request["form"].get_values()
    assert (values["pubsub#node"], values["pubsub#subscriber_jid"]) == (name, names[1].jid)
    answer = romeo.make_message(service)
    answer["id"] = request["id"]
    values["pubsub#allow"] = True
    reply = romeo.plugin["xep_0004"].make_form(ftype="submit")
    for field, value in values.items():
        reply.add_field(var=field, value=value)
    answer.append(reply)
    answer.send()
    told = await ear.hears("subscription", name)
    assert told["pubsub_event"]["subscription"]["subscription"] == "subscribed"
    await pubsub(romeo).publish(service, name, id="one", payload=entry("Let in"))
    await ear.hears("publish", name)
    await pubsub(romeo).modify_subscriptions(service, name, [(names[1].jid, "none")])
    await ear.hears("subscription", name, 2)
    left = (await pubsub(romeo).get_node_subscriptions(service, name))["pubsub_owner"]["subscriptions"]["substanzas"]
    assert left == []


@stanza_js
async def test_stanza_publishes_and_slixmpp_hears(
    login: Login, user: NewUser, peers: Peers, service: str, name: str
) -> None:
    juliet, romeo = await login(user()), await peers(user())
    ear = Ear(juliet)
    assert (await romeo.call("createNode", service, name))["node"] == name
    await pubsub(juliet).subscribe(service, name)
    note = {"itemType": "urn:xmpp:json:0", "json": {"line": "But soft"}}
    await romeo.call("publish", service, name, note, "one")
    event = await ear.hears("publish", name)
    assert event["pubsub_event"]["items"]["item"]["id"] == "one"
    await romeo.call("publish", service, name, note)
    shown = await romeo.call("getItems", service, name)
    assert len(shown["items"]) == 2
    assert shown["items"][0]["content"]["json"] == {"line": "But soft"}
    page = await romeo.call("getItems", service, name, {"max": 1})
    assert len(page["items"]) == 1
    await romeo.call("retract", service, name, "one", True)
    event = await ear.hears("retract", name)
    assert event["pubsub_event"]["items"]["retract"]["id"] == "one"
    subscribers = await romeo.call("getNodeSubscribers", service, name)
    (one,) = subscribers["pubsub"]["subscriptions"]["items"]
    assert (one["jid"], one["state"]) == (juliet.boundjid.bare, "subscribed")
    await romeo.call("purgeNode", service, name)
    await ear.hears("purge", name)
    await romeo.call("deleteNode", service, name)
    await ear.hears("delete", name)


@stanza_js
async def test_slixmpp_publishes_and_stanza_hears(
    login: Login, user: NewUser, peers: Peers, service: str, name: str
) -> None:
    romeo = await login(user())
    hers = user()
    juliet = await peers(hers)
    await pubsub(romeo).create_node(service, name, form(romeo, "node_config", notify_config="1"))
    done = await juliet.call("subscribeToNode", service, name)
    assert (done["node"], done["state"], done["jid"]) == (name, "subscribed", hers.jid)
    await pubsub(romeo).publish(service, name, id="one", payload=entry("But soft"))
    heard = await juliet.hears("pubsub:published", lambda data: data["pubsub"]["items"]["node"] == name)
    assert [item["id"] for item in heard["pubsub"]["items"]["published"]] == ["one"]
    await pubsub(romeo).retract(service, name, "one", notify=True)
    heard = await juliet.hears("pubsub:retracted")
    assert heard["pubsub"]["items"]["retracted"] == ["one"]
    await pubsub(romeo).set_node_config(service, name, form(romeo, "node_config", title="Poems"))
    await juliet.hears("pubsub:config")
    mine = await juliet.call("getSubscriptions", service)
    assert [(one["node"], one["state"]) for one in mine["items"]] == [(name, "subscribed")]
    assert (await juliet.call("unsubscribeFromNode", service, name))["state"] == "none"
    with pytest.raises(Refused) as twice:
        await juliet.call("unsubscribeFromNode", service, name)
    assert twice.value.condition == "unexpected-request"
    assert twice.value.pubsub == "not-subscribed"


@stanza_js
async def test_stanza_owns_a_node(user: NewUser, peers: Peers, service: str, name: str) -> None:
    names = [user(), user()]
    romeo, juliet = [await peers(one) for one in names]
    kind = "http://jabber.org/protocol/pubsub#node_config"
    fields = [
        {"name": "FORM_TYPE", "type": "hidden", "value": kind},
        {"name": "pubsub#access_model", "value": "whitelist"},
        {"name": "pubsub#title", "value": "Poems"},
    ]
    await romeo.call("createNode", service, name, {"type": "submit", "fields": fields})
    shown = await romeo.call("getNodeConfig", service, name)
    values = {field["name"]: field.get("value") for field in shown["fields"]}
    assert (values["pubsub#title"], values["pubsub#access_model"]) == ("Poems", "whitelist")
    with pytest.raises(Refused) as closed:
        await juliet.call("subscribeToNode", service, name)
    assert (closed.value.condition, closed.value.pubsub) == ("not-allowed", "closed-node")
    await romeo.call("updateNodeAffiliations", service, name, [{"jid": names[1].jid, "affiliation": "member"}])
    lists = await romeo.call("getNodeAffiliations", service, name)
    assert {(one["jid"], one["affiliation"]) for one in lists["items"]} == {
        (names[0].jid, "owner"),
        (names[1].jid, "member"),
    }
    await juliet.call("subscribeToNode", service, name)
    await romeo.call("updateNodeSubscriptions", service, name, [{"jid": names[1].jid, "state": "none"}])
    heard = await juliet.hears("pubsub:subscription", lambda data: data["pubsub"]["subscription"]["type"] == "none")
    assert heard["pubsub"]["subscription"]["node"] == name
    default = await romeo.call("getDefaultNodeConfig", service)
    assert any(field["name"] == "pubsub#node_type" for field in default["fields"])
    with pytest.raises(Refused) as refused:
        await juliet.call("deleteNode", service, name)
    assert refused.value.condition == "forbidden"
    await romeo.call("configureNode", service, name, {"type": "submit", "fields": [fields[0], *fields[2:]]})
    await romeo.call("deleteNode", service, name, "xmpp:pubsub.localhost?;node=elsewhere")
    with pytest.raises(Refused) as moved:
        await romeo.call("subscribeToNode", service, name)
    assert moved.value.condition == "gone"
