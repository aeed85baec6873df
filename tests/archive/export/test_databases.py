"""Exports over both databases: what is collected of a person's archive, and of an officer's search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import connections

from archive.export import gathering
from archive.export.gathered import Gathered
from archive.export.sources import Officer, Own
from archive.oversight.criteria import Criteria
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room, RoomAffiliation
from tests.kits.archived import CORRECT, said, store, talk

BOB = ("bob@far.example", 0)


def collected(alias: str, source: Any, folder: Path) -> list[tuple[str, str, int]]:
    """Who said what, and why it is there."""
    folder.mkdir()
    with Gathered(folder / "gathered.sqlite3") as gathered:
        gathering.gather(connections[alias], source, gathered, gathering.nothing, quotes=True)
        assert gathering.recheck(connections[alias], source, gathered) == 0
        rows = gathered.of_ids(list(gathered.ids())).values()
        return [(row.record.sender, row.record.xml.partition("<body>")[2].partition("<")[0], row.role) for row in rows]


async def test_the_same_on_both(database: str, tmp_path: Path) -> None:
    domain = Domain.objects.using(database).create(name="localhost")
    ada = Account(username="ada@localhost", local="ada", domain=domain)
    ada.save(using=database)
    cave = Room.objects.using(database).create(service="rooms.localhost", local="cave", config={"whois": "moderators"})
    RoomAffiliation.objects.using(database).create(room=cave, jid="ada@localhost", affiliation="member")
    me, room = ("ada@localhost", ada.pk), ("cave@rooms.localhost", cave.pk)
    await store(
        database,
        talk(0, me, BOB, "the harbour", id="h"),
        talk(1, BOB, me, "<body>aye</body><reply xmlns='urn:xmpp:reply:0' id='h'/>"),
        talk(2, me, BOB, f"<body>the haven</body>{CORRECT.format('h')}", id="h2"),
        said(3, "eve@localhost", room, "deep harbour", nick="Shadow"),
        talk(4, ("eve@localhost", ada.pk + 1), BOB, "secret harbour"),
    )
    connection = connections[database]
    everything = collected(database, Own(connection, ada), tmp_path / "own")
    assert everything == [
        ("ada@localhost", "the harbour", 1),
        ("bob@far.example", "aye", 1),
        ("ada@localhost", "the haven", 1),
        ("cave@rooms.localhost/Shadow", "deep harbour", 1),
    ]
    assert Own(connection, ada).estimate().messages == 4
    later = Own(connection, ada, talks=[("bob@far.example", "")], start=1_790_000_000.5, end=1_790_000_001.5)
    assert collected(database, later, tmp_path / "later") == [
        ("ada@localhost", "the harbour", 3),
        ("bob@far.example", "aye", 1),
        ("ada@localhost", "the haven", 3),
    ]
    hits = Own(connection, ada, words="harbour")
    assert collected(database, hits, tmp_path / "hits") == [("cave@rooms.localhost/Shadow", "deep harbour", 1)]
    officer = Officer(connection, Criteria(words=tuple(parse("harbour"))))
    assert collected(database, officer, tmp_path / "officer") == [
        ("eve@localhost", "deep harbour", 1),
        ("eve@localhost", "secret harbour", 1),
    ]
    assert officer.estimate().messages == 2
