"""What tests of a room's administration begin with: a room, people in it, requests and their answers."""

from __future__ import annotations

from typing import Any

from xmpp_engine.xml.writer import write

ROOM = "coven@conference.story.example"


async def made(story: Any, *others: str, config: dict[str, str] | None = None) -> list[Any]:
    """Alice owns the room, the others enter it; inboxes are empty."""
    alice, *rest = await story("alice", *others) if others else [await story("alice")]
    alice.send(f"<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    fields = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in (config or {}).items())
    alice.send(
        f"<iq type='set' id='make' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>"
        f"<x xmlns='jabber:x:data' type='submit'>{fields}</x></query></iq>"
    )
    for client in rest:
        name = client.bare.partition("@")[0]
        client.send(f"<presence to='{ROOM}/{name}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    await clear(alice, *rest)
    return [alice, *rest]


async def clear(*clients: Any) -> None:
    """Let everything arrive and forget it."""
    for client in clients:
        await client.receives_all()


async def asked(client: Any, xml: str) -> Any:
    """Send a request and give its answer back, whatever else comes."""
    client.send(xml)
    for element in await client.receives_all():
        if element.name == "iq" and element.get("id") == "1":
            return element
    raise AssertionError("no answer")


def condition(answer: Any) -> str:
    """The condition of an error, "" for what is none."""
    if answer.get("type") != "error":
        return ""
    (error,) = [child for child in answer.elements() if child.name == "error"]
    return next(iter(error.elements())).name


def text_of(element: Any) -> str:
    """The element as it is sent."""
    return write(element)
