"""What tests of personal eventing share: a world with it, clients that want events, and requests in short."""

from __future__ import annotations

from typing import Any

from tests.story import MODULES, Client, Story, elements
from xmpp_engine.modules.caps import ver
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

PERSONAL = (
    "xmpp_engine.pubsub.module.PubSub",
    "xmpp_engine.pubsub.pep.Pep",
    "xmpp_engine.pubsub.pep_abroad.Abroad",
    "xmpp_engine.pubsub.pep_bookmarks.Bookmarks",
    "xmpp_engine.pubsub.pep_avatars.Avatars",
)
TUNE = "http://jabber.org/protocol/tune"
MOOD = "http://jabber.org/protocol/mood"
NOTHING = "<presence/>"


async def stage(story: Story, *cast: str, options: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Clients in a world with personal eventing, one for each resource of the cast."""
    modules = (*(name for name in MODULES if name not in PERSONAL), *PERSONAL)
    await story.begin(modules=modules, options=options or {}, **arguments)
    return await story(*cast)


def capable(*nodes: str) -> tuple[str, Element]:
    """A presence's capabilities, and what explains them, of a client that wants the events of these nodes."""
    query = Element(ns.DISCO_INFO, "query")
    query.add(ns.DISCO_INFO, "identity", {"category": "client", "type": "pc", "name": "test"})
    for node in nodes:
        query.add(ns.DISCO_INFO, "feature", {"var": f"{node}+notify"})
    return f"<c xmlns='{ns.CAPS}' hash='sha-1' node='urn:client' ver='{ver(query)}'/>", query


async def comes(client: Client, *nodes: str, inside: str = "") -> list[Element]:
    """The client comes online and explains its capabilities where it is asked; returns what it received, but for the
    roster and its own presence."""
    caps, query = capable(*nodes)
    client.send(f"<iq type='get' id='roster'><query xmlns='{ns.ROSTER}'/></iq><presence>{caps}{inside}</presence>")
    found = await explains(client, query)
    return [element for element in found if element.name != "presence" and element.attrs.get("id") != "roster"]


async def explains(client: Client, query: Element) -> list[Element]:
    """Everything that has come; a question for capabilities is answered."""
    found = await client.receives_all()
    for element in list(found):
        asked = element.first() if element.name == "iq" and element.attrs["type"] == "get" else None
        if asked is not None and asked.ns == ns.DISCO_INFO:
            answer = Element(
                ns.CLIENT, "iq", {"type": "result", "id": element.attrs["id"], "to": element.attrs["from"]}
            )
            client.wire.on_element(answer.append(query.copy()))
            found.remove(element)
            found += await client.receives_all()
    return found


def payload(node: str, text: str) -> str:
    """A payload in the namespace that names the node."""
    return f"<event xmlns='{node}'><text>{text}</text></event>"


def publishing(node: str, inside: str, id: str = "", options: dict[str, str] | None = None) -> str:
    """An iq that publishes an item."""
    given = f" id='{id}'" if id else ""
    form = "" if options is None else f"<publish-options>{submitted(ns.PUBLISH_OPTIONS, options)}</publish-options>"
    return (
        f"<iq type='set' id='publish'><pubsub xmlns='{ns.PUBSUB}'><publish node='{node}'><item{given}>{inside}</item>"
        f"</publish>{form}</pubsub></iq>"
    )


def submitted(kind: str, values: dict[str, str]) -> str:
    """A submitted form of publish-subscribe."""
    fields = "".join(f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in values.items())
    return (
        f"<x xmlns='{ns.DATA_FORMS}' type='submit'><field var='FORM_TYPE' type='hidden'><value>{kind}</value></field>"
        f"{fields}</x>"
    )


def configuring(node: str, values: dict[str, str]) -> str:
    """An iq that configures a node."""
    return (
        f"<iq type='set' id='configure'><pubsub xmlns='{ns.PUBSUB_OWNER}'><configure node='{node}'>"
        f"{submitted(ns.PUBSUB_NODE_CONFIG, values)}</configure></pubsub></iq>"
    )


def reading(node: str, to: str = "", inside: str = "") -> str:
    """An iq that asks for the items of a node."""
    at = f" to='{to}'" if to else ""
    return (
        f"<iq type='get' id='items'{at}><pubsub xmlns='{ns.PUBSUB}'><items node='{node}'>{inside}</items></pubsub></iq>"
    )


async def done(client: Client, xml: str) -> Element:
    """Send an iq that must succeed; returns its result, which may stand among other stanzas, which stay."""
    answer = await answered(client, xml)
    assert answer.attrs["type"] == "result", answer.first()
    return answer


async def refused(client: Client, xml: str) -> list[str]:
    """Send an iq that must fail; returns the names of its conditions."""
    answer = await answered(client, xml)
    assert answer.attrs["type"] == "error"
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    return [child.name for child in error.elements() if child.name != "text"]


async def answered(client: Client, xml: str) -> Element:
    """Send an iq; returns the answer to it, what else has come stays in its order."""
    (request,) = elements(xml)
    client.send(xml)
    found = await client.receives_all()
    (answer,) = [
        element
        for element in found
        if element.name == "iq" and element.attrs["id"] == request.attrs["id"] and element.attrs["type"] != "get"
    ]
    client.wire.inbox.extend(element for element in found if element is not answer)
    return answer


def items_of(answer: Element) -> dict[str, Element | None]:
    """The payloads of an answer or an event by the id of their item."""
    for wrapper in answer.elements():
        for listed in wrapper.elements():
            if listed.name == "items":
                return {item.attrs["id"]: item.first() for item in listed.elements()}
    return {}


def events(received: list[Element]) -> list[tuple[str, str, list[str]]]:
    """(from, node, ids or names of what happened) of each event among stanzas."""
    found = []
    for stanza in received:
        event = stanza.find(ns.PUBSUB_EVENT, "event")
        child = event.first() if event is not None else None
        if child is not None:
            ids = [each.attrs["id"] for each in child.find_all(child.ns, "item")]
            ids += ["-" + each.attrs["id"] for each in child.find_all(child.ns, "retract")]
            found.append((stanza.attrs["from"], child.attrs["node"], ids if child.name == "items" else [child.name]))
    return found


async def heard(client: Client) -> list[tuple[str, str, list[str]]]:
    """The events that a client has received; everything else is dropped."""
    return events(await client.receives_all())
