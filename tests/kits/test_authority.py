"""The kit of certificates makes what OpenSSL and cryptography take for real."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from tests.kits.authority import Authority, self_signed
from tests.kits.crl_server import CrlServer


def _verify(folder: Path, root: Authority, chain: list[bytes], *options: str) -> subprocess.CompletedProcess[str]:
    paths = []
    for number, der in enumerate(chain):
        paths.append(folder / f"{number}.pem")
        paths[-1].write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    untrusted = [part for path in paths[1:] for part in ("-untrusted", str(path))]
    command = ["openssl", "verify", "-CAfile", str(root.write(folder)), *options, *untrusted, str(paths[0])]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_openssl_takes_a_chain(tmp_path: Path) -> None:
    root = Authority("Root")
    server = root.intermediate("Issuing").issue("example.org", "*.example.org", xmpp=["example.org"])
    assert len(server.chain) == 2
    assert _verify(tmp_path, root, server.chain).returncode == 0
    assert _verify(tmp_path, root, server.chain[:1]).returncode != 0
    assert _verify(tmp_path, Authority("Another"), server.chain).returncode != 0


def test_openssl_sees_what_was_revoked(tmp_path: Path) -> None:
    root = Authority("Root")
    good, bad = root.issue("good.example"), root.issue("bad.example")
    root.revoke(bad)
    path = tmp_path / "list.pem"
    path.write_bytes(x509.load_der_x509_crl(root.crl()).public_bytes(Encoding.PEM))
    options = ("-crl_check", "-CRLfile", str(path))
    assert _verify(tmp_path, root, good.chain, *options).returncode == 0
    refused = _verify(tmp_path, root, bad.chain, *options)
    assert refused.returncode != 0
    assert "revoked" in refused.stderr


def test_files(tmp_path: Path) -> None:
    server = Authority("Root").intermediate().issue("example.org")
    certificate, key = server.write(tmp_path)
    assert [
        one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(certificate.read_bytes())
    ] == server.chain
    assert key.stat().st_mode & 0o077 == 0
    _, leaf, others = pkcs12.load_key_and_certificates(server.pkcs12("word"), b"word")
    assert leaf == server.certificate
    assert len(others) == 1
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(server.pkcs12("word"), b"other")


def test_self_signed() -> None:
    alone = self_signed("example.org")
    assert alone.certificate.issuer == alone.certificate.subject
    alone.certificate.verify_directly_issued_by(alone.certificate)


def test_lists_are_served() -> None:
    root = Authority("Root")
    with CrlServer() as lists:
        root.publish(lists.serve("root.crl", root.crl))
        with urllib.request.urlopen(lists.url("root.crl"), timeout=10) as answer:
            assert x509.load_der_x509_crl(answer.read()).issuer == root.certificate.subject
        assert lists.asked == ["/root.crl"]
        points = root.issue("example.org").certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        assert points.value[0].full_name[0].value == lists.url("root.crl")
