"""The page for a new password of one's own."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.pages import throttle

OLD, NEW = "correct horse", "battery staple"
PAGE = "/account/password/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


@pytest.fixture
def ada(client: Client) -> Account:
    """A user, signed in."""
    Domain.objects.get_or_create(name="localhost")
    account = services.create_account("ada@localhost", OLD)
    client.force_login(account)
    return account


def send(client: Client, current: str = OLD, password: str = NEW, again: str = NEW):
    """Send the form."""
    return client.post(PAGE, {"current": current, "password": password, "again": again})


def is_password(account: Account, password: str) -> bool:
    """Whether the stored password is this."""
    return Account.objects.get(pk=account.pk).check_password(password)


def test_only_for_those_signed_in(client: Client, ada: Account) -> None:
    assert client.get(PAGE).status_code == 200
    assert Client().get(PAGE).status_code == 302


def test_a_new_password_counts_and_this_browser_stays_signed_in(client: Client, ada: Account) -> None:
    other = Client()
    other.force_login(ada)
    assert send(client).status_code == 302
    assert is_password(ada, NEW)
    assert client.get(PAGE).status_code == 200
    assert other.get(PAGE).status_code == 302, "other browsers are signed out"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"current": "wrong"}, "This is not your password."),
        ({"again": "something else"}, "The two entries differ."),
        ({"password": "short", "again": "short"}, "Take at least 8 characters."),
        ({"password": "nul\0nul nul", "again": "nul\0nul nul"}, "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_is_said(client: Client, ada: Account, fields: dict[str, str], sentence: str) -> None:
    response = send(client, **fields)
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert is_password(ada, OLD)


def test_guessing_the_old_password_is_throttled(client: Client, ada: Account) -> None:
    for _ in range(throttle.PAIR_LIMIT):
        send(client, current="wrong")
    assert "Too many attempts failed" in send(client).content.decode()
    assert is_password(ada, OLD)
