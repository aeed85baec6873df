"""XEP-0355: which iqs go to a component, what is taken of its answers, and what disco shows."""

from __future__ import annotations

import dataclasses

import pytest

from tests.engine.component.stage import NAME, WITH_COMPONENTS, Component, begin, configure, connect, gateway
from tests.story import DOMAIN, Client, Story
from xmpp_engine.config.schema import HostConfig
from xmpp_engine.modules.caps import ver
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SPACE = "urn:example:things"
OTHER = "urn:example:others"
UNAVAILABLE = f"<error><service-unavailable xmlns='{ns.STANZA_ERRORS}'/></error>"
ITEMS = f"{ns.DELEGATION}:bare:disco#items:*"
INFO = f"{ns.DELEGATION}:bare:disco#info:*"


async def settled(component: Component, *, shows: dict[str, str] | None = None) -> None:
    """The component has read what it may do, and answered what it shows by node."""
    await component.receives(f"<message from='{DOMAIN}'><delegation xmlns='{ns.DELEGATION}'/></message>")
    while component.inbox:
        request = await component.receives(f"<iq type='get' from='{DOMAIN}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
        query = request.first()
        assert query is not None
        node = query.get("node") or ""
        content = (shows or {}).get(node)
        if content is None:
            component.send(
                f"<iq type='error' from='{NAME}' to='{DOMAIN}' id='{request.get('id')}'><error type='cancel'>"
                f"<item-not-found xmlns='{ns.STANZA_ERRORS}'/></error></iq>"
            )
        else:
            component.send(
                f"<iq type='result' from='{NAME}' to='{DOMAIN}' id='{request.get('id')}'>"
                f"<query xmlns='{ns.DISCO_INFO}' node='{node}'>{content}</query></iq>"
            )


async def forwarded(component: Component) -> tuple[str, Element]:
    """The id of the next delegation, and the iq inside."""
    outer = await component.receives(
        f"<iq type='set' from='{DOMAIN}' to='{NAME}'><delegation xmlns='{ns.DELEGATION}'>"
        f"<forwarded xmlns='{ns.FORWARD}'><iq xmlns='jabber:client'/></forwarded></delegation></iq>"
    )
    wrapper = outer.first()
    assert wrapper is not None
    inner = wrapper.first()
    assert inner is not None
    iq = inner.first()
    assert iq is not None
    return outer.attrs["id"], iq


def answer(component: Component, id: str, inner: str, type: str = "result") -> None:
    """What the component answers to a delegation."""
    component.send(
        f"<iq type='{type}' from='{NAME}' to='{DOMAIN}' id='{id}'><delegation xmlns='{ns.DELEGATION}'>"
        f"<forwarded xmlns='{ns.FORWARD}'>{inner}</forwarded></delegation></iq>"
    )


async def ask(client: Client, to: str | None = None, space: str = SPACE, type: str = "get", more: str = "") -> None:
    """An iq in a namespace."""
    target = f" to='{to}'" if to else ""
    client.send(f"<iq type='{type}' id='q'{target}><thing xmlns='{space}'{more}/></iq>")


async def test_a_component_is_told_what_it_serves(story: Story) -> None:
    world = await begin(story, gateway(delegated={SPACE: ("node", "kind"), OTHER: ()}))
    component = connect(world)
    await component.receives(
        f"<message from='{DOMAIN}' to='{NAME}'><delegation xmlns='{ns.DELEGATION}'>"
        f"<delegated namespace='{SPACE}'><attribute name='node'/><attribute name='kind'/></delegated>"
        f"<delegated namespace='{OTHER}'/></delegation></message>"
    )
    nodes = []
    while component.inbox:
        request = await component.receives("<iq type='get'/>")
        query = request.first()
        assert query is not None
        nodes.append(query.get("node"))
    assert nodes == [f"{ns.DELEGATION}{how}{space}" for space in (SPACE, OTHER) for how in ("::", ":bare:")]


@pytest.mark.parametrize("to", [None, DOMAIN, f"alice@{DOMAIN}", f"bob@{DOMAIN}"])
async def test_iqs_go_to_the_component_and_its_answer_back(story: Story, to: str | None) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}))
    alice = await story("alice")
    await world.account("bob")
    component = connect(world)
    await settled(component)
    await ask(alice, to, type="set")
    id, iq = await forwarded(component)
    assert (iq.get("from"), iq.get("to"), iq.get("type")) == (alice.full, to, "set")
    await alice.receives_nothing()
    source = f" from='{to}'" if to else ""
    answer(
        component, id, f"<iq xmlns='jabber:client' type='result' id='q' to='{alice.full}'{source}><x xmlns='y'/></iq>"
    )
    reply = await alice.receives("<iq type='result' id='q'><x xmlns='y'/></iq>")
    assert reply.get("from") == (to or alice.bare)


