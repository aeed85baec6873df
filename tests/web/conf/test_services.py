"""The writers of the configuration, and what they let through."""

from __future__ import annotations

from typing import Any

import pytest

from mlink_web.accounts import services as accounts
from mlink_web.conf import notify, services, snapshot
from mlink_web.conf.models import ConfigVersion, Domain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Versions that nodes were told of."""
    found: list[int] = []
    monkeypatch.setattr(notify, "config_changed", found.append)
    return found


def version() -> int:
    return ConfigVersion.objects.get(pk=1).version


def test_each_change_is_a_version_and_a_notice(told: list[int]) -> None:
    domain = services.add_domain("A.Example.")
    assert domain.name == "a.example"
    services.change_domain(domain, archive=False, max_resources=3)
    services.add_domain("b.example")
    services.remove_domain(domain)
    assert told == [1, 2, 3, 4]
    assert version() == 4
    assert list(Domain.objects.values_list("name", flat=True)) == ["b.example"]


def test_names_are_prepared_and_checked(told: list[int]) -> None:
    assert services.add_domain("B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example").name == "bücher.example"
    for name in ("", "a b", "a@b", "-a.example", "x/y"):
        with pytest.raises(ValueError, match="not a domain name"):
            services.add_domain(name)
    with pytest.raises(ValueError, match="exists already"):
        services.add_domain("xn--bcher-kva.example")
    assert told == [1]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"max_resources": 0}, "max_resources"),
        ({"max_resources": -1}, "max_resources"),
        ({"mechanisms": []}, "mechanisms"),
        ({"mechanisms": ["FOO"]}, "mechanisms"),
        ({"mechanisms": "PLAIN"}, "mechanisms"),
        ({"resource_conflict": "fight"}, "resource_conflict"),
        ({"modules": {"nothing": {}}}, "nothing"),
        ({"modules": {"register": {"no_option": 1}}}, "no_option"),
        ({"modules": []}, "modules"),
        ({"disabled_modules": ["nothing"]}, "nothing"),
        ({"disabled_modules": ["pubsub"]}, "needs 'pubsub'"),
        ({"contacts": {"abuse": "mailto:a@b"}}, "contacts.abuse"),
        ({"name": "c.example"}, "name"),
        ({"moved_to": "a.example"}, "moved_to"),
        ({"moved_to": "A.Example."}, "moved_to"),
        ({"moved_to": "not a name"}, "not a domain name"),
        ({"moved_to": "someone@b.example"}, "not a domain name"),
    ],
)
def test_what_no_node_would_take_is_refused(told: list[int], options: dict[str, Any], path: str) -> None:
    domain = services.add_domain("a.example")
    with pytest.raises(ValueError, match=path):
        services.change_domain(domain, **options)
    assert told == [1]
    assert version() == 1
    fresh = Domain.objects.get()
    for name in options:
        assert getattr(domain, name) == getattr(fresh, name)


def test_an_alias_is_prepared_and_leads_somewhere(told: list[int]) -> None:
    one, two = services.add_domain("a.example"), services.add_domain("b.example", moved_to=" C.Example. ")
    assert two.moved_to == "c.example"
    services.change_domain(one, moved_to="B.example")
    assert snapshot.build(9, with_certificates=False).hosts["a.example"].moved_to == "b.example"
    with pytest.raises(ValueError, match="again and again"):
        services.change_domain(two, moved_to="a.example")
    assert two.moved_to == "c.example"
    services.change_domain(one, moved_to=" ")
    services.change_domain(two, moved_to="a.example")
    assert told == [1, 2, 3, 4, 5]


def test_a_domain_with_accounts_stays(told: list[int]) -> None:
    domain = services.add_domain("a.example")
    with pytest.raises(ValueError, match="only domain"):
        services.remove_domain(domain)
    services.add_domain("b.example")
    accounts.create_account("romeo@a.example", "x")
    with pytest.raises(ValueError, match="1 account"):
        services.remove_domain(domain)
    assert told == [1, 2]
    assert Domain.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("archive", "off", False),
        ("enabled", "YES", True),
        ("max_resources", "12", 12),
        ("mechanisms", "SCRAM-SHA-256, PLAIN", ["SCRAM-SHA-256", "PLAIN"]),
        ("mechanisms", '["PLAIN"]', ["PLAIN"]),
        ("modules", '{"offline": {}}', {"offline": {}}),
        ("public_url", "https://x.example", "https://x.example"),
    ],
)
def test_values_from_text(field: str, text: str, value: object) -> None:
    assert services.value_of(field, text) == value


@pytest.mark.parametrize(
    ("field", "text"), [("archive", "maybe"), ("max_resources", "many"), ("modules", "{"), ("id", "1"), ("nothing", "")]
)
def test_values_that_do_not_fit(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=field):
        services.value_of(field, text)


def test_the_first_domain(settings: Any, told: list[int]) -> None:
    settings.MLINK_DOMAIN = "b.example"
    assert services.first_domain() == "b.example"
    domain = services.add_domain("a.example")
    assert services.first_domain() == "a.example"
    services.add_domain("b.example")
    assert services.first_domain() == "b.example"
    assert list(snapshot.build(1, with_certificates=False).hosts) == ["b.example", "a.example"]
    services.change_domain(domain, enabled=False)
    assert list(snapshot.build(1, with_certificates=False).hosts) == ["b.example"]
