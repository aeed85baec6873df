"""Accounts that move: what is stored, what is refused, what the node is asked, and what is said where it does not
answer. With a node: tests/clients/test_moved.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mlink_web.accounts import moving, services
from mlink_web.accounts.models import Account, AccountChange
from mlink_web.admin_commands import within
from mlink_web.admin_commands.registry import registry
from mlink_web.conf import notify
from mlink_web.conf.models import Domain
from mlink_web.node.client import EngineError, NodeDown
from mlink_web.stores.accounts import DatabaseAccounts
from mlink_web.stores.executor import StoreExecutor
from xmpp_engine.admin.command import CommandError

pytestmark = pytest.mark.django_db(transaction=True)
COUNTS = {"contacts": 5, "already": 1, "asked": 3, "refused": 0, "blocked": 1, "following": 2}


class Node:
    """Stands for the node's client; `asked` is what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.fails: dict[str, Exception] = {}
        self.warnings: list[str] = []

    def __call__(self) -> Node:
        return self

    async def call(self, command: str, /, *, progress: Any = None, jid: str) -> Any:
        self.asked.append((command, jid))
        if command in self.fails:
            raise self.fails[command]
        if command == "refresh":
            return {"jid": jid, "ended": 0}
        await progress("3 of 5 contacts")
        return {"moved_to": "x", **COUNTS}


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    found = Node()
    monkeypatch.setattr(moving, "EngineClient", found)
    return found


@pytest.fixture(autouse=True)
def old() -> Account:
    for name in ("a.example", "b.example"):
        Domain.objects.create(name=name)
    services.create_account("new@b.example", "secret")
    return services.create_account("old@a.example", "secret")


def call(name: str, **arguments: str) -> Any:
    command = registry.get(name)
    return command.function(**command.bind(arguments))


def moved_to(bare: str = "old@a.example") -> str:
    return Account.objects.get(username=bare).moved_to


def loaded(bare: str) -> str:
    async def load() -> str:
        executor = StoreExecutor()
        try:
            data = await DatabaseAccounts(executor).load(bare)
            assert data is not None
            return data.moved_to
        finally:
            executor.close()

    return asyncio.run(load())


def test_a_move_is_stored_and_nodes_are_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "accounts_changed", told.extend)
    steps: list[str] = []
    command = registry.get("user move")
    result = command.function(**command.bind({"old": " Old@a.example", "new": "NEW@b.example "}), report=steps.append)
    assert result == {"jid": "old@a.example", "moved_to": "new@b.example", **COUNTS}
    assert steps == ["3 of 5 contacts"]
    assert node.asked == [("refresh", "old@a.example"), ("user tell-moved", "old@a.example")]
    assert told == ["old@a.example"]
    assert loaded("old@a.example") == "new@b.example"
    assert call("user show", jid="old@a.example")["moved_to"] == "new@b.example"
    # Again: the same, and contacts are asked once more.
    assert call("user move", old="old@a.example", new="new@b.example")["asked"] == 3
    assert call("user move", old="old@a.example", undo="yes") == (
        "old@a.example is itself again; contacts that follow new@b.example go on to."
    )
    assert (moved_to(), loaded("old@a.example")) == ("", "")
    assert told == ["old@a.example"] * 3
    assert AccountChange.objects.filter(bare="old@a.example").count() == 4


def test_an_address_elsewhere_tells_its_contacts_itself(node: Node) -> None:
    result = call("user move", old="old@a.example", new="me@there.example")
    assert result["note"] == "The owner's app tells the contacts, from the new account."
    assert node.asked == [("refresh", "old@a.example")]
    assert moved_to() == "me@there.example"


@pytest.mark.parametrize(
    ("command", "error", "sentence"),
    [
        (
            "refresh",
            NodeDown("No node is running."),
            "No node is running. The contacts are told when this is done again",
        ),
        ("user tell-moved", EngineError("The module is off."), "The contacts are not told. The module is off."),
        ("user tell-moved", TimeoutError(), "A node did not answer in time. The contacts are told"),
    ],
)
def test_a_node_that_does_not_answer_is_told_of(node: Node, command: str, error: Exception, sentence: str) -> None:
    node.fails[command] = error
    assert call("user move", old="old@a.example", new="new@b.example")["note"].startswith(sentence)
    assert moved_to() == "new@b.example"
    node.fails = {"refresh": error}
    call("user move", old="old@a.example", undo="yes")
    assert moved_to() == ""