async def test_what_is_for_a_full_address_is_the_clients(story: Story) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}))
    alice, bob = await story("alice", "bob")
    component = connect(world)
    await settled(component)
    await ask(alice, bob.full)
    await bob.receives(f"<iq type='get'><thing xmlns='{SPACE}'/></iq>")
    await component.receives_nothing()


async def test_only_with_the_attributes(story: Story) -> None:
    world = await begin(story, gateway(delegated={ns.PRIVATE: ("node",)}))
    alice = await story("alice")
    component = connect(world)
    await settled(component)
    await alice.asks(f"<iq type='get' id='1'><query xmlns='{ns.PRIVATE}'><a xmlns='b'/></query></iq>")
    await component.receives_nothing()
    alice.send(f"<iq type='get' id='2'><query xmlns='{ns.PRIVATE}' node='n'><a xmlns='b'/></query></iq>")
    await forwarded(component)


async def test_a_component_itself_is_answered_by_the_server(story: Story) -> None:
    world = await begin(story, gateway(delegated={ns.VERSION: ()}))
    component = connect(world)
    await settled(component)
    component.send(f"<iq type='get' id='1' from='a@{NAME}' to='{DOMAIN}'><query xmlns='{ns.VERSION}'/></iq>")
    await component.receives(f"<iq type='result' to='a@{NAME}' id='1'><query xmlns='{ns.VERSION}'/></iq>")


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<iq xmlns='jabber:client' type='result' id='other' to='{alice}'/>",
        "<iq xmlns='jabber:client' type='result' id='q' to='mallory@story.example/x'/>",
        "<iq xmlns='jabber:client' type='result' id='q'/>",
        "<iq xmlns='jabber:client' type='set' id='q' to='{alice}'/>",
        "<iq xmlns='jabber:client' type='result' id='q' to='{alice}' from='bob@story.example'/>",
        "<iq xmlns='jabber:server' type='result' id='q' to='{alice}'/>",
        "<message xmlns='jabber:client' type='result' id='q' to='{alice}'/>",
    ],
)
async def test_a_bad_answer_is_none(story: Story, inner: str) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}))
    alice = await story("alice")
    component = connect(world)
    await settled(component)
    await ask(alice)
    id, _iq = await forwarded(component)
    answer(component, id, inner.format(alice=alice.full))
    await alice.receives(f"<iq type='error' id='q'>{UNAVAILABLE}</iq>")


async def test_errors_of_the_component(story: Story) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}))
    alice = await story("alice")
    component = connect(world)
    await settled(component)
    # The outer one hides everything (section 5.3), the inner one is the answer.
    await ask(alice)
    id, _iq = await forwarded(component)
    component.send(f"<iq type='error' from='{NAME}' to='{DOMAIN}' id='{id}'/>")
    await alice.receives(f"<iq type='error' id='q'>{UNAVAILABLE}</iq>")
    await ask(alice)
    id, _iq = await forwarded(component)
    answer(
        component,
        id,
        f"<iq xmlns='jabber:client' type='error' id='q' to='{alice.full}'><error type='cancel'>"
        f"<item-not-found xmlns='{ns.STANZA_ERRORS}'/><special xmlns='urn:x'/></error></iq>",
    )
    await alice.receives(
        f"<iq type='error' id='q'><error><item-not-found xmlns='{ns.STANZA_ERRORS}'/>"
        "<special xmlns='urn:x'/></error></iq>"
    )


