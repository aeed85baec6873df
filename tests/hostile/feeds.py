"""What the hostile tests of publish-subscribe ask of a service, and two neighbours who keep talking meanwhile."""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import Awaitable, Callable, Iterable
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

from tests.durability.reader import CLIENT, name, stanza_condition
from tests.hostile.chatter import chatting
from tests.hostile.conftest import PASSWORD
from tests.hostile.guests import SECONDS, Guest
from tests.live import LiveNode, User

SERVICE = "pubsub.localhost"
PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER = f"{PUBSUB}#owner"
EVENT = f"{PUBSUB}#event"
ERRORS = f"{PUBSUB}#errors"
ENTRY = "<entry xmlns='urn:example:poem'>But soft</entry>"

_numbers = itertools.count(1)
Answer = tuple[str, str]
GRANTED: Answer = ("", "")


def conditions(element: Element) -> Answer:
    """The condition of an error and the one of publish-subscribe beside it; two times "" for a result."""
    error = element.find(name(CLIENT, "error"))
    if error is None:
        return GRANTED
    own = next((child.tag.partition("}")[2] for child in error if child.tag.startswith(f"{{{ERRORS}}}")), "")
    return stanza_condition(element) or "?", own


def request(id: str, payload: str, *, owner: bool = False, type: str = "set") -> str:
    """An iq to the service; `payload` stands inside `<pubsub/>`."""
    space = OWNER if owner else PUBSUB
    return f"<iq type='{type}' id='{id}' to='{SERVICE}'><pubsub xmlns='{space}'>{payload}</pubsub></iq>"


def form(kind: str, *fields: tuple[str, str], type: str = "submit") -> str:
    """A form with these fields, by their names after `pubsub#`."""
    inner = "".join(f"<field var='pubsub#{var}'><value>{value}</value></field>" for var, value in fields)
    typed = f"<field var='FORM_TYPE'><value>{PUBSUB}#{kind}</value></field>"
    return f"<x xmlns='jabber:x:data' type='{type}'>{typed}{inner}</x>"


def publication(node: str, id: str = "", payload: str = ENTRY) -> str:
    """A publication; `payload` is XML."""
    given = f" id={quoteattr(id)}" if id else ""
    return f"<publish node={quoteattr(node)}><item{given}>{payload}</item></publish>"


def subscription(node: str, jid: str) -> str:
    """A subscription."""
    return f"<subscribe node={quoteattr(node)} jid={quoteattr(jid)}/>"


async def arrive_all(node: LiveNode, count: int) -> list[Guest]:
    """So many new accounts, each signed in once."""
    accounts = node.home / "crowd.csv"
    accounts.write_text("".join(f"crowd{number}@{node.domain},{PASSWORD}\n" for number in range(count)))
    await asyncio.to_thread(node.ctl, "user", "import", str(accounts))
    users = [User(f"crowd{number}@{node.domain}", PASSWORD) for number in range(count)]
    return list(await asyncio.gather(*(Guest.arrive(node, user) for user in users)))


async def ask(guest: Guest, payload: str, *, owner: bool = False, type: str = "set") -> Answer:
    """Send a request; returns the conditions of its answer."""
    id = f"p{next(_numbers)}"
    guest.send(request(id, payload, owner=owner, type=type))
    return conditions(await guest.answer(id))


async def make(guest: Guest, node: str, *fields: tuple[str, str]) -> None:
    """Create a node."""
    configured = f"<configure>{form('node_config', *fields)}</configure>" if fields else ""
    assert await ask(guest, f"<create node={quoteattr(node)}/>{configured}") == GRANTED


async def subscribe(guest: Guest, node: str) -> None:
    """Subscribe a guest's full address."""
    assert await ask(guest, subscription(node, guest.jid)) == GRANTED


async def item_ids(guest: Guest, node: str) -> list[str]:
    """The ids of the items of a node, in their order."""
    id = f"p{next(_numbers)}"
    guest.send(request(id, f"<items node={quoteattr(node)}/>", type="get"))
    answer = await guest.answer(id)
    assert conditions(answer) == GRANTED, conditions(answer)
    return [item.get("id", "") for item in answer.iter(name(PUBSUB, "item"))]


def events(guest: Guest, node: str, kind: str = "item") -> list[str]:
    """What a guest has heard of a node: the ids of items, or of items retracted."""
    return [id for message in guest.heard for id in told(message, node, kind)]


def told(message: Element, node: str, kind: str = "item") -> list[str]:
    """The same of one stanza."""
    return [
        found.get("id", "")
        for items in message.findall(f"{name(EVENT, 'event')}/{name(EVENT, 'items')}")
        if items.get("node") == node
        for found in items.iter(name(EVENT, kind))
    ]


async def flood(guest: Guest, count: int, stanza: Callable[[int], str], prefix: str) -> collections.Counter[Answer]:
    """Send so many requests without waiting; `stanza` makes one of a number, with the id `prefix` and the number.
    Returns how often which answer came: each request is answered."""
    for start in range(0, count, 200):
        guest.send("".join(stanza(number) for number in range(start, min(start + 200, count))))
        await guest.connection.drain()

    def answers() -> list[Element]:
        return [element for element in guest.heard if element.get("id", "").startswith(prefix)]

    async with asyncio.timeout(6 * SECONDS):
        while len(found := answers()) < count:
            assert not guest.ended
            await asyncio.sleep(0.05)
    assert len({element.get("id") for element in found}) == count
    return collections.Counter(map(conditions, found))


async def neighbours(node: LiveNode, users: list[User], attack: Callable[[], Awaitable[object]]) -> None:
    """Run the attack while two others chat: each of their messages arrives, and both stay."""
    async with chatting(node, users[0], users[1]) as chatter:
        await chatter.chat_during(asyncio.ensure_future(attack()))  # type: ignore[arg-type]


async def alive(guests: Iterable[Guest], owner: Guest, node: str) -> None:
    """Assert that the node answers and reaches its subscribers: none of them is stuck."""
    id = f"alive{next(_numbers)}"
    assert await ask(owner, publication(node, id)) == GRANTED
    for guest in guests:
        await guest.until(lambda element: id in told(element, node))
