"""Groups: what may be in them, what changes their version, and what is left when an account or a domain goes."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from mlink_web.accounts import services as accounts
from mlink_web.conf import services as conf
from mlink_web.conf.models import Domain
from mlink_web.groups import services
from mlink_web.groups.models import Group, GroupMember, GroupsVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def domain() -> Domain:
    """A domain that has groups."""
    return Domain.objects.create(name="a.example")


def version() -> int:
    """The version of all groups."""
    row = GroupsVersion.objects.first()
    return row.version if row is not None else 0


def members(group: Group) -> list[str]:
    """Who is in a group."""
    return list(group.members.values_list("jid", flat=True))


@pytest.mark.parametrize(
    ("given", "stored"),
    [("Doctors", "doctors"), ("  night   shift ", "night shift"), ("Ärzte", "ärzte"), ("x.y-1", "x.y-1")],
)
def test_names_are_folded(domain: Domain, given: str, stored: str) -> None:
    made = services.add_group(domain, given)
    assert made.name == stored
    assert services.find(given.upper()) == made
    with pytest.raises(ValueError, match="already"):
        services.add_group(domain, stored.upper())


@pytest.mark.parametrize("given", ["", "  ", "a=b", "a@b", "a/b", "a,b", "a;b", "x" * 101, "a\x00b", "a\u200bb"])
def test_what_is_no_name(domain: Domain, given: str) -> None:
    with pytest.raises(ValueError, match="group"):
        services.add_group(domain, given)
    assert not Group.objects.exists()


def test_members_come_and_go(domain: Domain) -> None:
    group = services.add_group(domain, "doctors", "Who  heals")
    assert group.description == "Who heals"
    assert services.add_members(group, ["Ada@a.example", " b.example", "ada@A.example", ""]) == [
        "ada@a.example",
        "b.example",
    ]
    assert services.add_members(group, ["ada@a.example"]) == []
    assert members(group) == ["ada@a.example", "b.example"]
    assert services.remove_member(group, "ADA@a.example") == "ada@a.example"
    with pytest.raises(ValueError, match="not in the group"):
        services.remove_member(group, "ada@a.example")
    assert members(group) == ["b.example"]


@pytest.mark.parametrize("wrong", ["@a.example", "ada@a.example/desk", "a b@a.example", "x" * 1_100 + "@a.example"])
def test_one_wrong_address_adds_none(domain: Domain, wrong: str) -> None:
    group = services.add_group(domain, "doctors")
    with pytest.raises(ValueError, match="'"):
        services.add_members(group, ["ada@a.example", wrong])
    assert members(group) == []
    with pytest.raises(ValueError, match="at least one"):
        services.add_members(group, [" "])


def test_all_of_them_are_bounded(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_GROUPS", 2)
    monkeypatch.setattr(services, "MAX_MEMBERS", 3)
    monkeypatch.setattr(services, "MAX_ADDED", 2)
    first, second = services.add_group(domain, "one"), services.add_group(domain, "two")
    with pytest.raises(ValueError, match="no more"):
        services.add_group(domain, "three")
    with pytest.raises(ValueError, match="at a time"):
        services.add_members(first, ["a@x", "b@x", "c@x"])
    services.add_members(first, ["a@x", "b@x"])
    with pytest.raises(ValueError, match="All groups together"):
        services.add_members(second, ["a@x", "b@x"])
    assert members(second) == []
    with pytest.raises(ValueError, match="500"):
        services.describe(first, "x" * 501)


def test_each_change_is_a_version(domain: Domain, django_capture_on_commit_callbacks: Any) -> None:
    told: list[int] = []
    services.notify.watch(lambda: told.append(version()))
    try:
        with django_capture_on_commit_callbacks(execute=True):
            group = services.add_group(domain, "doctors")
        assert (version(), told) == (1, [1])
        services.add_members(group, ["ada@a.example"])
        group.refresh_from_db()
        assert group.version == 2
        services.remove_member(group, "ada@a.example")
        services.describe(group, "nodes need not know")
        assert version() == 3
        services.remove_group(group)
        assert version() == 4
    finally:
        services.notify._watchers.pop()


def test_a_removed_account_is_in_no_group(domain: Domain) -> None:
    group, other = services.add_group(domain, "doctors"), services.add_group(domain, "nurses")
    accounts.create_account("ada@a.example", None)
    services.add_members(group, ["ada@a.example", "a.example"])
    services.add_members(other, ["eve@a.example"])
    before = version()
    accounts.remove(accounts.find("ada@a.example"))
    group.refresh_from_db()
    assert members(group) == ["a.example"]
    assert group.version == version() == before + 1


def test_a_removed_domain_takes_its_groups(domain: Domain) -> None:
    other = conf.add_domain("b.example")
    services.add_members(services.add_group(other, "theirs"), ["ada@a.example"])
    ours = services.add_group(domain, "ours")
    services.add_members(ours, ["b.example", "a.example"])
    before = version()
    conf.remove_domain(other)
    assert list(Group.objects.values_list("name", flat=True)) == ["ours"]
    assert members(ours) == ["a.example"]
    assert version() > before
    assert GroupMember.objects.count() == 1


def ctl(*words: str) -> str:
    """What the terminal's command prints."""
    out = StringIO()
    call_command("xmppctl", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_terminal_knows_groups(domain: Domain, settings: Any, tmp_path: Any) -> None:
    settings.MLINK_HOME = tmp_path
    assert "doctors is made" in ctl("group", "add", "Doctors", "Who heals", "--domain", "a.example")
    assert "2 added" in ctl("group", "member-add", "doctors", "ada@a.example, b.example")
    assert "already" in ctl("group", "member-add", "doctors", "ada@a.example")
    assert "Who heals" in ctl("group", "list")
    assert '"kind": "domain"' in ctl("--json", "group", "members", "doctors")
    assert "not in doctors any more" in ctl("group", "member-remove", "doctors", "b.example")
    assert "deleted" in ctl("group", "remove", "doctors")
    assert "none" in ctl("group", "list")
    with pytest.raises(SystemExit):
        ctl("group", "members", "doctors")