async def test_without_the_component_the_namespace_is_not_served(story: Story) -> None:
    world = await begin(story, gateway(delegated={ns.VERSION: (), SPACE: ()}))
    alice = await story("alice")
    alice.send(f"<iq type='get' id='1' to='{DOMAIN}'><query xmlns='{ns.VERSION}'/></iq>")
    await alice.receives(f"<iq type='error' id='1'>{UNAVAILABLE}</iq>")
    component = connect(world)
    await settled(component)
    await ask(alice)
    await forwarded(component)
    world.clock.advance(61)
    await alice.receives(f"<iq type='error' id='q'>{UNAVAILABLE}</iq>")
    # Switched off, the server serves it again.
    await configure(world, gateway(enabled=False, delegated={ns.VERSION: ()}))
    alice.send(f"<iq type='get' id='2' to='{DOMAIN}'><query xmlns='{ns.VERSION}'/></iq>")
    await alice.receives("<iq type='result' id='2'/>")


async def test_one_client_has_so_many_under_way(story: Story) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}))
    alice, bob = await story("alice", "bob")
    component = connect(world)
    await settled(component)
    for _ in range(40):
        await ask(alice)
    found = await alice.receives_all()
    assert len(found) == 8
    assert len(component.inbox) == 32
    await ask(bob)
    await bob.receives_nothing()
    world.clock.advance(61)
    await world.settle()
    await alice.receives_all()
    await ask(alice)
    await alice.receives_nothing()


async def test_only_for_the_domains_it_serves(story: Story) -> None:
    world = await begin(story, gateway(delegated={SPACE: ()}, domains=("other.example",)))
    alice = await story("alice")
    component = connect(world)
    await component.receives_nothing()
    await ask(alice)
    await alice.receives("<iq type='error' id='q'/>")
    await component.receives_nothing()


async def test_a_change_is_told_to_who_is_connected(story: Story) -> None:
    world = await begin(story, gateway())
    component = connect(world)
    await component.receives_nothing()
    await configure(world, gateway(delegated={SPACE: ()}))
    await settled(component)


@pytest.mark.parametrize("change", ["added", "modules"])
async def test_a_host_that_is_new_knows_who_is_connected(story: Story, change: str) -> None:
    """A domain that is added, or one that gets other modules, which know nothing yet."""
    other = "other.example"
    world = await begin(story, gateway(delegated={SPACE: ()}, privileges={"message": "outgoing"}))
    component = connect(world)
    await taken(component)
    config = world.engine.config
    hosts = dict(config.hosts)
    if change == "added":
        hosts[other] = HostConfig(other)
    else:
        hosts[DOMAIN] = dataclasses.replace(hosts[DOMAIN], disabled_modules=frozenset({"time"}))
    await world.engine.apply(dataclasses.replace(config, hosts=hosts))
    domain = other if change == "added" else DOMAIN
    told = [stanza for stanza in await taken(component) if stanza.get("from") == domain]
    first = [stanza.first() for stanza in told if stanza.name == "message"]
    assert [child.name for child in first if child is not None] == ["delegation", "privilege"]
    assert len([stanza for stanza in told if stanza.name == "iq"]) == 2


async def taken(component: Component) -> list[Element]:
    """Everything that has come."""
    await component._world.settle()
    found = list(component.inbox)
    component.inbox.clear()
    return found


# Disco


