"""The authority for labs: what it issues holds before our own judge and OpenSSL, and its list too."""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from django.test import Client
from django.utils import timezone

from mlink_web.certificates import bundle, lab, naming, signing_requests
from mlink_web.certificates.models import LabAuthority, LabCertificate
from tests.kits.authority import new_key
from tests.web.certificates.kit import home, make_domain
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s.revocation import RevocationLists
from xmpp_engine.s2s.trust import Judgement, Trust

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["home"]
ADDRESS = "http://chat.example/certificates/lab.crl"


@pytest.fixture
def authority() -> LabAuthority:
    return lab.make("Lab", ADDRESS)


def _judge(chain: list[bytes], domain: str, authority: LabAuthority, folder: Path, content: bytes) -> Judgement:
    """What another server says that trusts the authority and insists on its list."""
    import asyncio

    path = folder / "lab.pem"
    path.write_text(authority.certificate)

    async def fetch(url: str) -> bytes:
        assert url == ADDRESS
        return content

    async def inline(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    async def judge() -> Judgement:
        clock = FakeClock(timezone.now().timestamp())
        run: Callable[..., Awaitable[Any]] = inline
        trust = Trust(clock, run, RevocationLists(clock, run, fetch))
        trust.configure(S2sConfig(authorities=str(path)))
        return await trust.judge(chain, domain, PeerConfig(revocation="hard", strict_purpose=True), initiating=True)

    return asyncio.run(judge())


def test_a_domain_of_ours(authority: LabAuthority, tmp_path: Path) -> None:
    domain = make_domain()
    row = lab.issue_for(domain, naming.wanted(domain), by="admin@chat.example")
    assert (row.used, row.source) == (True, "lab")
    chain = [one.public_bytes(Encoding.DER) for one in bundle.load_chain(row.chain)]
    for name in naming.wanted(domain):
        judgement = _judge(chain, name, authority, tmp_path, lab.revoked_list())
        assert judgement.accepted, judgement.reason
    issued = LabCertificate.objects.get()
    lab.revoke(issued)
    assert _judge(chain, "chat.example", authority, tmp_path, lab.revoked_list()).code == "revoked"


@pytest.mark.parametrize(
    ("key", "bits"), [(rsa.generate_private_key(65_537, 1_024), 1_024), (ec.generate_private_key(ec.SECP192R1()), 192)]
)
def test_a_key_that_is_too_weak(authority: LabAuthority, key: Any, bits: int) -> None:
    with pytest.raises(ValueError, match=f"The key has {bits} bits"):
        lab.issue_to(signing_requests.make(key, ["peer.lab"]))
    assert LabCertificate.objects.count() == 0


def test_somebody_elses_request(authority: LabAuthority, tmp_path: Path) -> None:
    key = new_key("rsa2048")
    text = signing_requests.make(key, ["peer.lab", "conference.peer.lab"])
    issued = lab.issue_to(text, days=30, by="admin@chat.example")
    assert issued.names == ["peer.lab", "conference.peer.lab", "_xmpp-client.peer.lab", "_xmpp-server.peer.lab"] + [
        "_xmpp-client.conference.peer.lab",
        "_xmpp-server.conference.peer.lab",
    ]
    certificates = bundle.load_chain(issued.chain)
    assert bundle.fits(key, certificates[0])
    path, trusted = tmp_path / "leaf.pem", tmp_path / "root.pem"
    path.write_bytes(certificates[0].public_bytes(Encoding.PEM))
    trusted.write_text(authority.certificate)
    revoked = tmp_path / "list.pem"
    revoked.write_bytes(x509.load_der_x509_crl(lab.revoked_list()).public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", revoked, "-CAfile", trusted, path]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def _request(*extensions: x509.ExtensionType, key: Any = None) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_requests_that_are_refused(authority: LabAuthority) -> None:
    good = _request(x509.SubjectAlternativeName([x509.DNSName("peer.lab")]))
    for text, words in (
        ("", "no request"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "no request"),
        (authority.certificate, "certificate already"),
        (_request(), "names nobody"),
        (_request(x509.SubjectAlternativeName([x509.DNSName(f"n{n}.lab") for n in range(101)])), "101 names"),
        (_request(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("xmpp:peer.lab")])), "names nobody"),
    ):
        with pytest.raises(ValueError, match=words):
            lab.issue_to(text)
    with pytest.raises(ValueError, match="1 to 1825 days"):
        lab.issue_to(good, days=0)
    assert LabCertificate.objects.count() == 0


def test_a_request_cannot_make_an_authority(authority: LabAuthority) -> None:
    text = _request(
        x509.SubjectAlternativeName([x509.DNSName("peer.lab")]), x509.BasicConstraints(ca=True, path_length=None)
    )
    leaf = bundle.load_chain(lab.issue_to(text).chain)[0]
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_making_it_once() -> None:
    for name, address in (("", ADDRESS), ("x" * 65, ADDRESS), ("Lab", "https://chat.example/x"), ("Lab", "ftp://x")):
        with pytest.raises(ValueError):
            lab.make(name, address)
    with pytest.raises(ValueError, match="no authority"):
        lab.revoked_list()
    row = lab.make("Lab", ADDRESS)
    assert row.key.startswith("sealed:1:")
    with pytest.raises(ValueError, match="already"):
        lab.make("Lab", ADDRESS)


def test_the_list_is_made_anew_when_due(authority: LabAuthority) -> None:
    first = lab.revoked_list()
    assert lab.revoked_list() == first
    later = lab.revoked_list(timezone.now() + timedelta(days=2))
    assert later != first
    numbers = [
        x509.load_der_x509_crl(one).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for one in (first, later)
    ]
    assert numbers == [1, 2]


def test_everybody_reads_the_list(authority: LabAuthority, client: Client) -> None:
    answer = client.get("/certificates/lab.crl")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pkix-crl")
    assert x509.load_der_x509_crl(answer.content).is_signature_valid(
        x509.load_pem_x509_certificate(authority.certificate.encode()).public_key()  # type: ignore[arg-type]
    )
    assert client.get("/certificates/lab.crt").content.decode() == authority.certificate
    LabAuthority.objects.all().delete()
    assert client.get("/certificates/lab.crl").status_code == 404
    assert client.get("/certificates/lab.crt").status_code == 404


def test_a_key_sealed_with_another_secret(authority: LabAuthority, settings: Any, caplog: Any) -> None:
    settings.SECRET_KEY = "another"
    with pytest.raises(ValueError, match="another SECRET_KEY"):
        lab.issue_to(_request(x509.SubjectAlternativeName([x509.DNSName("peer.lab")])))
    caplog.clear()
