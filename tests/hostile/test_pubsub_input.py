"""One bad request at a time to a publish-subscribe service: the right error (XEP-0060), and the node as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.hostile.feeds import (
    ENTRY,
    GRANTED,
    PUBSUB,
    SERVICE,
    Answer,
    alive,
    ask,
    events,
    form,
    item_ids,
    make,
    publication,
    subscribe,
    subscription,
)
from tests.hostile.guests import Guest
from tests.hostile.test_streams import bound, ending
from tests.live import LiveNode, User

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
NODE = "poems"

Logged = Callable[[], list[str]]


class Hall(NamedTuple):
    """A node's owner, a subscriber, and a stranger."""

    owner: Guest
    listener: Guest
    stranger: Guest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(node: LiveNode) -> AsyncIterator[Hall]:
    """The people of these tests; the node has an item."""
    people = Hall(
        *[
            await Guest.arrive(node, User(f"user{number}@localhost", "patience"), who)
            for number, who in ((2, "owner"), (3, "listener"), (4, "stranger"))
        ]
    )
    await make(people.owner, NODE, ("notify_retract", "1"))
    await subscribe(people.listener, NODE)
    await alive([people.listener], people.owner, NODE)
    yield people
    for guest in people:
        await guest.leave()


def configuration(*fields: tuple[str, str], kind: str = "node_config", type: str = "submit") -> str:
    """A request to configure the node."""
    return f"<configure node='{NODE}'>{form(kind, *fields, type=type)}</configure>"


LONG = "n" * 1_100
BAD_REQUEST: Answer = ("bad-request", "")
ABSURD_CONFIGURATIONS: dict[str, str] = {
    "negative": configuration(("max_items", "-1")),
    "huge number": configuration(("max_items", "9" * 400)),
    "other digits": configuration(("max_items", "\u0661\u0662")),
    "words": configuration(("item_expire", "soon")),
    "half a boolean": configuration(("deliver_payloads", "tr")),
    "two booleans": (
        f"<configure node='{NODE}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        f"<value>{PUBSUB}#node_config</value></field><field var='pubsub#subscribe'><value>1</value><value>0</value>"
        "</field></x></configure>"
    ),
    "a choice that is none": configuration(("publish_model", "friends")),
    "long text": configuration(("title", "x" * 30_000)),
    "many addresses": (
        f"<configure node='{NODE}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        f"<value>{PUBSUB}#node_config</value></field><field var='pubsub#contact'>"
        + "".join(f"<value>a{number}@example.org</value>" for number in range(3_000))
        + "</field></x></configure>"
    ),
    "no address": configuration(("contact", "@@@")),
    "a language of words": configuration(("language", "the Queen's")),
}
MALFORMED: dict[str, tuple[str, bool, set[str]]] = {
    "empty": ("", False, {"bad-request"}),
    "unknown": ("<dance/>", False, {"bad-request", "feature-not-implemented"}),
    "unknown for owners": ("<dance node='poems'/>", True, {"bad-request", "feature-not-implemented"}),
    "a name too long": (f"<create node='{LONG}'/>", False, {"not-acceptable", "bad-request"}),
    "an item id too long": (publication(NODE, LONG), False, {"bad-request", "not-acceptable"}),
    "text for an item": (f"<publish node='{NODE}'>verse</publish>", False, {"bad-request"}),
    "two payloads": (publication(NODE, "x", ENTRY * 2), False, {"bad-request"}),
    "not an item": (f"<publish node='{NODE}'><thing/></publish>", False, {"bad-request"}),
    "too many items": (
        f"<publish node='{NODE}'>" + "".join(f"<item id='{n}'>{ENTRY}</item>" for n in range(1_500)) + "</publish>",
        False,
        {"not-allowed", "bad-request", "not-acceptable", "policy-violation"},
    ),
    "another's form": (
        configuration(("title", "x"), kind="subscribe_options"),
        True,
        {"bad-request", "not-acceptable"},
    ),
    "a result for a form": (configuration(("title", "x"), type="result"), True, {"bad-request", "not-acceptable"}),
    "no form": (f"<configure node='{NODE}'/>", True, {"bad-request"}),
    "ten thousand affiliations": (
        f"<affiliations node='{NODE}'>"
        + "".join(f"<affiliation jid='a{number}@b' affiliation='member'/>" for number in range(4_000))
        + "</affiliations>",
        True,
        {"not-acceptable", "policy-violation", "bad-request", "resource-constraint", "not-allowed"},
    ),
    "ten thousand subscriptions": (
        f"<subscriptions node='{NODE}'>"
        + "".join(f"<subscription jid='a{number}@b' subscription='subscribed'/>" for number in range(3_000))
        + "</subscriptions>",
        True,
        {"not-acceptable", "policy-violation", "bad-request", "resource-constraint", "not-allowed"},
    ),
    "nobody made owner": (
        f"<affiliations node='{NODE}'><affiliation jid='user2@localhost' affiliation='none'/></affiliations>",
        True,
        {"not-acceptable"},
    ),
    "an affiliation for no address": (
        f"<affiliations node='{NODE}'><affiliation jid='@@' affiliation='member'/></affiliations>",
        True,
        {"bad-request", "not-acceptable", "jid-malformed"},
    ),
    "a redirect to nowhere": (
        f"<delete node='{NODE}'><redirect uri='{'x' * 5_000}'/></delete>",
        True,
        {"bad-request", "not-acceptable"},
    ),
}
ABSURD_PAGES = {
    "no number": "<max>many</max>",
    "less than none": "<max>-5</max>",
    "huge": f"<max>{'9' * 50}</max>",
    "a place that is none": "<max>5</max><after>nothing of the kind</after>",
    "before what is none": "<max>5</max><before>nothing of the kind</before>",
    "a long place": f"<max>5</max><after>{'x' * 20_000}</after>",
    "an index that is none": "<max>5</max><index>minus</index>",
    "an index beyond all": f"<max>5</max><index>{'9' * 30}</index>",
    "both directions": "<max>5</max><after>a</after><before>b</before>",
}
FORGED = (
    "user5@localhost",
    "user5@localhost/desk",
    "localhost",
    SERVICE,
    f"x@{SERVICE}",
    "user4@localhost.example.org",
    "user4@localhost@evil.example",
    "USER5@LOCALHOST",
    "user4@localhost/" + "r" * 2_000,
    "",
    "@",
    "/",
    "user4\u200b@localhost",
)