async def shown(client: Client, to: str) -> Element:
    """The disco#info of an address."""
    reply = await client.asks(f"<iq to='{to}' type='get' id='d'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    query = reply.find(ns.DISCO_INFO, "query")
    assert query is not None, reply.children
    return query


def features(query: Element) -> set[str]:
    return {feature.get("var") or "" for feature in query.find_all(ns.DISCO_INFO, "feature")}


async def test_disco_shows_what_the_component_offers(story: Story) -> None:
    world = await begin(story, gateway(delegated={ns.VCARD: (), ns.UPLOAD: ()}))
    alice = await story("alice")
    before = await shown(alice, DOMAIN)
    assert ns.DELEGATION in features(before)
    component = connect(world)
    hidden = "<field var='FORM_TYPE' type='hidden'><value>urn:f</value></field>"
    form = f"<x xmlns='{ns.DATA_FORMS}' type='result'>{hidden}</x>"
    twice = f"<x xmlns='{ns.DATA_FORMS}'><field var='FORM_TYPE'><value>a</value><value>b</value></field></x>"
    await settled(
        component,
        shows={
            f"{ns.DELEGATION}::{ns.VCARD}": f"<feature var='{ns.VCARD}#more'/><feature var='{ns.VCARD}#more'/>"
            f"<feature/><identity category='vcard'/><junk xmlns='urn:x'/>{form}{form}{twice}",
            f"{ns.DELEGATION}:bare:{ns.VCARD}": "<identity category='x' type='y'/><feature var='urn:bare'/>",
        },
    )
    query = await shown(alice, DOMAIN)
    assert ns.VCARD not in features(query)
    # The one of which it said nothing is served all the same.
    assert {f"{ns.VCARD}#more", ns.UPLOAD} <= features(query)
    assert len(query.find_all(ns.DATA_FORMS, "x")) == len(before.find_all(ns.DATA_FORMS, "x")) + 1
    assert "urn:x" not in {child.ns for child in query.elements()}
    account = await shown(alice, alice.bare)
    assert "urn:bare" in features(account)
    assert {"category": "x", "type": "y"} in [one.attrs for one in account.find_all(ns.DISCO_INFO, "identity")]
    # The whole has a hash, and the session's table is the new one.
    assert world.module("caps").own_ver() == ver(query)
    assert alice.session.table is world.host.table
    component.break_off()
    after = await shown(alice, DOMAIN)
    assert features(after) & {f"{ns.VCARD}#more", ns.VCARD} == set()
    await configure(world)
    assert features(await shown(alice, DOMAIN)) == features(before)


async def test_nodes_of_accounts_that_the_server_does_not_know(story: Story) -> None:
    world = await begin(story, gateway(delegated={INFO: (), ITEMS: ()}))
    alice = await story("alice")
    component = connect(world)
    await settled(component)
    for space, name in ((ns.DISCO_INFO, "info"), (ns.DISCO_ITEMS, "items")):
        alice.send(f"<iq to='{alice.bare}' type='get' id='{name}'><query xmlns='{space}' node='urn:n'/></iq>")
        id, iq = await forwarded(component)
        assert iq.get("id") == name
        answer(
            component,
            id,
            f"<iq xmlns='jabber:client' type='result' id='{name}' to='{alice.full}'>"
            f"<query xmlns='{space}' node='urn:n'/></iq>",
        )
        await alice.receives(f"<iq type='result' id='{name}'><query xmlns='{space}' node='urn:n'/></iq>")
    # Without a node: the account's features are the server's, its items the component's.
    await shown(alice, alice.bare)
    await component.receives_nothing()
    alice.send(f"<iq to='{alice.bare}' type='get' id='i'><query xmlns='{ns.DISCO_ITEMS}'/></iq>")
    await forwarded(component)


async def test_a_node_that_the_server_knows_is_its_own(story: Story) -> None:
    modules = (*WITH_COMPONENTS, "xmpp_engine.pubsub.pep.Pep")
    world = await begin(story, gateway(delegated={INFO: ()}), modules=modules)
    alice = await story("alice")
    component = connect(world)
    await settled(component)
    await alice.asks(
        f"<iq type='set' id='p'><pubsub xmlns='{ns.PUBSUB}'><publish node='urn:own'><item id='1'><x xmlns='y'/></item>"
        "</publish></pubsub></iq>"
    )
    await alice.receives_all()
    await alice.asks(f"<iq to='{alice.bare}' type='get' id='1'><query xmlns='{ns.DISCO_INFO}' node='urn:own'/></iq>")
    await component.receives_nothing()
    alice.send(f"<iq to='{alice.bare}' type='get' id='2'><query xmlns='{ns.DISCO_INFO}' node='urn:foreign'/></iq>")
    await forwarded(component)
