"""Messages that act on others, and rooms' rows: the same in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import connections

from archive import events, ids, lifecycle
from archive.document import element_of
from archive.filters import Filter, Question, Reader, owner_of
from archive.memory import MemoryReader
from archive.store import ArchiveReader
from archive.text import parse
from archive.weigh import weigh
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.ledger import Ledger
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import ArchiveRow, Batch
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

NOW = 1_790_000_000.0
ROMEO, JULIET, EVE = "romeo@a.example", "juliet@a.example", "eve@far.example"
ACCOUNTS = {ROMEO: 1, JULIET: 2}
ROOM = "hall@rooms.a.example"
CORRECT = "<replace xmlns='urn:xmpp:message-correct:0' id='{}'/>"
RETRACT = "<retract xmlns='urn:xmpp:message-retract:1' id='{}'/>"
REACT = "<reactions xmlns='urn:xmpp:reactions:0' id='{}'><reaction>x</reaction></reactions>"


class Archive:
    """A reader, and what writes for it."""

    def __init__(self, reader: Reader, ledger: Ledger | None, rows: list[ArchiveRow], alias: str) -> None:
        self.reader, self.alias = reader, alias
        self._ledger, self._rows = ledger, rows

    async def add(self, *rows: ArchiveRow) -> None:
        self._rows.extend(rows)
        if self._ledger is not None:
            await self._ledger.commit(Batch(archive=list(rows)))

    async def find(self, owner: int, words: str = "", **given: Any) -> list[int]:
        """The numbers of the messages that a query finds."""
        wanted = Filter(owner, terms=tuple(parse(words)), **given)
        return [number(row.id) for row in (await self.reader.find(Question(wanted, 100))).rows]

    async def read(self, owner: int, wanted: int) -> Element:
        """One message as it is stored now."""
        answer = await self.reader.find(Question(Filter(owner), 100, ids=(id_of(wanted),)))
        return element_of(answer.rows[0].xml)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def archive(
    request: pytest.FixtureRequest, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Archive]:
    rows: list[ArchiveRow] = []
    if request.param == "memory":
        yield Archive(MemoryReader(rows), None, rows, "")
        return
    from tests.kits.databases import clear

    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    alias: str = request.getfixturevalue("sqlite_alias" if request.param == "sqlite" else "postgres_alias")
    with django_db_blocker.unblock():
        clear(alias)
        executor, ledger = StoreExecutor(database=alias), Ledger(alias)
        yield Archive(ArchiveReader(executor), ledger, [], alias)
        await ledger.close()
        executor.close()
        connections[alias].close()


def id_of(number: int) -> int:
    return ids.first_at(NOW + number)


def number(id: int) -> int:
    return round(ids.time_of(id) - NOW)


def row(number: int, sender: str, to: str, content: str, *, id: str = "", room: int = 0, nick: str = "") -> ArchiveRow:
    """A message as the engine's modules would have it stored; `content` is inner XML, or a text."""
    inner = content if content.startswith("<") else f"<body>{content}</body>"
    origin = id or f"o{number}"
    source = (f"{ROOM}/{nick}" if nick else ROOM) if room else f"{sender}/r"
    address = "" if room else f" to='{to}'"
    kind = "groupchat" if room else "chat"
    xml = f"<message from='{source}' type='{kind}'{address} id='{origin}'>{inner}</message>"
    stanza = Stanza(element_of(xml), None, Jid.parse(source), kind)
    weight = weigh(stanza)
    assert weight is not None
    accounts = (0, 0) if room else (ACCOUNTS.get(sender, 0), ACCOUNTS.get(to, 0))
    key = id_of(number)
    return ArchiveRow(key, ids.time_of(key), sender, to, *accounts, kind, weight[0], weight[1], xml, room, weight[2])


def said(number: int, sender: str, content: str, nick: str = "", **given: Any) -> ArchiveRow:
    """A message in room 7."""
    return row(number, sender, ROOM, content, room=7, nick=nick, **given)


def is_tombstone(message: Element) -> bool:
    return message.find(ns.RETRACT, "retracted") is not None and message.find(ns.CLIENT, "body") is None


# Between two


