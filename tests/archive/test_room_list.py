"""Which rooms somebody may read, asked of real databases: what the pages' tests ask of one kind only."""

from __future__ import annotations

from django.core.cache import cache
from django.db import connections

from archive.room_list import MOST, readable
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.groups.models import Group, GroupMember
from mlink_web.rooms.models import Room, RoomAffiliation
from tests.archive.test_query import room_message, store
from tests.kits.databases import clear

ADA = "ada@a.example"


def room(alias: str, number: int, **config: object) -> Room:
    return Room.objects.using(alias).create(pk=number, service="rooms.a.example", local=f"room{number}", config=config)


async def test_rooms_by_group_by_domain_and_by_entry(database: str) -> None:
    clear(database)
    cache.clear()
    domain = Domain.objects.using(database).create(name="a.example")
    account = Account.objects.using(database).create(local="ada", domain=domain, username=ADA)
    crew = Group.objects.using(database).create(domain=domain, name="crew")
    GroupMember.objects.using(database).create(group=crew, jid=ADA)
    room(database, 1, members_only=True, groups=[["Crew", "member"]])
    room(database, 2, members_only=True, groups=[["others", "member"]])
    room(database, 3, members_only=True)
    room(database, 4, members_only=True)
    room(database, 5)
    room(database, 6, members_only=True, groups="nonsense")
    room(database, 7, members_only=True, groups=[["crew", "member"]])
    RoomAffiliation.objects.using(database).create(room_id=3, jid=ADA, affiliation="member")
    RoomAffiliation.objects.using(database).create(room_id=4, jid=ADA, affiliation="admin")
    RoomAffiliation.objects.using(database).create(room_id=7, jid="a.example", affiliation="outcast")
    await store(database, [room_message(number, number, 0) for number in range(1, 8)])
    found = readable(connections[database], account)
    assert [each.number for each in found] == [4, 3, 1]
    assert [each.sees for each in found] == [True, False, False]
    # Who leaves the group reads no more, though the list of rooms with groups is kept for a while.
    GroupMember.objects.using(database).all().delete()
    assert [each.number for each in readable(connections[database], account)] == [4, 3]


async def test_many_rooms_are_bounded(database: str) -> None:
    clear(database)
    cache.clear()
    domain = Domain.objects.using(database).create(name="a.example")
    account = Account.objects.using(database).create(local="ada", domain=domain, username=ADA)
    for number in range(1, MOST + 11):
        room(database, number)
        RoomAffiliation.objects.using(database).create(room_id=number, jid=ADA, affiliation="member")
    await store(database, [room_message(number, number, 0) for number in range(1, MOST + 11)])
    found = readable(connections[database], account)
    assert [each.number for each in found] == list(range(MOST + 10, 10, -1))
