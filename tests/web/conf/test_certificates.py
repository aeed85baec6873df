"""The self-signed certificates."""

from __future__ import annotations

import ipaddress
import ssl
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mlink_web.conf import certificates, services, snapshot
from mlink_web.conf.models import Domain


def names(data: bytes) -> x509.SubjectAlternativeName:
    certificate = x509.load_pem_x509_certificate(data)
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.parametrize(
    ("domain", "dns"),
    [
        ("a.example", ["a.example", "*.a.example"]),
        ("bücher.example", ["xn--bcher-kva.example", "*.xn--bcher-kva.example"]),
        ("localhost", ["localhost"]),
        ("x" * 63 + ".example", ["x" * 63 + ".example", "*." + "x" * 63 + ".example"]),
        ("[::1]", []),
    ],
)
def test_the_names_of_a_certificate(domain: str, dns: list[str]) -> None:
    _key, chain = certificates.make(domain)
    assert names(chain).get_values_for_type(x509.DNSName) == dns
    if domain in ("localhost", "[::1]"):
        assert ipaddress.ip_address("::1") in names(chain).get_values_for_type(x509.IPAddress)
    assert isinstance(x509.load_pem_x509_certificate(chain).public_key(), ec.EllipticCurvePublicKey)


@pytest.mark.django_db(transaction=True)
def test_files_are_made_once_and_the_key_is_private(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MLINK_HOME = tmp_path
    services.add_domain("a.example")
    assert certificates.ensure_all() == ["a.example"]
    assert certificates.ensure_all() == []
    certificate, key = snapshot.certificate_paths(Domain.objects.get())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in key.parent.iterdir()) == ["a.example.crt", "a.example.key"]
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    # A certificate that ends soon is made anew.
    monkeypatch.setattr(certificates, "RENEW", timedelta(days=certificates.DAYS + 1))
    assert certificates.ensure_all() == ["a.example"]
