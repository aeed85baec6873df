"""What people upload: all forms of files, and a sentence for each way of getting it wrong."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)
from hypothesis import given
from hypothesis import strategies as st

from mlink_web.certificates import bundle, unlocking_child
from mlink_web.certificates.bundle import Unusable, read
from tests.kits.authority import Authority

ROOT = Authority("Root")
LOWER = ROOT.intermediate("Issuing").intermediate("Lower")
SERVER = LOWER.issue("chat.example")
OTHER = LOWER.issue("other.example")


def _encrypted(password: bytes, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return SERVER.key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(password))


@pytest.mark.parametrize(
    ("files", "password"),
    [
        ([SERVER.chain_pem, SERVER.key_pem], ""),
        ([SERVER.chain_pem + SERVER.key_pem], ""),
        ([SERVER.key_pem + SERVER.chain_pem], "not needed"),
        ([b"Bag Attributes\n" + SERVER.chain_pem.replace(b"\n", b"\r\n"), b"  " + SERVER.key_pem], ""),
        ([SERVER.pkcs12("word")], "word"),
        ([SERVER.pkcs12("")], ""),
        ([*SERVER.chain, SERVER.key_pem], ""),
        ([SERVER.chain_pem, SERVER.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())], ""),
        ([SERVER.chain_pem, _encrypted(b"word")], "word"),
        ([SERVER.chain_pem, _encrypted(b"word", PrivateFormat.TraditionalOpenSSL)], "word"),
        (
            [
                pkcs7.serialize_certificates(
                    [x509.load_der_x509_certificate(one) for one in reversed(SERVER.chain)], Encoding.DER
                ),
                SERVER.key_pem,
            ],
            "",
        ),
        (
            [
                pkcs7.serialize_certificates(
                    [x509.load_der_x509_certificate(one) for one in SERVER.chain], Encoding.PEM
                ),
                SERVER.key_pem,
            ],
            "",
        ),
    ],
)
def test_forms(files: list[bytes], password: str) -> None:
    found = read(files, password)
    assert [one.public_bytes(Encoding.DER) for one in found.chain] == SERVER.chain
    assert found.root is None
    assert bundle.fits(bundle.load_key(found.key_pem), found.leaf)


def test_order_roots_and_strangers() -> None:
    """The chain comes out in order, whatever order it came in; the root and what belongs elsewhere are set aside."""
    parts = [ROOT.pem, *(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in SERVER.chain[::-1])]
    stranger = Authority("Stranger")
    found = read([b"".join(parts), stranger.pem, SERVER.key_pem, parts[1]])
    assert [one.public_bytes(Encoding.DER) for one in found.chain] == SERVER.chain
    assert found.root == ROOT.certificate
    assert found.extra == (stranger.certificate,)
    assert [one.subject for one in bundle.load_chain(found.chain_pem)] == [one.subject for one in found.chain]


def test_the_key_chooses_its_certificate() -> None:
    found = read([OTHER.chain_pem, SERVER.chain_pem, SERVER.key_pem])
    assert found.leaf == SERVER.certificate
    assert read([OTHER.chain_pem, SERVER.chain_pem], key=OTHER.key).leaf == OTHER.certificate


DSA = dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("files", "password", "words"),
    [
        ([SERVER.chain_pem], "", "no private key"),
        ([SERVER.key_pem], "", "no certificate"),
        ([OTHER.chain_pem, SERVER.key_pem], "", "does not fit"),
        ([SERVER.chain_pem, _encrypted(b"word")], "", "give its password"),
        ([SERVER.chain_pem, _encrypted(b"word")], "wrong", "password of the private key is wrong"),
        ([SERVER.pkcs12("word")], "", "needs its password"),
        ([SERVER.pkcs12("word")], "wrong", "password of the PKCS#12 file is wrong"),
        ([SERVER.pkcs12("word")[:-40]], "word", "PKCS#12"),
        ([b""], "", "empty"),
        ([b"hello"], "", "neither PEM nor DER"),
        ([SERVER.chain_pem[:-60]], "", "ends in the middle"),
        ([SERVER.chain_pem.replace(b"MII", b"", 1), SERVER.key_pem], "", "damaged"),
        ([b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"], "", "is a request"),
        ([SERVER.chain_pem, DSA], "", "no kind that TLS uses"),
        ([b"x" * 300_000], "", "larger than 256 KiB"),
        (
            [b"".join(SERVER.chain_pem + Authority(f"A{number}").pem for number in range(30)), SERVER.key_pem],
            "",
            "chain",
        ),
    ],
)
def test_what_is_wrong(files: list[bytes], password: str, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        read(files, password)


@given(st.binary(max_size=400), st.sampled_from(["", "word"]))
def test_rubbish_gives_a_sentence(data: bytes, password: str) -> None:
    for files in ([data], [SERVER.chain_pem, data], [b"-----BEGIN PRIVATE KEY-----\n" + data]):
        with pytest.raises(Unusable):
            read(files, password)


P12 = SERVER.pkcs12("word")


@given(st.integers(0, 200), st.integers(1, 255))
def test_damaged_pkcs12_gives_a_sentence(position: int, mask: int) -> None:
    damaged = bytearray(P12)
    damaged[position] ^= mask
    # In this process: a hundred others would take a quarter of a minute.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "unlocked", _unlocked_here)
        try:
            found = read([bytes(damaged)], "word")
        except Unusable:
            return
    assert found.leaf == SERVER.certificate


def _unlocked_here(kind: str, data: bytes, password: str) -> Any:
    answer = unlocking_child.opened(kind, data, password.encode() or None)
    if "error" in answer:
        raise ValueError(answer["error"])
    return bundle.load_key(answer["key"]), bundle.load_chain("".join(answer["certificates"]))
