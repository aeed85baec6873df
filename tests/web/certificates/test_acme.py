"""A certificate by ACME, from the account to the TLS handshake: a real node, a real authority (Debian's pebble), which
asks the node's own HTTP port for the proofs. All of it through the console, in a browser."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from playwright.sync_api import Browser, Page, expect

from tests.kits import pebble as kit
from tests.kits.authority import Authority
from tests.kits.nameserver import NameServer
from tests.kits.pebble import Pebble
from tests.live import LiveNode

pytestmark = [pytest.mark.browser, pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(300)]
DOMAIN = "acme.example"
SECONDS = 120_000


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        for name in (DOMAIN, f"conference.{DOMAIN}"):
            server.add(name, "A", "127.0.0.1")
        yield server


@pytest.fixture
def node() -> Iterator[LiveNode]:
    made = LiveNode(domain=DOMAIN)
    made.start()
    yield made
    made.remove()


@pytest.fixture
def authority(node: LiveNode, names: NameServer) -> Iterator[Pebble]:
    if not kit.installed():
        pytest.skip("pebble is not installed")
    with Pebble(node.http_port, names) as made:
        yield made


def shown(node: LiveNode, name: str = DOMAIN) -> x509.Certificate:
    """The certificate of a direct TLS connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", node.c2s_tls_port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return x509.load_der_x509_certificate(secured.getpeercert(True) or b"")


def shown_by(node: LiveNode, issuer: str) -> x509.Certificate:
    """The same once it is issued by somebody with this in his name: nodes follow within seconds."""
    deadline = time.monotonic() + 60
    while True:
        certificate = shown(node)
        if issuer in certificate.issuer.rfc4514_string():
            return certificate
        assert time.monotonic() < deadline, certificate.issuer
        time.sleep(0.2)


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"acme-{name}.png", full_page=True)


def test_from_the_account_to_the_handshake(
    node: LiveNode, authority: Pebble, names: NameServer, browser: Browser
) -> None:
    before = shown(node)
    assert before.issuer == before.subject
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SECONDS)
    page.goto(f"{node.url}/accounts/sign-in/?next=/admin/certificates/account/")
    page.get_by_label("XMPP address").fill(node.admin.jid)
    page.get_by_label("Password").fill(node.admin.password)
    page.get_by_role("button", name="Sign in").click()

    # The account: first its terms, then itself.
    page.get_by_label("Authority", exact=True).select_option("other")
    page.get_by_label("Address of its directory").fill(authority.directory)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("alert").first).to_contain_text("is not trusted here", timeout=SECONDS)
    page.get_by_text("For private authorities").click()
    page.get_by_label("Certificate of the authority").fill(authority.trusted)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("alert").first).to_contain_text("The authority has terms", timeout=SECONDS)
    page.get_by_role("button", name="I agree to the terms").click()
    page.get_by_role("link", name=DOMAIN, exact=True).click()
    address = page.url

    # A name that does not lead here: the authority's reason reaches the page.
    page.get_by_text("Have certificates come from").click()
    page.locator("#acme_names").fill(f"{DOMAIN}\nnowhere.{DOMAIN}")
    page.get_by_role("button", name="Get a certificate now").click()
    expect(page.locator("[data-job]").first).to_contain_text("Failed", timeout=SECONDS)
    page.goto(address)
    expect(page.locator(".note.bad")).to_contain_text(f"nowhere.{DOMAIN}")
    picture(page, "failed")
    assert shown(node) == before

    # The names that do.
    page.get_by_text("Change the names").click()
    page.locator("#acme_names").fill(f"{DOMAIN}\nconference.{DOMAIN}")
    page.get_by_role("button", name="Get a certificate now").click()
    expect(page.locator("[data-job]").first).to_contain_text("Ready", timeout=SECONDS)
    first = shown_by(node, "Pebble")
    found = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(found.get_values_for_type(x509.DNSName)) == {DOMAIN, f"conference.{DOMAIN}"}
    page.goto(address)
    expect(page.locator(".facts").first).to_contain_text("by ACME")
    picture(page, "ready")

    # Renewed by the command; connections from then on see the new one, and the node was never restarted.
    said = node.ctl("certificate", "renew", DOMAIN).stdout
    assert "new certificate until" in said
    deadline = time.monotonic() + 60
    while shown(node).serial_number == first.serial_number:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    # Somebody brings one, and nodes follow too.
    server = Authority("Corporate").issue(DOMAIN)
    page.locator("#upload_text").fill((server.chain_pem + server.key_pem).decode())
    page.get_by_role("button", name="Check and take it").click()
    page.get_by_text("Use it all the same …").click()
    page.get_by_role("button", name="Use it all the same").click()
    assert shown_by(node, "Corporate") == server.certificate
    assert "Traceback" not in node.log_tail(200_000)
    page.context.close()
