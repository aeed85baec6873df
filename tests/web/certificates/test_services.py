"""Taking, using and removing certificates; what nodes make of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from mlink_web.certificates import bundle, installed, services
from mlink_web.certificates.models import Certificate, LabAuthority
from mlink_web.certificates.services import Bad
from mlink_web.conf import certificates as self_made
from mlink_web.conf import snapshot
from mlink_web.conf.models import Domain
from tests.kits.authority import Authority, Certified
from tests.web.certificates.kit import ISSUING, NAMES, ROOT, home, make_domain, pem, take
from xmpp_engine.s2s.names import names_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["home"]


def _shown() -> tuple[bytes, bytes]:
    tls = snapshot.read().hosts["chat.example"].tls
    assert tls is not None
    return Path(tls.certificate).read_bytes(), Path(tls.key).read_bytes()


def test_taking_and_using() -> None:
    domain = make_domain()
    self_made.ensure_all()
    before = snapshot.read()
    server = ISSUING.issue(*NAMES)
    row = take(domain, server, by="admin@chat.example")
    assert (row.used, row.source, row.created_by) == (True, "upload", "admin@chat.example")
    assert row.fingerprint == server.certificate.fingerprint(hashes.SHA256()).hex()
    assert row.ends == server.certificate.not_valid_after_utc
    after = snapshot.read()
    assert after.version == before.version + 1
    assert after.hosts["chat.example"].tls != before.hosts["chat.example"].tls
    assert _shown() == (server.chain_pem, server.key_pem)
    assert snapshot.read() == after


def test_keys_are_sealed_and_files_private(home: Path, settings: Any) -> None:
    domain = make_domain()
    row = take(domain)
    assert row.key.startswith("sealed:1:")
    assert "PRIVATE" not in row.key
    snapshot.read()
    (key,) = (home / "tls").glob("chat.example.*.key")
    assert key.stat().st_mode & 0o077 == 0
    assert (home / "tls").stat().st_mode & 0o077 == 0


def test_another_secret_leaves_the_self_signed_one(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    domain = make_domain()
    self_made.ensure_all()
    row = take(domain)
    settings.SECRET_KEY = "another"
    certificate, _ = _shown()
    assert x509.load_pem_x509_certificate(certificate).issuer != row.issuer
    assert "sealed with another SECRET_KEY" in caplog.text
    assert services.findings_of(row)[0].level == "bad"
    with pytest.raises(ValueError, match="another SECRET_KEY"):
        services.use(row)
    caplog.clear()


def test_a_second_node_writes_its_own_files(
    home: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nodes of a cluster share the database, not the disk."""
    make_domain()
    server = ISSUING.issue(*NAMES)
    take(Domain.objects.get(), server)
    snapshot.read()
    settings.MLINK_HOME = tmp_path_factory.mktemp("second")
    assert _shown() == (server.chain_pem, server.key_pem)


def test_old_files_go_after_a_day(home: Path) -> None:
    domain = make_domain()
    take(domain)
    snapshot.read()
    first = list((home / "tls").glob("chat.example.*"))
    stranger = home / "tls" / f"chat.example.com.{'0' * 16}.crt"
    stranger.write_text("of another domain")
    other = Domain.objects.create(name="chat.example.com")
    Certificate.objects.create(domain=other, used=True, fingerprint="0" * 64, key="", source="upload")
    for path in [*first, stranger]:
        os.utime(path, (time.time() - 2 * installed.KEPT,) * 2)
    take(domain)
    snapshot.read()
    left = set((home / "tls").iterdir())
    assert stranger in left
    assert not left & set(first)


def test_a_removed_key_goes_from_the_disk_too(home: Path, settings: Any) -> None:
    domain = make_domain()
    take(domain)
    snapshot.read()
    keys = list((home / "tls").glob("chat.example.*.key"))
    assert len(keys) == 1
    lookalike = home / "tls" / "lab.0123456789abcdef.key"
    named = home / "tls" / f"own.{'a' * 16}.crt"
    gone = home / "tls" / f"gone.example.{'b' * 16}.key"
    for path in (lookalike, named, gone):
        path.write_text("x")
    Domain.objects.create(name="lab.0123456789abcdef")
    Domain.objects.create(name="own.example", tls_certificate=f"tls/{named.name}", tls_key="own.key")
    services.remove(Certificate.objects.get())
    snapshot.read()
    left = set((home / "tls").iterdir())
    assert not left & {*keys, gone}
    assert {lookalike, named} <= left


def test_what_is_not_taken() -> None:
    domain = make_domain()
    with pytest.raises(Bad) as refused:
        services.take(domain, pem(ISSUING.issue("other.example")))
    assert "not for chat.example" in str(refused.value)
    assert any(finding.level == "good" for finding in refused.value.findings)
    with pytest.raises(bundle.Unusable):
        services.take(domain, [b"rubbish"])
    assert Certificate.objects.count() == 0


