"""What people write about peers, in one form or refused with a sentence."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mlink_web.federation import values
from tests.kits.authority import Authority, self_signed

DIGEST = hashlib.sha256(b"key").digest()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        (" XMPP.Example.NET ", "xmpp.example.net"),
        ("xmpp.example.net:5269", "xmpp.example.net:5269"),
        ("192.0.2.1:1", "192.0.2.1:1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:5270", "[2001:db8::1]:5270"),
    ],
)
def test_addresses(text: str, kept: str) -> None:
    assert values.route(text) == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2001:db8::1", "stands in brackets"),
        ("host:0", "1 to 65535"),
        ("host:70000", "1 to 65535"),
        ("host:x", "host or host:port"),
        (":5269", "host or host:port"),
        ("[192.0.2.1]:5269", "Only IPv6"),
        ("[nonsense]", "not an IPv6 address"),
        ("192.0.2.300", "not an IPv4 address"),
        ("a b", "not a domain name"),
    ],
)
def test_addresses_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        values.route(text)


def test_name_servers() -> None:
    assert values.nameservers("192.0.2.1, 192.0.2.1:5353\n2001:db8::1 [2001:db8::2]:53") == [
        "192.0.2.1",
        "192.0.2.1:5353",
        "2001:db8::1",
        "[2001:db8::2]:53",
    ]
    with pytest.raises(ValueError, match="not an IP address"):
        values.nameservers("ns.example.org")
    with pytest.raises(ValueError, match="At most 8"):
        values.nameservers([f"192.0.2.{number}" for number in range(9)])


@pytest.mark.parametrize(
    "text",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        ":".join(f"{byte:02x}" for byte in DIGEST),
        base64.b64encode(DIGEST).decode(),
        "sha256//" + base64.b64encode(DIGEST).decode(),
    ],
)
def test_pins_in_every_writing(text: str) -> None:
    assert values.pins(f"{text}\n{text}") == [DIGEST.hex()]


@pytest.mark.parametrize("text", ["ab" * 31, "x" * 64, base64.b64encode(b"short").decode()])
def test_pins_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no pin"):
        values.pins(text)


def test_authorities_are_kept_without_what_stands_around_them() -> None:
    root = Authority("Root of partners")
    text = f"# our root\n{root.pem.decode()}\n\n{root.pem.decode()}"
    kept = values.authorities(text)
    assert kept == root.pem.decode()
    [shown] = values.listed(kept)
    assert "Root of partners" in shown.subject
    assert not shown.expired


def test_lists_of_revoked_certificates_stay_behind_them() -> None:
    root = Authority("Root")
    listed = x509.load_der_x509_crl(root.crl()).public_bytes(Encoding.PEM).decode()
    assert values.authorities(f"{listed}{root.pem.decode()}") == root.pem.decode() + listed
    assert len(values.listed(root.pem.decode() + listed)) == 1
    with pytest.raises(ValueError, match="cannot be read"):
        values.authorities(root.pem.decode() + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")


def test_lists_that_are_cut_off_are_no_work() -> None:
    root = Authority("Root")
    begun = time.process_time()
    with pytest.raises(ValueError, match="cannot be read"):
        values.authorities(root.pem.decode() + "-----BEGIN X509 CRL-----\n" * 30_000)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("version", [5, 127])
def test_certificates_of_no_version(version: int) -> None:
    der = Authority("Root").certificate.public_bytes(Encoding.DER)
    mark = bytes.fromhex("a003020102")
    assert mark in der
    damaged = base64.encodebytes(der.replace(mark, mark[:-1] + bytes([version]), 1)).decode()
    with pytest.raises(ValueError, match="no certificates in PEM"):
        values.authorities(f"-----BEGIN CERTIFICATE-----\n{damaged}-----END CERTIFICATE-----\n")


def test_texts_that_hold_no_authority() -> None:
    leaf = Authority("Root").issue("a.example")
    with pytest.raises(ValueError, match="no certificates in PEM"):
        values.authorities("MIIB")
    with pytest.raises(ValueError, match="private key"):
        values.authorities(leaf.key_pem.decode())
    with pytest.raises(ValueError, match="enter its pin instead"):
        values.authorities(self_signed("a.example").chain_pem.decode())
    assert values.authorities(" \n") == ""
