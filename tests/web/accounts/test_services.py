"""The writers of accounts: what they store, what they refuse, whom they tell."""

from __future__ import annotations

import pytest

from mlink_web.accounts import scram, services
from mlink_web.accounts.models import Account, AccountChange, Credential, SignInToken
from mlink_web.conf import notify
from mlink_web.conf.models import Domain
from mlink_web.stores.models import RosterItem
from xmpp_engine.sasl import keys as scram_keys
from xmpp_engine.storage.protocols import AccountExists

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def domain() -> Domain:
    return Domain.objects.create(name="a.example")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that nodes were told of, once the change had committed."""
    found: list[str] = []
    monkeypatch.setattr(notify, "accounts_changed", found.extend)
    return found


def test_an_account_holds_keys_and_no_password(told: list[str]) -> None:
    account = services.create_account(" Romeo@A.example ", "wherefore art thou")
    assert account.username == "romeo@a.example"
    assert (account.local, account.domain.name, account.state) == ("romeo", "a.example", "active")
    rows = {row.mechanism: row.as_keys() for row in Credential.objects.filter(account=account)}
    assert set(rows) == {"SCRAM-SHA-1", "SCRAM-SHA-256"}
    assert len({(key.salt, key.iterations) for key in rows.values()}) == 1
    key = rows["SCRAM-SHA-256"]
    assert key == scram_keys.derive("SCRAM-SHA-256", "wherefore art thou", key.salt, key.iterations)
    assert told == ["romeo@a.example"]
    stored = str(list(Account.objects.values())) + str(list(Credential.objects.values()))
    assert "wherefore" not in stored


def test_new_passwords_have_enough_rounds() -> None:
    assert scram_keys.ITERATIONS >= 10_000


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("romeo", "name@domain"),
        ("@a.example", "not an XMPP address"),
        ("romeo@a.example/balcony", "name@domain"),
        ("ro meo@a.example", "not an XMPP address"),
        ("romeo@b.example", "not served"),
        ("", "not an XMPP address"),
    ],
)
def test_addresses_that_are_none(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        services.create_account(address, "x")
    assert not Account.objects.exists()


@pytest.mark.parametrize("password", ["", "a\x07b", "x" * 1025])
def test_passwords_that_are_none(password: str) -> None:
    with pytest.raises(ValueError):
        services.create_account("romeo@a.example", password)
    assert not Account.objects.exists()


def test_an_account_exists_once() -> None:
    services.create_account("romeo@a.example", "x")
    with pytest.raises(AccountExists, match=r"romeo@a\.example"):
        services.create_account("ROMEO@a.example", "y")


def test_a_password_is_prepared_before_it_is_compared() -> None:
    account = services.create_account("romeo@a.example", "cafe\N{COMBINING ACUTE ACCENT} 1")
    assert account.check_password("caf\N{LATIN SMALL LETTER E WITH ACUTE}\N{NO-BREAK SPACE}1")
    assert not account.check_password("cafe 1")
    assert not account.check_password("")


def test_a_new_password_ends_web_sessions_and_tokens(told: list[str]) -> None:
    account = services.create_account("romeo@a.example", "old")
    services.issue_token(account)
    before = account.get_session_auth_hash()
    assert Account.objects.get(pk=account.pk).get_session_auth_hash() == before
    services.set_password(account, "new")
    fresh = Account.objects.get(pk=account.pk)
    assert fresh.get_session_auth_hash() != before
    assert account.get_session_auth_hash() == fresh.get_session_auth_hash()
    assert fresh.check_password("new")
    assert not fresh.check_password("old")
    assert not SignInToken.objects.exists()
    assert told == ["romeo@a.example", "romeo@a.example"]


def test_a_model_keeps_the_password_that_django_sets() -> None:
    account = services.create_account("romeo@a.example", None)
    assert not account.has_usable_password()
    assert not account.check_password("")
    account.set_password("x")
    account.save()
    assert account.check_password("x")
    assert Account.objects.get(pk=account.pk).check_password("x")


def test_disabling_is_told(told: list[str]) -> None:
    account = services.create_account("romeo@a.example", "x")
    changes = AccountChange.objects.count()
    services.disable(account)
    assert Account.objects.get(pk=account.pk).state == "disabled"
    services.enable(account)
    assert Account.objects.get(pk=account.pk).state == "active"
    assert AccountChange.objects.count() == changes + 2
    assert told == ["romeo@a.example"] * 3


def test_a_change_that_is_rolled_back_is_not_told(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Credential, "of", fail)
    with pytest.raises(RuntimeError):
        services.create_account("romeo@a.example", "x")
    assert told == []
    assert not Account.objects.exists()


def test_the_last_administrator_stays() -> None:
    first = services.create_account("admin@a.example", "x", is_staff=True, is_superuser=True)
    for refuse in (services.disable, services.remove):
        with pytest.raises(ValueError, match="last administrator"):
            refuse(first)
    with pytest.raises(ValueError, match="last administrator"):
        services.set_roles(first, is_staff=True, is_superuser=False)
    second = services.create_account("second@a.example", "x", is_staff=True, is_superuser=True)
    services.disable(first)
    with pytest.raises(ValueError, match="last administrator"):
        services.remove(second)
    services.remove(first)
    assert list(Account.objects.values_list("username", flat=True)) == ["second@a.example"]


def test_removal_takes_the_roster(told: list[str]) -> None:
    account = services.create_account("romeo@a.example", "x")
    RosterItem.objects.create(account=account, jid="juliet@a.example")
    services.remove(account)
    assert not RosterItem.objects.exists()
    assert not Account.objects.exists()
    assert told[-1] == "romeo@a.example"


def test_a_token_works_as_a_password() -> None:
    account = services.create_account("romeo@a.example", "x")
    text = services.issue_token(account)
    assert len(text) >= 32
    for row in SignInToken.objects.all():
        credential = Credential.objects.get(account=account, mechanism=row.mechanism)
        expected = scram_keys.derive(row.mechanism, text, bytes(credential.salt), credential.iterations)
        assert (bytes(row.stored_key), bytes(row.server_key)) == (expected.stored_key, expected.server_key)
    assert SignInToken.objects.count() == 2
    assert len(set(SignInToken.objects.values_list("token", flat=True))) == 1


def test_who_cannot_sign_in_gets_no_token() -> None:
    account = services.create_account("romeo@a.example", None)
    with pytest.raises(ValueError, match="no password"):
        services.issue_token(account)
    services.set_password(account, "x")
    services.disable(account)
    with pytest.raises(ValueError, match="may not sign in"):
        services.issue_token(account)


def test_archive_preferences_are_checked() -> None:
    account = services.create_account("romeo@a.example", "x")
    services.set_archive(account, "roster", always=["b@x.example", "a@x.example"])
    fresh = Account.objects.get(pk=account.pk)
    assert (fresh.archive, fresh.archive_always) == ("roster", ["a@x.example", "b@x.example"])
    with pytest.raises(ValueError):
        services.set_archive(account, "sometimes")


def test_comparing_without_keys_does_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    derive = scram_keys.derive

    def counted(mechanism: str, password: str, salt: bytes, iterations: int) -> object:
        rounds.append(iterations)
        return derive(mechanism, password, salt, iterations)

    monkeypatch.setattr(scram_keys, "derive", counted)
    assert not scram.matches("x", None)
    assert rounds == [scram.iterations()]
