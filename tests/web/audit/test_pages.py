"""The audit log in the console."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import DatabaseError
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.audit import log
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.jobs import work
from mlink_web.jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def console(client: Client, settings, tmp_path: Path) -> Client:
    """A browser in which the administrator is signed in."""
    settings.MLINK_HOME = tmp_path
    Domain.objects.get_or_create(name="localhost")
    client.force_login(accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True))
    return client


def test_only_administrators(client: Client) -> None:
    Domain.objects.get_or_create(name="localhost")
    assert client.get("/admin/audit/").status_code == 302
    client.force_login(accounts.create_account("ada@localhost", None))
    assert client.get("/admin/audit/").status_code == 403
    assert client.get("/admin/audit/audit.jsonl").status_code == 403
    assert client.post("/admin/audit/check").status_code == 403
    assert Entry.objects.filter(who="ada@localhost", did="console refused").count() == 3


def test_entries_are_shown_and_narrowed(console: Client) -> None:
    log.record("ada@localhost", "looked", "<b>bob</b>@localhost", words="<script>")
    log.record("eve@localhost", "changed", "room@rooms.localhost")
    page = console.get("/admin/audit/").content.decode()
    assert "&lt;b&gt;bob&lt;/b&gt;@localhost" in page
    assert "<script>" not in page.replace('<script src="', "")
    page = console.get("/admin/audit/", {"who": "eve@localhost"}).content.decode()
    assert "room@rooms.localhost" in page
    assert "bob" not in page
    assert "There is no such entry" in console.get("/admin/audit/", {"did": "nothing"}).content.decode()
    answer = console.get("/admin/audit/", {"start": "2030-01-02", "end": "2030-01-01"})
    assert answer.status_code == 400
    assert "ends before it begins" in answer.content.decode()


def test_pages_follow_each_other(console: Client) -> None:
    for number in range(130):
        log.record("ada@localhost", "looked", f"target-{number:03d}")
    first = console.get("/admin/audit/")
    assert "target-129" in first.content.decode()
    assert "target-029" not in first.content.decode()
    older = console.get(f"/admin/audit/{first.context['older']}").content.decode()
    assert "target-029" in older
    assert "target-000" in older


def test_the_log_is_downloaded(console: Client) -> None:
    log.record("ada@localhost", "looked")
    answer = console.get("/admin/audit/audit.jsonl")
    rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [row["did"] for row in rows] == ["looked", "audit log downloaded"]


def test_a_check_is_a_job(console: Client, django_capture_on_commit_callbacks) -> None:
    log.record("ada@localhost", "looked")
    answer = console.post("/admin/audit/check")
    job = Job.objects.get()
    assert answer["Location"] == f"/jobs/{job.token}/"
    work.run(job.pk)
    assert console.get(f"/jobs/{job.token}/state").json()["words"] == "Ready"
    text = b"".join(console.get(f"/jobs/{job.token}/file").streaming_content).decode()
    assert "is whole" in text
    Entry.objects.filter(seq=1).update(who="eve@localhost")
    console.post("/admin/audit/check")
    job = Job.objects.order_by("-pk")[0]
    work.run(job.pk)
    page = console.get(f"/jobs/{job.token}/").content.decode()
    assert "The chain is broken: entry 1 is not what was written." in page


def test_what_cannot_be_recorded_first_is_not_done(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_names: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(Entry, "save", fail)
    answer = console.post("/admin/audit/check")
    assert answer.status_code == 503
    assert "Not recorded" in answer.content.decode()
    assert not Job.objects.exists()
    assert console.get("/admin/audit/audit.jsonl").status_code == 503
