"""What a redaction leaves in the database, and whom a legal hold protects from it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connections

from archive import ids, indexing, lifecycle, query
from archive.document import element_of
from archive.filters import Filter, owner_of
from archive.redaction import places, related, taken_back, tombstone
from archive.redaction.models import Redacted, Redaction
from archive.retention import originals
from archive.retention.models import Hold, Keeping, Original
from archive.text import parse
from mlink_web.stores.models import OfflineMessage
from tests.kits.archived import CORRECT, RETRACT, found, id_of, number, said, store, talk
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

ROMEO, JULIET = ("romeo@a.example", 1), ("juliet@a.example", 2)
HALL = ("hall@rooms.a.example", 7)
REPLY = "<reply xmlns='urn:xmpp:reply:0' to='romeo@a.example' id='{}'/>"
QUOTED = (
    "<body>&gt; secret plan\nyes</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'>"
    "<body start='0' end='14'/></fallback>"
)


def order(alias: str, *numbers: float, told: bool = False, reason: str = "law 7") -> Redaction:
    """A redaction of these messages."""
    made = Redaction(reason=reason, told=told, operator="law@a.example", created=1_800_000_000.0, state="working")
    made.save(using=alias)
    Redacted.objects.using(alias).bulk_create(
        Redacted(redaction=made, message=id_of(one), sender="x", recipient="y") for one in numbers
    )
    return made


def hits(alias: str, owner: int, words: str) -> list[int]:
    wanted = Filter(owner, terms=tuple(parse(words)))
    return [number(row.id) for row in query.page(connections[alias], wanted, 100)[0]]


def stored(alias: str, one: float) -> Element:
    return element_of(found(alias, "SELECT xml FROM archive_message WHERE id = %s", id_of(one))[0])


def everywhere(alias: str, words: str) -> int:
    """In how many rows of which tables a text stands."""
    total = 0
    for table, column in (
        ("archive_message", "xml"),
        ("archive_message", "search"),
        ("retention_original", "xml"),
        ("stores_offlinemessage", "xml"),
    ):
        total += found(alias, f"SELECT count(*) FROM {table} WHERE {column} LIKE %s", f"%{words}%")[0]
    return total


async def test_a_message_leaves_a_tombstone_and_no_words(database: str) -> None:
    mark = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='abc'/>"
    await store(
        database,
        talk(1, ROMEO, JULIET, "secret plan", id="m1"),
        talk(2, JULIET, ROMEO, "what plan"),
        said(3, ROMEO[0], HALL, f"<body>secret hall</body>{mark}", nick="r"),
    )
    before = found(database, "SELECT xml FROM archive_message WHERE id = %s", id_of(1))[0]
    assert hits(database, 1, "plan") == [1, 2]
    redaction = order(database, 1, 3)
    assert places.database(connections[database], redaction) == "2 messages redacted."
    assert everywhere(database, "secret") == 0
    assert hits(database, 1, "secret") == hits(database, owner_of(7), "secret") == []
    assert hits(database, 2, "plan") == [2]
    left = stored(database, 1)
    retracted = left.find(ns.RETRACT, "retracted")
    assert retracted is not None
    assert (left.get("from"), left.get("to"), left.get("id")) == ("romeo@a.example/r", "juliet@a.example", "m1")
    assert retracted.get("stamp") == "2027-01-15T08:00:00.000Z"
    assert retracted.child_text(ns.RETRACT, "reason") is None
    assert tombstone.number_of(found(database, "SELECT xml FROM archive_message WHERE id = %s", id_of(1))[0]) == (
        redaction.pk
    )
    room = stored(database, 3)
    assert room.find(ns.OCCUPANT_ID, "occupant-id") is not None
    assert room.find(ns.RETRACT, "retracted").find(ns.MODERATE, "moderated").get("by") == HALL[0]  # type: ignore[union-attr]
    # Both archives keep the row where it was.
    assert [number(row.id) for row in query.page(connections[database], Filter(1), 10)[0]] == [1, 2]
    rows = Redacted.objects.using(database).filter(redaction=redaction)
    assert {row.state for row in rows} == {"gone"}
    assert rows.get(message=id_of(1)).sha256 == hashlib.sha256(before.encode()).hexdigest()
    if connections[database].vendor == "sqlite":
        with connections[database].cursor() as cursor:
            cursor.execute("INSERT INTO archive_words (archive_words) VALUES ('integrity-check')")


async def test_readers_learn_the_reason_only_if_they_may(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "a"), talk(2, ROMEO, JULIET, "b"))
    places.database(connections[database], order(database, 1, told=True, reason="court & order"))
    places.database(connections[database], order(database, 2))
    told = stored(database, 1).find(ns.RETRACT, "retracted")
    assert told is not None
    assert told.child_text(ns.RETRACT, "reason") == "court & order"
    assert found(database, "SELECT count(*) FROM archive_message WHERE xml LIKE '%%law%%'") == [0]


async def test_a_hold_refuses_it(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "kept"), talk(2, JULIET, ("eve@far.example", 0), "goes"))
    Hold.objects.using(database).create(
        scope="account", address=ROMEO[0], reason="a case", placed_by="law@a.example", placed=1.0
    )
    redaction = order(database, 1, 2, 99)
    text = places.database(connections[database], redaction)
    assert text == "1 message redacted, 1 kept by a legal hold, 1 no longer there."
    assert hits(database, 1, "kept") == [1]
    states = dict(Redacted.objects.using(database).values_list("message", "state"))
    assert states == {id_of(1): "held", id_of(2): "gone", id_of(99): "missing"}
    # And the node is not told of what is held.
    assert [one.id for one in taken_back.read(connections[database], [id_of(1), id_of(2)])] == [ids.text_of(id_of(2))]


async def test_it_is_done_once_however_often_it_is_asked_for(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "secret"))
    redaction = order(database, 1)
    first = places.database(connections[database], redaction)
    digest = Redacted.objects.using(database).get().sha256
    left = found(database, "SELECT xml FROM archive_message")
    assert places.database(connections[database], redaction) == first
    assert found(database, "SELECT xml FROM archive_message") == left
    assert Redacted.objects.using(database).get().sha256 == digest


async def test_copies_for_who_is_away_go(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "secret", id="same"), talk(2, ROMEO, JULIET, "stays", id="other"))
    head = "<message xmlns='jabber:client' from='romeo@a.example/r' to='juliet@a.example' id='{}'>"
    copy = head + "<body>{}</body>{}</message>"
    given = f"<stanza-id xmlns='urn:xmpp:sid:0' id='{ids.text_of(id_of(1))}' by='juliet@a.example'/>"
    for id, body, more in (("x", "secret", given), ("same", "secret too", ""), ("other", "fine", "")):
        xml = copy.format(id, body, more)
        OfflineMessage.objects.using(database).create(account_id=2, stamp=1.0, xml=xml, size=len(xml))
    # Somebody else's with the same id is not his.
    xml = copy.replace("romeo", "eve").format("same", "by eve", "")
    OfflineMessage.objects.using(database).create(account_id=2, stamp=1.0, xml=xml, size=len(xml))
    redaction = order(database, 1)
    places.database(connections[database], redaction)
    assert places.offline(connections[database], redaction) == "2 copies removed."
    assert places.offline(connections[database], redaction) == "0 copies removed."
    left = [row.xml for row in OfflineMessage.objects.using(database).order_by("id")]
    assert ["fine" in xml or "by eve" in xml for xml in left] == [True, True]


async def test_what_says_it_again_is_offered(database: str) -> None:
    await store(
        database,
        talk(1, ROMEO, JULIET, "secret plna"),
        talk(2, ROMEO, JULIET, "<body>secret plan</body>" + CORRECT.format("o1")),
        talk(3, JULIET, ROMEO, QUOTED + REPLY.format("o1")),
        talk(4, JULIET, ROMEO, "<body>just yes</body>" + REPLY.format("o1")),
        talk(5, ROMEO, JULIET, "<body>SECRET plan</body>" + CORRECT.format("o1")),
        talk(6, ROMEO, JULIET, "unrelated"),
    )
    offered = {number(record.id): how for record, how in related.related(connections[database], [id_of(1)])}
    assert offered == {2: "correction", 3: "reply", 5: "correction"}
    # Whichever version one begins with.
    offered = {number(record.id): how for record, how in related.related(connections[database], [id_of(2)])}
    assert offered == {1: "correction", 3: "reply", 5: "correction"}
    places.database(connections[database], order(database, 1, 2, 3, 5))
    assert everywhere(database, "secret") == everywhere(database, "SECRET") == 0
    assert related.related(connections[database], [id_of(1)]) == []


async def test_the_node_tells_nobody_of_a_correction(database: str) -> None:
    await store(
        database,
        said(1, ROMEO[0], HALL, "fine"),
        said(2, ROMEO[0], HALL, "<body>not fine</body>" + CORRECT.format("o1")),
    )
    places.database(connections[database], order(database, 2))
    (one,) = taken_back.read(connections[database], [id_of(1), id_of(2)])
    assert (one.id, one.room, one.silent) == (ids.text_of(id_of(2)), HALL[0], True)
    assert "not fine" not in one.xml


async def test_a_forged_mark_is_no_redaction(database: str) -> None:
    mark = (
        "<body>still here</body><retracted xmlns='urn:xmpp:message-retract:1'/>"
        "<redacted xmlns='urn:mlink:archive:0' number='1'/>"
    )
    await store(database, talk(1, ROMEO, JULIET, mark))
    assert taken_back.read(connections[database], [id_of(1)]) == []
    assert tombstone.number_of(found(database, "SELECT xml FROM archive_message")[0]) == 0
    redaction = order(database, 1)
    places.database(connections[database], redaction)
    assert everywhere(database, "still here") == 0


async def test_a_stanza_that_cannot_be_read_is_redacted_too(database: str) -> None:
    await store(database, talk(1, ROMEO, JULIET, "x"))
    with connections[database].cursor() as cursor:
        cursor.execute("UPDATE archive_message SET xml = '<message secret'")
    places.database(connections[database], order(database, 1))
    left = stored(database, 1)
    assert (left.get("from"), left.get("to")) == (ROMEO[0], JULIET[0])
    assert left.find(ns.RETRACT, "retracted") is not None


# What officers keep of what is retracted


async def retracted(alias: str) -> dict[int, str]:
    """Romeo retracts what he said; what officers see of it afterwards."""
    await store(alias, talk(1, ROMEO, JULIET, "secret"), talk(2, ROMEO, JULIET, RETRACT.format("o1")))
    assert "secret" not in found(alias, "SELECT xml FROM archive_message WHERE id = %s", id_of(1))[0]
    assert hits(alias, 2, "secret") == []
    return originals.of(connections[alias], [id_of(1), id_of(2)])


async def test_nothing_is_kept_of_what_is_retracted(database: str) -> None:
    assert await retracted(database) == {}


async def test_a_hold_keeps_what_is_retracted_for_officers(database: str) -> None:
    Hold.objects.using(database).create(
        scope="talk", address=JULIET[0], peer=ROMEO[0], reason="a case", placed_by="law@a.example", placed=1.0
    )
    kept = await retracted(database)
    assert list(kept) == [id_of(1)]
    assert "secret" in kept[id_of(1)]
    assert Original.objects.using(database).get().hold


@pytest.mark.parametrize(("domain", "kept"), [("", True), ("a.example", True), ("example", True), ("b.example", False)])
async def test_a_domain_keeps_what_is_retracted_for_officers(database: str, domain: str, kept: bool) -> None:
    Keeping.objects.using(database).create(domain=domain, by="law@a.example", since=1.0)
    assert bool(await retracted(database)) is kept


async def test_a_moderator_does_not_get_around_a_hold(database: str) -> None:
    Hold.objects.using(database).create(
        scope="room", address=HALL[0], reason="a case", placed_by="law@a.example", placed=1.0
    )
    await store(database, said(1, ROMEO[0], HALL, "secret"))
    assert lifecycle.bury(connections[database], 7, id_of(1), "x", "rude", 5.0)
    assert "secret" not in found(database, "SELECT xml FROM archive_message")[0]
    assert "secret" in originals.of(connections[database], [id_of(1)])[id_of(1)]


async def test_a_redaction_takes_the_kept_original_too(database: str) -> None:
    Keeping.objects.using(database).create(domain="", by="law@a.example", since=1.0)
    kept = await retracted(database)
    redaction = order(database, 1)
    places.database(connections[database], redaction)
    assert everywhere(database, "secret") == 0
    # The digest is that of what it had said.
    digest = hashlib.sha256(kept[id_of(1)].encode()).hexdigest()
    assert Redacted.objects.using(database).get().sha256 == digest


async def test_a_retraction_cannot_be_outrun(database: str) -> None:
    """A correction of a redacted message brings nothing back, a retraction changes nothing."""
    await store(database, talk(1, ROMEO, JULIET, "secret"))
    places.database(connections[database], order(database, 1))
    left = found(database, "SELECT xml FROM archive_message")
    await store(database, talk(2, ROMEO, JULIET, RETRACT.format("o1")), talk(3, ROMEO, JULIET, "x"))
    indexing.catch_up(connections[database], words=True)
    assert found(database, "SELECT xml FROM archive_message ORDER BY id")[:1] == left


def test_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    from archive.dayfiles import tombstones

    monkeypatch.setattr(tombstones, "apply", lambda _connection, replaced: told.extend(replaced) or ["a.xml"])
    monkeypatch.setattr(places, "_records", lambda *_given: ["record"])
    assert places.files(None, Redaction()) == "1 file rewritten."  # type: ignore[arg-type]
    assert told == ["record"]
