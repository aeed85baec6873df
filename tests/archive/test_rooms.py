"""The archives of rooms in whole conversations: what is stored, who may read it, what answers hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from archive import ids
from archive.access import may_read, sees_addresses
from archive.memory import MemoryReader
from tests.archive.test_engine import Rows, condition, field, rows, stanza_ids
from tests.story import MODULES, Story
from xmpp_engine.muc.config import RoomConfig
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

WITH_ROOMS = dict.fromkeys(
    (
        *MODULES,
        "archive.engine.Archive",
        "xmpp_engine.muc.module.Muc",
        "xmpp_engine.muc.owner.RoomOwner",
        "xmpp_engine.muc.moderation.RoomModeration",
        "archive.rooms.RoomArchive",
    )
)
ROOM = "hall@conference.story.example"
Begin = Callable[..., Any]


@pytest.fixture
def begin(story: Story) -> Begin:
    """Begin a story with rooms and archives; `room` are fields of RoomConfig for new rooms."""

    async def begun(*, strict: bool = False, **room: Any) -> Any:
        reader = MemoryReader(Rows())
        defaults = {"persistent": True, **room}
        options = {"muc": {"services": {"conference": {"defaults": defaults}}}}
        world = await story.begin(
            modules=tuple(WITH_ROOMS), extras={"archive": reader}, options=options, archive_strict=strict
        )
        reader._rows.world = world  # type: ignore[attr-defined]
        return world

    return begun


async def enter(client: Any, nick: str) -> None:
    """Enter the room, which is made by the first, and forget what came of it."""
    client.send(f"<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    if any(child.get("code") == "201" for found in await client.receives_all() for child in codes(found)):
        await client.asks(
            f"<iq type='set' id='own' to='{ROOM}'><query xmlns='http://jabber.org/protocol/muc#owner'>"
            "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
        )
    await client.receives_all()


def codes(presence: Element) -> list[Element]:
    mark = presence.find(ns.MUC_USER, "x")
    return mark.find_all(ns.MUC_USER, "status") if mark is not None else []


async def ask(client: Any, fields: str = "", rsm: str = "", query: str = "") -> tuple[list[Element], Element]:
    """The messages of an answer, as they were sent, and the fin or the error."""
    form = f"<x xmlns='jabber:x:data' type='submit'>{field('FORM_TYPE', 'urn:xmpp:mam:2')}{fields}</x>"
    client.send(
        f"<iq type='set' id='q' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'>{form}"
        f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>{query}</query></iq>"
    )
    found = await client.receives_all()
    answer = found.pop()
    if answer.get("type") == "error":
        return [], answer
    inner = []
    for message in found:
        assert message.get("from") == ROOM
        forwarded = message.find(ns.MAM, "result").find(ns.FORWARD, "forwarded")  # type: ignore[union-attr]
        inner.append(forwarded.find(ns.CLIENT, "message"))
    return inner, answer.find(ns.MAM, "fin")  # type: ignore[return-value]


def bodies(messages: list[Element]) -> list[str]:
    return [message.child_text(ns.CLIENT, "body") or "" for message in messages]


async def pair(begin: Begin, story: Story, **room: Any) -> Any:
    """Alice, whose room it is, and Bob, both inside."""
    await begin(**room)
    alice, bob = await story("alice", "bob")
    for client, nick in ((alice, "Alice"), (bob, "Bob")):
        await client.comes_online()
        await enter(client, nick)
    await alice.receives_all()
    return alice, bob


def say(client: Any, inner: str, id: str = "m1") -> None:
    inner = inner if inner.startswith("<") else f"<body>{inner}</body>"
    client.send(f"<message to='{ROOM}' type='groupchat' id='{id}'>{inner}</message>")


async def test_a_message_is_one_row_with_who_spoke(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    say(bob, "<body>hello</body><stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='" + ROOM + "'/>")
    for client in (alice, bob):
        message = await client.receives(f"<message type='groupchat' from='{ROOM}/Bob'><body>hello</body></message>")
        (row,) = await rows(story)
        assert stanza_ids(message) == [(ROOM, ids.text_of(row.id))]
    assert (row.sender, row.recipient, row.kind, row.body, row.origin_id) == (
        bob.bare,
        ROOM,
        "groupchat",
        "hello",
        "m1",
    )
    assert (row.sender_account, row.recipient_account) == (0, 0)
    assert row.room > 0
    assert f"from='{ROOM}/Bob'" in row.xml
    assert bob.bare not in row.xml
    assert "forged" not in row.xml


async def test_the_senders_acknowledgement_waits_for_the_row(begin: Begin, story: Story) -> None:
    _alice, bob = await pair(begin, story)
    seen = []
    original = story.world.services.ledger.archive
    story.world.host.modules["room_archive"]._ledger = _Watching(original, seen)
    say(bob, "hello")
    await bob.receives("<message><body>hello</body></message>")
    assert seen == [story.world.services.ledger.seq]


class _Watching:
    """A ledger that notes its numbers."""

    def __init__(self, archive: Any, seen: list[int]) -> None:
        self._archive, self._seen = archive, seen

    def archive(self, row: Any) -> int:
        number: int = self._archive(row)
        self._seen.append(number)
        return number


@pytest.mark.parametrize(
    ("inner", "stored"),
    [
        ("<body>x</body>", True),
        ("<body>x</body><no-store xmlns='urn:xmpp:hints'/>", False),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
        ("<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>", True),
        ("<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", True),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", False),
        ("<x xmlns='http://jabber.org/protocol/muc#user'/>", False),
    ],
)
async def test_what_is_worth_archiving(begin: Begin, story: Story, inner: str, stored: bool) -> None:
    alice, bob = await pair(begin, story)
    say(bob, inner)
    await alice.receives("<message type='groupchat'/>")
    assert bool(await rows(story)) is stored


async def test_a_subject_is_archived(begin: Begin, story: Story) -> None:
    alice, _bob = await pair(begin, story)
    say(alice, "<subject>Cakes</subject>")
    await alice.receives("<message><subject>Cakes</subject></message>")
    assert [row.sender for row in await rows(story)] == [alice.bare]


@pytest.mark.parametrize("room", [{"logging": False}, {"persistent": False}])
async def test_a_room_without_archive_gives_ids_all_the_same(begin: Begin, story: Story, room: dict[str, Any]) -> None:
    alice, bob = await pair(begin, story, **room)
    say(bob, "hello")
    message = await alice.receives("<message><body>hello</body></message>")
    assert [by for by, _id in stanza_ids(message)] == [ROOM]
    assert await rows(story) == []
    found, fin = await ask(alice)
    assert (found, fin.name) == ([], "fin")
    info = await alice.asks(f"<iq type='get' id='d' to='{ROOM}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    assert ns.MAM not in features(info)


def features(info: Element) -> set[str | None]:
    query = info.find(ns.DISCO_INFO, "query")
    assert query is not None
    return {child.get("var") for child in query.find_all(ns.DISCO_INFO, "feature")}


async def test_private_messages_are_not_in_the_rooms_archive(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    bob.send(f"<message to='{ROOM}/Alice' type='chat'><body>psst</body></message>")
    await alice.receives("<message type='chat'><body>psst</body></message>")
    assert (await ask(alice))[0] == []
    assert {row.room for row in await rows(story)} == {0}


@pytest.mark.parametrize("blocks", ["", "somebody@elsewhere.example", f"{ROOM}/Bob"])
async def test_a_private_message_is_in_both_archives_once(begin: Begin, story: Story, blocks: str) -> None:
    alice, bob = await pair(begin, story)
    other = await story.world.login("alice", "phone")
    await other.comes_online()
    await enter(other, "Alice")
    await alice.receives_all()
    alice.account.data.blocked = {blocks} - {""}
    bob.send(f"<message to='{ROOM}/Alice' type='chat' id='p1'><body>psst</body></message>")
    refused = blocks == f"{ROOM}/Bob"
    given = set()
    for client in (alice, other):
        found = [message for message in await client.receives_all() if message.get("id") == "p1"]
        assert len(found) == (not refused)
        for message in found:
            assert message.get("from") == f"{ROOM}/Bob"
            given.update(stanza_ids(message))
    sent, *received = await rows(story)
    assert (sent.sender, sent.recipient, sent.sender_account) == (bob.bare, ROOM, bob.account.id)
    assert sent.recipient_account == 0
    if refused:
        assert (received, given) == ([], set())
        return
    (row,) = received
    # The recipient's archive knows the occupant, and not who that is.
    assert (row.sender, row.recipient, row.recipient_account) == (ROOM, alice.bare, alice.account.id)
    assert bob.bare not in row.xml
    assert given == {(alice.bare, ids.text_of(row.id))}


async def test_the_acknowledgement_of_a_private_message_waits_for_both_rows(begin: Begin, story: Story) -> None:
    _alice, bob = await pair(begin, story)
    bob.send("<enable xmlns='urn:xmpp:sm:3'/>")
    await bob.receives("<enabled xmlns='urn:xmpp:sm:3'/>")
    before = story.world.services.ledger.seq
    bob.send(f"<message to='{ROOM}/Alice' type='chat'><body>psst</body></message><r xmlns='urn:xmpp:sm:3'/>")
    await story.world.settle()
    ledger = story.world.services.ledger
    assert ledger.seq == before + 2
    await bob.receives("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    assert ledger.committed == before + 2


async def test_pages_flipped_and_filtered(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    for number in range(6):
        say((alice, bob)[number % 2], f"word{number} common")
    await alice.receives_all()
    await bob.receives_all()
    info = await alice.asks(f"<iq type='get' id='d' to='{ROOM}'><query xmlns='{ns.DISCO_INFO}'/></iq>")
    assert {ns.MAM, ns.MAM_EXTENDED, ns.FULLTEXT, ns.STANZA_ID, ns.RETRACT_TOMBSTONE} <= features(info)
    found, fin = await ask(bob, rsm="<max>2</max><before/>", query="<flip-page/>")
    assert bodies(found) == ["word5 common", "word4 common"]
    assert fin.get("complete") is None
    assert bodies((await ask(bob, field("with", f"{ROOM}/Alice")))[0]) == [f"word{n} common" for n in (0, 2, 4)]
    assert len((await ask(bob, field("with", ROOM)))[0]) == 6
    assert bodies((await ask(bob, field("{urn:xmpp:fulltext:0}fulltext", "word3")))[0]) == ["word3 common"]
    answer = await bob.asks(f"<iq type='get' id='f' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'/></iq>")
    assert answer.find(ns.MAM, "query").find(ns.DATA_FORMS, "x") is not None  # type: ignore[union-attr]
    answer = await bob.asks(f"<iq type='get' id='m' to='{ROOM}'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
    stored = await rows(story)
    start = answer.find(ns.MAM, "metadata").find(ns.MAM, "start")  # type: ignore[union-attr]
    assert start is not None
    assert start.get("id") == ids.text_of(stored[0].id)
    _found, error = await ask(bob, rsm="<after>0123456789abcdef</after>")
    assert condition(error) == "item-not-found"


async def test_who_sees_real_addresses(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    say(bob, "hello")
    await alice.receives_all()
    await bob.receives_all()
    ((message,), _fin) = await ask(alice)
    item = message.find(ns.MUC_USER, "x").find(ns.MUC_USER, "item")  # type: ignore[union-attr]
    assert item is not None
    assert item.get("jid") == bob.bare
    assert bodies((await ask(alice, field("with", bob.bare)))[0]) == ["hello"]
    ((message,), _fin) = await ask(bob)
    assert message.find(ns.MUC_USER, "x") is None
    assert condition((await ask(bob, field("with", bob.bare)))[1]) == "forbidden"


async def test_in_a_room_without_anonymity_all_see_them(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story, whois="anyone")
    say(alice, "hello")
    await bob.receives_all()
    ((message,), _fin) = await ask(bob)
    item = message.find(ns.MUC_USER, "x").find(ns.MUC_USER, "item")  # type: ignore[union-attr]
    assert item is not None
    assert (item.get("jid"), item.get("affiliation")) == (alice.bare, "owner")


async def test_who_is_outside_reads_as_the_room_says(begin: Begin, story: Story) -> None:
    _alice, bob = await pair(begin, story, archive_access="participants")
    carol = await story("carol")
    await carol.comes_online()
    say(bob, "hello")
    assert condition((await ask(carol))[1]) == "forbidden"
    for request in ("query", "metadata"):
        answer = await carol.asks(f"<iq type='get' id='x' to='{ROOM}'><{request} xmlns='urn:xmpp:mam:2'/></iq>")
        assert condition(answer) == "forbidden"
    await enter(carol, "Carol")
    assert bodies((await ask(carol))[0]) == ["hello"]


async def test_a_retraction_leaves_a_tombstone_and_the_history(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    say(bob, "oh no")
    message = await alice.receives("<message><body>oh no</body></message>")
    id = stanza_ids(message)[0][1]
    # Alice's own attempt is heard by everybody and changes nothing.
    say(alice, f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>", "r1")
    await bob.receives_all()
    assert bodies((await ask(bob))[0]) == ["oh no", ""]
    say(bob, f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>", "r2")
    await bob.receives_all()
    found, _fin = await ask(bob)
    assert bodies(found) == ["", "", ""]
    mark = found[0].find(ns.RETRACT, "retracted")
    assert mark is not None
    assert mark.get("id") == "r2"
    carol = await story("carol")
    await carol.comes_online()
    carol.send(f"<presence to='{ROOM}/Carol'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    history = [each for each in await carol.receives_all() if each.name == "message"]
    assert "oh no" not in bodies(history)


async def test_history_comes_back_from_the_archive(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    say(bob, "hello")
    say(bob, "oh no", "m2")
    id = [stanza_ids(each)[0][1] for each in await alice.receives_all()][-1]
    say(bob, f"<retract xmlns='urn:xmpp:message-retract:1' id='{id}'/>", "r1")
    await alice.receives_all()
    for client, nick in ((alice, "Alice"), (bob, "Bob")):
        client.send(f"<presence type='unavailable' to='{ROOM}/{nick}'/>")
        await client.receives_all()
    service = story.world.host.modules["muc"].chat["conference.story.example"]
    for _ in range(5):
        story.world.clock.advance(60.0)
        await story.world.settle()
    assert service.rooms == {}, "the room is not resident any more"
    alice.send(f"<presence to='{ROOM}/Alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    history = [each for each in await alice.receives_all() if each.name == "message"][:-1]
    assert bodies(history) == ["hello", "", ""]
    assert [each.get("from") for each in history] == [f"{ROOM}/Bob"] * 3
    stored = await rows(story)
    assert [stanza_ids(each) for each in history] == [[(ROOM, ids.text_of(row.id))] for row in stored]
    assert history[1].find(ns.RETRACT, "retracted") is not None


async def test_what_was_stored_before_a_crash_is_not_stored_twice(begin: Begin, story: Story) -> None:
    _alice, bob = await pair(begin, story)
    say(bob, "hello")
    message = await bob.receives("<message><body>hello</body></message>")
    archive = story.world.host.modules["archive"]
    archive._remember_stored(await archive._reader.stored_since(0.0, 100))
    say(bob, "hello")
    again = await bob.receives("<message><body>hello</body></message>")
    assert stanza_ids(again) == stanza_ids(message)
    say(bob, "hello", "m2")
    assert len(await rows(story)) == 2


async def test_a_strict_archive_sends_only_what_is_durable(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story, strict=True)
    memory = story.world.stores.memory
    say(bob, "one", "m1")
    say(bob, "two", "m2")
    assert not alice.wire.inbox
    assert not memory.archive
    await alice.receives("<message id='m1'/>", "<message id='m2'/>")
    assert [row.body for row in await rows(story)] == ["one", "two"]


ACCESS = ("anyone", "participants", "members", "admins", "owners", "nobody")


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        # (affiliation, role): the accesses that let him read, in an open room.
        (("outcast", "none"), set()),
        (("outcast", "participant"), set()),
        (("none", "none"), {"anyone"}),
        (("none", "visitor"), {"anyone"}),
        (("none", "participant"), {"anyone", "participants"}),
        (("none", "moderator"), {"anyone", "participants"}),
        (("member", "none"), {"anyone", "participants", "members"}),
        (("member", "visitor"), {"anyone", "participants", "members"}),
        (("admin", "none"), {"anyone", "participants", "members", "admins"}),
        (("owner", "none"), {"anyone", "participants", "members", "admins", "owners"}),
        (("owner", "moderator"), {"anyone", "participants", "members", "admins", "owners"}),
        (("what is this", "moderator"), set()),
    ],
)
def test_who_may_read(who: tuple[str, str], allowed: set[str]) -> None:
    assert {access for access in ACCESS if may_read(RoomConfig(archive_access=access), *who)} == allowed  # type: ignore[arg-type]
    closed = {access for access in ACCESS if may_read(RoomConfig(archive_access=access, members_only=True), *who)}  # type: ignore[arg-type]
    assert closed == (set() if who[0] == "none" else allowed)
    locked = {access for access in ACCESS if may_read(RoomConfig(archive_access=access, secret="x"), *who)}  # type: ignore[arg-type]
    assert locked == (set() if who == ("none", "none") else allowed)
    assert not may_read(RoomConfig(archive_access="everybody and more"), *who)  # type: ignore[arg-type]


def test_who_is_shown_addresses() -> None:
    hidden, open_ = RoomConfig(), RoomConfig(whois="anyone")
    assert sees_addresses(open_, "none", "visitor")
    assert sees_addresses(hidden, "none", "moderator")
    assert sees_addresses(hidden, "admin")
    assert not sees_addresses(hidden, "member", "participant")


async def test_what_is_said_before_the_room_is_stored_is_archived(begin: Begin, story: Story) -> None:
    alice, _bob = await pair(begin, story, persistent=False)
    room = story.world.module("muc").room(ROOM)
    say(alice, "not for long")
    assert await rows(story) == []
    room.reconfigure(room.with_config(persistent=True))
    say(alice, "the first words")
    assert not room.saver.idle, "the store does not have the room yet"
    assert await story.world.stores.rooms.load(room.service.domain, "hall") is None
    (row,) = await rows(story)
    assert (row.body, row.room) == ("the first words", room.number)
    await room.saved()
    stored = await story.world.stores.rooms.load(room.service.domain, "hall")
    assert stored is not None
    assert stored.number == row.room
    await alice.receives_all()
    assert bodies((await ask(alice))[0]) == ["the first words"]
