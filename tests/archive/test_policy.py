"""What is archived, by kind, domain, person and room, in whole conversations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from archive.memory import MemoryReader
from archive.options import ArchiveOptions, RoomArchiveOptions
from archive.selection.resident import Read, ResidentDecisions
from tests.archive.test_engine import Rows, condition, rows
from tests.archive.test_rooms import ROOM, WITH_ROOMS, codes, enter, say
from tests.story import Story
from xmpp_engine.xml import ns

Begin = Callable[..., Any]


@pytest.fixture
def decisions() -> ResidentDecisions:
    return ResidentDecisions()


@pytest.fixture
def begin(story: Story, decisions: ResidentDecisions) -> Begin:
    """Begin a story; `people` and `rooms` are options of the two modules, `logging` what rooms are configured to."""

    async def begun(
        people: dict[str, Any] | None = None, rooms: str = "room", *, logging: bool = True, **given: Any
    ) -> Any:
        reader = MemoryReader(Rows())
        options = {
            "archive": people or {},
            "room_archive": {"rooms": rooms},
            "muc": {"services": {"conference": {"defaults": {"persistent": True, "logging": logging}}}},
        }
        extras = {"archive": reader, "archive decisions": decisions}
        world = await story.begin(modules=tuple(WITH_ROOMS), extras=extras, options=options, **given)
        reader._rows.world = world  # type: ignore[attr-defined]
        clients = await story("alice", "bob")
        for client in clients:
            await client.comes_online()
        return clients

    return begun


async def owners(story: Story) -> list[tuple[bool, bool, int]]:
    """Of each row, whether it stands in the sender's and in the recipient's archive, and the room."""
    return [(bool(row.sender_account), bool(row.recipient_account), row.room) for row in await rows(story)]


def write(one: Any, other: Any, type: str = "chat", body: str = "hello") -> None:
    one.send(f"<message to='{other.full}' type='{type}'><body>{body}</body></message>")


@pytest.mark.parametrize(
    ("kinds", "stored"),
    [
        (["chat", "normal", "private"], ["chat", "normal", "private"]),
        (["chat"], ["chat"]),
        (["normal", "headline"], ["normal", "headline"]),
        (["private"], ["private"]),
        (["chat", "private", "headline"], ["chat", "headline", "private"]),
        ([], []),
    ],
)
async def test_kinds(begin: Begin, story: Story, kinds: list[str], stored: list[str]) -> None:
    alice, bob = await begin({"kinds": kinds, "users": "always"})
    for client, nick in ((alice, "Alice"), (bob, "Bob")):
        await enter(client, nick)
    for type in ("chat", "normal", "headline"):
        write(alice, bob, type, type)
    alice.send(
        f"<message to='{ROOM}/Bob' type='chat'><body>private</body><x xmlns='http://jabber.org/protocol/muc#user'/>"
        "</message>"
    )
    found = await rows(story)
    assert sorted({row.body for row in found}) == sorted(stored)
    # A private message is a row for each: the room stands between the two.
    assert len(found) == len(stored) + ("private" in stored)


@pytest.mark.parametrize(
    ("domain", "alone", "own", "stored"),
    [
        ("choice", None, "", True),
        ("choice", None, "never", False),
        ("always", None, "never", True),
        ("never", None, "always", False),
        ("never", True, "never", True),
        ("always", False, "always", False),
        ("choice", True, "never", True),
        ("choice", False, "always", False),
    ],
)
async def test_who_decides_for_a_person(
    begin: Begin,
    story: Story,
    decisions: ResidentDecisions,
    domain: str,
    alone: bool | None,
    own: str,
    stored: bool,
) -> None:
    alice, bob = await begin({"users": domain})
    if alone is not None:
        decisions.take(Read(1, {alice.bare: alone}, {}))
    alice.account.data.archive = own
    write(alice, bob)
    write(bob, alice)
    others = {"choice": True, "always": True, "never": False}[domain]
    expected = [(stored, others, 0), (others, stored, 0)]
    assert await owners(story) == [each for each in expected if each[0] or each[1]]


async def test_preferences_say_what_is_in_force(begin: Begin, story: Story, decisions: ResidentDecisions) -> None:
    alice, _bob = await begin()
    ask = "<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>"
    change = "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='roster'/></iq>"

    async def default() -> str | None:
        prefs = (await alice.asks(ask)).find(ns.MAM, "prefs")
        assert prefs is not None
        return prefs.get("default")

    assert await default() == "always"
    decisions.take(Read(1, {alice.bare: False}, {}))
    assert await default() == "never"
    assert condition(await alice.asks(change)) == "forbidden"
    decisions.take(Read(2, {}, {}))
    assert (await alice.asks(change)).get("type") == "result"
    assert await default() == "roster"
    story.world.host.modules["archive"].reconfigured(ArchiveOptions(users="always"))
    assert await default() == "always"
    assert condition(await alice.asks(change)) == "not-allowed"


@pytest.mark.parametrize(
    ("domain", "alone", "own", "stored"),
    [
        ("room", None, True, True),
        ("room", None, False, False),
        ("always", None, False, True),
        ("never", None, True, False),
        ("never", True, False, True),
        ("always", False, True, False),
    ],
)
async def test_who_decides_for_a_room(
    begin: Begin,
    story: Story,
    decisions: ResidentDecisions,
    domain: str,
    alone: bool | None,
    own: bool,
    stored: bool,
) -> None:
    # What people's archives take is another matter.
    alice, bob = await begin({"users": "never"}, domain, logging=own)
    if alone is not None:
        decisions.take(Read(1, {}, {ROOM: alone}))
    await enter(alice, "Alice")
    bob.send(f"<presence to='{ROOM}/Bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    entered = [child.get("code") for found in await bob.receives_all() for child in codes(found)]
    assert ("170" in entered) == stored
    say(alice, "hello")
    write(alice, bob)
    assert [row.body for row in await rows(story)] == (["hello"] if stored else [])


async def test_who_is_inside_is_told_of_a_decision(begin: Begin, story: Story, decisions: ResidentDecisions) -> None:
    alice, bob = await begin()
    for client, nick in ((alice, "Alice"), (bob, "Bob")):
        await enter(client, nick)
    await alice.receives_all()

    async def told(client: Any) -> list[str | None]:
        return [child.get("code") for found in await client.receives_all() for child in codes(found)]

    module = story.world.host.modules["room_archive"]
    decisions.take(Read(1, {}, {ROOM: True}))
    assert await told(alice) == []
    decisions.take(Read(2, {}, {ROOM: False}))
    assert (await told(alice), await told(bob)) == (["171"], ["171"])
    say(alice, "off the record")
    module.reconfigured(RoomArchiveOptions(rooms="always"))
    assert [code for code in await told(bob) if code in ("170", "171")] == []
    decisions.take(Read(3, {}, {}))
    assert "170" in await told(bob)
    module.reconfigured(RoomArchiveOptions(rooms="never"))
    assert "171" in await told(bob)
    say(alice, "neither this")
    module.reconfigured(RoomArchiveOptions())
    assert "170" in await told(bob)
    say(bob, "for the record")
    assert [row.body for row in await rows(story)] == ["for the record"]


def test_options_that_make_no_sense() -> None:
    for given in ({"kinds": ["groupchat"]}, {"kinds": "chat"}, {"kinds": 3}, {"users": "sometimes"}):
        with pytest.raises(ValueError):
            ArchiveOptions(**given)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        RoomArchiveOptions(rooms="perhaps")  # type: ignore[arg-type]
    # As JSON has them.
    assert ArchiveOptions(kinds=["private", "chat"]) == replace(ArchiveOptions(), kinds=("chat", "private"))
