"""What a first start makes, and that later ones leave it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.node.prepare import Prepared, prepare

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def environment(settings: Any, tmp_path: Path) -> Any:
    settings.MLINK_HOME = tmp_path
    settings.MLINK_DOMAIN = "first.example"
    settings.MLINK_ADMIN_PASSWORD = ""
    return settings


def test_the_first_start_makes_everything_and_the_second_nothing(tmp_path: Path) -> None:
    made = prepare()
    assert (made.domain, made.administrator, made.certificates) == (
        "first.example",
        "admin@first.example",
        ["first.example"],
    )
    admin = Account.objects.get()
    assert (admin.is_staff, admin.is_superuser) == (True, True)
    assert admin.check_password(made.password)
    assert (tmp_path / "tls" / "first.example.key").exists()
    again = prepare()
    assert again == Prepared()
    assert Account.objects.get().check_password(made.password)


def test_the_password_of_the_environment_is_not_shown(environment: Any) -> None:
    environment.MLINK_ADMIN_PASSWORD = "given"
    made = prepare()
    assert made.password == ""
    assert Account.objects.get().check_password("given")
    environment.MLINK_ADMIN_PASSWORD = "another"
    prepare()
    assert Account.objects.get().check_password("given")


def test_an_account_with_that_name_becomes_the_administrator() -> None:
    Domain.objects.create(name="first.example")
    services.create_account("admin@first.example", "x")
    made = prepare()
    assert made.domain == ""
    admin = Account.objects.get()
    assert admin.is_superuser
    assert admin.check_password(made.password)


def test_other_domains_stay_as_they_are() -> None:
    Domain.objects.create(name="kept.example")
    made = prepare()
    assert made.administrator == "admin@kept.example"
    assert list(Domain.objects.values_list("name", flat=True)) == ["kept.example"]