async def test_a_corrected_text_is_what_a_search_finds(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, "good nihgt"), row(2, JULIET, ROMEO, "parting"))
    assert await archive.find(1, "nihgt") == [1]
    await archive.add(row(3, ROMEO, JULIET, "<body>good evening</body>" + CORRECT.format("o1")))
    await archive.add(row(4, ROMEO, JULIET, "<body>good night</body>" + CORRECT.format("o1")))
    assert await archive.find(1, "good") == [4]
    assert await archive.find(2, "nihgt") == []
    # All rows stay: clients put them together themselves.
    assert await archive.find(1) == [1, 2, 3, 4]
    assert (await archive.read(1, 1)).child_text(ns.CLIENT, "body") == "good nihgt"


async def test_a_retraction_leaves_a_tombstone_and_no_words(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, "secret plan"), row(2, JULIET, ROMEO, "what plan"))
    assert await archive.find(2, "secret") == [1]
    retraction = RETRACT.format("o1") + "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>"
    await archive.add(row(3, ROMEO, JULIET, f"{retraction}<body>I retracted secret</body>", id="r3"))
    assert await archive.find(1, "secret") == []
    assert await archive.find(2, "plan") == [2]
    message = await archive.read(2, 1)
    assert is_tombstone(message)
    mark = message.find(ns.RETRACT, "retracted")
    assert mark is not None
    assert mark.get("id") == "r3"
    assert (mark.get("stamp") or "").startswith("2026-")
    assert (message.get("from"), message.get("to"), message.get("id")) == (f"{ROMEO}/r", JULIET, "o1")
    assert await archive.find(1) == [1, 2, 3]


async def test_a_retraction_takes_the_corrections_along(archive: Archive) -> None:
    await archive.add(
        row(1, ROMEO, JULIET, "first"),
        row(2, ROMEO, JULIET, "<body>second</body>" + CORRECT.format("o1")),
        # Naming the correction means the message.
        row(3, ROMEO, JULIET, RETRACT.format("o2")),
        # What comes afterwards brings nothing back.
        row(4, ROMEO, JULIET, "<body>third</body>" + CORRECT.format("o1")),
    )
    assert await archive.find(1, "second") == []
    assert is_tombstone(await archive.read(1, 1))
    assert is_tombstone(await archive.read(1, 2))
    assert await archive.find(1, "third") == [4]


async def test_only_the_author_corrects_and_retracts(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, "mine", id="x"))
    await archive.add(
        row(2, JULIET, ROMEO, RETRACT.format("x")),
        row(3, JULIET, ROMEO, "<body>hers</body>" + CORRECT.format("x")),
        row(4, EVE, ROMEO, RETRACT.format("x")),
    )
    assert await archive.find(1, "mine") == [1]
    assert not is_tombstone(await archive.read(1, 1))
    assert await archive.find(1, "hers") == [3]


async def test_both_may_use_the_same_ids(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, "his", id="1"), row(2, JULIET, ROMEO, "hers", id="1"))
    await archive.add(row(3, ROMEO, JULIET, RETRACT.format("1"), id="2"))
    assert is_tombstone(await archive.read(1, 1))
    assert not is_tombstone(await archive.read(1, 2))


async def test_private_messages_of_a_room_have_authors_of_their_own(archive: Archive) -> None:
    mark = "<x xmlns='http://jabber.org/protocol/muc#user'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='{}'/>"
    rooms = "hall@rooms.far.example"
    await archive.add(row(1, rooms, ROMEO, "<body>psst</body>" + mark.format("eve"), id="1"))
    await archive.add(row(2, rooms, ROMEO, RETRACT.format("1") + mark.format("mallory")))
    assert not is_tombstone(await archive.read(1, 1))
    await archive.add(row(3, rooms, ROMEO, RETRACT.format("1") + mark.format("eve")))
    assert is_tombstone(await archive.read(1, 1))


async def test_an_older_form_of_retraction(archive: Archive) -> None:
    inner = "<apply-to xmlns='urn:xmpp:fasten:0' id='o1'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to>"
    await archive.add(row(1, ROMEO, JULIET, "gone"), row(2, ROMEO, JULIET, inner))
    assert await archive.find(2, "gone") == []
    assert is_tombstone(await archive.read(1, 1))


