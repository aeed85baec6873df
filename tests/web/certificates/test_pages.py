"""The pages of certificates as a browser without scripts sees them, and who may open them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.audit.models import Entry
from mlink_web.certificates import orders, renewal, services
from mlink_web.certificates.authorities import DIRECTORIES, Failed
from mlink_web.certificates.models import AcmeAccount, AcmeDomain, Certificate, LabAuthority, LabCertificate
from mlink_web.conf import certificates as self_made
from mlink_web.conf.models import Domain
from mlink_web.jobs.models import Job
from tests.kits.authority import Authority
from tests.web.certificates.kit import ISSUING, NAMES, ROOT, home, make_domain, take

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
__all__ = ["home"]
START = "/admin/certificates/"


@pytest.fixture
def domain() -> Domain:
    made = make_domain()
    self_made.ensure_all()
    return made


@pytest.fixture
def admin(domain: Domain, client: Client) -> Client:
    account = accounts.create_account("admin@chat.example", "a password", is_staff=True, is_superuser=True)
    client.force_login(account)
    return client


def _did() -> list[str]:
    return list(Entry.objects.order_by("seq").values_list("did", flat=True))


def test_the_list_warns(admin: Client, domain: Domain) -> None:
    page = admin.get(START).content.decode()
    assert "made by the server itself" in page
    assert "itself</span>" in page
    take(domain, ISSUING.issue(*NAMES, days=5.5))
    page = admin.get(START).content.decode()
    assert "5 days left" in page
    assert 'class="life urgent"' in page
    overview = admin.get("/admin/").content.decode()
    assert "The certificate of chat.example ends in 5 days" in overview
    services.remove(Certificate.objects.get())
    assert "The certificate of chat.example" not in admin.get("/admin/").content.decode()


def test_only_administrators(domain: Domain, client: Client) -> None:
    row = take(domain)
    paths = [
        START,
        f"{START}{domain.pk}/",
        f"{START}account/",
        f"{START}lab/",
        f"{START}one/{row.pk}/",
        f"{START}one/{row.pk}/chain.pem",
    ]
    for path in paths:
        assert client.get(path).status_code == 302
    client.force_login(accounts.create_account("user@chat.example", "a password"))
    for path in paths:
        assert client.get(path).status_code == 403
    for path in (f"{domain.pk}/upload", f"{domain.pk}/request", f"{domain.pk}/acme", "lab/issue"):
        assert client.post(START + path).status_code == 403
    for path in (f"one/{row.pk}/use", f"one/{row.pk}/remove"):
        assert client.post(START + path).status_code == 403
    assert Certificate.objects.count() == 1


def test_uploading_files(admin: Client, domain: Domain) -> None:
    server = ISSUING.issue(*NAMES)
    answer = admin.post(
        f"{START}{domain.pk}/upload",
        {
            "certificate": SimpleUploadedFile("chain.pem", server.chain_pem + ROOT.pem),
            "key": SimpleUploadedFile("key.pem", server.key_pem),
        },
    )
    row = Certificate.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{START}one/{row.pk}/")
    assert row.used
    page = admin.get(answer["Location"]).content.decode()
    assert "shows this certificate to everybody" in page
    assert "only devices that know the authority Corporate root" in page
    assert _did() == ["uploaded certificate"]
    download = admin.get(f"{START}one/{row.pk}/chain.pem")
    assert download.content == server.chain_pem
    assert "chat.example.pem" in download["Content-Disposition"]
    assert admin.get(f"{START}one/{row.pk}/key.pem").status_code == 404
    assert b"PRIVATE" not in admin.get(f"{START}{domain.pk}/").content


def test_uploading_pkcs12_and_text(admin: Client, domain: Domain) -> None:
    server = Authority("Unknown").issue(*NAMES)
    path = f"{START}{domain.pk}/upload"
    refused = admin.post(path, {"certificate": SimpleUploadedFile("s.p12", server.pkcs12("word")), "password": "x"})
    assert refused.status_code == 422
    assert "password of the PKCS#12 file is wrong" in refused.content.decode()
    admin.post(path, {"certificate": SimpleUploadedFile("s.p12", server.pkcs12("word")), "password": "word"})
    row = Certificate.objects.get()
    page = admin.get(f"{START}one/{row.pk}/").content.decode()
    assert "not in use" in page
    assert "Use it all the same" in page
    admin.post(f"{START}one/{row.pk}/use")
    row.refresh_from_db()
    assert row.used
    text = (server.chain_pem + server.key_pem).decode()
    assert admin.post(path, {"text": text}).status_code == 302
    assert Certificate.objects.count() == 1
    admin.post(f"{START}one/{row.pk}/remove")
    assert Certificate.objects.count() == 0
    assert _did()[-2:] == ["uploaded certificate", "removed certificate"]


def test_what_is_refused_is_said_line_by_line(admin: Client, domain: Domain) -> None:
    path = f"{START}{domain.pk}/upload"
    assert "Choose a file" in admin.post(path, {}).content.decode()
    other = ISSUING.issue("other.example", days=-1, since=30)
    answer = admin.post(path, {"text": (other.chain_pem + other.key_pem).decode()})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "PRIVATE KEY" not in page, "what was pasted goes back to nobody"
    for words in ("It was not taken", "The private key fits", "It ended on", "not for chat.example"):
        assert words in page
    assert Certificate.objects.count() == 0
    assert _did() == []


def test_requests(admin: Client, domain: Domain) -> None:
    path = f"{START}{domain.pk}/request"
    assert admin.post(path, {"names": "\u2488.example", "kind": "ec256"}).status_code == 422
    assert admin.post(path, {"names": "chat.example", "kind": "ec256", "country": "NLD"}).status_code == 422
    answer = admin.post(path, {"names": "chat.example\nconference.chat.example", "kind": "ec256", "xmpp": "on"})
    row = Certificate.objects.get()
    page = admin.get(answer["Location"]).content.decode()
    assert "BEGIN CERTIFICATE REQUEST" in page
    assert admin.get(f"{START}one/{row.pk}/request.pem").content.decode() == row.request
    assert "waits for its certificate" in admin.get(f"{START}{domain.pk}/").content.decode()
    other = ISSUING.issue(*NAMES)
    wrong = admin.post(f"{START}one/{row.pk}/", {"text": (other.chain_pem + other.key_pem).decode()})
    assert "PRIVATE KEY" not in wrong.content.decode()
    assert wrong.status_code == 422
    assert "does not fit" in wrong.content.decode()


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An authority that is asked nothing over the network."""
    said: dict[str, Any] = {"directory": orders.Directory("https://acme.example/terms", False)}
    monkeypatch.setattr(orders, "look", lambda url, trusted="": said["directory"])
    monkeypatch.setattr(orders, "register", lambda row: None)
    return said


