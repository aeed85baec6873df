"""The page of an invitation, one's own list, the console's, and the commands. The node's part is stood in for here."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import imports, scram
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.admin_commands.registry import registry
from mlink_web.conf.models import Domain
from mlink_web.invitations import services, store
from mlink_web.invitations.models import Invitation as Row
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from xmpp_engine.admin.command import CommandError

PASSWORD = "correct horse"
pytestmark = pytest.mark.django_db


@pytest.fixture
def domain() -> Domain:
    """The first domain."""
    return Domain.objects.get_or_create(name="localhost")[0]


@pytest.fixture
def ada(domain: Domain) -> Account:
    """An administrator."""
    return accounts.create_account("ada@localhost", PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def bob(domain: Domain) -> Account:
    """A user."""
    return accounts.create_account("bob@localhost", PASSWORD)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A node that makes the accounts it is asked for."""
    asked: list[dict[str, str]] = []

    def redeem(domain: str, token: str, name: str, password: str, address: str) -> str:
        asked.append({"token": token, "name": name, "address": address})
        # Not `create_account`: the node knows the invitation that reserves the name.
        return accounts.insert(f"{name}@{domain}", scram.derive(password)).username

    monkeypatch.setattr(services, "redeem", redeem)
    return asked


def text(response: Any) -> str:
    """The page as text."""
    return str(response.content.decode())


def join(client: Client, token: str, name: str, password: str = PASSWORD, again: str = PASSWORD) -> Any:
    """Send the form of an invitation."""
    return client.post(f"/invite/{token}", {"name": name, "password": password, "again": again})


def test_the_page_says_who_invites_and_keeps_the_token(client: Client, ada: Account) -> None:
    made = services.invite_by(ada, register=True)
    response = client.get(f"/invite/{made.token}")
    page = text(response)
    assert response.status_code == 200
    assert "ada@localhost invites you to chat" in page
    assert f"xmpp:ada@localhost?roster;preauth={made.token};ibr=y" in page
    assert "data:image/svg+xml" in page
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "no-store"
    assert "noindex" in response.headers["X-Robots-Tag"]
    assert not re.search(r'(src|href)="https?://', page), "nothing from elsewhere"
    assert made.token not in repr(Row.objects.values())


def test_an_account_is_made_by_the_node_and_signed_in(client: Client, ada: Account, node: list[dict[str, str]]) -> None:
    made = services.invite_by(ada, register=True)
    response = join(client, made.token, "carol")
    assert response.status_code == 302, text(response)
    assert response.headers["Location"] == "/account/welcome/"
    (asked,) = node
    assert asked == {"token": made.token, "name": "carol", "address": "127.0.0.1"}
    welcome = text(client.get("/account/welcome/"))
    assert "carol@localhost" in welcome
    assert "/chat/" in welcome
    assert client.get("/chat/").status_code == 200


@pytest.mark.parametrize(
    ("name", "password", "again", "sentence"),
    [
        ("", PASSWORD, PASSWORD, "Choose a name."),
        ("ada", PASSWORD, PASSWORD, "ada@localhost is taken already."),
        ("a b", PASSWORD, PASSWORD, "This cannot be a user name."),
        ("a@b", PASSWORD, PASSWORD, "only the part before the @"),
        ("carol", "short", "short", "A password needs 8 characters."),
        ("carol", PASSWORD, "another one", "The two passwords differ."),
    ],
)
def test_what_is_wrong_is_said(
    client: Client, ada: Account, node: list[dict[str, str]], name: str, password: str, again: str, sentence: str
) -> None:
    made = services.invite_by(ada, register=True)
    response = join(client, made.token, name, password, again)
    assert response.status_code == 400
    assert sentence in text(response)
    assert PASSWORD not in text(response)
    assert node == []