async def test_events_without_a_target_change_nothing(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, RETRACT.format("nothing")), row(2, ROMEO, JULIET, CORRECT.format("o2")))
    await archive.add(row(3, ROMEO, JULIET, "later", id="nothing"))
    assert await archive.find(1) == [1, 2, 3]
    assert await archive.find(1, "later") == [3]


async def test_what_is_too_far_back_is_not_looked_for(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    if not archive.alias:
        return  # memory looks through everything
    monkeypatch.setattr(lifecycle, "REACH", 3)
    await archive.add(*(row(n, ROMEO, JULIET, f"line {n}") for n in range(1, 6)))
    await archive.add(row(6, ROMEO, JULIET, RETRACT.format("o3")), row(7, ROMEO, JULIET, RETRACT.format("o5")))
    assert await archive.find(1, "line") == [1, 2, 4]
    await archive.add(row(8, ROMEO, JULIET, RETRACT.format("o1")))
    assert await archive.find(1, "line") == [1, 2, 4]


async def test_many_events_at_a_time(archive: Archive) -> None:
    lines = [row(n, ROMEO, JULIET, f"line {n}") for n in range(1, 131)]
    await archive.add(*lines, *(row(200 + n, ROMEO, JULIET, RETRACT.format(f"o{n}")) for n in range(1, 130)))
    assert await archive.find(2, "line") == [130]


# In rooms


async def test_a_room_has_an_archive_of_its_own(archive: Archive) -> None:
    await archive.add(said(1, ROMEO, "hello hall", "montague"), said(2, JULIET, "hello romeo", "jul"))
    await archive.add(row(3, ROMEO, ROOM, "other room", room=8, nick="m"), row(4, ROMEO, JULIET, "hello you"))
    room = owner_of(7)
    assert await archive.find(room) == [1, 2]
    assert await archive.find(room, "hello") == [1, 2]
    assert await archive.find(room, "hello", full=f"{ROOM}/jul") == [2]
    assert await archive.find(room, full=f"{ROOM}/montague", peer=ROOM) == []
    assert await archive.find(room, full=f"{ROOM}/montague") == [1]
    assert await archive.find(room, peer=JULIET) == [2]
    assert await archive.find(room, after=id_of(1)) == [2]
    assert await archive.find(1) == [4]
    assert await archive.find(1, "hello") == [4]
    assert await archive.reader.bounds(room) == (id_of(1), id_of(2))
    assert await archive.reader.bounds(owner_of(9)) is None
    count = await archive.reader.find(Question(Filter(room), 0, count=True))
    assert count.count == 2
    assert (await archive.reader.find(Question(Filter(room), 10, ids=(id_of(3),)))).missing


async def test_retraction_and_correction_in_a_room(archive: Archive) -> None:
    room = owner_of(7)
    await archive.add(said(1, ROMEO, "bad words", "m"), said(2, JULIET, "fine wrods", "j"))
    await archive.add(
        said(3, JULIET, RETRACT.format(ids.text_of(id_of(1))), "j"),
        said(4, JULIET, "<body>fine words</body>" + CORRECT.format("o2"), "j2"),
    )
    assert await archive.find(room, "words") == [1, 4]
    await archive.add(said(5, ROMEO, RETRACT.format(ids.text_of(id_of(1))), "m"))
    assert await archive.find(room, "words") == [4]
    assert is_tombstone(await archive.read(room, 1))


async def test_the_room_may_retract_what_others_said(archive: Archive) -> None:
    room = owner_of(7)
    author = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='abc'/>"
    await archive.add(said(1, ROMEO, f"<body>spam</body>{author}", "m"))
    moderated = (
        f"<retract xmlns='urn:xmpp:message-retract:1' id='{ids.text_of(id_of(1))}'>"
        f"<moderated xmlns='urn:xmpp:message-moderate:1' by='{ROOM}/guard'/><reason>no ads</reason></retract>"
    )
    # Whoever only says so is not believed.
    await archive.add(said(2, EVE, moderated, "eve"))
    assert await archive.find(room, "spam") == [1]
    await archive.add(said(3, ROOM, moderated))
    assert await archive.find(room, "spam") == []
    message = await archive.read(room, 1)
    assert is_tombstone(message)
    assert message.find(ns.OCCUPANT_ID, "occupant-id") is not None
    mark = message.find(ns.RETRACT, "retracted")
    assert mark is not None
    assert mark.find(ns.MODERATE, "moderated").get("by") == f"{ROOM}/guard"  # type: ignore[union-attr]
    assert mark.child_text(ns.RETRACT, "reason") == "no ads"


async def test_a_moderator_retracts_by_the_reader(archive: Archive) -> None:
    await archive.add(said(1, ROMEO, "spam", "m"), said(2, ROMEO, "<body>ham</body>" + CORRECT.format("o1"), "m"))
    reader = archive.reader
    wanted = ids.text_of(id_of(1))
    assert not await reader.retract_room(8, wanted, "", "", NOW)
    assert not await reader.retract_room(7, "rubbish", "", "", NOW)
    assert not await reader.retract_room(7, ids.text_of(id_of(5)), "", "", NOW)
    assert await reader.retract_room(7, wanted, f"{ROOM}/guard", "no ads", NOW + 9)
    for number in (1, 2):
        assert is_tombstone(await archive.read(owner_of(7), number))
    assert await archive.find(owner_of(7), "ham") == []


async def test_the_tail_of_a_room(archive: Archive) -> None:
    marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='o1'/>"
    rows = [said(n, ROMEO, f"line {n}" if n % 3 else marker, "m") for n in range(1, 200)]
    await archive.add(*rows, said(200, ROOM, "<subject>the subject</subject>"))
    tail = await archive.reader.room_tail(7, 3)
    assert [round(stamp - NOW) for stamp, _xml in tail] == [196, 197, 199]
    stanza = Stanza.restore(tail[-1][1])
    assert (stanza.sender.full, stanza.to, stanza.type) == (f"{ROOM}/m", None, "groupchat")
    given = stanza.element.find(ns.STANZA_ID, "stanza-id")
    assert given is not None
    assert (given.get("by"), given.get("id")) == (ROOM, ids.text_of(id_of(199)))
    assert len(await archive.reader.room_tail(7, 1000)) == 133
    assert await archive.reader.room_tail(7, 0) == []
    assert await archive.reader.room_tail(0, 5) == []


async def test_clearing_a_room(archive: Archive) -> None:
    await archive.add(*(said(n, ROMEO, f"common {n}", "m") for n in range(1, 8)), row(8, ROMEO, JULIET, "common"))
    await archive.add(said(9, ROMEO, REACT.format(ids.text_of(id_of(2))), "m"))
    assert len(await archive.find(owner_of(7), "common")) == 7
    assert await archive.reader.room_clear(7, NOW + 5) == 4
    assert await archive.find(owner_of(7)) == [5, 6, 7, 9]
    assert await archive.find(owner_of(7), "common") == [5, 6, 7]
    assert await archive.find(1, "common") == [8]
    assert await archive.reader.room_clear(7, NOW + 5) == 0
    assert await archive.reader.room_clear(0, NOW + 50) == 0


async def test_nothing_of_what_is_retracted_waits_for_a_reader(archive: Archive) -> None:
    await archive.add(row(1, ROMEO, JULIET, "secret"), row(2, ROMEO, JULIET, RETRACT.format("o1")))
    await archive.reader.tend()
    if archive.alias:
        assert not lifecycle.waiting(connections[archive.alias])
        with connections[archive.alias].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM archive_message WHERE xml LIKE '%secret%' OR search LIKE '%secret%'")
            assert cursor.fetchone() == (0,)


def test_what_an_event_is() -> None:
    stanza = element_of(
        "<message><body>x</body><reply xmlns='urn:xmpp:reply:0' id='1' to='a@b'/>"
        "<replace xmlns='urn:xmpp:message-correct:0' id='2'/></message>"
    )
    assert events.event_in(stanza) == (events.CORRECTION, "2")
    assert events.event_in(element_of("<message><retract xmlns='urn:xmpp:message-retract:1'/></message>")) is None
    assert events.event_in(element_of(f"<message>{RETRACT.format('x' * 2000)}</message>")) is None