def test_doubts_wait_for_a_word() -> None:
    domain = make_domain()
    row, findings = services.take(domain, pem(Authority("Unknown").issue(*NAMES)))
    assert not row.used
    assert [finding.level for finding in findings if finding.level not in ("good", "hint")] == ["doubt"]
    services.use(row)
    assert Certificate.objects.get(used=True) == row


def test_the_same_one_again_is_one() -> None:
    """Somebody brings what the chain was lacking."""
    domain = make_domain()
    server = ISSUING.issue(*NAMES)
    alone = Certified(server.certificate, server.key, server.chain[:1], server.root)
    row, _ = services.take(domain, pem(alone))
    services.use(row)
    version = snapshot.current_version()
    again = take(domain, server)
    assert (again.pk, again.used, Certificate.objects.count()) == (row.pk, True, 1)
    assert snapshot.current_version() > version


def test_only_so_many_are_kept() -> None:
    domain = make_domain()
    used = take(domain)
    for _ in range(services.KEPT + 3):
        take(domain, use_it=False)
    assert Certificate.objects.count() == services.KEPT + 1
    assert Certificate.objects.get(used=True) == used


def test_files_of_the_configuration_and_the_console() -> None:
    """Whoever uses a certificate here wants it shown; whoever names a file afterwards wants that."""
    domain = make_domain()
    Domain.objects.update(tls_certificate="own/chain.pem", tls_key="own/key.pem")
    row = take(Domain.objects.get())
    domain = Domain.objects.get()
    assert (domain.tls_certificate, domain.tls_key) == ("", "")
    assert row.used
    Domain.objects.update(tls_certificate="own/chain.pem")
    assert snapshot.read().hosts["chat.example"].tls is None


def test_removing() -> None:
    domain = make_domain()
    self_made.ensure_all()
    own = _shown()
    first, second = take(domain), take(domain)
    assert [row.used for row in (Certificate.objects.get(pk=first.pk), second)] == [False, True]
    version = snapshot.current_version()
    services.remove(Certificate.objects.get(pk=first.pk))
    assert snapshot.current_version() == version + 1, "nodes look, and remove its files"
    services.remove(second)
    assert _shown() == own
    assert Certificate.objects.count() == 0


def test_requests() -> None:
    domain = make_domain()
    row = services.request(
        domain, ["chat.example", "conference.chat.example"], kind="ec384", organisation="Example", country="nl"
    )
    assert row.is_waiting
    request = x509.load_pem_x509_csr(row.request.encode())
    assert request.is_signature_valid
    assert request.subject.get_attributes_for_oid(NameOID.COUNTRY_NAME)[0].value == "NL"
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["chat.example", "conference.chat.example"]
    with pytest.raises(ValueError, match="no certificate yet"):
        services.use(row)
    server = _answered(request)
    with pytest.raises(bundle.Unusable, match="does not fit"):
        services.complete(row, [ISSUING.issue(*NAMES).chain_pem])
    done, _ = services.complete(row, [server, ROOT.pem])
    assert (done.pk, done.used, done.is_waiting) == (row.pk, True, False)
    found = names_of(bundle.load_chain(done.chain)[0])
    assert set(found.xmpp) == {"chat.example", "conference.chat.example"}
    assert "_xmpp-server.chat.example" in found.srv
    assert "_xmpp-client.chat.example" in found.srv


def _answered(request: x509.CertificateSigningRequest) -> bytes:
    """What an authority makes of a request: its names are taken over."""
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    certified = ISSUING.issue(more=list(names), key=_Public(request.public_key()))  # type: ignore[arg-type]
    return certified.chain_pem


class _Public:
    """A key of which only the public half is here."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def public_key(self) -> Any:
        return self._key


def test_requests_for_what_is_no_name() -> None:
    with pytest.raises(ValueError, match="is no domain name"):
        services.request(make_domain(), ["\u2488.example"])
    with pytest.raises(ValueError, match="kind of key"):
        services.request(Domain.objects.get(), [], kind="rsa512")
    assert Certificate.objects.count() == 0


def test_idn_requests() -> None:
    domain = make_domain("bücher.example")
    row = services.request(domain, ["bücher.example"])
    request = x509.load_pem_x509_csr(row.request.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["xn--bcher-kva.example"]
    done, _ = services.complete(row, [_answered(request), ROOT.pem])
    assert done.used
    tls = snapshot.read().hosts["bücher.example"].tls
    assert tls is not None
    assert done.fingerprint[:16] in tls.certificate


def test_the_lab_authority_is_known() -> None:
    domain = make_domain()
    LabAuthority.objects.create(pk=1, name="Corporate root", certificate=ROOT.pem.decode(), key="", list_address="")
    row, findings = services.take(domain, pem(ISSUING.issue(*NAMES)))
    assert row.used, findings
