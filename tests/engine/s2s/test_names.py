"""Whether a certificate speaks for a domain: RFC 9525 and RFC 6120, 13.7."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.kits.authority import DNS_SRV, XMPP_ADDR, Authority, srv_name, xmpp_addr
from xmpp_engine.s2s import names as names_module
from xmpp_engine.s2s.names import ascii_domain, matching, names_of, within

ROOT = Authority()


@pytest.mark.parametrize(
    ("presented", "domain", "expected"),
    [
        ({"dns": ["example.org"]}, "example.org", "example.org"),
        ({"dns": ["EXAMPLE.org"]}, "example.ORG", "example.org"),
        ({"dns": ["example.org."]}, "example.org", "example.org"),
        ({"dns": ["example.org"]}, "example.net", ""),
        ({"dns": ["example.org"]}, "rooms.example.org", ""),
        ({"dns": ["*.example.org"]}, "rooms.example.org", "*.example.org"),
        ({"dns": ["*.example.org"]}, "example.org", ""),
        ({"dns": ["*.example.org"]}, "a.rooms.example.org", ""),
        ({"dns": ["*.org"]}, "example.org", ""),
        ({"dns": ["*"]}, "localhost", ""),
        ({"dns": ["r*.example.org"]}, "rooms.example.org", ""),
        ({"dns": ["rooms.*.org"]}, "rooms.example.org", ""),
        ({"xmpp": ["example.org"]}, "example.org", "example.org"),
        ({"xmpp": ["*.example.org"]}, "rooms.example.org", ""),
        ({"xmpp": ["user@example.org"]}, "example.org", ""),
        ({"xmpp": ["example.org/resource"]}, "example.org", ""),
        ({"xmpp": ["bücher.example"]}, "bücher.example", "xn--bcher-kva.example"),
        ({"xmpp": ["xn--bcher-kva.example"]}, "bücher.example", "xn--bcher-kva.example"),
        ({"dns": ["xn--bcher-kva.example"]}, "bücher.example", "xn--bcher-kva.example"),
        ({"dns": ["*.xn--bcher-kva.example"]}, "bücher.bücher.example", "*.xn--bcher-kva.example"),
        ({"srv": ["_xmpp-server.example.org"]}, "example.org", "_xmpp-server.example.org"),
        ({"srv": ["_XMPP-Server.Example.org"]}, "example.org", "_xmpp-server.example.org"),
        ({"srv": ["_xmpp-client.example.org"]}, "example.org", ""),
        ({"srv": ["_xmpp-server.*.org"]}, "example.org", ""),
        ({"srv": ["_xmpp-server.*.example.org"]}, "rooms.example.org", ""),
        ({"dns": ["127.0.0.1"]}, "127.0.0.1", "127.0.0.1"),
        ({"dns": ["::1"]}, "[::1]", "::1"),
        ({"dns": ["127.0.0.1"]}, "127.0.0.2", ""),
        ({"dns": []}, "example.org", ""),
        ({"dns": [], "common_name": "example.org"}, "example.org", ""),
        ({"dns": ["other.example"], "common_name": "example.org"}, "example.org", ""),
    ],
)
def test_matching(presented: dict[str, object], domain: str, expected: str) -> None:
    options = dict(presented)
    certified = ROOT.issue(*options.pop("dns", []), **options)  # type: ignore[arg-type,misc]
    assert matching(names_of(certified.certificate), domain) == expected


@pytest.mark.parametrize(
    "name",
    [
        x509.OtherName(XMPP_ADDR, b"\x16\x0bexample.org"),  # an IA5String where UTF8String is due
        x509.OtherName(DNS_SRV, b"\x0c\x18_xmpp-server.example.org"),
        x509.OtherName(XMPP_ADDR, b"\x05\x00"),
        x509.OtherName(XMPP_ADDR, b"\x0c\x0bexample.or\xff"),
        x509.OtherName(XMPP_ADDR, b"\x0c\x0cexample.org\x00"),
        x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x0bexample.org"),
        x509.UniformResourceIdentifier("xmpp:example.org"),
        x509.RFC822Name("example.org"),
    ],
)
def test_what_says_nothing(name: x509.GeneralName) -> None:
    certified = ROOT.issue(more=[name])
    assert matching(names_of(certified.certificate), "example.org") == ""


@pytest.mark.parametrize(
    "der",
    [b"", b"\x0c", b"\x0c\x0cexample.org", b"\x0c\x0aexample.org", b"\x0c\x81", b"\x0c\x80", b"\x0c\x84\0\0\0\x01a"],
)
def test_damaged_strings(der: bytes) -> None:
    assert names_module._string(der, 0x0C) == ""


def test_a_nul_inside_is_no_end() -> None:
    certified = ROOT.issue(more=[xmpp_addr("example.org\0.evil.example"), srv_name("_xmpp-server.example.org\0.evil")])
    assert matching(names_of(certified.certificate), "example.org") == ""


def test_long_names_are_read() -> None:
    domain = ".".join(["a" * 60] * 4)
    names = names_of(ROOT.issue(more=[xmpp_addr(domain)]).certificate)
    assert matching(names, domain) == domain


def test_too_many_names() -> None:
    certified = ROOT.issue(*(f"n{number}.example.org" for number in range(1_001)))
    with pytest.raises(ValueError, match="1001 names"):
        names_of(certified.certificate)


def test_all_names_once() -> None:
    certified = ROOT.issue("example.org", "127.0.0.1", xmpp=["example.org"], srv=["_xmpp-server.example.org"])
    assert names_of(certified.certificate).all == ("example.org", "_xmpp-server.example.org", "127.0.0.1")


@pytest.mark.parametrize("text", ["\u2488.example", "a" * 64 + "ü.example"])
def test_no_domains(text: str) -> None:
    with pytest.raises(ValueError):
        ascii_domain(text)


@pytest.mark.parametrize(
    ("domain", "constraint", "expected"),
    [
        ("example.org", "example.org", True),
        ("a.example.org", "example.org", True),
        ("a.example.org", ".example.org", True),
        ("badexample.org", "example.org", False),
        ("example.org", "", True),
        ("org", "example.org", False),
    ],
)
def test_constraints(domain: str, constraint: str, expected: bool) -> None:
    assert within(domain, constraint) is expected