@pytest.mark.parametrize(("error", "sentence"), [(NodeDown("x"), "not running"), (EngineError("taken"), "Taken.")])
def test_a_node_that_refuses(
    client: Client, ada: Account, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    async def call(*_arguments: Any, **_more: str) -> Any:
        raise error

    monkeypatch.setattr(EngineClient, "call", call)
    response = join(client, services.invite_by(ada, register=True).token, "carol")
    assert response.status_code == 400
    assert sentence in text(response)


@pytest.mark.parametrize("how", ["unknown", "used", "revoked", "expired", "disabled"])
def test_a_link_that_ended_is_one_page(client: Client, ada: Account, domain: Domain, how: str) -> None:
    made = services.invite_by(ada, register=True)
    token = made.token
    if how == "unknown":
        token = "x" * 24
    elif how == "used":
        store.use(made.row.digest, "carol@localhost", time.time())
    elif how == "revoked":
        assert store.revoke(made.row.id)
    elif how == "expired":
        Row.objects.update(expires=time.time() - 1)
    else:
        Domain.objects.update(enabled=False)
    response = client.get(f"/invite/{token}")
    assert response.status_code == 404
    assert "not valid any more" in text(response)
    assert client.get(f"/invite/{token}/name?name=x").status_code == 404


def test_names_are_checked_while_typed(client: Client, ada: Account, domain: Domain) -> None:
    services.invite_to_account(domain, "dave")
    url = f"/invite/{services.invite_by(ada, register=True).token}/name"
    answers = [client.get(url, {"name": name}).json()["wrong"] for name in ("carol", "ADA", "dave", "a b", "")]
    assert answers[0] == answers[4] == ""
    assert "taken" in answers[1]
    assert "taken" in answers[2]
    assert "cannot be" in answers[3]


def test_a_given_name_stays(client: Client, domain: Domain, node: list[dict[str, str]]) -> None:
    made = services.invite_to_account(domain, "dave")
    assert 'value="dave"' in text(client.get(f"/invite/{made.token}"))
    assert join(client, made.token, "eve").status_code == 302
    assert node[0]["name"] == "dave"


def test_a_contact_link_makes_no_account(client: Client, bob: Account) -> None:
    made = services.invite_by(bob, register=False)
    page = text(client.get(f"/invite/{made.token}"))
    assert "ibr=y" not in page
    assert "Make the account" not in page
    assert join(client, made.token, "eve").status_code == 200
    assert not Account.objects.filter(local="eve").exists()


def test_a_new_password_is_set_once(client: Client, bob: Account) -> None:
    made = services.invite_to_new_password(bob)
    assert "bob@localhost" in text(client.get(f"/invite/{made.token}"))
    form = {"password": "battery staple", "again": "battery staple"}
    assert client.post(f"/invite/{made.token}", {**form, "again": "other"}).status_code == 400
    assert client.post(f"/invite/{made.token}", form).status_code == 302
    fresh = Account.objects.get(pk=bob.pk)
    assert fresh.check_password("battery staple")
    assert not fresh.check_password(PASSWORD)
    assert client.post(f"/invite/{made.token}", form).status_code == 404


def test_users_make_and_withdraw_their_own(client: Client, bob: Account, ada: Account) -> None:
    assert client.get("/account/invitations/").status_code == 302
    client.force_login(bob)
    page = text(client.get("/account/invitations/"))
    assert "Make a link" in page
    assert "Invite somebody new" not in page
    made = text(client.post("/account/invitations/", {"register": "0"}))
    assert "/invite/" in made
    assert client.post("/account/invitations/", {"register": "1"}).status_code == 302, "only administrators may"
    row = Row.objects.get()
    token = made.split("/invite/")[1].split('"')[0]
    assert token not in text(client.get("/account/invitations/")), "it is shown once"
    others = services.invite_by(ada, register=True)
    client.post("/account/invitations/revoke", {"number": others.row.id})
    client.post("/account/invitations/revoke", {"number": row.pk})
    client.post("/account/invitations/revoke", {"number": "x"})
    assert Row.objects.get(pk=row.pk).revoked
    assert not Row.objects.get(pk=others.row.id).revoked
    assert "withdrawn" in text(client.get("/account/invitations/"))


def test_a_user_has_a_quota(client: Client, bob: Account, domain: Domain) -> None:
    domain.modules = {"invitations": {"per_day": 1, "accounts": "everybody"}}
    domain.save()
    client.force_login(bob)
    assert client.post("/account/invitations/", {"register": "1"}).status_code == 200
    assert client.post("/account/invitations/", {"register": "1"}).status_code == 302
    assert Row.objects.count() == 1


def test_who_was_put_out_lets_nobody_in(client: Client, bob: Account, domain: Domain) -> None:
    domain.modules = {"invitations": {"accounts": "everybody"}}
    domain.save()
    made = services.invite_by(Account.objects.get(pk=bob.pk), register=True)
    assert client.get(f"/invite/{made.token}").status_code == 200
    accounts.disable(bob)
    assert client.get(f"/invite/{made.token}").status_code == 404


def test_a_quota_of_nothing_is_no_invitation(client: Client, bob: Account, domain: Domain) -> None:
    domain.modules = {"invitations": {"per_day": 0, "accounts": "everybody"}}
    domain.save()
    client.force_login(bob)
    assert client.post("/account/invitations/", {"register": "1"}).status_code == 302
    assert not Row.objects.exists()


def test_the_console_makes_and_withdraws(client: Client, ada: Account, bob: Account) -> None:
    client.force_login(bob)
    assert client.get("/admin/invitations/").status_code == 403
    client.force_login(ada)
    page = text(client.post("/admin/invitations/", {"domain": "localhost", "name": "dave", "most": "1"}))
    assert "/invite/" in page
    assert "dave" in page
    again = client.post("/admin/invitations/", {"domain": "localhost", "name": "dave", "most": "1"})
    assert "reserves the name dave" in text(again)
    taken = client.post("/admin/invitations/", {"domain": "localhost", "name": "bob", "most": "1"})
    assert "There is an account bob@localhost already." in text(taken)
    client.post("/admin/invitations/revoke", {"number": Row.objects.get().pk})
    assert Row.objects.get().revoked


def test_commands(bob: Account, domain: Domain) -> None:
    def run(what: str, **given: str) -> Any:
        command = registry.get(what)
        return command.function(**command.bind(given))

    made = run("invite create", uses="3")
    assert made["uri"].startswith("xmpp:localhost?register;preauth=")
    assert "/invite/" in made["link"]
    reset = run("invite reset", jid="bob@localhost")
    assert "uri" not in reset
    assert [row["for"] for row in run("invite list")] == ["New password for bob", "Account"]
    run("invite revoke", number=str(made["number"]))
    with pytest.raises(CommandError):
        run("invite revoke", number=str(made["number"]))
    with pytest.raises(CommandError):
        run("invite create", uses="many")
    with pytest.raises(ValueError, match="once"):
        run("invite create", name="x", uses="2")
    assert run("invite list")[1]["state"] == "withdrawn"


def test_the_console_makes_a_link_for_a_new_password(
    client: Client, ada: Account, bob: Account, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(ada)
    assert f"/admin/users/{bob.pk}/password-link" in text(client.get(f"/admin/users/{bob.pk}/"))
    with caplog.at_level(logging.INFO, "mlink.audit"):
        response = client.post(f"/admin/users/{bob.pk}/password-link")
    assert response.headers["Cache-Control"] == "no-store"
    page = text(response)
    found = re.search(r'value="http://testserver(/invite/[^"]+)"', page)
    assert found is not None
    assert "data-copy" in page
    assert found[1].removeprefix("/invite/") not in caplog.text
    assert any("made link for a new password" in one.getMessage() for one in caplog.records)
    assert "bob@localhost" in text(Client().get(found[1]))
    client.force_login(bob)
    assert client.post(f"/admin/users/{ada.pk}/password-link").status_code == 403
    assert Row.objects.count() == 1


def test_reserved_names_are_kept_for_whom_they_are(client: Client, ada: Account, tmp_path: Path) -> None:
    made = services.invite_to_account(ada.domain, "dave")
    with pytest.raises(ValueError, match="reserves the name dave"):
        registry.get("user add").function(jid="dave@localhost", password=PASSWORD, admin="no")
    client.force_login(ada)
    form = {"local": "dave", "domain": "localhost", "password": PASSWORD}
    assert "reserves the name dave" in text(client.post("/admin/users/add/", form))
    file = tmp_path / "people.csv"
    file.write_text("dave@localhost,correct horse\nerin@localhost,correct horse\n")
    done = imports.import_accounts(file)
    assert (done.made, [number for number, _ in done.errors]) == (1, [1])
    assert made.row.id is not None
    store.revoke(made.row.id)
    accounts.create_account("dave@localhost", PASSWORD)