async def unchanged(hall: Hall) -> None:
    """The node is as it was: its owner owns it, its subscriber hears of it, its configuration is the old one."""
    await alive([hall.listener], hall.owner, NODE)
    assert await ask(hall.owner, f"<configure node='{NODE}'/>", owner=True, type="get") == GRANTED
    for guest in hall:
        guest.forget()


@pytest.mark.parametrize("text", ABSURD_CONFIGURATIONS.values(), ids=ABSURD_CONFIGURATIONS)
async def test_absurd_configurations(hall: Hall, text: str) -> None:
    assert (await ask(hall.owner, text, owner=True))[0] in {"not-acceptable", "bad-request"}
    created = text.replace(f"<configure node='{NODE}'>", "<create node='new'/><configure>")
    assert (await ask(hall.owner, created))[0] in {"not-acceptable", "bad-request"}
    assert await ask(hall.owner, "<items node='new'/>", type="get") == ("item-not-found", "")
    await unchanged(hall)


@pytest.mark.parametrize(("text", "owner", "allowed"), MALFORMED.values(), ids=MALFORMED)
async def test_malformed_requests(hall: Hall, text: str, owner: bool, allowed: set[str]) -> None:
    before = await item_ids(hall.owner, NODE)
    assert (await ask(hall.owner, text, owner=owner))[0] in allowed
    assert await item_ids(hall.owner, NODE) == before
    await unchanged(hall)


@pytest.mark.parametrize("page", ABSURD_PAGES.values(), ids=ABSURD_PAGES)
async def test_absurd_pages(hall: Hall, page: str) -> None:
    wanted = f"<set xmlns='http://jabber.org/protocol/rsm'>{page}</set>"
    conditions = {"", "bad-request", "item-not-found", "policy-violation"}
    assert (await ask(hall.stranger, f"<items node='{NODE}'/>{wanted}", type="get"))[0] in conditions
    for node in ("", f" node='{NODE}'"):
        query = f"<query xmlns='http://jabber.org/protocol/disco#items'{node}>{wanted}</query>"
        assert await hall.stranger.ask("iq", f"type='get' to='{SERVICE}'", query) in conditions
    archive = f"<query xmlns='urn:xmpp:mam:2' node='{NODE}'>{wanted}</query>"
    assert await hall.stranger.ask("iq", f"type='set' to='{SERVICE}'", archive) in conditions
    await unchanged(hall)


@pytest.mark.parametrize("number", ["9" * 60, "-1", "1.5", "\u0663", "all"])
async def test_absurd_numbers_of_items(hall: Hall, number: str) -> None:
    answer = await ask(hall.stranger, f"<items node='{NODE}' max_items='{number}'/>", type="get")
    assert answer == BAD_REQUEST
    await unchanged(hall)


