"""The groups in memory follow the tables, over SQLite and PostgreSQL."""

from __future__ import annotations

import pytest
from django.db import connections

from mlink_web.conf.models import Domain
from mlink_web.groups.models import Group, GroupMember, GroupsVersion
from mlink_web.groups.resident import ResidentGroups, read


class Tables:
    """Writes groups into one of the databases, as the services do."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.domain = Domain.objects.using(database).create(name="a.example")
        self.resident = ResidentGroups()
        self.version = 0

    def set(self, name: str, *members: str) -> None:
        """A group has these members now."""
        self.version += 1
        GroupsVersion.objects.using(self.database).update_or_create(pk=1, defaults={"version": self.version})
        group, _ = Group.objects.using(self.database).update_or_create(
            name=name, defaults={"domain": self.domain, "version": self.version}
        )
        group.members.all().delete()
        for jid in members:
            GroupMember.objects.using(self.database).create(group=group, jid=jid)

    def follow(self) -> list[str]:
        """Take over what has changed; returns the groups that were read."""
        change = read(connections[self.database], self.resident.version)
        self.resident.take(change)
        return sorted(change.changed)


@pytest.fixture
def tables(database: str) -> Tables:
    """Empty ones."""
    return Tables(database)


def test_nobody_is_in_a_group_that_there_is_not(tables: Tables) -> None:
    assert tables.follow() == []
    assert tables.resident.version == 0
    assert not tables.resident.contains("doctors", "ada@a.example")


def test_only_what_has_changed_is_read(tables: Tables) -> None:
    groups = tables.resident
    tables.set("doctors", "ada@a.example", "b.example")
    tables.set("empty")
    assert tables.follow() == ["doctors", "empty"]
    assert groups.contains("doctors", "ada@a.example")
    assert groups.contains("Doctors", "ada@a.example")
    assert groups.contains("doctors", "eve@b.example")
    assert groups.contains("doctors", "b.example")
    assert not groups.contains("doctors", "eve@a.example")
    assert not groups.contains("doctors", "")
    assert not groups.contains("empty", "ada@a.example")
    tables.set("doctors", "eve@a.example")
    assert tables.follow() == ["doctors"]
    assert not groups.contains("doctors", "ada@a.example")
    assert groups.contains("doctors", "eve@a.example")
    assert tables.follow() == []
    Group.objects.using(tables.database).get(name="doctors").delete()
    tables.follow()
    assert list(groups.names()) == ["empty"]
    assert not groups.contains("doctors", "eve@a.example")
