"""Publish-subscribe when several do several things at the same moment: with nodes, their owners, and collections. Each
is answered, what was granted holds, and nothing is stuck.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.hostile.feeds import (
    GRANTED,
    Answer,
    alive,
    arrive_all,
    ask,
    events,
    form,
    make,
    neighbours,
    publication,
    subscribe,
    subscription,
)
from tests.hostile.guests import Guest
from tests.live import LiveNode, User

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
CROWD = 40


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


async def test_publications_and_deletions_at_the_same_moment(
    node: LiveNode, users: list[User], owner: Guest, crowd: list[Guest]
) -> None:
    publishers, listeners = crowd[:20], crowd[20:30]

    async def attack() -> None:
        for turn in range(5):
            name = f"brief{turn}"
            await make(owner, name, ("publish_model", "open"))
            await asyncio.gather(*(subscribe(listener, name) for listener in listeners))
            for guest in crowd:
                guest.forget()

            async def publish(guest: Guest, name: str = name) -> list[Answer]:
                return [await ask(guest, publication(name)) for _ in range(10)]

            async def remove(name: str = name) -> Answer:
                await listeners[0].until(lambda _element: len(events(listeners[0], name)) >= 20)
                return await ask(owner, f"<delete node='{name}'/>", owner=True)

            answers, gone = await asyncio.gather(asyncio.gather(*map(publish, publishers)), remove())
            assert gone == GRANTED
            flat = collections.Counter(itertools.chain.from_iterable(answers))
            assert set(flat) <= {GRANTED, ("item-not-found", "")}, flat
            # Answered means done: everybody heard of each publication that was granted, then of the end.
            end = f".//{{*}}delete[@node='{name}']"
            for listener in listeners:
                await listener.until(lambda element, end=end: element.find(end) is not None)
                assert len(events(listener, name)) == flat[GRANTED], flat
            assert await ask(owner, f"<items node='{name}'/>", type="get") == ("item-not-found", "")

    await neighbours(node, users, attack)


async def test_everything_at_the_same_moment(node: LiveNode, owner: Guest, crowd: list[Guest]) -> None:
    names = [f"storm{number}" for number in range(4)]

    async def act(number: int, guest: Guest) -> list[Answer]:
        name = names[number % len(names)]
        opened = form("node_config", ("publish_model", "open"))
        given = f"<affiliation jid='{guest.jid}' affiliation='owner'/>"
        steps: list[tuple[str, bool, str]] = [
            (f"<create node='{name}'/><configure>{opened}</configure>", False, "set"),
            (subscription(name, guest.jid), False, "set"),
            (publication(name, f"i{number}"), False, "set"),
            (f"<configure node='{name}'>{form('node_config', ('title', str(number)))}</configure>", True, "set"),
            (f"<items node='{name}'/>", False, "get"),
            (f"<retract node='{name}' notify='1'><item id='i{number}'/></retract>", False, "set"),
            (f"<affiliations node='{name}'>{given}</affiliations>", True, "set"),
            (f"<purge node='{name}'/>", True, "set"),
            (f"<unsubscribe node='{name}' jid='{guest.jid}'/>", False, "set"),
            (f"<delete node='{name}'/>", True, "set"),
        ]
        answers = []
        for turn in range(30):
            payload, owning, type = steps[(turn + number) % len(steps)]
            answers.append(await ask(guest, payload, owner=owning, type=type))
        return answers

    answers = await asyncio.gather(*(act(number, guest) for number, guest in enumerate(crowd)))
    flat = collections.Counter(itertools.chain.from_iterable(answers))
    assert {answer[0] for answer in flat} <= {
        "",
        "conflict",
        "forbidden",
        "item-not-found",
        "unexpected-request",
        "not-acceptable",
        "policy-violation",
        "resource-constraint",
    }, flat
    # Nothing is stuck: whoever has a node can be asked, and a new one works.
    for name in names:
        assert (await ask(owner, f"<items node='{name}'/>", type="get"))[0] in {"", "item-not-found"}
    await make(owner, "after the storm")
    await subscribe(crowd[0], "after the storm")
    await alive(crowd[:1], owner, "after the storm")


async def test_one_name_that_everybody_wants(crowd: list[Guest]) -> None:
    answers = await asyncio.gather(*(ask(guest, "<create node='one name'/>") for guest in crowd))
    assert collections.Counter(answers) == {GRANTED: 1, ("conflict", ""): CROWD - 1}
    winner = crowd[answers.index(GRANTED)]
    gone = await asyncio.gather(*(ask(winner, "<delete node='one name'/>", owner=True) for _ in range(10)))
    assert collections.Counter(gone) == {GRANTED: 1, ("item-not-found", ""): 9}


async def test_the_last_owners_leave_at_the_same_moment(owner: Guest, crowd: list[Guest]) -> None:
    await make(owner, "orphan")
    heir = crowd[0]
    bare = [guest.jid.partition("/")[0] for guest in (owner, heir)]
    given = f"<affiliations node='orphan'><affiliation jid='{bare[1]}' affiliation='owner'/></affiliations>"
    assert await ask(owner, given, owner=True) == GRANTED

    def resign(number: int) -> str:
        return f"<affiliations node='orphan'><affiliation jid='{bare[number]}' affiliation='none'/></affiliations>"

    answers = await asyncio.gather(ask(owner, resign(0), owner=True), ask(heir, resign(1), owner=True))
    assert collections.Counter(answer[0] for answer in answers) == {"": 1, "not-acceptable": 1}


# Collections


async def test_circles_of_collections_that_several_close_at_once(crowd: list[Guest], owner: Guest) -> None:
    everybody = ("children_association_policy", "all")
    names = [f"ring{number}" for number in range(6)]
    for name in names:
        await make(owner, name, ("node_type", "collection"), everybody)
    await make(owner, "pearl", ("collection", names[0]))
    links = list(itertools.permutations(range(len(names)), 2))
    answers = await asyncio.gather(
        *(
            ask(owner, f"<collection node='{names[one]}'><associate node='{names[other]}'/></collection>", owner=True)
            for one, other in links
        )
    )
    assert set(answers) <= {GRANTED, ("not-allowed", "invalid-options"), ("not-allowed", "max-nodes-exceeded")}, (
        collections.Counter(answers)
    )
    # What was granted is no circle.
    above = collections.defaultdict(set)
    for (one, other), answer in zip(links, answers, strict=True):
        if answer == GRANTED:
            above[other].add(one)

    def reaches(start: int, seen: frozenset[int] = frozenset()) -> bool:
        return start in seen or any(reaches(parent, seen | {start}) for parent in above[start])

    assert not any(reaches(number) for number in range(len(names)))
    # Events still go up through all of it, once for each subscriber.
    listener = crowd[0]
    for name in names:
        options = form("subscribe_options", ("subscription_type", "items"), ("subscription_depth", "all"))
        assert await ask(listener, f"{subscription(name, listener.jid)}<options>{options}</options>") == GRANTED
    listener.forget()
    await alive([listener], owner, "pearl")
    assert len(events(listener, "pearl")) == 1


async def test_deep_and_wide_collections_have_an_end(owner: Guest) -> None:
    await make(owner, "deep0", ("node_type", "collection"))
    for number in range(1, 60):
        made = form("node_config", ("node_type", "collection"), ("collection", f"deep{number - 1}"))
        answer = await ask(owner, f"<create node='deep{number}'/><configure>{made}</configure>")
        if answer != GRANTED:
            assert answer[0] in {"not-allowed", "resource-constraint", "policy-violation"}, answer
            break
    else:
        raise AssertionError("collections in collections without end")
