"""The console's page of a user says that the account has moved, and does it (with a node: tests/clients)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import moving, services
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.delegation import services as delegation
from mlink_web.node.client import NodeDown

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"
COUNTS = {"contacts": 2, "already": 0, "asked": 2, "refused": 0, "blocked": 0, "following": 1}


class Node:
    """Stands for the node's client."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.warnings: list[str] = []
        self.down = False

    def __call__(self) -> Node:
        return self

    async def call(self, command: str, /, *, progress: Any = None, jid: str) -> Any:
        if self.down:
            raise NodeDown("No node is running.")
        self.asked.append(f"{command} {jid}")
        return {"moved_to": "x", **COUNTS}


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    found = Node()
    monkeypatch.setattr(moving, "EngineClient", found)
    return found


@pytest.fixture(autouse=True)
def people() -> None:
    """Two domains; keeper administers the first."""
    own, _other = (Domain.objects.create(name=name) for name in ("one.example", "two.example"))
    for bare in ("old@one.example", "new@one.example", "new@two.example", "keeper@one.example"):
        services.create_account(bare, PASSWORD)
    services.create_account("boss@one.example", PASSWORD, is_staff=True, is_superuser=True)
    delegation.appoint("keeper@one.example", own, "boss")


def find(bare: str = "old@one.example") -> Account:
    return Account.objects.get(username=bare)


def signed_in(client: Client, name: str) -> Client:
    client.force_login(find(f"{name}@one.example"))
    return client


def page(client: Client, bare: str = "old@one.example") -> str:
    answer = client.get(f"/admin/users/{find(bare).pk}/")
    assert answer.status_code == 200
    return answer.content.decode()


def move(client: Client, to: str, bare: str = "old@one.example") -> Any:
    return client.post(f"/admin/users/{find(bare).pk}/move", {"address": to}, follow=True)


def test_an_administrator_moves_an_account_and_takes_it_back(client: Client, node: Node) -> None:
    boss = signed_in(client, "boss")
    assert "Move this account" in page(boss)
    assert "Has moved to" not in page(boss)
    answer = move(boss, " NEW@two.example")
    assert "Of 2 contacts 1 follow, 2 were asked." in answer.content.decode()
    assert node.asked == ["refresh old@one.example", "user tell-moved old@one.example"]
    assert find().moved_to == "new@two.example"
    shown = page(boss)
    for text in ("Has moved to</dt><dd>new@two.example", 'value="new@two.example"', "ask the contacts again"):
        assert text in shown
    boss.post(f"/admin/users/{find().pk}/move-back")
    assert find().moved_to == ""
    # What is not there is not undone, nor told.
    boss.post(f"/admin/users/{find().pk}/move-back")
    done = list(Entry.objects.order_by("seq").values_list("did", "target", "details"))
    assert [(did, target) for did, target, _details in done] == [
        ("moved user", "old@one.example"),
        ("moved user back", "old@one.example"),
    ]
    assert "new@two.example" in str(done[0][2])


def test_mistakes_are_told_at_the_field(client: Client, node: Node) -> None:
    boss = signed_in(client, "boss")
    for to, sentence in (
        ("", "Enter the new address."),
        ("nonsense", "name@domain"),
        ("old@one.example", "cannot move to its own address"),
        ("nobody@two.example", "There is no account nobody@two.example; add it first."),
        ("x" * 2048 + "@two.example", "at most 2047 characters"),
    ):
        answer = move(boss, to)
        assert answer.status_code == 400
        assert sentence in answer.content.decode()
    assert (find().moved_to, node.asked) == ("", [])
    assert not Entry.objects.filter(did="moved user").exists()


def test_without_a_node_the_account_is_marked_and_the_page_says_what_is_left(client: Client, node: Node) -> None:
    node.down = True
    answer = move(signed_in(client, "boss"), "new@two.example").content.decode()
    assert "No node is running. The contacts are told when this is done again while a node runs." in answer
    assert find().moved_to == "new@two.example"


