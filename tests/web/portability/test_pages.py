"""The pages of import and export and of one's own data, with the jobs behind them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry as Audited
from mlink_web.conf.models import Domain
from mlink_web.jobs import services as jobs
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from mlink_web.portability.models import Entry, Import
from mlink_web.stores.models import RosterItem
from mlink_web.uploads.models import Upload
from tests.kits.databases import clear
from tests.web.portability import kit

PAGE, OWN = "/admin/portability/", "/account/data/"
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def _places(transactional_db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of the test's own; the worker is the test."""
    cache.clear()
    settings.MLINK_HOME = tmp_path
    place = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    settings.STORAGES = {
        **settings.STORAGES,
        **{name: {**place, "OPTIONS": {"location": str(tmp_path / name)}} for name in ("exports", "uploads")},
    }
    monkeypatch.setattr(jobs, "start", lambda _pk: None)
    # Beside the models there are tables of the archive that no flush empties.
    clear("default")
    Domain.objects.get_or_create(name="localhost")


@pytest.fixture
def admin(client: Client) -> Account:
    """An administrator, signed in."""
    account = services.create_account("boss@localhost", PASSWORD, is_staff=True, is_superuser=True)
    client.force_login(account)
    return account


def do(job: Job) -> Job:
    """What the worker does."""
    work.run(job.pk)
    job.refresh_from_db()
    return job


def result(job: Job) -> bytes:
    """The file of a job."""
    with jobs.open_result(job) as file:
        return bytes(file.read())


def test_only_administrators(client: Client) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(services.create_account("ada@localhost", PASSWORD))
    for path in (PAGE, "/admin/portability/imports/1/", "/admin/erasures/1/"):
        assert client.get(path).status_code == 403
    for path in ("export", "try", "imports/1/take"):
        assert client.post(PAGE + path).status_code == 403
    assert not Job.objects.exists()


def test_an_export_and_its_import(client: Client, admin: Account) -> None:
    ada = services.create_account("ada@localhost", PASSWORD)
    RosterItem.objects.create(account=ada, jid="b@elsewhere.example", name="Bob", version=1)
    assert client.get(PAGE).status_code == 200
    answer = client.post(PAGE + "export", {"domain": "localhost", "credentials": "on", "archive": "on"})
    job = do(Job.objects.get())
    assert answer["Location"] == job.get_absolute_url()
    assert job.state == Job.State.READY, job.trouble
    assert job.name.startswith("localhost-")
    assert job.name.endswith(".zip")
    assert list(client.get(f"/jobs/{job.token}/file"))[:0] == []
    file = result(job)
    services.remove(ada)
    upload = SimpleUploadedFile("../../evil<b>.zip", file)
    answer = client.post(PAGE + "try", {"file": upload, "policy": "skip", "mapping": "x.example=y.example"})
    trial = Import.objects.get()
    assert answer["Location"] == f"/admin/portability/imports/{trial.pk}/"
    assert trial.name == "evil<b>.zip"
    assert client.post(f"{answer['Location']}take").status_code == 302
    assert Import.objects.count() == 1, "nothing is taken before the trial is finished"
    do(Job.objects.get(token=trial.job))
    page = client.get(answer["Location"]).content.decode()
    assert "would be made" in page
    assert "evil&lt;b&gt;.zip" in page
    assert "Import now" in page
    assert not Account.objects.filter(username="ada@localhost").exists()
    answer = client.post(f"{answer['Location']}take")
    row = Import.objects.get(dry=False)
    done = do(Job.objects.get(token=row.job))
    assert done.state == Job.State.READY, done.trouble
    again = Account.objects.get(username="ada@localhost")
    assert again.check_password(PASSWORD)
    assert list(again.roster.values_list("name", flat=True)) == ["Bob"]
    page = client.get(answer["Location"]).content.decode()
    assert "1 account made." in page
    assert "Import now" not in page
    lines = list(csv.reader(io.StringIO(result(done).decode("utf-8-sig"))))
    assert lines[0] == ["in the files", "here", "outcome", "taken", "notes"]
    assert {line[2] for line in lines[1:]} == {"made", "skipped"}
    assert client.get(answer["Location"] + "?outcome=made").content.decode().count('<th scope="row"') == 1
    told = list(Audited.objects.order_by("seq").values_list("did", flat=True))
    assert told[0] == "portable export ordered"
    assert told[-2:] == ["portable import tried", "portable import ordered"]


