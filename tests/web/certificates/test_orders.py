"""Orders with a real ACME authority (Debian's pebble) that asks a real web server for the proofs: what goes well, what
goes wrong, and which sentence comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from mlink_web.certificates import orders, renewal
from mlink_web.certificates.authorities import Failed
from mlink_web.certificates.models import AcmeAccount, Challenge
from tests.kits import pebble as kit
from tests.kits.nameserver import NameServer
from tests.kits.pebble import Pebble
from tests.web.certificates.kit import home

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("home"),
    pytest.mark.net,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]
__all__ = ["home"]
NAMES = ["chat.example", "conference.chat.example"]
#: An HMAC key in Base64.
SECRET = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@pytest.fixture
def names() -> Iterator[NameServer]:
    if not kit.installed():
        pytest.skip("pebble is not installed")
    with NameServer() as server:
        for name in NAMES:
            server.add(name, "A", "127.0.0.1")
        yield server


def test_orders(live_server: Any, names: NameServer) -> None:
    port = int(live_server.url.rpartition(":")[2])
    with Pebble(port, names) as authority:
        with pytest.raises(Failed, match="certificate that is not trusted here"):
            orders.look(authority.directory)
        with pytest.raises(Failed, match="no ACME"):
            orders.look(authority.directory.replace("/dir", "/roots/0"), authority.trusted)
        directory = orders.look(authority.directory, authority.trusted)
        assert directory.terms
        assert not directory.needs_binding
        account = renewal.set_account(authority.directory, contact="a@chat.example", trusted=authority.trusted)
        assert account.uri.startswith("https://localhost:")
        # The same key again is the same account.
        first = account.uri
        orders.register(account)
        assert account.uri == first

        notes: list[str] = []
        found = orders.obtain(account, NAMES, notes.append)
        given = found.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert sorted(given.get_values_for_type(x509.DNSName)) == NAMES
        assert "conference.chat.example" in " ".join(notes)
        assert Challenge.objects.count() == 0

        names.remove("conference.chat.example")
        names.add("conference.chat.example", "A", "127.0.0.2")
        with pytest.raises(Failed, match="could not see the proof") as refused:
            orders.obtain(account, ["conference.chat.example", "gone.chat.example"])
        assert "gone.chat.example" in str(refused.value)
        assert Challenge.objects.count() == 0, "what failed is taken down too"

        with pytest.raises(Failed, match="takes no proof over HTTP"):
            orders.obtain(account, ["*.chat.example"])
        with pytest.raises(Failed, match=r"contact|email|e-mail|refused"):
            renewal.set_account(authority.directory, contact="not an address", trusted=authority.trusted)
        account.key = orders.new_account_key()
        with pytest.raises(Failed, match="The authority refused"):
            orders.obtain(account, NAMES)
    account = AcmeAccount.objects.get()
    assert account.uri == first
    with pytest.raises(Failed, match="cannot be reached"):
        orders.obtain(account, NAMES)


def test_accounts_with_a_binding(live_server: Any, names: NameServer) -> None:
    port = int(live_server.url.rpartition(":")[2])
    with Pebble(port, names, binding={"kid-1": SECRET}) as authority:
        assert orders.look(authority.directory, authority.trusted).needs_binding
        with pytest.raises(Failed, match="The authority refused"):
            renewal.set_account(authority.directory, trusted=authority.trusted)
        with pytest.raises(Failed, match="The authority refused"):
            renewal.set_account(authority.directory, trusted=authority.trusted, binding="kid-2", binding_key=SECRET)
        account = renewal.set_account(
            authority.directory, trusted=authority.trusted, binding="kid-1", binding_key=SECRET
        )
        assert account.uri
        assert SECRET not in account.binding_key
