"""What is over goes with its file; the console's card."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.uploads import services, tasks
from mlink_web.uploads.files import ALPHABET, Files
from mlink_web.uploads.models import Upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    """The storage of the test."""
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "uploads": backend}
    return tmp_path


@pytest.fixture
def owner() -> Account:
    """Somebody who shares files."""
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("romeo@localhost", "x")


def upload(owner: int, state: str = "stored", *, with_file: bool = True, **values: Any) -> Upload:
    """A row, with its file where it should have one."""
    now = time.time()
    token = secrets.token_urlsafe(24)
    given = {
        "created": now,
        "put_until": now + 300,
        "expires": now + 3600,
        "name": "a.png",
        "size": 3,
        "purpose": "message",
    }
    given |= values
    row = Upload.objects.create(
        token=token, secret="x", account_id=owner, owner="romeo@localhost", state=state, **given
    )
    if with_file:
        put(token)
    return row


def put(token: str) -> None:
    draft = Files().draft()
    draft.write(b"abc")
    draft.close()
    Files().keep(token, draft, "image/png")
    draft.drop()


def there(folder: Path) -> set[str]:
    """Tokens of the files on disk."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_the_sweep(owner: Account, folder: Path) -> None:
    now = time.time()
    fresh = upload(owner.pk)
    for_ever = upload(owner.pk, expires=0.0)
    old = upload(owner.pk, expires=now - 1, created=now - 30 * 86_400)
    young = upload(owner.pk, expires=now - 1)
    stranger = upload(owner.pk + 4711, created=now - 2 * 86_400)
    waiting = upload(owner.pk, "slot", with_file=False)
    unused = upload(owner.pk, "slot", with_file=False, put_until=now - 1)
    arriving = upload(owner.pk, "writing", put_until=now - 1)
    cut = upload(owner.pk, "writing", created=now - 2 * 86_400)
    spent = upload(owner.pk, "gone", with_file=False, created=now - 2 * 86_400)
    orphan = secrets.token_urlsafe(24)
    put(orphan)
    left_over = folder / ".drafts" / "left-over"
    left_over.write_bytes(b"half")
    import os

    os.utime(left_over, (now - 2 * 86_400, now - 2 * 86_400))

    gone = services.sweep(now, ALPHABET)

    assert gone == {
        "expired files": 2,
        "files of removed accounts": 1,
        "unused slots": 1,
        "uploads cut off": 1,
        "orphans": 1,
        "drafts": 1,
    }
    assert there(folder) == {fresh.token, for_ever.token, arriving.token}
    left = dict(Upload.objects.values_list("token", "state"))
    assert left.pop(young.token) == "gone"
    assert set(left) == {fresh.token, for_ever.token, waiting.token, arriving.token}
    assert not {old.token, stranger.token, unused.token, cut.token, spent.token} & set(left)
    assert not any(services.sweep(now, ALPHABET).values())


def test_the_task_runs(owner: Account) -> None:
    upload(owner.pk, expires=1.0, created=1.0)
    assert tasks.sweep()["expired files"] == 1
    assert Upload.objects.count() == 0


def test_an_account_takes_its_files_along(owner: Account, folder: Path) -> None:
    upload(owner.pk)
    accounts.remove(owner)
    again = accounts.create_account("romeo@localhost", "x")
    assert services.usage(again.pk) == (0, 0)
    assert services.sweep(time.time())["files of removed accounts"] == 1
    assert there(folder) == set()


def test_a_file_that_does_not_go_is_tried_again(owner: Account, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = upload(owner.pk, expires=1.0)

    def broken(*_arguments: object) -> None:
        raise OSError("the disk is read-only")

    with monkeypatch.context() as patched:
        patched.setattr(FileSystemStorage, "delete", broken)
        assert services.sweep(time.time())["expired files"] == 0
    assert Upload.objects.get().token == row.token
    assert services.sweep(time.time())["expired files"] == 1
    assert there(folder) == set()


def test_the_card_in_the_console(client: Client, owner: Account, folder: Path) -> None:
    client.force_login(accounts.create_account("admin@localhost", "x", is_staff=True, is_superuser=True))
    page, action = f"/admin/users/{owner.pk}/", f"/admin/users/{owner.pk}/files/remove"
    assert "shares no files" in client.get(page).content.decode()
    upload(owner.pk)
    upload(owner.pk)
    shown = client.get(page).content.decode()
    assert "2 files" in shown
    assert f'action="{action}"' in shown
    assert client.get(action).status_code == 405
    answer = client.post(action, follow=True)
    assert "2 files of romeo@localhost removed." in answer.content.decode()
    assert services.usage(owner.pk) == (0, 0)
    assert there(folder) == set()
    # What was removed today still counts today.
    assert set(Upload.objects.values_list("state", flat=True)) == {"gone"}


def test_the_button_is_for_administrators(client: Client, owner: Account, folder: Path) -> None:
    upload(owner.pk)
    action = f"/admin/users/{owner.pk}/files/remove"
    assert client.post(action).status_code == 302
    client.force_login(owner)
    assert client.post(action).status_code == 403
    assert services.usage(owner.pk) == (1, 3)