def test_a_file_that_is_none_is_refused_with_a_sentence(client: Client, admin: Account) -> None:
    upload = SimpleUploadedFile("x.xml", b"<html/>")
    client.post(PAGE + "try", {"file": upload, "policy": "skip"})
    trial = Import.objects.get()
    job = do(Job.objects.get())
    assert job.state == Job.State.FAILED
    assert "begins with &lt;html/&gt;" in client.get(f"/admin/portability/imports/{trial.pk}/").content.decode()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose a file."),
        ({"file": b""}, "The file is empty."),
        ({"file": b"x", "mapping": "a.example"}, "no address"),
        ({"file": b"x", "mapping": "a.example=b@c.example"}, "two domains or two accounts"),
        ({"file": b"x", "policy": "burn"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said(client: Client, admin: Account, fields: dict[str, Any], sentence: str) -> None:
    data = {"policy": "skip", **fields}
    if "file" in data:
        data["file"] = SimpleUploadedFile("x.xml", data["file"])
    answer = client.post(PAGE + "try", data)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not Import.objects.exists()
    answer = client.post(PAGE + "export", {"user": "nobody@localhost"})
    assert answer.status_code == 400
    assert "There is no account nobody@localhost." in answer.content.decode()


def test_reports_go_with_their_jobs_and_files(client: Client, admin: Account, tmp_path: Path) -> None:
    client.post(PAGE + "try", {"file": SimpleUploadedFile("x.xml", b"<x/>"), "policy": "skip"})
    job = do(Job.objects.get())
    assert list((tmp_path / "exports").iterdir())
    client.post(f"/jobs/{job.token}/remove")
    assert not Import.objects.exists()
    assert not Entry.objects.exists()
    assert not list((tmp_path / "exports").iterdir())


# One's own data


@pytest.fixture
def ada(client: Client) -> Account:
    """Somebody with some data, signed in."""
    account = services.create_account("ada@localhost", PASSWORD)
    RosterItem.objects.create(account=account, jid="b@elsewhere.example", name="Bob <b>", version=1)
    kit.talk(
        "default",
        [
            (1, account, "b@elsewhere.example", "<body>hello &lt;script&gt;</body>"),
            (2, "b@elsewhere.example", account, "<body>עברית</body>"),
        ],
    )
    from mlink_web.uploads.files import Files

    row = Upload.objects.create(
        token="A" * 32,
        secret="s",
        account_id=account.pk,
        owner=account.username,
        name="../../cat?.png",
        size=4,
        content_type="image/png",
        purpose="message",
        created=kit.START,
        put_until=kit.START,
        state="stored",
    )
    draft = Files().draft()
    draft.write(b"meow")
    draft.close()
    Files().keep(row.token, draft, "image/png")
    client.force_login(account)
    return account


def test_what_is_stored_about_oneself(client: Client, ada: Account) -> None:
    page = client.get(OWN).content.decode()
    assert "your contact list" in page
    assert "that you shared" in page
    assert Client().get(OWN).status_code == 302
    for number, password in ((0, "wrong"), (0, ""), (1, PASSWORD)):
        client.post(OWN, {"current": password})
        assert Job.objects.count() == number


def test_one_file_with_everything(client: Client, ada: Account) -> None:
    client.post(OWN, {"current": PASSWORD})
    job = do(Job.objects.get())
    assert job.state == Job.State.READY, job.trouble
    with zipfile.ZipFile(io.BytesIO(result(job))) as archive:
        files = {name: archive.read(name).decode(errors="replace") for name in archive.namelist()}
    assert set(files) == {
        "account.xml",
        "data.json",
        "index.html",
        "messages/0001.html",
        next(name for name in files if name.startswith("files/")),
    }
    shared = next(name for name in files if name.startswith("files/"))
    assert shared.count("/") == 1
    assert not shared.startswith("files/.")
    assert "/.." not in shared
    assert files[shared] == "meow"
    assert "hello &lt;script&gt;" in files["messages/0001.html"]
    assert "עברית" in files["messages/0001.html"]
    assert "Bob &lt;b&gt;" in files["index.html"]
    assert "scram" not in files["account.xml"]
    assert "hello" in files["account.xml"]
    data = json.loads(files["data.json"])
    assert data["contacts"][0]["name"] == "Bob <b>"
    assert data["conversations"] == [{"with": "b@elsewhere.example", "messages": 2, "page": "messages/0001.html"}]


def test_nobody_else_has_the_file(client: Client, ada: Account) -> None:
    client.post(OWN, {"current": PASSWORD})
    job = do(Job.objects.get())
    other = Client()
    for account in (
        services.create_account("eve@localhost", PASSWORD),
        services.create_account("boss@localhost", PASSWORD, is_staff=True, is_superuser=True),
    ):
        other.force_login(account)
        for path in ("", "file", "state"):
            assert other.get(f"/jobs/{job.token}/{path}").status_code == 404
    assert client.get(f"/jobs/{job.token}/file").status_code == 200
