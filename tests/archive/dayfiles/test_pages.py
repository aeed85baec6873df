"""The console's pages of day files by requests: who may open them, what they show and refuse, what they write down."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from archive.dayfiles import following, options, verifying
from archive.dayfiles.models import DayFile, DomainChoice, Writer
from archive.oversight.models import Officer
from archive.oversight.models import Options as OversightOptions
from mlink_web.accounts import services as accounts
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from tests.archive.dayfiles.kit import JULIET, ROMEO, ROOM, Archive

pytestmark = pytest.mark.django_db(transaction=True)
BASE = "/admin/archive/files/"


@pytest.fixture
def files(tmp_path: Path, settings: Any) -> Iterator[Archive]:
    """A closed and an open day in the pages' own database."""
    settings.MLINK_ARCHIVE_FILES = tmp_path / "files"
    settings.MLINK_HOME = tmp_path
    Domain.objects.get_or_create(name="a.example")
    archive = Archive("default", tmp_path / "files")
    archive.switch()
    for number in range(60):
        archive.say(ROMEO, JULIET, f"message {number}")
    archive.say(ROMEO, ROOM, "<script>alert(1)</script> \u202e hidden")
    archive.next_day()
    archive.say(JULIET, ROMEO, "today")
    archive.follow()
    yield archive
    archive.close()


@pytest.fixture
def console(client: Client) -> Client:
    """A browser in which an administrator is signed in."""
    Domain.objects.get_or_create(name="localhost")
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def pk(archive: Archive, address: str) -> int:
    return int(archive.row_of(address).pk)


def text(response: Any) -> str:
    return response.content.decode()


def noted(did: str) -> list[str]:
    return list(Entry.objects.filter(did=did).values_list("target", flat=True))


def do(job: Job) -> Job:
    work.run(job.pk)
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("path", ["", "day/a.example/2026-09-21/", "file/1/", "file/1/download", "import/"])
def test_only_officers_come_in(client: Client, path: str) -> None:
    Domain.objects.get_or_create(name="localhost")
    assert client.get(BASE + path).status_code == 302
    client.force_login(accounts.create_account("user@localhost", None))
    assert client.get(BASE + path).status_code == 403


def test_the_overview_has_the_writer_the_domains_and_the_month(console: Client, files: Archive) -> None:
    page = text(console.get(BASE + "?domain=a.example&month=2026-09"))
    assert "September 2026" in page
    assert 'aria-label="21 September 2026: 120 messages in 2 files"' in page
    assert 'aria-label="22 September 2026: 2 messages in 2 files, still open"' in page
    Writer.objects.update(looked=1.0)
    assert "Nobody writes" in text(console.get(BASE))
    Writer.objects.update(trouble="The disk of /archive is full.", trouble_since=1_790_000_000.0)
    assert "The disk of /archive is full." in text(console.get(BASE))
    for odd in ("?month=9999-99", "?month=x&domain=none", "?domain=<script>"):
        assert console.get(BASE + odd).status_code == 200


def test_without_files_the_page_says_how_to_begin(console: Client) -> None:
    page = text(console.get(BASE))
    assert "No domain&#x27;s messages are written to files." in page
    assert "Write files for localhost" in page


