"""Rooms under load: floods of joins, collisions, kicks and destruction in the midst of joins, clients that vanish or do
not read. Afterwards who is inside is who believes to be, and everybody sees the same people.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.durability.client import StreamEnded
from tests.durability.reader import CLIENT, name, stanza_condition
from tests.hostile.chatter import resident
from tests.hostile.conftest import PASSWORD
from tests.hostile.guests import (
    MUC,
    OWNER,
    SERVICE,
    USER,
    Guest,
    all_enter,
    codes,
    entering,
    field,
    form,
    hosting,
    in_step,
    items,
)
from tests.hostile.test_floods import KEPT_BYTES, memory_returns, undisturbed
from tests.live import LiveNode, User

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
CROWD = 200
JOINS = 10_000

Logged = Callable[[], list[str]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(node: LiveNode) -> AsyncIterator[list[Guest]]:
    """Two hundred accounts, each signed in once."""
    accounts = node.home / "crowd.csv"
    accounts.write_text("".join(f"crowd{number}@{node.domain},{PASSWORD}\n" for number in range(CROWD)))
    await asyncio.to_thread(node.ctl, "user", "import", str(accounts))
    guests: list[Guest] = []
    for start in range(0, CROWD, 20):
        guests += await asyncio.gather(
            *(Guest.arrive(node, User(f"crowd{n}@{node.domain}", PASSWORD)) for n in range(start, start + 20))
        )
    yield guests
    await asyncio.gather(*(guest.leave() for guest in guests))


@pytest_asyncio.fixture(loop_scope="module")
async def owner(node: LiveNode, users: list[User]) -> AsyncIterator[Guest]:
    """Somebody who makes rooms."""
    guest = await Guest.arrive(node, users[2], "owner")
    yield guest
    await guest.leave()


@pytest_asyncio.fixture(loop_scope="module")
async def flooder(node: LiveNode, users: list[User]) -> AsyncIterator[Guest]:
    """Somebody who overdoes it."""
    guest = await Guest.arrive(node, users[10], "flood")
    yield guest
    await guest.leave()


def said_once(lines: list[str], who: str, most: int = 4) -> None:
    """Assert that the log names the one who did it and why, and does not repeat it for every stanza."""
    about = [line for line in lines if who in line and "mlink.refused" in line]
    assert 1 <= len(about) <= most, about[:10]


def tally(guest: Guest, prefix: str) -> collections.Counter[str]:
    """How often each condition answered the stanzas whose ids begin so, "" for what was granted."""
    answers = {element.get("id", ""): stanza_condition(element) or "" for element in guest.heard}
    return collections.Counter(condition for id, condition in answers.items() if id.startswith(prefix))


# One account that joins without end


@pytest.mark.parametrize(
    ("number", "where"), [(3, "new rooms"), (4, "rooms that are there"), (5, "one room"), (6, "one nickname")]
)
async def test_ten_thousand_joins(
    node: LiveNode, users: list[User], owner: Guest, logged: Logged, number: int, where: str
) -> None:
    before = resident(node)
    joiner = users[number]
    there = [f"open{number}@{SERVICE}" for number in range(20)]
    if where != "new rooms":
        for room in there:
            await hosting(owner, room)

    def target(number: int) -> str:
        if where == "new rooms":
            return entering(f"flood{number}@{SERVICE}", "me", id=f"j{number}")
        if where == "rooms that are there":
            return entering(there[number % 20], f"me{number}", id=f"j{number}")
        return entering(there[0], "me" if where == "one nickname" else f"me{number}", id=f"j{number}")

    async def attack() -> None:
        flooder = await Guest.arrive(node, joiner, "flood")
        for start in range(0, JOINS, 200):
            flooder.send("".join(map(target, range(start, start + 200))))
            await flooder.connection.drain()
        await flooder.here()
        # What waits for the store is answered behind that.
        deadline = asyncio.get_running_loop().time() + 20
        while (found := tally(flooder, "j")).total() < JOINS:
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(0.1)
        assert set(found) <= {"", "policy-violation", "resource-constraint"}, found
        assert found[""] <= (100 if where == "new rooms" else 600), found
        await flooder.leave()

    await undisturbed(node, users, attack)
    said_once(logged(), joiner.jid)
    await asyncio.sleep(0.2)
    left = {row["room"] for row in await asyncio.to_thread(node.ctl_json, "room", "list")}
    assert left == (set() if where == "new rooms" else set(there))
    if where != "new rooms":
        assert list(await in_step(node, there[0], [owner])) == ["owner"]
    await memory_returns(node, before)


async def test_a_nickname_that_everybody_wants(node: LiveNode, owner: Guest, crowd: list[Guest]) -> None:
    room = f"collision@{SERVICE}"
    await hosting(owner, room)
    answers = await asyncio.gather(*(guest.enter(room, "napoleon") for guest in crowd))
    assert collections.Counter(answers) == {"": 1, "conflict": CROWD - 1}
    inside = await in_step(node, room, [owner, *crowd])
    (winner,) = [guest for guest, answer in zip(crowd, answers, strict=True) if not answer]
    assert inside == {"owner": [owner.jid], "napoleon": [winner.jid]}
    # The same by a change of nickname, from inside.
    await all_enter([guest for guest in crowd if guest is not winner], room)
    winner.send(f"<presence to='{room}/elba'/>")
    await winner.here()
    answers = await asyncio.gather(*(guest.ask("presence", f"to='{room}/napoleon'") for guest in crowd))
    assert collections.Counter(answers) == {"": 1, "conflict": CROWD - 1}
    inside = await in_step(node, room, [owner, *crowd])
    assert len(inside) == CROWD + 1
    for guest in crowd:
        guest.send(f"<presence type='unavailable' to='{room}/x'/>")
    assert list(await in_step(node, room, [owner, *crowd])) == ["owner"]


async def test_joins_and_kicks_at_the_same_moment(node: LiveNode, owner: Guest, crowd: list[Guest]) -> None:
    room, some = f"kicks@{SERVICE}", crowd[:40]
    await hosting(owner, room)

    async def kick() -> None:
        for turn in range(6):
            for number in range(len(some)):
                out = items(f"nick='g{number}' role='none'")
                owner.send(f"<iq type='set' id='k' to='{room}'>{out}</iq>")
                if turn == 5 and number % 4 == 0:
                    ban = items(f"jid='crowd{number}@localhost' affiliation='outcast'")
                    owner.send(f"<iq type='set' id='b' to='{room}'>{ban}</iq>")
            await asyncio.sleep(0.01)

    async def come(number: int, guest: Guest) -> list[str]:
        return [await guest.enter(room, f"g{number}") for _ in range(8)]

    results = await asyncio.gather(kick(), *(come(number, guest) for number, guest in enumerate(some)))
    answers = {answer for result in results[1:] for answer in result or ()}
    assert answers <= {"", "forbidden"}, answers
    await owner.here()
    inside = await in_step(node, room, [owner, *some])
    assert not {f"g{number}" for number in range(0, len(some), 4)} & set(inside)
    assert {stanza_condition(e) or "" for e in owner.heard if e.get("id") == "k"} <= {"", "item-not-found"}
    for guest in some:
        guest.send(f"<presence type='unavailable' to='{room}/x'/>")


async def test_a_room_destroyed_while_people_join(node: LiveNode, owner: Guest, crowd: list[Guest]) -> None:
    room = f"doomed@{SERVICE}"
    await hosting(owner, room)
    for guest in crowd:
        guest.forget()
    for number, guest in enumerate(crowd):
        if number == CROWD // 2:
            owner.send(f"<iq type='set' id='destroy' to='{room}'><query xmlns='{OWNER}'><destroy/></query></iq>")
        guest.send(entering(room, f"g{number}", id="in"))
        if number % 20 == 0:
            await asyncio.sleep(0)
    answer = await owner.answer("destroy")
    assert answer.get("type") == "result"
    outcomes = collections.Counter[str]()
    for guest in crowd:
        answer = await guest.answer("in")
        if answer.get("type") == "error":
            outcomes[stanza_condition(answer) or "?"] += 1
        elif "201" in codes(answer):
            outcomes["made it anew"] += 1
        else:
            end = await guest.until(lambda e: e.get("type") == "unavailable" and "110" in codes(e))
            assert end.find(f".//{name(USER, 'destroy')}") is not None
            outcomes["saw the end"] += 1
    # Who came behind the end made a new room, locked until it is configured, and the others wait for that.
    assert set(outcomes) <= {"saw the end", "made it anew", "item-not-found"}, outcomes
    assert outcomes["made it anew"] <= 1
    inside = await in_step(node, room, [owner, *crowd])
    assert len(inside) == outcomes["made it anew"]
    for guest in crowd:
        guest.send(f"<presence type='unavailable' to='{room}/x'/>")
    await asyncio.gather(*(guest.here() for guest in crowd))
    fresh = await owner.enter(room, "again")
    assert fresh == ""
    assert "201" in codes(next(e for e in reversed(owner.heard) if e.tag == name(CLIENT, "presence")))
    owner.send(f"<presence type='unavailable' to='{room}/again'/>")


# Those who do not read, vanish, or never stop


async def test_an_occupant_that_does_not_read(
    node: LiveNode, users: list[User], owner: Guest, crowd: list[Guest], logged: Logged
) -> None:
    room, before = f"deaf@{SERVICE}", resident(node)
    await hosting(owner, room)
    await all_enter(crowd, room)
    private = f"<message type='chat' to='{room}/deaf'><body>{'x' * 8000}</body></message>"

    async def attack() -> None:
        for guest in crowd:
            guest.forget()
        deaf = await Guest.arrive(node, users[4], "deaf")
        assert await deaf.enter(room, "deaf") == ""
        transport = deaf.connection._writer.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport.pause_reading()
        for number in range(900):
            owner.send(private)
            if number % 100 == 0:
                owner.send(f"<message type='groupchat' to='{room}'><body>talk {number}</body></message>")
            await owner.connection.drain()
        left = f"{room}/deaf"
        for guest in crowd:
            await guest.until(lambda e: e.get("from") == left and e.get("type") == "unavailable")
        transport.abort()
        await deaf.leave()

    await undisturbed(node, users, attack)
    inside = await in_step(node, room, [owner, *crowd])
    assert len(inside) == CROWD + 1
    ends = [line for line in logged() if f"{users[4].jid}/deaf ended" in line]
    assert ends
    assert all("slow reader" in line for line in ends), ends
    talked = sum(e.findtext(name(CLIENT, "body"), "").startswith("talk") for e in crowd[0].heard)
    assert talked == 9
    for guest in (owner, *crowd):
        guest.forget()
    await memory_returns(node, before, 2 * KEPT_BYTES)


async def test_a_flood_of_presence_in_a_large_room(
    node: LiveNode, users: list[User], owner: Guest, crowd: list[Guest]
) -> None:
    room = f"deaf@{SERVICE}"
    await asyncio.gather(*(guest.enter(room, f"g{n}") for n, guest in enumerate(crowd)))
    rounds = 0

    async def attack() -> None:
        nonlocal rounds
        rounds += 1
        for guest in crowd:
            guest.forget()
        for number in range(2_000):
            crowd[0].send(f"<presence to='{room}/g0'><status>{rounds}.{number}</status></presence>")
            await crowd[0].connection.drain()
        last = f"{rounds}.1999"
        for guest in crowd:
            # The last word arrives, whatever was left out before it.
            await guest.until(lambda e: e.findtext(name(CLIENT, "status")) == last)
        seen = sum(e.get("from") == f"{room}/g0" for e in crowd[1].heard)
        assert seen <= 100, seen

    await undisturbed(node, users, attack)
    await in_step(node, room, [owner, *crowd])
    for guest in crowd:
        guest.send(f"<presence type='unavailable' to='{room}/x'/>")


async def test_clients_that_vanish_while_they_join(node: LiveNode, users: list[User], owner: Guest) -> None:
    room, stored = f"vanish@{SERVICE}", f"stored@{SERVICE}"
    await hosting(owner, room)
    await hosting(owner, stored, fields=field("persistentroom", "1"))

    async def vanish(number: int) -> None:
        guest = await Guest.arrive(node, users[5 + number % 5], f"v{number}")
        block = f"<block xmlns='urn:xmpp:blocking'><item jid='{room}'/></block>"
        unblock = f"<unblock xmlns='urn:xmpp:blocking'><item jid='{room}'/></unblock>"
        for place in (room, stored, f"brief{number}@{SERVICE}"):
            guest.send(entering(place, f"v{number}"))
        if number % 4 == 1:
            guest.send(f"<presence to='{room}/w{number}'/>")
        if number % 4 == 2:
            # Even who has blocked the room meanwhile leaves it.
            guest.send(f"<iq type='set' id='b'>{block}</iq>")
        if number % 4 == 3:
            with contextlib.suppress(StreamEnded):
                await guest.until(lambda e: e.tag == name(CLIENT, "presence"))
        await guest.connection.drain()
        guest.connection._writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        await guest.leave()
        if number % 4 == 2:
            again = await Guest.arrive(node, users[5 + number % 5], f"u{number}")
            assert await again.ask("iq", "type='set'", unblock) == ""
            await again.leave()

    for start in range(0, 60, 15):  # fewer at a time than an account may have sessions
        await asyncio.gather(*(vanish(number) for number in range(start, start + 15)))
    await asyncio.sleep(0.3)
    for place in (room, stored):
        assert await in_step(node, place, [owner]) == {"owner": [owner.jid]}
    left = {row["room"] for row in await asyncio.to_thread(node.ctl_json, "room", "list")}
    assert not [place for place in left if place.startswith("brief")]
    assert await owner.set(stored, f"<query xmlns='{OWNER}'><destroy/></query>") == ""


async def test_floods_of_invitations_and_requests(
    node: LiveNode, users: list[User], owner: Guest, flooder: Guest, logged: Logged
) -> None:
    room, before = f"asking@{SERVICE}", resident(node)
    await hosting(owner, room, fields=field("moderatedroom", "1"))
    visitor = await Guest.arrive(node, users[11], "visitor")
    assert await visitor.enter(room, "visitor") == ""
    assert await flooder.enter(room, "flooder") == ""
    assert await owner.set(room, items("nick='flooder' role='participant'")) == ""
    request = (
        f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MUC}#request</value></field>"
        "<field var='muc#role'><value>participant</value></field></x>"
    )

    async def attack() -> None:
        for guest in (owner, flooder, visitor):
            guest.forget()
        for start in range(0, JOINS, 100):
            flooder.send(
                "".join(
                    f"<message id='i{n}' to='{room}'><x xmlns='{USER}'><invite to='crowd{n}@localhost'/></x></message>"
                    for n in range(start, start + 100)
                )
            )
            visitor.send(f"<message id='v' to='{room}'>{request}</message>" * 10)
            await flooder.connection.drain()
            await visitor.connection.drain()
        await asyncio.gather(flooder.here(), visitor.here(), owner.here())
        for guest, id, most in ((flooder, "i", JOINS), (visitor, "v", JOINS // 10)):
            refusals = [stanza_condition(e) for e in guest.heard if e.get("id", "").startswith(id)]
            assert set(refusals) == {"resource-constraint"}
            assert len(refusals) >= most - 40, len(refusals)
        asked = [e for e in owner.heard if f"{MUC}#request" in "".join(e.itertext())]
        assert len(asked) <= 30, len(asked)

    await undisturbed(node, users, attack)
    said_once(logged(), users[10].jid)
    said_once(logged(), users[11].jid)
    await in_step(node, room, [owner, flooder, visitor])
    await visitor.leave()
    await memory_returns(node, before)


async def test_a_flood_of_private_messages(
    node: LiveNode, users: list[User], owner: Guest, flooder: Guest, logged: Logged
) -> None:
    room = f"whispers@{SERVICE}"
    await hosting(owner, room)
    assert await flooder.enter(room, "flooder") == ""
    message = f"<message type='chat' to='{room}/owner'><body>psst</body></message>" * 50
    nobody = f"<message type='chat' id='n' to='{room}/nobody'><body>psst</body></message>" * 50

    async def attack() -> None:
        owner.forget()
        flooder.forget()
        for _ in range(40):
            flooder.send(message + nobody)
            await flooder.connection.drain()
        await flooder.here()
        await owner.here()
        assert sum(e.get("from") == f"{room}/flooder" for e in owner.heard) == 2_000
        assert [stanza_condition(e) for e in flooder.heard if e.get("id") == "n"] == ["item-not-found"] * 2_000

    await undisturbed(node, users, attack)
    said_once(logged(), users[10].jid, 1)
    await in_step(node, room, [owner, flooder])
    assert await owner.set(room, form()) == ""
