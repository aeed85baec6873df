"""Which mechanisms are offered, and why others are refused."""

from __future__ import annotations

import pytest

from xmpp_engine.sasl.mechanism import Failure, offered, refusal

ALL = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


def test_strongest_first_and_bound_before_unbound() -> None:
    assert offered(ALL, ("tls-exporter",), True) == (
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    )
    assert offered(ALL, (), True) == ALL


def test_only_what_the_domain_wants() -> None:
    assert offered(("SCRAM-SHA-1", "GSSAPI"), ("tls-exporter",), True) == ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
    assert offered(("PLAIN",), ("tls-exporter",), True) == ("PLAIN",)


def test_nothing_where_passwords_would_be_in_clear() -> None:
    assert offered(ALL, (), False) == ()


@pytest.mark.parametrize(
    ("name", "configured", "protected", "expected"),
    [
        ("DIGEST-MD5", ALL, True, "invalid-mechanism"),
        ("", ALL, True, "invalid-mechanism"),
        ("scram-sha-1", ALL, True, "invalid-mechanism"),
        ("PLAIN", ("SCRAM-SHA-256",), True, "mechanism-too-weak"),
        ("SCRAM-SHA-1-PLUS", ("SCRAM-SHA-256",), True, "mechanism-too-weak"),
        ("PLAIN", ALL, False, "encryption-required"),
        ("SCRAM-SHA-256-PLUS", ALL, True, "invalid-mechanism"),
    ],
)
def test_refusals(name: str, configured: tuple[str, ...], protected: bool, expected: str) -> None:
    assert refusal(name, configured, protected).condition == expected


def test_conditions_are_checked() -> None:
    with pytest.raises(ValueError):
        Failure("no-such-condition")
