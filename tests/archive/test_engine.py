"""The archive's module in whole conversations: what is stored, which ids are given, what queries answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from archive import ids
from archive.engine import RESEND_SECONDS
from archive.filters import text_key
from archive.memory import MemoryReader
from archive.text import index_text
from tests.story import MODULES, Story
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import ArchiveRow
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

WITH_ARCHIVE = (*MODULES, "archive.engine.Archive")
Begin = Callable[..., Any]


class Rows:
    """A live view of the rows in the memory of a story."""

    def __init__(self) -> None:
        self.world: Any = None

    def __iter__(self) -> Any:
        return iter(list(self.world.stores.memory.archive.values()) if self.world is not None else [])


@pytest.fixture
def reader() -> MemoryReader:
    return MemoryReader(Rows())


@pytest.fixture
def begin(story: Story, reader: MemoryReader) -> Begin:
    """Begin a story with the archive."""

    async def begun(**given: Any) -> Any:
        world = await story.begin(modules=WITH_ARCHIVE, extras={"archive": reader}, **given)
        reader.rows.world = world  # type: ignore[attr-defined]
        return world

    return begun


async def pair(begin: Begin, story: Story, **given: Any) -> Any:
    """Alice and Bob, both available."""
    await begin(**given)
    alice, bob = await story("alice", "bob")
    for client in (alice, bob):
        await client.comes_online()
    return alice, bob


async def rows(story: Story) -> list[ArchiveRow]:
    """What is stored, when everything is."""
    await story.world.settle()
    await story.world.services.ledger.sync()
    return [story.world.stores.memory.archive[id] for id in sorted(story.world.stores.memory.archive)]


def stanza_ids(message: Element) -> list[tuple[str | None, str | None]]:
    return [(child.get("by"), child.get("id")) for child in message.find_all(ns.STANZA_ID, "stanza-id")]


async def read(
    client: Any, fields: str = "", rsm: str = "", query: str = "", id: str = "q"
) -> tuple[list[str], Element]:
    """Ask for the archive: the bodies of the results, and the fin."""
    form = f"<x xmlns='jabber:x:data' type='submit'>{field('FORM_TYPE', 'urn:xmpp:mam:2')}{fields}</x>"
    client.send(
        f"<iq type='set' id='{id}'><query xmlns='urn:xmpp:mam:2' queryid='f27'>{form}"
        f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>{query}</query></iq>"
    )
    found = await client.receives_all()
    answer = found.pop()
    assert answer.name == "iq", answer
    bodies = []
    for message in found:
        result = message.find(ns.MAM, "result")
        assert result is not None
        assert result.get("queryid") == "f27"
        forwarded = result.find(ns.FORWARD, "forwarded")
        assert forwarded is not None
        assert forwarded.find(ns.DELAY, "delay") is not None
        inner = forwarded.find(ns.CLIENT, "message")
        assert inner is not None
        bodies.append(inner.child_text(ns.CLIENT, "body") or "")
    if answer.get("type") == "error":
        return bodies, answer
    fin = answer.find(ns.MAM, "fin")
    assert fin is not None
    return bodies, fin


def field(name: str, *values: str) -> str:
    return f"<field var='{name}'>{''.join(f'<value>{value}</value>' for value in values)}</field>"


def condition(iq: Element) -> str:
    error = iq.find(ns.CLIENT, "error")
    assert error is not None
    return next(child.name for child in error.elements() if child.ns == ns.STANZA_ERRORS)


# What is stored


async def test_one_row_serves_both_sides(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    alice.send(f"<message to='{bob.bare}' type='chat' id='m1'><body>hello</body></message>")
    message = await bob.receives("<message><body>hello</body></message>")
    (row,) = await rows(story)
    assert (row.sender, row.recipient) == (alice.bare, bob.bare)
    assert (row.sender_account, row.recipient_account) == (alice.account.id, bob.account.id)
    assert (row.kind, row.body, row.origin_id) == ("chat", "hello", "m1")
    assert stanza_ids(message) == [(bob.bare, ids.text_of(row.id))]
    assert "stanza-id" not in row.xml


async def test_the_recipient_is_added_when_its_account_had_to_be_loaded(begin: Begin, story: Story) -> None:
    await begin()
    alice = await story("alice")
    bob = await story.world.account("bob")
    alice.send(f"<message to='{bob}' type='chat'><body>are you there</body></message>")
    await story.world.settle()
    (row,) = await rows(story)
    assert row.recipient_account
    assert row.recipient_account != alice.account.id


@pytest.mark.parametrize(
    ("xml", "stored"),
    [
        ("<message type='chat'><body>x</body></message>", True),
        ("<message><body>x</body></message>", True),
        ("<message type='normal'><subject>x</subject></message>", True),
        ("<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>", True),
        ("<message type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>", False),
        ("<message type='chat'><body/></message>", False),
        ("<message type='chat'><thread>x</thread></message>", False),
        ("<message type='chat'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>", False),
        ("<message type='chat'><no-permanent-store xmlns='urn:xmpp:hints'/><body>x</body></message>", False),
        ("<message type='chat'><store xmlns='urn:xmpp:hints'/></message>", True),
        ("<message type='headline'><body>x</body></message>", False),
        ("<message type='groupchat'><body>x</body></message>", False),
        ("<message type='error'><body>x</body></message>", False),
    ],
)
async def test_what_is_worth_archiving(begin: Begin, story: Story, xml: str, stored: bool) -> None:
    alice, bob = await pair(begin, story)
    alice.send(xml.replace("<message", f"<message to='{bob.full}'", 1))
    await story.world.settle()
    assert bool(await rows(story)) is stored


async def test_a_message_to_oneself_is_stored_once(begin: Begin, story: Story) -> None:
    alice, _bob = await pair(begin, story)
    alice.send(f"<message to='{alice.bare}' type='chat'><body>note</body></message>")
    message = await alice.receives("<message><body>note</body></message>")
    (row,) = await rows(story)
    assert stanza_ids(message) == [(alice.bare, ids.text_of(row.id))]
    assert (await read(alice))[0] == ["note"]


async def test_a_message_from_elsewhere_stands_in_the_recipients_archive(begin: Begin, story: Story) -> None:
    _alice, bob = await pair(begin, story)
    xml = (
        f"<message xmlns='jabber:client' from='eve@far.example/x' to='{bob.bare}' type='chat'><body>hi</body></message>"
    )
    story.world.router.route(Stanza.restore(xml))
    message = await bob.receives("<message><body>hi</body></message>")
    (row,) = await rows(story)
    assert (row.sender, row.sender_account, row.recipient_account) == ("eve@far.example", 0, bob.account.id)
    assert stanza_ids(message) == [(bob.bare, ids.text_of(row.id))]


async def test_forged_ids_are_taken_out(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    forged = "".join(
        f"<stanza-id xmlns='urn:xmpp:sid:0' id='{number}' by='{by}'/>"
        for number, by in enumerate((bob.bare, alice.bare, alice.full, "room@far.example"))
    )
    alice.send(f"<message to='{bob.bare}' type='chat'><body>x</body>{forged}</message>")
    message = await bob.receives("<message><body>x</body></message>")
    (row,) = await rows(story)
    assert stanza_ids(message) == [("room@far.example", "3"), (bob.bare, ids.text_of(row.id))]
    assert f"by='{alice.bare}" not in row.xml


async def test_carbons_carry_the_id_of_their_own_archive(begin: Begin, story: Story) -> None:
    await begin()
    alice1, alice2, bob = await story("alice:2", "bob")
    for client in (alice1, alice2, bob):
        await client.comes_online()
    await alice2.asks("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    await alice1.receives_all()
    alice1.send(f"<message to='{bob.bare}' type='chat'><body>x</body></message>")
    message = await bob.receives("<message><body>x</body></message>")
    carbon = await alice2.receives("<message><sent xmlns='urn:xmpp:carbons:2'/></message>")
    (row,) = await rows(story)
    assert stanza_ids(message) == [(bob.bare, ids.text_of(row.id))]
    inner = carbon.find(ns.CARBONS, "sent").find(ns.FORWARD, "forwarded").find(ns.CLIENT, "message")  # type: ignore[union-attr]
    assert inner is not None
    assert stanza_ids(inner) == [(alice1.bare, ids.text_of(row.id))]


async def test_a_refused_message_is_not_in_the_recipients_archive(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    bob.send(f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{alice.bare}'/></block></iq>")
    await bob.receives_all()
    alice.send(f"<message to='{bob.bare}' type='chat'><body>x</body></message>")
    await story.world.settle()
    assert [row for row in await rows(story) if row.recipient_account] == []


# Policy and preferences


async def test_a_domain_may_archive_nothing(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story, archive=False)
    alice.send(f"<message to='{bob.bare}' type='chat'><body>x</body></message>")
    message = await bob.receives("<message><body>x</body></message>")
    assert (await rows(story)) == []
    assert stanza_ids(message) == []


async def test_each_side_decides_for_itself(begin: Begin, story: Story, reader: MemoryReader) -> None:
    alice, bob = await pair(begin, story)
    prefs = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>"
    await alice.asks(f"<iq type='set' id='p'>{prefs}</iq>")
    alice.send(f"<message to='{bob.bare}' type='chat'><body>x</body></message>")
    await bob.receives("<message><body>x</body></message>")
    (row,) = await rows(story)
    assert (row.sender_account, row.recipient_account) == (0, bob.account.id)
    bob.send(f"<message to='{alice.bare}' type='chat'><body>y</body></message>")
    message = await alice.receives("<message><body>y</body></message>")
    assert stanza_ids(message) == []
    assert ((await rows(story))[1].sender_account, (await rows(story))[1].recipient_account) == (bob.account.id, 0)
    assert reader.preferences == [(alice.account.id, "never", [], [])]


async def test_preferences_round_trip(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    answer = await alice.asks("<iq type='get' id='g'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
    prefs = answer.find(ns.MAM, "prefs")
    assert prefs is not None
    assert prefs.get("default") == "always"
    assert prefs.find(ns.MAM, "always") is not None
    wanted = (
        f"<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>{bob.bare}</jid></always>"
        "<never><jid>Eve@Far.example</jid></never></prefs>"
    )
    for kind, payload in (("set", wanted), ("get", "<prefs xmlns='urn:xmpp:mam:2'/>")):
        answer = await alice.asks(f"<iq type='{kind}' id='s'>{payload}</iq>")
        prefs = answer.find(ns.MAM, "prefs")
        assert prefs is not None
        assert prefs.get("default") == "roster"
        assert prefs.find(ns.MAM, "never").child_text(ns.MAM, "jid") == "eve@far.example"  # type: ignore[union-attr]
    assert alice.account.data.archive_always == {bob.bare}


async def test_the_roster_decides_with_exceptions(begin: Begin, story: Story) -> None:
    await begin()
    alice, bob, carol, dave = await story("alice", "bob", "carol", "dave")
    for client in (alice, bob, carol, dave):
        await client.comes_online()
    await story.world.contacts(alice, bob)
    prefs = f"<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>{carol.bare}</jid></always><never/></prefs>"
    await alice.asks(f"<iq type='set' id='p'>{prefs}</iq>")
    for client in (bob, carol, dave):
        alice.send(f"<message to='{client.bare}' type='chat'><body>x</body></message>")
    await story.world.settle()
    assert [row.recipient for row in await rows(story) if row.sender_account] == [bob.bare, carol.bare]


@pytest.mark.parametrize(
    ("prefs", "expected"),
    [
        ("<prefs xmlns='urn:xmpp:mam:2' default='sometimes'/>", "bad-request"),
        ("<prefs xmlns='urn:xmpp:mam:2'/>", "bad-request"),
        ("<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>@@</jid></always></prefs>", "jid-malformed"),
    ],
)
async def test_wrong_preferences_are_refused(begin: Begin, story: Story, prefs: str, expected: str) -> None:
    alice, _bob = await pair(begin, story)
    assert condition(await alice.asks(f"<iq type='set' id='p'>{prefs}</iq>")) == expected


# Queries


async def talk(alice: Any, bob: Any, number: int) -> None:
    for count in range(number):
        sender, recipient = (alice, bob) if count % 2 == 0 else (bob, alice)
        sender.send(f"<message to='{recipient.bare}' type='chat'><body>word{count}</body></message>")
    await alice.receives_all()
    await bob.receives_all()


async def test_pages_forwards_and_backwards(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 7)
    bodies, fin = await read(alice, rsm="<max>3</max>")
    assert bodies == ["word0", "word1", "word2"]
    assert fin.get("complete") is None
    last = fin.find(ns.RSM, "set").child_text(ns.RSM, "last")  # type: ignore[union-attr]
    bodies, fin = await read(alice, rsm=f"<max>5</max><after>{last}</after>")
    assert bodies == ["word3", "word4", "word5", "word6"]
    assert fin.get("complete") == "true"
    bodies, fin = await read(alice, rsm="<max>3</max><before/>")
    assert bodies == ["word4", "word5", "word6"]
    first = fin.find(ns.RSM, "set").child_text(ns.RSM, "first")  # type: ignore[union-attr]
    bodies, fin = await read(alice, rsm=f"<max>10</max><before>{first}</before>")
    assert bodies == ["word0", "word1", "word2", "word3"]
    assert fin.get("complete") == "true"


async def test_a_flipped_page(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 4)
    bodies, fin = await read(alice, rsm="<max>3</max><before/>", query="<flip-page/>")
    assert bodies == ["word3", "word2", "word1"]
    described = fin.find(ns.RSM, "set")
    assert described is not None
    assert (described.child_text(ns.RSM, "first") or "") < (described.child_text(ns.RSM, "last") or "")


async def test_the_count_alone(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 4)
    bodies, fin = await read(alice, rsm="<max>0</max>")
    assert bodies == []
    assert fin.find(ns.RSM, "set").child_text(ns.RSM, "count") == "4"  # type: ignore[union-attr]


async def test_a_client_sees_what_it_has_just_sent(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    alice.send(f"<message to='{bob.bare}' type='chat'><body>now</body></message>")
    assert (await read(alice))[0] == ["now"]


async def test_fields_narrow_the_answer(begin: Begin, story: Story) -> None:
    await begin()
    alice, bob, carol = await story("alice", "bob", "carol")
    for client in (alice, bob, carol):
        await client.comes_online()
    alice.send(f"<message to='{bob.full}' type='chat'><body>to bob at home</body></message>")
    alice.send(f"<message to='{bob.bare}' type='chat'><body>to bob</body></message>")
    story.world.clock.advance(100)
    carol.send(f"<message to='{alice.bare}' type='chat'><body>from Carol, façade</body></message>")
    await alice.receives_all()
    first, _second, third = [ids.text_of(row.id) for row in await rows(story)]
    late = timestamp((await rows(story))[2].stamp)
    assert (await read(alice, field("with", bob.bare)))[0] == ["to bob at home", "to bob"]
    assert (await read(alice, field("with", bob.full)))[0] == ["to bob at home"]
    assert (await read(alice, field("start", late)))[0] == ["from Carol, façade"]
    assert (await read(alice, field("end", timestamp((await rows(story))[0].stamp))))[0] == ["to bob at home", "to bob"]
    assert (await read(alice, field("after-id", first) + field("before-id", third)))[0] == ["to bob"]
    assert (await read(alice, field("ids", first, third)))[0] == ["to bob at home", "from Carol, façade"]
    assert (await read(alice, field("{urn:xmpp:fulltext:0}fulltext", "FACADE carol")))[0] == ["from Carol, façade"]
    assert (await read(alice, field("withtext", "bob home")))[0] == ["to bob at home"]
    await bob.receives_all()
    assert (await read(bob, field("with", carol.bare)))[0] == []


async def test_a_damaged_row_is_passed_over(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 3)
    (await rows(story))[1].xml = "<message from='x'><body>"
    bodies, fin = await read(alice)
    assert bodies == ["word0", "word2"]
    assert fin.get("complete") == "true"
    assert story.world.services.counters.rare("archive_damaged_total") == {"": 1}


@pytest.mark.parametrize(
    ("fields", "rsm", "expected"),
    [
        ("", "<after>0123456789abcdef</after>", "item-not-found"),
        ("", "<before>nonsense</before>", "item-not-found"),
        ("<field var='ids'><value>0123456789abcdef</value></field>", "", "item-not-found"),
        ("<field var='after-id'><value>x</value></field>", "", "item-not-found"),
        ("<field var='start'><value>yesterday</value></field>", "", "bad-request"),
        ("<field var='start'><value>2026-01-01T00:00:00</value></field>", "", "bad-request"),
        ("<field var='with'><value>@@</value></field>", "", "bad-request"),
        ("<field var='colour'><value>x</value></field>", "", "feature-not-implemented"),
        ("<field var='include-groupchat'><value>perhaps</value></field>", "", "bad-request"),
        ("<field var='start'><value>0000-01-01T00:00:00Z</value></field>", "", "bad-request"),
        ("<field var='end'><value>10000-01-01T00:00:00Z</value></field>", "", "bad-request"),
        (f"<field var='ids'>{'<value>0123456789abcdef</value>' * 201}</field>", "", "policy-violation"),
        (f"<field var='ids'><value>{'9' * 5000}</value></field>", "", "item-not-found"),
        (f"<field var='withtext'><value>{'w' * 200_000}</value></field>", "", "policy-violation"),
        ("<field var='withtext'><value>!!</value></field>", "", "bad-request"),
        ("", "<max>many</max>", "bad-request"),
        ("", "<max>-1</max>", "bad-request"),
        ("", "<max>99999999999999999999</max>", "bad-request"),
        ("", "<index>3</index>", "feature-not-implemented"),
        ("", "<index>99999999999999999999</index>", "bad-request"),
        ("", "<after/>", "bad-request"),
        ("", f"<after>{'a' * 100_000}</after>", "item-not-found"),
    ],
)
async def test_wrong_queries_are_refused(
    begin: Begin, story: Story, caplog: pytest.LogCaptureFixture, fields: str, rsm: str, expected: str
) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 1)
    with caplog.at_level("INFO", "mlink.archive"):
        _bodies, answer = await read(alice, fields, rsm)
    assert condition(answer) == expected
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mlink.archive"]
    assert line.startswith(f"{alice.full} may not ask the archive of {alice.bare} this: {expected}")
    assert len(line) < 400
    # However often it is asked, and it goes on as if nothing had been.
    with caplog.at_level("INFO", "mlink.archive"):
        await read(alice, fields, rsm, id="more")
    assert len([record for record in caplog.records if record.name == "mlink.archive"]) == 1
    assert (await read(alice, id="again"))[0] == ["word0"]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        ("9999-12-31T23:59:59Z", "", []),
        ("", "0001-01-01T00:00:00Z", []),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", ["word0", "word1", "word2"]),
        ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", []),
        ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", ["word0", "word1", "word2"]),
        ("1969-12-31T23:59:59Z", "", ["word0", "word1", "word2"]),
    ],
)
async def test_absurd_times_are_empty_or_everything(
    begin: Begin, story: Story, start: str, end: str, found: list[str]
) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 3)
    bodies, fin = await read(alice, (field("start", start) if start else "") + (field("end", end) if end else ""))
    assert bodies == found
    assert fin.get("complete") == "true"


async def test_the_place_of_a_page_is_told_where_it_is_known(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 7)

    def place(fin: Element) -> tuple[str | None, str | None]:
        described = fin.find(ns.RSM, "set")
        assert described is not None
        first = described.find(ns.RSM, "first")
        return first.get("index") if first is not None else None, described.child_text(ns.RSM, "count")

    _bodies, fin = await read(alice, rsm="<max>3</max>")
    assert place(fin) == ("0", "7")
    last = fin.find(ns.RSM, "set").child_text(ns.RSM, "last")  # type: ignore[union-attr]
    # The number is that of all, wherever the page lies.
    assert place((await read(alice, rsm=f"<max>2</max><after>{last}</after>"))[1]) == (None, "7")
    assert place((await read(alice, rsm="<max>2</max><before/>"))[1]) == ("5", "7")
    assert place((await read(alice, field("after-id", last or ""), rsm="<max>2</max>"))[1]) == ("0", "4")


async def test_ids_go_with_pages_and_other_fields(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 5)
    listed = [ids.text_of(row.id) for row in await rows(story)]
    wanted = field("ids", *listed[::-1], listed[0])
    bodies, fin = await read(alice, wanted, "<max>2</max>")
    assert bodies == ["word0", "word1"]
    assert fin.get("complete") is None
    bodies, fin = await read(alice, wanted, f"<max>2</max><before>{listed[3]}</before>")
    assert bodies == ["word1", "word2"]
    assert (await read(alice, wanted, f"<after>{listed[2]}</after>"))[0] == ["word3", "word4"]
    assert (await read(alice, wanted + field("after-id", listed[3])))[0] == ["word4"]
    assert (await read(alice, wanted + field("withtext", "word2")))[0] == ["word2"]
    _bodies, fin = await read(alice, wanted, "<max>0</max>")
    assert fin.find(ns.RSM, "set").child_text(ns.RSM, "count") == "5"  # type: ignore[union-attr]


async def test_what_was_sent_to_oneself_is_asked_for_by_any_own_address(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    await talk(alice, bob, 2)
    alice.send(f"<message to='{alice.bare}' type='chat'><body>to me</body></message>")
    await alice.receives_all()
    for address in (alice.bare, alice.full, f"{alice.bare}/elsewhere"):
        assert (await read(alice, field("with", address)))[0] == ["to me"]


async def test_nobody_reads_the_archive_of_another(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    for payload in ("<query xmlns='urn:xmpp:mam:2'/>", "<prefs xmlns='urn:xmpp:mam:2' default='never'/>"):
        answer = await alice.asks(f"<iq type='set' id='x' to='{bob.bare}'>{payload}</iq>")
        assert condition(answer) == "forbidden"


async def test_form_metadata_and_features(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story)
    answer = await alice.asks("<iq type='get' id='m0'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
    empty = answer.find(ns.MAM, "metadata")
    assert empty is not None
    assert empty.children == []
    await talk(alice, bob, 3)
    answer = await alice.asks("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>")
    found = answer.find(ns.MAM, "metadata")
    assert found is not None
    assert found.find(ns.MAM, "start").get("id") == ids.text_of((await rows(story))[0].id)  # type: ignore[union-attr]
    assert found.find(ns.MAM, "end").get("id") == ids.text_of((await rows(story))[2].id)  # type: ignore[union-attr]
    answer = await alice.asks("<iq type='get' id='f'><query xmlns='urn:xmpp:mam:2'/></iq>")
    form = answer.find(ns.MAM, "query").find(ns.DATA_FORMS, "x")  # type: ignore[union-attr]
    assert form is not None
    fields = {f.get("var"): f for f in form.find_all(ns.DATA_FORMS, "field")}
    assert {"with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"} <= set(fields)
    assert not any(each.find(ns.DATA_FORMS, "required") for each in fields.values())
    validate = fields["ids"].find(ns.FORM_VALIDATION, "validate")
    assert validate is not None
    assert validate.find(ns.FORM_VALIDATION, "open") is not None
    answer = await alice.asks(
        f"<iq type='get' id='d' to='{alice.bare}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )
    query = answer.first()
    assert query is not None
    features = {child.get("var") for child in query.elements() if child.name == "feature"}
    assert {ns.MAM, ns.MAM_EXTENDED, ns.STANZA_ID, ns.FULLTEXT} <= features
    assert {"urn:xmpp:mam:2#groupchat-field", "urn:xmpp:mam:2#groupchat-available"} <= features


# Durability


async def test_a_strict_archive_delivers_only_what_is_durable(begin: Begin, story: Story) -> None:
    alice, bob = await pair(begin, story, archive_strict=True)
    memory = story.world.stores.memory
    alice.send(f"<message to='{bob.bare}' type='chat' id='1'><body>a</body></message>")
    alice.send(f"<message to='{bob.bare}' type='chat' id='2'><body>b</body></message>")
    assert alice.session.held == "strict archive"
    assert not bob.wire.inbox
    assert not memory.archive
    await bob.receives("<message id='1'/>", "<message id='2'/>")
    assert alice.session.held == ""
    assert [row.body for row in await rows(story)] == ["a", "b"]
    assert [row for row in await rows(story) if not row.recipient_account] == []


async def test_what_is_sent_again_after_a_restart_is_stored_once(begin: Begin, story: Story) -> None:
    world = await begin()
    bare = await world.account("alice")
    await world.account("bob")
    kept = ids.first_at(world.clock.time() - 5)
    other = f"bob@{world.domain}"
    world.stores.memory.archive[kept] = ArchiveRow(
        kept,
        ids.time_of(kept),
        bare,
        other,
        1,
        0,
        "chat",
        "once",
        "o1",
        f"<message from='{bare}/r' to='{other}'><body>once</body></message>",
    )
    await world.module("archive").started()
    alice, bob = await story("alice", "bob")
    await bob.comes_online()
    alice.send(f"<message to='{bob.bare}' type='chat' id='o1'><body>once</body></message>")
    message = await bob.receives("<message><body>once</body></message>")
    (row,) = await rows(story)
    assert row.recipient_account == bob.account.id
    assert stanza_ids(message) == [(bob.bare, ids.text_of(kept))]
    # The same id with another text is another message.
    alice.send(f"<message to='{bob.bare}' type='chat' id='o1'><body>twice</body></message>")
    await bob.receives("<message><body>twice</body></message>")
    assert [row.body for row in await rows(story)] == ["once", "twice"]
    world.clock.advance(RESEND_SECONDS + 1)
    alice.send(f"<message to='{bob.bare}' type='chat' id='o1'><body>once</body></message>")
    await bob.receives("<message><body>once</body></message>")
    assert len(await rows(story)) == 3


@pytest.mark.parametrize("archived", [True, False])
async def test_what_was_not_stored_before_a_start_is_not_compared_with_it(
    begin: Begin, story: Story, reader: MemoryReader, monkeypatch: pytest.MonkeyPatch, archived: bool
) -> None:
    alice, bob = await pair(begin, story, archive=archived)
    reader.kept.add((alice.bare, bob.bare, "o1", text_key("once")))
    await story.world.module("archive").started()
    compared: list[str] = []

    def fold(text: str) -> str:
        compared.append(text)
        return index_text(text)

    monkeypatch.setattr("archive.engine.index_text", fold)
    origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"
    alice.send(f"<message to='{bob.bare}' type='chat' id='o2'><body>another</body></message>")
    alice.send(f"<message to='{bob.bare}' type='chat' id='m3'><body>once</body>{origin}</message>")
    await bob.receives("<message id='o2'/>", "<message id='m3'/>")
    # A new message costs a look at its id, though others were stored for the same two.
    assert compared == ["once"]


async def test_what_is_sent_again_is_kept_offline_once(begin: Begin, story: Story, reader: MemoryReader) -> None:
    world = await begin()
    alice = await story("alice")
    bob = await world.account("bob")
    message = f"<message to='{bob}' type='chat' id='o1'><body>while away</body></message>"
    alice.send(message)
    (row,) = await rows(story)
    assert len(world.stores.memory.offline) == 1
    # What a node started now would find.
    reader.kept.add((alice.bare, bob, "o1", text_key("while away")))
    await world.module("archive").started()
    alice.send(message)
    alice.send(message.replace("o1", "o2"))
    assert [found.origin_id for found in await rows(story)] == ["o1", "o2"]
    assert len(world.stores.memory.offline) == 2
    assert row.recipient_account
