"""The page of one's own files: what it lists, who removes what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.uploads import services
from mlink_web.uploads.models import Upload
from tests.web.uploads.test_sweep import folder, owner, there, upload

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["folder", "owner"]


def page(client: Client, query: str = "") -> str:
    """The text of the page."""
    return client.get(f"/account/files/{query}").content.decode()


def test_files_with_their_links_and_the_quota(client: Client, owner: Account) -> None:
    owner.domain.modules = {"upload": {"total_bytes": 4096, "url": "https://files.example/x/"}}
    owner.domain.save()
    row = upload(owner.pk, name="<b> & co.png", size=1024, expires=0)
    upload(owner.pk, name="me.png", size=100, purpose="profile")
    upload(owner.pk, "slot", name="not there.png", with_file=False)
    client.force_login(owner)
    text = page(client)
    assert f'href="https://files.example/x/upload/{row.token}/%3Cb%3E%20%26%20co.png"' in text
    assert "&lt;b&gt; &amp; co.png" in text
    assert "1.0\xa0KB of 4.0\xa0KB used" in text
    assert 'value="25"' in text
    assert "not there.png" not in text
    assert services.quota(owner) == services.Quota(1024, 4096, 100, 20 * 1024 * 1024)
    assert "/account/files/" in client.get("/").content.decode()


def test_pages(client: Client, owner: Account) -> None:
    now = time.time()
    for number in range(51):
        upload(owner.pk, name=f"file-{number}.png", created=now + number, with_file=False)
    client.force_login(owner)
    assert "file-50.png" in page(client)
    assert "file-0.png" not in page(client)
    assert "file-0.png" in page(client, "?page=2")
    assert "Page 2 of 2" in page(client, "?page=99")


def test_ones_own_file_goes_and_nobody_elses(client: Client, owner: Account, folder: Path) -> None:
    own = upload(owner.pk, name="mine.png")
    other = accounts.create_account("juliet@localhost", "x")
    theirs = upload(other.pk, name="theirs.png")
    assert client.post("/account/files/remove", {"token": own.token}).status_code == 302
    assert there(folder) == {own.token, theirs.token}
    client.force_login(owner)
    answer = client.post("/account/files/remove", {"token": theirs.token}, follow=True).content.decode()
    assert "not there any more" in answer
    answer = client.post("/account/files/remove", {"token": own.token, "page": "1"}, follow=True).content.decode()
    assert "mine.png is removed." in answer
    assert there(folder) == {theirs.token}
    assert Upload.objects.get(token=own.token).state == "gone"
    assert client.get("/account/files/remove").status_code == 405


def test_a_storage_that_fails_is_told(client: Client, owner: Account, monkeypatch: Any) -> None:
    own = upload(owner.pk, name="mine.png")
    monkeypatch.setattr(services, "remove", lambda row: False)
    client.force_login(owner)
    answer = client.post("/account/files/remove", {"token": own.token}, follow=True).content.decode()
    assert "could not be removed just now" in answer
