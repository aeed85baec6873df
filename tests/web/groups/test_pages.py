"""The pages of groups by requests; test_browser_groups.py has a browser and a running node."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.conf.models import Domain
from mlink_web.groups import services
from mlink_web.groups.models import Group

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_node(settings, tmp_path: Path) -> None:
    settings.MLINK_HOME = tmp_path


@pytest.fixture
def group() -> Group:
    """A group with members."""
    made = services.add_group(Domain.objects.get_or_create(name="localhost")[0], "doctors", "Who <heals>")
    services.add_members(made, ["ada@localhost", "clinic.example"])
    return made


@pytest.fixture
def console(client: Client, group: Group) -> Client:
    """A browser in which the administrator is signed in."""
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def text(response) -> str:
    """The page as text."""
    return response.content.decode()


@pytest.mark.parametrize("path", ["", "add/", "{}/", "{}/remove/"])
def test_only_administrators_see_groups(client: Client, group: Group, path: str) -> None:
    address = "/admin/groups/" + path.format(group.pk)
    assert client.get(address).status_code == 302
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.get(address).status_code == 403


@pytest.mark.parametrize("path", ["add/", "{}/description", "{}/members", "{}/members/remove", "{}/remove/"])
def test_only_administrators_change_groups(client: Client, group: Group, path: str) -> None:
    client.force_login(accounts.create_account("ada@localhost", None))
    values = {"name": "doctors", "members": "eve@localhost", "member": "ada@localhost", "description": "x"}
    assert client.post("/admin/groups/" + path.format(group.pk), values).status_code == 403
    assert [one.jid for one in group.members.all()] == ["ada@localhost", "clinic.example"]
    assert Group.objects.get().description == "Who <heals>"


def test_a_group_is_made_and_shown(console: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mlink.audit")
    domain = Domain.objects.get()
    page = console.post(
        "/admin/groups/add/", {"name": "Night Shift", "domain": domain.pk, "description": "At night"}, follow=True
    )
    assert "The group night shift is made" in text(page)
    assert "Nobody is in the group yet" in text(page)
    listed = text(console.get("/admin/groups/"))
    assert "night shift" in listed
    assert "Who &lt;heals&gt;" in listed
    assert "2 groups" in listed
    assert "added group" in caplog.text
    again = console.post("/admin/groups/add/", {"name": "DOCTORS", "domain": domain.pk})
    assert again.status_code == 400
    assert "There is a group doctors already" in text(again)


def test_groups_are_found_by_name_and_member(console: Client) -> None:
    assert "doctors" in text(console.get("/admin/groups/?q=HEALS"))
    found = text(console.get("/admin/groups/?q=Ada@localhost"))
    assert 'class="number">2<' in found, "the number of all members, not of those that match"
    assert "No group matches" in text(console.get("/admin/groups/?q=nobody"))


def test_members_are_added_and_taken_out(console: Client, group: Group) -> None:
    page = f"/admin/groups/{group.pk}/"
    shown = console.post(f"{page}members", {"members": "eve@localhost\r\nzoe@localhost, x.example"}, follow=True)
    assert "3 members added" in text(shown)
    refused = console.post(f"{page}members", {"members": "fine@localhost\nnot/bare@x/y"})
    assert refused.status_code == 400
    assert "part after the slash" in text(refused)
    assert "fine@localhost" in text(refused), "what was typed is still there"
    shown = console.post(f"{page}members/remove", {"member": "eve@localhost"}, follow=True)
    assert "eve@localhost is not in the group any more" in text(shown)
    shown = console.post(f"{page}members/remove", {"member": "eve@localhost"}, follow=True)
    assert "note error" in text(shown) or "is not in the group doctors" in text(shown)
    assert group.members.count() == 4


def test_long_lists_have_pages(console: Client, group: Group) -> None:
    services.add_members(group, [f"m{number:03}@localhost" for number in range(150)])
    page = text(console.get(f"/admin/groups/{group.pk}/?page=2"))
    assert "Page 2 of 2" in page
    assert "m149@localhost" in page
    found = text(console.get(f"/admin/groups/{group.pk}/?q=m14"))
    assert "10 members" in found


def test_a_group_is_deleted_when_its_name_was_typed(console: Client, group: Group) -> None:
    page = f"/admin/groups/{group.pk}/remove/"
    assert "whoever was banned" in text(console.get(page))
    assert console.post(page, {"name": "doctor"}).status_code == 400
    assert "is deleted" in text(console.post(page, {"name": "doctors"}, follow=True))
    assert not Group.objects.exists()
    assert console.get(page).status_code == 404
