"""Options of services on sub-domains."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from xmpp_engine.config.services import bare_addresses, check_services, options_from


@dataclass(frozen=True)
class Options:
    """What a service takes."""

    limit: int = 1
    owners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError("limit is at least 1")


def made(values: dict) -> Options:
    return options_from(Options, values, several=("owners",))


def test_plain_values_become_options() -> None:
    assert made({"limit": 3, "owners": ["a", "b"]}) == Options(3, ("a", "b"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"speed": 1}, "there is no option speed"), ({"limit": "many"}, "wrong type"), ({"limit": 0}, "at least 1")],
)
def test_what_makes_no_sense_is_refused(values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        made(values)


@pytest.mark.parametrize("name", ["a.b", "Rooms", "", "a@b"])
def test_names_are_labels_of_a_domain(name: str) -> None:
    with pytest.raises(ValueError, match=rf"services\.{name}: "):
        check_services({name: {}}, made)


def test_the_service_at_fault_is_named() -> None:
    check_services({"rooms": {"limit": 2}}, made)
    with pytest.raises(ValueError, match=r"services\.rooms: limit is at least 1"):
        check_services({"rooms": {"limit": 0}}, made)


def test_addresses_are_bare_and_prepared() -> None:
    assert bare_addresses("owners", ["Romeo@Example.org", "example.net"]) == ("romeo@example.org", "example.net")
    for text in ("romeo@example.org/garden", "@"):
        with pytest.raises(ValueError, match="owners: "):
            bare_addresses("owners", [text])
