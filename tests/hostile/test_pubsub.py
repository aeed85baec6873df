"""Publish-subscribe under load: floods of nodes, subscriptions and publications, subscribers that do not read, pages of
many items. Every request is answered, no node is stuck, memory comes back,
and two others chat on. What counts is stanzas and answers, not how long they take on a busy machine.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.hostile.chatter import resident
from tests.hostile.feeds import (
    ENTRY,
    GRANTED,
    alive,
    arrive_all,
    ask,
    conditions,
    events,
    flood,
    item_ids,
    make,
    neighbours,
    publication,
    request,
    subscribe,
    subscription,
)
from tests.hostile.guests import Guest
from tests.hostile.test_floods import KEPT_BYTES, memory_returns
from tests.live import LiveNode, User

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
CROWD = 40
MANY = 10_000
_culprits = itertools.count(8)

Logged = Callable[[], list[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(node: LiveNode) -> AsyncIterator[list[Guest]]:
    """Forty accounts, each signed in once."""
    guests = await arrive_all(node, CROWD)
    yield guests
    await asyncio.gather(*(guest.leave() for guest in guests))


@pytest_asyncio.fixture(loop_scope="module")
async def owner(node: LiveNode, users: list[User]) -> AsyncIterator[Guest]:
    """Somebody who makes nodes."""
    guest = await Guest.arrive(node, users[2], "owner")
    yield guest
    await guest.leave()


@pytest_asyncio.fixture(loop_scope="module")
async def flooder(node: LiveNode, users: list[User]) -> AsyncIterator[Guest]:
    """Somebody who overdoes it; another one in each test, for the log names everybody only now and then."""
    guest = await Guest.arrive(node, users[next(_culprits)], "flood")
    yield guest
    await guest.leave()


def bare_of(guest: Guest) -> str:
    """The account of a guest."""
    return guest.jid.partition("/")[0]


def said(lines: list[str], who: str, most: int = 8) -> None:
    """Assert that the log names the one who did it, and not once for every stanza."""
    about = [line for line in lines if who in line and "mlink.refused" in line]
    assert 1 <= len(about) <= most, about[:10]


# One account without end


async def test_ten_thousand_nodes(
    node: LiveNode, users: list[User], owner: Guest, flooder: Guest, logged: Logged
) -> None:
    before = resident(node)
    await make(owner, "calm")

    async def attack() -> None:
        found = await flood(flooder, MANY, lambda n: request(f"c{n}", f"<create node='n{n}'/>"), "c")
        assert {answer[0] for answer in found} <= {"", "resource-constraint", "policy-violation"}, found
        assert 1 <= found[GRANTED] <= 1_000, found

    await neighbours(node, users, attack)
    said(logged(), bare_of(flooder))
    await alive([], owner, "calm")
    # Its owner can take all of them away again.
    made = [element.get("id", "")[1:] for element in flooder.heard if conditions(element) == GRANTED]
    for number in filter(str.isdigit, made):
        assert await ask(flooder, f"<delete node='n{number}'/>", owner=True) == GRANTED
    flooder.forget()
    await memory_returns(node, before, 2 * KEPT_BYTES)


async def test_ten_thousand_subscriptions(
    node: LiveNode, users: list[User], owner: Guest, flooder: Guest, logged: Logged
) -> None:
    before = resident(node)
    await make(owner, "wanted")
    listener = await Guest.arrive(node, users[4], "listener")
    await subscribe(listener, "wanted")
    bare = bare_of(flooder)

    async def attack() -> None:
        flooder.forget()
        found = await flood(flooder, MANY, lambda n: request(f"s{n}", subscription("wanted", f"{bare}/r{n}")), "s")
        assert set(found) <= {
            GRANTED,
            ("policy-violation", "too-many-subscriptions"),
            ("resource-constraint", ""),
        }, found
        assert 1 <= found[GRANTED] <= 100, found

    await neighbours(node, users, attack)
    said(logged(), bare)
    # Those that are there cost the publisher nothing, and the others hear as before.
    await alive([listener], owner, "wanted")
    await listener.leave()
    flooder.forget()
    await memory_returns(node, before)


async def test_requests_for_approval_without_end(
    node: LiveNode, users: list[User], owner: Guest, flooder: Guest
) -> None:
    await make(owner, "guarded", ("access_model", "authorize"))
    bare = bare_of(flooder)

    async def attack() -> None:
        owner.forget()
        flooder.forget()

        def again(number: int) -> str:
            jid = f"{bare}/r{number % 50}"
            back = subscription("guarded", jid).replace("subscribe", "unsubscribe")
            return request(f"s{number}", subscription("guarded", jid)) + request(f"u{number}", back)

        found = await flood(flooder, 2_000, again, "s")
        assert {answer[0] for answer in found} <= {
            "",
            "not-authorized",
            "policy-violation",
            "resource-constraint",
        }, found
        await owner.here()
        asked = sum("subscribe_authorization" in "".join(element.itertext()) for element in owner.heard)
        assert asked <= 200, asked

    await neighbours(node, users, attack)
    await alive([], owner, "guarded")


async def test_a_flood_of_publications(node: LiveNode, users: list[User], owner: Guest, crowd: list[Guest]) -> None:
    before = resident(node)
    await make(owner, "busy", ("publish_model", "open"), ("max_items", "10"), ("notify_retract", "0"))
    listeners = crowd[:10]
    await asyncio.gather(*(subscribe(listener, "busy") for listener in listeners))
    publishers = crowd[10:14]

    async def attack() -> None:
        for guest in crowd:
            guest.forget()
        found = await asyncio.gather(
            *(
                flood(guest, 500, lambda n, w=where: request(f"b{n}", publication("busy", f"{w}-{n}")), "b")
                for where, guest in enumerate(publishers)
            )
        )
        granted = sum(one[GRANTED] for one in found)
        assert {answer[0] for one in found for answer in one} <= {"", "policy-violation", "resource-constraint"}, found
        assert granted >= 100
        await alive(listeners, owner, "busy")
        for listener in listeners:
            heard = events(listener, "busy")
            assert len(heard) == granted + 1, (len(heard), granted)
            # Everybody hears the same, in the same order; each publisher in the order in which he published.
            assert heard == events(listeners[0], "busy")
            for where in range(len(publishers)):
                numbers = [int(id.partition("-")[2]) for id in heard if id.startswith(f"{where}-")]
                assert numbers == sorted(numbers)
        # What is kept is what came last.
        assert await item_ids(owner, "busy") == events(listeners[0], "busy")[-10:]

    await neighbours(node, users, attack)
    for guest in (owner, *crowd):
        guest.forget()
    await memory_returns(node, before, 2 * KEPT_BYTES)


# Those who do not read


async def test_a_subscriber_that_does_not_read(
    node: LiveNode, users: list[User], owner: Guest, crowd: list[Guest], logged: Logged
) -> None:
    before = resident(node)
    await make(owner, "loud", ("max_items", "5"), ("notify_retract", "0"))
    listeners = crowd[:3]
    await asyncio.gather(*(subscribe(listener, "loud") for listener in listeners))
    # More in all than the buffers of both kernels and the node take.
    payload = f"<entry xmlns='urn:example:poem'>{'x' * 120_000}</entry>"
    rounds = itertools.count()

    async def attack() -> None:
        turn = next(rounds)
        deaf = await Guest.arrive(node, users[5], "deaf")
        await subscribe(deaf, "loud")
        transport = deaf.connection._writer.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport.pause_reading()
        for guest in crowd:
            guest.forget()
        for number in range(100):
            assert await ask(owner, publication("loud", f"{turn}-{number}", payload)) == GRANTED
        last = f"{turn}-99"
        for listener in listeners:
            await listener.until(lambda _element, who=listener: last in events(who, "loud"))
            assert events(listener, "loud") == [f"{turn}-{number}" for number in range(100)]
        transport.abort()
        await deaf.leave()

    await neighbours(node, users, attack)
    ends = [line for line in logged() if f"{users[5].jid}/deaf ended" in line]
    assert ends
    assert all("slow reader" in line for line in ends), ends
    await alive(listeners, owner, "loud")
    for guest in (owner, *crowd):
        guest.forget()
    await memory_returns(node, before, 2 * KEPT_BYTES)


async def test_publishers_that_do_not_wait_and_vanish(node: LiveNode, users: list[User], owner: Guest) -> None:
    await make(owner, "vanishing", ("publish_model", "open"), ("max_items", "5"))
    for number in range(10):
        guest = await Guest.arrive(node, users[6], f"v{number}")
        guest.send("".join(request(f"v{n}", publication("vanishing", f"{number}-{n}")) for n in range(50)))
        await guest.leave()
    await alive([], owner, "vanishing")


# Pages of many items


async def test_pages_of_a_node_with_many_items(node: LiveNode, users: list[User], owner: Guest) -> None:
    await make(owner, "archive", ("max_items", "max"), ("deliver_notifications", "0"))
    made = 0
    for start in range(0, 2_000, 20):
        batch = "".join(f"<item id='i{number}'>{ENTRY}</item>" for number in range(start, start + 20))
        assert await ask(owner, f"<publish node='archive'>{batch}</publish>") == GRANTED
        made += 20
    # Everything at once is more than one answer holds: a part comes, with the number of all.
    owner.send(request("all", "<items node='archive'/>", type="get"))
    answer = await owner.answer("all")
    assert conditions(answer) == GRANTED
    given = list(answer.iter("{http://jabber.org/protocol/pubsub}item"))
    assert 0 < len(given) < made
    assert answer.findtext(".//{http://jabber.org/protocol/rsm}count") == str(made)

    async def attack() -> None:
        stranger = await Guest.arrive(node, users[7], "reader")

        def page(number: int) -> str:
            wanted = f"<set xmlns='http://jabber.org/protocol/rsm'><max>100</max><after>i{number}</after></set>"
            return request(f"g{number}", f"<items node='archive'/>{wanted}", type="get")

        found = await flood(stranger, 300, page, "g")
        assert {answer[0] for answer in found} <= {"", "policy-violation", "resource-constraint"}, found
        await stranger.leave()

    # The threads of the store have their caches then: measured, it takes them some eight times, and no more is added.
    for _ in range(12):
        await attack()
    before = resident(node)
    await neighbours(node, users, attack)
    assert await ask(owner, "<purge node='archive'/>", owner=True) == GRANTED
    assert await item_ids(owner, "archive") == []
    owner.forget()
    await memory_returns(node, before, 2 * KEPT_BYTES)
