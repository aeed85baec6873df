"""A user's archive with his rooms, on real databases: which rooms, and that pages hold everything once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from archive import ids
from archive.filters import Filter, Question
from archive.store import ArchiveReader
from archive.text import parse
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room, RoomAffiliation
from mlink_web.stores.executor import StoreExecutor
from mlink_web.stores.ledger import Ledger
from tests.kits.ledger_kit import NOW, row
from xmpp_engine.storage.types import ArchiveRow, Batch

SERVICE = "conference.a.example"


class Opened:
    """A database with Ada, four rooms and what was said."""

    def __init__(self, alias: str) -> None:
        self.executor = StoreExecutor(database=alias)
        self.ledger = Ledger(alias)
        self.reader = ArchiveReader(self.executor)
        domain = Domain.objects.using(alias).create(name="a.example")
        self.ada = Account.objects.using(alias).create(username="ada@a.example", local="ada", domain=domain)
        #: Where she is a member, has spoken, has neither, and from which she is banned.
        self.rooms: dict[str, Room] = {}
        for name, affiliation in (("member", "member"), ("spoken", ""), ("foreign", ""), ("banned", "outcast")):
            room = Room.objects.using(alias).create(
                service=SERVICE, local=name, config={"persistent": True}, last_activity=NOW
            )
            self.rooms[name] = room
            if affiliation:
                RoomAffiliation.objects.using(alias).create(room=room, jid="ada@a.example", affiliation=affiliation)

    def said(self, number: int, room: str, sender: str = "bob@a.example") -> ArchiveRow:
        address = f"{room}@{SERVICE}"
        xml = f"<message from='{address}/X' type='groupchat'><body>message {number}</body></message>"
        return row(
            number,
            sender=sender,
            recipient=address,
            sender_account=0,
            recipient_account=0,
            kind="groupchat",
            room=self.rooms[room].pk,
            xml=xml,
        )

    async def find(self, **given: Any) -> list[int]:
        """The numbers of the rows of a page."""
        question = Question(given.pop("filter", Filter(self.ada.pk)), given.pop("limit", 50), groupchat=True, **given)
        answer = await self.reader.find(question)
        assert not answer.missing
        return [found.id - ids.first_at(NOW) for found in answer.rows]


@pytest.fixture
async def opened(database: str) -> AsyncIterator[Opened]:
    made = Opened(database)
    rows = [
        row(1, sender="ada@a.example", sender_account=made.ada.pk, recipient_account=0),
        made.said(2, "member"),
        made.said(3, "spoken", "ada@a.example"),
        made.said(4, "foreign"),
        made.said(5, "banned", "ada@a.example"),
        row(6, recipient="ada@a.example", sender_account=0, recipient_account=made.ada.pk),
        made.said(7, "spoken"),
        made.said(8, "member"),
    ]
    await made.ledger.commit(Batch(archive=rows))
    yield made
    await made.ledger.close()
    made.executor.close()


async def test_the_rooms_that_she_may_read_are_included_and_no_others(opened: Opened) -> None:
    assert await opened.find() == [1, 2, 3, 6, 7, 8]
    plain = await opened.reader.find(Question(Filter(opened.ada.pk), 50))
    assert [found.id - ids.first_at(NOW) for found in plain.rows] == [1, 6]
    # Nobody's else's archive is opened by a number that is no account's.
    answer = await opened.reader.find(Question(Filter(opened.ada.pk + 1000), 50, groupchat=True))
    assert answer.rows == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_pages_hold_everything_once(opened: Opened, limit: int) -> None:
    own = Filter(opened.ada.pk)
    forwards: list[int] = []
    while page := await opened.find(filter=own, limit=limit):
        forwards += page
        own = replace(own, after=ids.first_at(NOW) + page[-1])
    assert forwards == [1, 2, 3, 6, 7, 8]
    own = Filter(opened.ada.pk)
    backwards: list[int] = []
    while page := await opened.find(filter=own, limit=limit, backwards=True):
        backwards = page + backwards
        own = replace(own, before=ids.first_at(NOW) + page[0])
    assert backwards == forwards


async def test_filters_counts_and_ids(opened: Opened) -> None:
    own = Filter(opened.ada.pk)
    assert await opened.find(filter=replace(own, peer=f"member@{SERVICE}")) == [2, 8]
    assert await opened.find(filter=replace(own, peer=f"spoken@{SERVICE}", full=f"spoken@{SERVICE}/X")) == [3, 7]
    assert await opened.find(filter=replace(own, peer="bob@a.example")) == []
    assert await opened.find(filter=replace(own, peer=f"banned@{SERVICE}")) == []
    assert await opened.find(filter=replace(own, terms=tuple(parse("message 7")))) == [7]
    assert await opened.find(filter=replace(own, terms=tuple(parse("message 5")))) == []
    counted = await opened.reader.find(Question(own, 0, count=True, groupchat=True))
    assert counted.count == 6
    base = ids.first_at(NOW)
    assert await opened.find(ids=(base + 8, base + 1, base + 3)) == [1, 3, 8]
    assert await opened.find(ids=(base + 8, base + 1, base + 3), filter=replace(own, after=base + 2)) == [3, 8]
    for closed in (4, 5):
        for given in ({"ids": (base + closed,)}, {"known": (base + closed,)}):
            assert (await opened.reader.find(Question(own, 50, groupchat=True, **given))).missing  # type: ignore[arg-type]
    assert (await opened.reader.find(Question(own, 50, ids=(base + 2,)))).missing
