"""The pages of devices by requests, without a node: what is shown, who may revoke, what that leaves."""

from __future__ import annotations

import logging
import time

import pytest
from django.db import connection
from django.test import Client

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.admin_commands.registry import registry
from mlink_web.conf.models import Domain
from mlink_web.devices import store
from mlink_web.devices.models import Device, Token
from mlink_web.pushes import services as pushes
from mlink_web.pushes.store import _put
from xmpp_engine.admin.command import CommandError
from xmpp_engine.storage.devices import CERTIFICATE, PASSWORD, DeviceVisit, TokenRow
from xmpp_engine.storage.pushes import PushRow

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Account:
    """Somebody with two devices: one knows the password, the other has a token."""
    Domain.objects.get_or_create(name="localhost")
    account = services.create_account("ada@localhost", "correct horse")
    now = time.time()
    store._seen(
        connection,
        [
            DeviceVisit(account.pk, "old", now - 9, "Psi", "<b>laptop</b>", "192.0.2.1", "PLAIN", "r", PASSWORD),
            DeviceVisit(account.pk, "new", now, "Dino", "", "192.0.2.2", "EXTERNAL", "r2", CERTIFICATE, True),
        ],
    )
    store._add_token(connection, TokenRow(account.pk, "new", "HT-SHA-256-NONE", b"n" * 16, now, now + 86_400))
    return account


def test_signed_out_people_see_nothing(client: Client, ada: Account) -> None:
    for path in ("/account/devices/", "/account/devices/revoke"):
        response = client.post(path) if path.endswith("revoke") else client.get(path)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/accounts/sign-in/")
    assert Device.objects.count() == 2


def test_the_list_says_what_there_is(client: Client, ada: Account) -> None:
    client.force_login(ada)
    text = client.get("/account/devices/").content.decode()
    assert text.index("Dino") < text.index("Psi")
    assert "on &lt;b&gt;laptop&lt;/b&gt;" in text
    assert "192.0.2.1" in text
    assert "certificate, token" in text
    assert "/account/devices/" in client.get("/").content.decode()


def test_revoking_takes_device_and_token(client: Client, ada: Account, caplog: pytest.LogCaptureFixture) -> None:
    client.force_login(ada)
    with caplog.at_level(logging.INFO, "mlink.audit"):
        text = client.post("/account/devices/revoke", {"device": "new"}, follow=True).content.decode()
    assert "The access of Dino is revoked." in text
    assert not Token.objects.exists()
    assert [row.device for row in Device.objects.all()] == ["old"]
    assert any("revoked device" in record.getMessage() for record in caplog.records)
    text = client.post("/account/devices/revoke", {"device": "old"}, follow=True).content.decode()
    assert "Psi is off the list." in text
    assert "only a new password keeps it out" in text


def test_nobody_revokes_the_devices_of_others(client: Client, ada: Account) -> None:
    bob = services.create_account("bob@localhost", "correct horse")
    client.force_login(bob)
    text = client.post("/account/devices/revoke", {"device": "new"}, follow=True).content.decode()
    assert "not in the list any more" in text
    assert client.post(f"/admin/users/{ada.pk}/devices/revoke", {"device": "new"}).status_code == 403
    assert client.get("/account/devices/revoke").status_code == 405
    assert Device.objects.count() == 2


def test_the_console_revokes(client: Client, ada: Account) -> None:
    admin = services.create_account("admin@localhost", "correct horse", is_staff=True, is_superuser=True)
    client.force_login(admin)
    page = client.get(f"/admin/users/{ada.pk}/").content.decode()
    assert "Dino" in page
    client.post(f"/admin/users/{ada.pk}/devices/revoke", {"device": "new"})
    assert [row.device for row in Device.objects.all()] == ["old"]


def test_the_commands(ada: Account) -> None:
    rows = registry.get("device list").function(jid="ada@localhost")
    assert [(row["device"], row["knows_password"]) for row in rows] == [("new", False), ("old", True)]
    assert rows[0]["token_until"]
    assert "Dino is revoked" in registry.get("device revoke").function(jid="ada@localhost", device="new")
    with pytest.raises(CommandError, match="no device"):
        registry.get("device revoke").function(jid="ada@localhost", device="new")


def test_push_registrations_are_listed_and_switched_off(
    client: Client, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def tell(bare: str) -> None:
        told.append(bare)

    monkeypatch.setattr(pushes, "_tell", tell)
    for service, device in (("push.example", "new"), ("other.example", "")):
        _put(connection, PushRow(ada.pk, service, "n", created=1e9, device=device), 10)
    client.force_login(ada)
    page = client.get("/account/devices/").content.decode()
    assert "Switch off push.example for Dino" in page
    assert "an unknown app" in page
    assert "2001-09-09" in page
    first, second = pushes.listed(ada)
    bob = services.create_account("bob@localhost", "correct horse")
    client.force_login(bob)
    assert (
        "not there any more"
        in client.post("/account/devices/push/off", {"number": first.number}, follow=True).content.decode()
    )
    assert told == []
    client.force_login(ada)
    page = client.post("/account/devices/push/off", {"number": first.number}, follow=True).content.decode()
    assert "Push notifications through other.example are switched off." in page
    assert told == ["ada@localhost"]
    client.post("/account/devices/revoke", {"device": "new"})
    assert second.service == "push.example"
    assert pushes.listed(ada) == []
