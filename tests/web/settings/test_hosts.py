"""Which host names the pages answer to."""

from __future__ import annotations

import pytest
from django.db import DatabaseError
from django.http.request import validate_host

from mlink_web.conf.models import Domain
from mlink_web.settings.hosts import ServedHosts


@pytest.mark.django_db
def test_domains_that_are_served_and_names_below_them() -> None:
    Domain.objects.create(name="second.example")
    Domain.objects.create(name="off.example", enabled=False)
    hosts = ServedHosts(["first.example"])
    assert validate_host("first.example", hosts)
    assert validate_host("second.example", hosts)
    assert validate_host("chat.second.example", hosts)
    assert not validate_host("off.example", hosts)
    assert not validate_host("notsecond.example", hosts)
    Domain.objects.create(name="third.example")
    assert not validate_host("third.example", hosts), "not asked at each request"
    hosts._looked = float("-inf")
    assert validate_host("third.example", hosts)


def test_without_a_database_the_names_of_the_environment_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_filters: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Domain.objects, "filter", away)
    assert list(ServedHosts(["first.example"])) == ["first.example"]