def test_a_day_lists_its_files_and_is_searched(console: Client, files: Archive) -> None:
    page = text(console.get(BASE + "day/a.example/2026-09-21/"))
    assert ROMEO in page
    assert JULIET in page
    page = text(console.get(BASE + "day/a.example/2026-09-21/?q=rom&kind=users"))
    assert ROMEO in page
    assert JULIET not in page
    assert noted("archive files of a day listed") == ["a.example 2026-09-21"] * 2
    assert console.get(BASE + "day/a.example/2026-99-99/").status_code == 404
    assert "This day has no files." in text(console.get(BASE + "day/a.example/1999-01-01/"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_by_pages_and_that_is_written_down(console: Client, files: Archive, packed: bool) -> None:
    if packed:
        options.set_compress("default", True)
        row = files.row_of(ROMEO)
        data = files.path(ROMEO).read_bytes()
        files.path(ROMEO, suffix=".gz").write_bytes(gzip.compress(data))
        DayFile.objects.filter(pk=row.pk).update(
            path=f"{row.path}.gz", size=files.path(ROMEO, suffix=".gz").stat().st_size
        )
    path = f"{BASE}file/{pk(files, ROMEO)}/"
    page = text(console.get(path))
    assert "message 0<" in page
    assert "message 49<" in page
    assert "message 50<" not in page
    assert "Page 1 of 2" in page
    page = text(console.get(path + "?page=2"))
    assert "message 59<" in page
    assert len(noted("archive file read")) == 2
    for odd in ("?page=0", "?page=99999", "?page=x", "?page=1e9"):
        assert console.get(path + odd).status_code == 200


def test_hostile_text_is_text(console: Client, files: Archive) -> None:
    page = text(console.get(f"{BASE}file/{pk(files, ROOM)}/"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_file_that_is_gone_or_changed_is_said_so(console: Client, files: Archive) -> None:
    path = f"{BASE}file/{pk(files, ROMEO)}/"
    files.path(ROMEO).write_bytes(files.path(ROMEO).read_bytes().replace(b"</body>", b"</bod>", 1))
    response = console.get(path)
    assert response.status_code == 500
    assert "somebody changed it" in text(response)
    files.path(ROMEO).unlink()
    assert console.get(path).status_code == 404
    assert console.get(path + "download").status_code == 404


def test_downloads_are_the_very_file(console: Client, files: Archive) -> None:
    response = console.get(f"{BASE}file/{pk(files, ROMEO)}/download")
    assert b"".join(response.streaming_content) == files.path(ROMEO).read_bytes()
    assert response["Content-Disposition"] == 'attachment; filename="2026-09-21-romeo.xml"'
    assert noted("archive file downloaded") == ["a.example/2026/09/21/users/romeo.xml"]
    # An open one gets its end.
    row = DayFile.objects.get(address=ROMEO, day="2026-09-22")
    response = console.get(f"{BASE}file/{row.pk}/download")
    assert b"".join(response.streaming_content).endswith(b"</archive>\n")


def test_officers_of_a_domain_see_no_other(client: Client, files: Archive) -> None:
    Domain.objects.get_or_create(name="b.example")
    user = accounts.create_account("officer@b.example", None)
    Officer.objects.create(account=user, rights=["files"], domains=["b.example"], appointed=0.0, appointed_by="x")
    client.force_login(user)
    page = text(client.get(BASE))
    assert "a.example" not in page
    assert client.get(BASE + "day/a.example/2026-09-21/").status_code == 404
    assert client.get(f"{BASE}file/{pk(files, ROMEO)}/").status_code == 404
    assert client.get(f"{BASE}file/{pk(files, ROMEO)}/download").status_code == 404
    assert client.get(BASE + "import/").status_code == 403
    for action in ("switch", "verify", "rebuild"):
        asked = {"domain": "a.example", "on": "0", "first": "2026-09-21", "last": "2026-09-21"}
        assert client.post(BASE + action, asked).status_code == 403
    assert client.post(BASE + "verify", {}).status_code == 403
    assert DomainChoice.objects.get(domain="a.example").on


def test_where_two_must_agree_private_messages_stay_closed(console: Client, files: Archive) -> None:
    OversightOptions.objects.create(pk=1, four_eyes=True)
    page = text(console.get(f"{BASE}file/{pk(files, ROMEO)}/"))
    assert "message 3" not in page
    assert "50 messages of this page are between two people" in page
    assert console.get(f"{BASE}file/{pk(files, ROMEO)}/download").status_code == 403
    assert "alert(1)" in text(console.get(f"{BASE}file/{pk(files, ROOM)}/"))
    assert console.get(f"{BASE}file/{pk(files, ROOM)}/download").status_code == 200


def test_switches_and_options(console: Client, files: Archive) -> None:
    console.post(BASE + "switch", {"domain": "localhost", "on": "1"})
    assert options.read("default").is_on("localhost")
    console.post(BASE + "switch", {"domain": "localhost", "on": "0"})
    assert not options.read("default").is_on("localhost")
    response = console.post(BASE + "switch", {"domain": "nowhere.example", "on": "1"}, follow=True)
    assert "There is no such domain." in text(response)
    response = console.post(BASE + "options", {"zone": "Europe/Berlin", "compress": "on"}, follow=True)
    assert "days begin at midnight of Europe/Berlin" in text(response)
    assert options.read("default").compress
    response = console.post(BASE + "options", {"zone": "Nowhere/At all"}, follow=True)
    assert "There is no time zone" in text(response)
    assert noted("archive files switched") == ["localhost", "localhost"]


def test_verification_is_a_job_with_a_report(console: Client, files: Archive) -> None:
    console.post(BASE + "verify", {"domain": "a.example", "first": "2026-09-21", "last": "2026-09-21"})
    job = do(Job.objects.get())
    assert job.state == Job.State.READY, job.trouble
    files.path(ROMEO).unlink()
    console.post(BASE + "verify", {})
    job = do(Job.objects.first())  # type: ignore[arg-type]
    assert job.state == Job.State.FAILED
    assert "the file is missing" in job.trouble
    assert "archive files verify" in Entry.objects.values_list("did", flat=True)


def test_past_days_are_written_by_a_job(console: Client, files: Archive) -> None:
    with files.connection.cursor() as cursor:
        cursor.execute("DELETE FROM dayfiles_dayfile WHERE address = %s", [ROMEO])
    files.path(ROMEO).unlink()
    console.post(BASE + "rebuild", {"domain": "a.example", "first": "2026-09-21", "last": "2026-09-21"})
    job = do(Job.objects.get())
    assert job.state == Job.State.READY, job.trouble
    files.follow()
    assert files.held(ROMEO) == files.expected(ROMEO)
    response = console.post(
        BASE + "rebuild", {"domain": "a.example", "first": "2026-09-22", "last": "2026-09-21"}, follow=True
    )
    assert "The last day is before the first." in text(response)


def test_files_are_read_back_by_a_job(console: Client, files: Archive) -> None:
    with files.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message")
    console.post(BASE + "import/", {"domain": "a.example", "last": "2026-09-21"})
    job = do(Job.objects.get())
    # The open files of today are refused, and the report says so.
    assert job.state == Job.State.FAILED
    assert "not closed yet" in job.trouble
    files.next_day()
    files.follow()
    console.post(BASE + "import/", {"domain": "a.example"})
    job = do(Job.objects.first())  # type: ignore[arg-type]
    assert job.state == Job.State.READY, job.trouble
    assert verifying.verify("default", domain="a.example").forgotten == 0


@pytest.mark.parametrize("packed", [False, True])
def test_a_single_file_is_read_back_unverified_only(console: Client, files: Archive, packed: bool) -> None:
    data = files.path(ROMEO).read_bytes()
    with files.connection.cursor() as cursor:
        cursor.execute("DELETE FROM archive_message")
    name = "romeo.xml.gz" if packed else "romeo.xml"

    def upload() -> SimpleUploadedFile:
        return SimpleUploadedFile(name, gzip.compress(data) if packed else data)

    response = console.post(BASE + "import/", {"file": upload()})
    assert response.status_code == 400
    assert "can only be taken unverified" in text(response)
    console.post(BASE + "import/", {"file": upload(), "unverified": "on", "dry_run": "on"})
    job = do(Job.objects.get())
    assert job.state == Job.State.READY, job.trouble
    console.post(BASE + "import/", {"file": upload(), "unverified": "on"})
    job = do(Job.objects.first())  # type: ignore[arg-type]
    assert job.state == Job.State.READY, job.trouble
    assert len(files.expected(ROMEO)) == 0  # nobody has an account here
    with files.connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM archive_message")
        assert cursor.fetchone()[0] == 60


def test_a_form_without_anything_is_refused(console: Client, files: Archive) -> None:
    assert console.post(BASE + "import/", {}).status_code == 400
    broken = BytesIO(b"\x1f\x8bno gzip")
    broken.name = "x.xml.gz"
    response = console.post(BASE + "import/", {"file": broken, "unverified": "on"})
    assert response.status_code == 400
    assert "cannot be unpacked" in text(response)
    assert not following.run("default", clock=lambda: files.now)