def test_an_administrator_of_a_domain_moves_within_it(client: Client, node: Node) -> None:
    keeper = signed_in(client, "keeper")
    for to in ("new@two.example", "nobody@two.example", "nobody@one.example", "me@there.example"):
        answer = move(keeper, to)
        assert answer.status_code == 400
        # The same for what is not his and for what is not there.
        assert "Enter the address of an account of your domains." in answer.content.decode()
    answer = move(keeper, "boss@one.example")
    assert "may do more than you here" in answer.content.decode()
    assert (find().moved_to, node.asked) == ("", [])
    assert move(keeper, "new@one.example").status_code == 200
    assert find().moved_to == "new@one.example"
    keeper.post(f"/admin/users/{find().pk}/move-back")
    assert find().moved_to == ""


def test_whom_he_may_not_change_he_does_not_move(client: Client, node: Node) -> None:
    keeper = signed_in(client, "keeper")
    assert "Move this account" not in page(keeper, "boss@one.example")
    move(keeper, "new@one.example", "boss@one.example")
    assert find("boss@one.example").moved_to == ""
    services.move(find("boss@one.example"), "new@one.example")
    keeper.post(f"/admin/users/{find('boss@one.example').pk}/move-back")
    assert find("boss@one.example").moved_to == "new@one.example"
    assert Entry.objects.filter(did="change of user refused").count() == 2
    for path in ("move", "move-back"):
        assert keeper.post(f"/admin/users/{find('new@two.example').pk}/{path}").status_code == 404
    assert node.asked == []


def test_others_do_neither(client: Client) -> None:
    for path in ("move", "move-back"):
        address = f"/admin/users/{find().pk}/{path}"
        assert client.post(address, {"address": "new@one.example"}).status_code == 302
        assert signed_in(client, "old").post(address, {"address": "new@one.example"}).status_code == 403
        client.logout()
        assert signed_in(client, "boss").get(address).status_code == 405
        client.logout()
    assert find().moved_to == ""


# Domains

FORM = {"enabled": "on", "archive": "on", "max_resources": "10", "resource_conflict": "replace", "contacts": ""}


def test_a_domain_becomes_an_alias_and_its_own_again(client: Client) -> None:
    boss = signed_in(client, "boss")
    one = Domain.objects.get(name="one.example")
    address = f"/admin/domains/{one.pk}/"
    assert "Alias of another domain" in boss.get(address).content.decode()
    assert boss.post(address, {**FORM, "moved_to": " Two.example. "}).status_code == 302
    assert Domain.objects.get(pk=one.pk).moved_to == "two.example"
    assert 'value="two.example"' in boss.get(address).content.decode()
    assert "alias of two.example" in boss.get("/admin/domains/").content.decode()
    assert boss.post(address, {**FORM, "moved_to": ""}).status_code == 302
    assert Domain.objects.get(pk=one.pk).moved_to == ""
    assert "moved_to" in str(Entry.objects.filter(did="changed domain").order_by("seq").first().details)  # type: ignore[union-attr]


def test_mistakes_about_an_alias(client: Client) -> None:
    boss = signed_in(client, "boss")
    one, two = (Domain.objects.get(name=name) for name in ("one.example", "two.example"))
    boss.post(f"/admin/domains/{two.pk}/", {**FORM, "moved_to": "one.example"})
    for to, sentence in (
        ("ONE.example", "no alias of itself"),
        ("not a name", "is not a domain name"),
        ("someone@two.example", "is not a domain name"),
        ("two.example", "again and again"),
    ):
        answer = boss.post(f"/admin/domains/{one.pk}/", {**FORM, "moved_to": to})
        assert answer.status_code == 400
        assert sentence in answer.content.decode()
    assert Domain.objects.get(pk=one.pk).moved_to == ""
    new = boss.post("/admin/domains/add/", {**FORM, "name": "three.example", "moved_to": "three.example"})
    assert "no alias of itself" in new.content.decode()


def test_an_administrator_of_a_domain_makes_it_no_alias(client: Client) -> None:
    keeper = signed_in(client, "keeper")
    one = Domain.objects.get(name="one.example")
    assert "Alias of another" not in keeper.get(f"/admin/domains/{one.pk}/").content.decode()
    keeper.post(f"/admin/domains/{one.pk}/", {**FORM, "moved_to": "two.example"})
    assert Domain.objects.get(pk=one.pk).moved_to == ""