@pytest.mark.parametrize("jid", FORGED)
async def test_forged_addresses(hall: Hall, node: LiveNode, jid: str) -> None:
    victim = await Guest.arrive(node, User("user5@localhost", "patience"), "desk")
    victim.send("<presence/>")
    await victim.here()
    victim.forget()
    for request in ("subscribe", "unsubscribe"):
        answer = await ask(hall.stranger, subscription(NODE, jid).replace("subscribe", request))
        assert answer[0] in {"bad-request", "forbidden", "unexpected-request", "jid-malformed"}, answer
    option = f"<options node='{NODE}' jid='{jid}'>{form('subscribe_options', ('deliver', '0'))}</options>"
    assert (await ask(hall.stranger, option))[0] in {"bad-request", "forbidden", "unexpected-request", "jid-malformed"}
    await alive([hall.listener], hall.owner, NODE)
    await victim.here()
    assert events(victim, NODE) == []
    await victim.leave()


async def test_payloads_over_the_limit(hall: Hall) -> None:
    for size in (140_000, 200_000, 250_000):
        payload = f"<entry xmlns='urn:example:poem'>{'x' * size}</entry>"
        assert await ask(hall.owner, publication(NODE, "big", payload)) == ("not-acceptable", "payload-too-big")
    # Bytes count, not characters.
    payload = f"<entry xmlns='urn:example:poem'>{chr(0x2620) * 60_000}</entry>"
    assert await ask(hall.owner, publication(NODE, "big", payload)) == ("not-acceptable", "payload-too-big")
    assert "big" not in await item_ids(hall.owner, NODE)
    await unchanged(hall)


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'ha'>]><entry xmlns='urn:x'>&b;</entry>", "not-well-formed restricted-xml"),
        ("<entry xmlns='urn:x'>&lol;</entry>", "restricted-xml"),
        ("<?xml-stylesheet href='http://example.org/'?><entry xmlns='urn:x'/>", "restricted-xml"),
        ("<entry xmlns='urn:x'>" + "<a>" * 200 + "</a>" * 200 + "</entry>", "policy-violation"),
        ("<entry xmlns='urn:x' " + " ".join(f"a{n}='x'" for n in range(500)) + "/>", "policy-violation"),
        ("<entry xmlns='urn:x'>" + "x" * 400_000 + "</entry>", "policy-violation"),
        ("<entry xmlns='urn:x'></item>", "not-well-formed"),
    ],
    ids=["entities", "unknown entity", "instruction", "deep", "attributes", "endless", "not well-formed"],
)
async def test_xml_that_ends_the_stream(hall: Hall, node: LiveNode, payload: str, condition: str) -> None:
    connection = await bound(node, User("user6@localhost", "patience"), "bomb")
    connection.send(
        f"<iq type='set' id='b' to='{SERVICE}'><pubsub xmlns='{PUBSUB}'>{publication(NODE, 'b', payload)}</pubsub></iq>"
    )
    assert await ending(connection) in condition.split()
    await unchanged(hall)


async def test_a_payload_of_many_elements_is_stored_as_it_is(hall: Hall) -> None:
    payload = f"<entry xmlns='urn:example:poem'>{'<v/>' * 20_000}</entry>"
    assert await ask(hall.owner, publication(NODE, "many", payload)) == GRANTED
    await hall.listener.until(lambda _element: "many" in events(hall.listener, NODE))
    assert await ask(hall.owner, f"<retract node='{NODE}'><item id='many'/></retract>") == GRANTED
    await unchanged(hall)


async def test_messages_that_a_service_did_not_ask_for(hall: Hall, logged: Logged) -> None:
    approval = form("subscribe_authorization", ("node", NODE), ("subscriber_jid", "user4@localhost"), ("allow", "1"))
    for kind in ("", "type='chat'", "type='groupchat'", "type='headline'", "type='error'"):
        for payload in (
            approval,
            "<body>hello</body>",
            ENTRY,
            f"<event xmlns='{PUBSUB}#event'><purge node='{NODE}'/></event>",
        ):
            hall.stranger.send(f"<message to='{SERVICE}' {kind}>{payload}</message>")
            hall.stranger.send(f"<message to='{SERVICE}/{NODE}' {kind}>{payload}</message>")
    for kind in ("unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"):
        hall.stranger.send(f"<presence to='{SERVICE}' type='{kind}'/>")
    hall.stranger.send(f"<presence to='{SERVICE}'/>")
    await hall.stranger.here()
    assert await ask(hall.stranger, "<subscriptions/>", type="get") == GRANTED
    hall.stranger.forget()
    await alive([hall.listener], hall.owner, NODE)
    await hall.stranger.here()
    assert events(hall.stranger, NODE) == []
    await unchanged(hall)
