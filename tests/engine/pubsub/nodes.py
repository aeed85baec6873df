"""What tests of publish-subscribe begin with: a service, its requests, and nodes."""

from __future__ import annotations

from typing import Any

from tests.story import elements
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

SERVICE = "pubsub.story.example"
MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.adhoc.AdHoc",
    "xmpp_engine.modules.stream_management.StreamManagementModule",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.modules.subscription.Subscriptions",
    "xmpp_engine.modules.offline.Offline",
    "xmpp_engine.pubsub.module.PubSub",
)
PUBSUB = "xmlns='http://jabber.org/protocol/pubsub'"
OWNER = "xmlns='http://jabber.org/protocol/pubsub#owner'"
EVENT = "xmlns='http://jabber.org/protocol/pubsub#event'"
ERRORS = "http://jabber.org/protocol/pubsub#errors"
ENTRY = "<entry xmlns='urn:test'>{}</entry>"


async def begin(story: Any, **options: Any) -> PubSubService:
    """The world with a publish-subscribe service of these options."""
    world = await story.begin(modules=MODULES, options={"pubsub": {"services": {"pubsub": options}}})
    return world.module("pubsub").hosted[SERVICE]  # type: ignore[no-any-return]


async def cast(story: Any, *people: str, options: dict[str, Any] | None = None) -> list[Any]:
    """A service, and these people online; inboxes are empty."""
    await begin(story, **(options or {}))
    clients = [await story(name) for name in people]
    for client in clients:
        await client.comes_online()
    for client in clients:
        await client.receives_all()
    return clients


def request(type: str, inner: str, *, id: str = "q", space: str = PUBSUB, to: str = SERVICE) -> str:
    """An iq with a `<pubsub/>`."""
    return f"<iq type='{type}' to='{to}' id='{id}'><pubsub {space}>{inner}</pubsub></iq>"


def form(kind: str, **fields: Any) -> str:
    """A submitted form; names are those of fields without their prefix, lists have many values."""
    rows = [f"<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#{kind}</value></field>"]
    for name, value in fields.items():
        name = name.replace("show_values", "show-values")
        values = value if isinstance(value, list | tuple) else [value]
        shown = "".join(f"<value>{int(v) if isinstance(v, bool) else v}</value>" for v in values)
        rows.append(f"<field var='pubsub#{name}'>{shown}</field>")
    return f"<x xmlns='jabber:x:data' type='submit'>{''.join(rows)}</x>"


async def sets(client: Any, inner: str, *, space: str = PUBSUB, to: str = SERVICE) -> Element:
    """A set that succeeds; returns the answer, wherever it stands in the inbox."""
    answer = await asks(client, "set", inner, space=space, to=to)
    assert answer.get("type") == "result", client.show() + repr(answer.children)
    return answer


async def gets(client: Any, inner: str, *, space: str = PUBSUB, to: str = SERVICE) -> Element:
    """A get that succeeds; returns the `<pubsub/>` of the answer."""
    answer = await asks(client, "get", inner, space=space, to=to)
    assert answer.get("type") == "result", [repr(c) for c in answer.children]
    found = answer.first()
    assert found is not None
    return found


async def asks(client: Any, type: str, inner: str, *, space: str = PUBSUB, to: str = SERVICE) -> Element:
    """Ask and return the answer; what else came stays in the inbox."""
    client.counter = getattr(client, "counter", 0) + 1
    id = f"a{client.counter}"
    client.send(request(type, inner, id=id, space=space, to=to))
    await client._world.settle()
    inbox = client.wire.inbox
    answer = next(element for element in inbox if element.name == "iq" and element.get("id") == id)
    inbox.remove(answer)
    return answer  # type: ignore[no-any-return]


async def refused(
    client: Any, type: str, inner: str, condition: str, child: str = "", *, space: str = PUBSUB, feature: str = ""
) -> Element:
    """A request that is refused with this condition, and this child of publish-subscribe."""
    answer = await asks(client, type, inner, space=space)
    assert answer.get("type") == "error", [repr(c) for c in answer.children]
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    assert error.find(ns.STANZA_ERRORS, condition) is not None, [repr(c) for c in error.children]
    if child:
        found = error.find(ERRORS, child)
        assert found is not None, [repr(c) for c in error.children]
        if feature:
            assert found.get("feature") == feature
    return answer


async def node(client: Any, name: str = "news", **config: Any) -> None:
    """Make a node with this configuration."""
    configure = f"<configure>{form('node_config', **config)}</configure>" if config else ""
    await sets(client, f"<create node='{name}'/>{configure}")


async def subscribe(client: Any, name: str = "news", jid: str = "", **options: Any) -> Element:
    """Subscribe to a node; returns the `<subscription/>`."""
    wanted = f"<options>{form('subscribe_options', **options)}</options>" if options else ""
    answer = await sets(client, f"<subscribe node='{name}' jid='{jid or client.bare}'/>{wanted}")
    found = answer.first().find(ns.PUBSUB, "subscription")  # type: ignore[union-attr]
    assert found is not None
    return found


async def publish(client: Any, id: str = "one", text: str = "", name: str = "news", inner: str | None = None) -> None:
    """Publish an item."""
    payload = ENTRY.format(text or id) if inner is None else inner
    await sets(client, f"<publish node='{name}'><item id='{id}'>{payload}</item></publish>")


async def item_ids(client: Any, name: str = "news", inner: str = "", attrs: str = "") -> list[str]:
    """The ids of the items that one gets."""
    found = await gets(client, f"<items node='{name}'{attrs}>{inner}</items>")
    return [item.attrs["id"] for listed in found.find_all(ns.PUBSUB, "items") for item in listed.elements()]


def event(inner: str) -> str:
    """A notification."""
    return f"<message from='{SERVICE}'><event {EVENT}>{inner}</event></message>"


def told(*ids: str, name: str = "news") -> str:
    """A notification of items."""
    items = "".join(f"<item id='{id}'/>" for id in ids)
    return event(f"<items node='{name}'>{items}</items>")


def one(xml: str) -> Element:
    """The element of a text."""
    (found,) = elements(xml)
    return found