def test_the_account_asks_for_the_terms_first(admin: Client, domain: Domain, directory: dict[str, Any]) -> None:
    path = f"{START}account/"
    given = {"known": DIRECTORIES[1][0], "contact": "a@chat.example"}
    page = admin.post(path, given).content.decode()
    assert "https://acme.example/terms" in page
    assert AcmeAccount.objects.count() == 0
    # Terms that changed meanwhile are asked again.
    assert b"agree to the terms" in admin.post(path, {**given, "agreed": "https://acme.example/old"}).content
    answer = admin.post(path, {**given, "agreed": "https://acme.example/terms"})
    row = AcmeAccount.objects.get()
    assert answer.status_code == 302
    assert (row.directory, row.agreed_by, row.terms) == (
        DIRECTORIES[1][0],
        "admin@chat.example",
        "https://acme.example/terms",
    )
    assert _did() == ["set up ACME account"]
    assert "agreed to by admin@chat.example" in admin.get(path).content.decode()


def test_accounts_that_cannot_be(admin: Client, directory: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{START}account/"
    for given, words in (
        ({"known": "other", "directory": "http://acme.example/"}, "begins with https://"),
        ({"known": "other", "directory": "https://acme.example/", "trusted": "rubbish"}, "no certificate in PEM"),
        ({"known": "other", "directory": "https://acme.example/", "binding": "kid"}, "belong together"),
    ):
        assert words in admin.post(path, given).content.decode()
    directory["directory"] = orders.Directory("", True)
    assert "key identifier" in admin.post(path, {"known": DIRECTORIES[0][0]}).content.decode()

    def fail(*_: object) -> None:
        raise Failed("https://acme.example cannot be reached.")

    monkeypatch.setattr(orders, "look", fail)
    assert "cannot be reached" in admin.post(path, {"known": DIRECTORIES[0][0]}).content.decode()
    assert AcmeAccount.objects.count() == 0


def test_ordering_by_acme(admin: Client, domain: Domain, directory: dict[str, Any]) -> None:
    path = f"{START}{domain.pk}/acme"
    assert "no account with an authority yet" in admin.get(f"{START}{domain.pk}/").content.decode()
    renewal.set_account("https://acme.example/directory")
    assert admin.post(path, {"names": "other.example"}).status_code == 422
    assert admin.post(path, {"names": "chat.example"}).status_code == 302
    row = AcmeDomain.objects.get()
    job = Job.objects.get()
    assert (job.kind, job.parameters) == ("certificate", {"pk": row.pk})
    page = admin.get(f"{START}{domain.pk}/").content.decode()
    assert "Certificate for chat.example" in page
    AcmeDomain.objects.update(last_error="It could not be seen.", last_try=row.next_try)
    assert "It could not be seen." in admin.get(f"{START}{domain.pk}/").content.decode()
    assert ">failed</span>" in admin.get(START).content.decode()
    admin.post(path, {"do": "stop"})
    assert AcmeDomain.objects.count() == 0
    assert _did() == ["ordered certificate by ACME", "stopped ACME"]


def test_the_authority_for_labs(admin: Client, domain: Domain) -> None:
    path = f"{START}lab/"
    assert "http://testserver/certificates/lab.crl" in admin.get(path).content.decode()
    assert admin.post(path, {"name": "Lab", "list_address": "https://x/"}).status_code == 422
    admin.post(path, {"name": "Lab", "list_address": "http://chat.example/certificates/lab.crl"})
    assert LabAuthority.objects.get().name == "Lab"
    assert admin.post(f"{path}issue", {"domain": domain.pk, "days": 30}).status_code == 302
    assert Certificate.objects.get(used=True).source == "lab"
    assert "no request in PEM" in admin.post(f"{path}issue", {"request": "rubbish", "days": 30}).content.decode()
    request = services.request(domain, ["peer.lab"]).request
    admin.post(f"{path}issue", {"request": request, "days": 30})
    row = LabCertificate.objects.get(names__0="peer.lab")
    assert "peer.lab" in admin.get(path).content.decode()
    assert admin.get(f"{path}{row.pk}/chain").content.decode() == row.chain
    admin.post(f"{path}{row.pk}/revoke")
    assert "revoked" in admin.get(path).content.decode()
    assert _did() == [
        "made authority for labs",
        "issued certificate for lab",
        "issued certificate for lab",
        "revoked certificate of lab",
    ]


def test_what_is_not_there(admin: Client) -> None:
    for path in ("9999/", "one/9999/", "one/9999/chain.pem", "lab/9999/chain"):
        assert admin.get(START + path).status_code == 404
    assert admin.post(f"{START}9999/upload").status_code == 404
