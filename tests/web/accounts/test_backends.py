"""Signing in on the web."""

from __future__ import annotations

import pytest
from django.contrib.auth import authenticate, get_user
from django.http import HttpRequest
from django.test import Client

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def account() -> Account:
    Domain.objects.create(name="a.example")
    Domain.objects.create(name="b.example")
    return services.create_account("romeo@a.example", "secret")


def signed_in(client: Client) -> Account | None:
    """Whom a request of this client would come from."""
    request = HttpRequest()
    request.session = client.session
    user = get_user(request)
    return user if isinstance(user, Account) else None


@pytest.mark.parametrize("name", ["romeo@a.example", "Romeo@A.EXAMPLE", "romeo"])
def test_address_or_local_part(name: str, account: Account) -> None:
    assert authenticate(username=name, password="secret") == account


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("romeo@a.example", "wrong"),
        ("romeo@a.example", ""),
        ("romeo@b.example", "secret"),
        ("juliet@a.example", "secret"),
        ("ro meo@@", "secret"),
        ("", "secret"),
    ],
)
def test_others_are_refused(name: str, password: str) -> None:
    assert authenticate(username=name, password=password) is None


def test_a_disabled_account_is_refused_and_signed_out(account: Account, client: Client) -> None:
    client.force_login(account)
    assert signed_in(client) == account
    services.disable(account)
    assert authenticate(username="romeo", password="secret") is None
    assert signed_in(client) is None


def test_an_account_of_a_disabled_domain_is_refused(account: Account) -> None:
    Domain.objects.filter(name="a.example").update(enabled=False)
    assert authenticate(username="romeo@a.example", password="secret") is None


def test_a_new_password_signs_out(account: Account, client: Client) -> None:
    client.force_login(account)
    services.set_password(account, "other")
    assert signed_in(client) is None


def test_roles() -> None:
    admin = services.create_account("admin@a.example", "x", is_staff=True, is_superuser=True)
    assert admin.has_perm("anything")
    assert admin.has_module_perms("accounts")
    user = services.create_account("user@a.example", "x")
    assert not user.has_perm("anything")
    services.create_account("second@a.example", "x", is_superuser=True)
    services.disable(admin)
    assert not admin.has_perm("anything")