def test_nodes_that_did_not_take_part_are_told_of(node: Node) -> None:
    node.warnings = ["n2 did not answer."]
    assert call("user move", old="old@a.example", new="new@b.example")["note"] == "n2 did not answer."


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ("old@a.example", "its own address"),
        ("nobody@b.example", "There is no account nobody@b.example; add it first"),
        ("b.example", "not the address of an account"),
        ("new@b.example/phone", "not the address of an account"),
        ("@", "not an XMPP address"),
    ],
)
def test_addresses_that_cannot_be(node: Node, new: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call("user move", old="old@a.example", new=new)
    assert (moved_to(), node.asked) == ("", [])


def test_accounts_do_not_move_in_circles() -> None:
    services.create_account("third@a.example", "secret")
    call("user move", old="new@b.example", new="third@a.example")
    call("user move", old="third@a.example", new="old@a.example")
    with pytest.raises(ValueError, match="has moved to old@a"):
        call("user move", old="old@a.example", new="new@b.example")
    call("user move", old="third@a.example", undo="yes")
    call("user move", old="old@a.example", new="new@b.example")


def test_who_gets_the_address_later_is_not_where_an_account_has_moved_to() -> None:
    call("user move", old="old@a.example", new="new@b.example")
    AccountChange.objects.all().delete()
    services.remove(services.find("new@b.example"))
    assert moved_to() == ""
    assert set(AccountChange.objects.values_list("bare", flat=True)) == {"old@a.example", "new@b.example"}
    services.create_account("new@b.example", "another one")
    assert loaded("old@a.example") == ""


def test_a_command_says_what_it_needs() -> None:
    for arguments, sentence in (
        ({"old": "old@a.example"}, "needs a new address, or --undo"),
        ({"old": "old@a.example", "undo": "yes"}, "has not moved"),
        ({"old": "old@a.example", "new": "new@b.example", "undo": "yes"}, "only the old address"),
        ({"old": "old@a.example", "new": "new@b.example", "undo": "perhaps"}, "yes or no"),
    ):
        with pytest.raises(CommandError, match=sentence):
            call("user move", **arguments)
    with pytest.raises(services.UnknownAccount):
        call("user move", old="who@a.example", new="new@b.example")


def test_an_administrator_of_a_domain_moves_within_it() -> None:
    judge = within.RULES["user move"].judge
    assert judge is not None
    assert within.RULES["user move"].accounts == ("old",)
    services.create_account("other@a.example", "secret")
    services.create_account("boss@a.example", "secret", is_staff=True, is_superuser=True)
    judge("a.example", old="old@a.example", new="other@a.example", undo="no")
    judge("a.example", old="old@a.example", new="", undo="yes")
    # On behalf of the new address contacts are asked: it must be his as well.
    for new, sentence in (
        ("new@b.example", "no such account here"),
        ("me@there.example", "no such account here"),
        ("nobody@a.example", "There is no account"),
        ("boss@a.example", "may do more than you"),
    ):
        with pytest.raises((CommandError, ValueError), match=sentence):
            judge("a.example", old="old@a.example", new=new, undo="no")


def test_the_sentence_of_a_page() -> None:
    move = moving.Move("a@x", "b@y", {**COUNTS, "refused": 2}, ("And more.",))
    assert move.sentence() == (
        "a@x has moved to b@y. Of 5 contacts 2 follow, 3 were asked, 2 found no place in the new list, 1 are blocked. "
        "And more."
    )
    alone = moving.Move("a@x", "b@y", dict.fromkeys(COUNTS, 0))
    assert alone.sentence() == "a@x has moved to b@y. It has no contacts."
    assert moving.Move("a@x", "b@y").sentence() == "a@x has moved to b@y."
