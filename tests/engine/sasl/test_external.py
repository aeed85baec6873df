"""EXTERNAL: which accounts a certificate speaks for, and whom it lets in."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from tests.engine.sasl.certificates import XMPP_ADDR, Authority, der, utf8
from tests.engine.sasl.fakes import FakeContext, settle
from tests.engine.stream.fakes import credentials
from xmpp_engine.sasl.external import External, _utf8, addresses
from xmpp_engine.sasl.mechanism import Failure, Success
from xmpp_engine.storage.devices import CERTIFICATE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("alice@localhost",), ("alice@localhost",)),
        (("Alice@LOCALHOST", "alice@localhost"), ("alice@localhost",)),
        (("bob@localhost", "alice@localhost", "eve@other.example"), ("bob@localhost", "alice@localhost")),
        (("alice@other.example",), ()),
        (("localhost",), ()),
        (("alice@localhost/resource",), ()),
        (("alice@localhost\0.evil.example",), ()),
        ((), ()),
        ((b"\x16\x0falice@localhost",), ()),  # an IA5String
        ((b"\x0c\x02\xff\xfe",), ()),
        ((f"{'a' * 200}@localhost",), (f"{'a' * 200}@localhost",)),
        ((x509.RFC822Name("alice@localhost"),), ()),
        ((x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"), utf8("alice@localhost")),), ()),
        ((x509.DNSName("localhost"), x509.OtherName(XMPP_ADDR, utf8("alice@localhost"))), ("alice@localhost",)),
    ],
)
def test_which_accounts_it_speaks_for(
    authority: Authority, names: tuple[x509.GeneralName | bytes | str, ...], expected: tuple[str, ...]
) -> None:
    made = authority.sign("client", *names, common="alice@localhost")
    assert addresses(der(made), "localhost") == expected


def test_what_is_no_certificate() -> None:
    assert addresses(b"nonsense", "localhost") == ()


def test_a_kind_of_name_that_nobody_reads(authority: Authority) -> None:
    value = b"\x30\x04\xa5\x02\xa1\x00"  # an ediPartyName
    names = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, value)
    assert addresses(der(authority.sign("odd", names_as=names)), "localhost") == ()


@pytest.mark.parametrize(
    "value",
    [b"", b"\x0c", utf8("a@b") + b"x", b"\x0c\x7fa@b", b"\x0c\x84\xff\xff\xff\xff", b"\x0c\x81", b"\x0c\x80a@b"],
)
def test_what_is_no_text(value: bytes) -> None:
    with pytest.raises(ValueError, match="UTF8String"):
        _utf8(value)


def outcome(allowed: tuple[str, ...], data: bytes, state: str = "active") -> Success | Failure:
    context = FakeContext(credentials(state=state))
    context.certificate = allowed
    result = settle(External("EXTERNAL", context).begin(data))
    assert isinstance(result, Success | Failure)
    return result


@pytest.mark.parametrize("data", [b"", b"alice@localhost"])
def test_it_lets_in_whom_it_names(data: bytes) -> None:
    result = outcome(("alice@localhost",), data)
    assert isinstance(result, Success)
    assert (result.account.bare, result.method, result.data) == ("alice@localhost", CERTIFICATE, None)


@pytest.mark.parametrize(
    ("allowed", "data", "state", "condition"),
    [
        ((), b"", "active", "not-authorized"),
        ((), b"alice@localhost", "active", "not-authorized"),
        (("bob@localhost",), b"", "active", "not-authorized"),
        (("bob@localhost",), b"alice@localhost", "active", "invalid-authzid"),
        (("alice@localhost", "bob@localhost"), b"", "active", "invalid-authzid"),
        (("alice@localhost",), b"alice@localhost/x", "active", "invalid-authzid"),
        (("alice@localhost",), b"@", "active", "invalid-authzid"),
        (("alice@localhost",), b"\xff", "active", "malformed-request"),
        (("alice@localhost",), b"", "disabled", "account-disabled"),
        (("alice@localhost",), b"", "expired", "credentials-expired"),
    ],
)
def test_whom_it_does_not_let_in(allowed: tuple[str, ...], data: bytes, state: str, condition: str) -> None:
    result = outcome(allowed, data, state)
    assert isinstance(result, Failure)
    assert result.condition == condition
