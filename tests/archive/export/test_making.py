"""Exports as jobs: ordered, made, cancelled, refused, fetched, forgotten; and what the audit log has of it."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from archive import ids
from archive.export import gathering, held, making, producing, writing
from archive.export.gathered import Gathered
from archive.export.models import Export, HeldIds
from archive.oversight.search import Criteria
from mlink_web.accounts.models import Account
from mlink_web.audit.models import Entry
from mlink_web.jobs import services as jobs
from mlink_web.jobs import work
from mlink_web.jobs.models import Job
from tests.kits.exported import START, account, bodies, say, settle, valid

pytestmark = pytest.mark.django_db
BOB = "bob@far.example"


@pytest.fixture
def ada() -> Account:
    """Whose archive it is."""
    made = account("ada")
    for number in range(30):
        say(made, BOB, f"number {number}", number)
    settle()
    return made


@pytest.fixture
def officer() -> Account:
    """An administrator."""
    return account("chief", is_staff=True, is_superuser=True)


def again(job: Job) -> Job:
    """The row as it is now."""
    return Job.objects.get(pk=job.pk)


def export_of(job: Job) -> Export:
    """The export of a job."""
    return Export.objects.get(token=job.token)


def entries(did: str) -> list[Entry]:
    """What the audit log has under these words."""
    return list(Entry.objects.filter(did=did).order_by("seq"))


def test_from_the_order_to_the_file_that_is_gone(ada: Account, client: Client) -> None:
    job = making.order_own(ada, talks=[(BOB, "")], format="xml", zone="Europe/Berlin", origin="192.0.2.1")
    (ordered,) = entries("own archive export ordered")
    assert (ordered.who, ordered.origin) == ("ada@localhost", "192.0.2.1")
    assert (job.about, job.total) == ("XML of 30 messages: bob@far.example", 30)
    work.run(job.pk)
    job = again(job)
    assert (job.state, job.trouble, job.content_type) == ("ready", "", "application/xml")
    content = jobs.open_result(job).read()
    assert bodies(valid(content)) == [f"number {number}" for number in range(30)]
    export = export_of(job)
    assert (export.state, export.messages, export.size) == ("ready", 30, len(content))
    assert export.sha256 == job.sha256
    client.force_login(ada)
    response = client.get(f"/jobs/{job.token}/file")
    assert b"".join(response.streaming_content) == content  # type: ignore[attr-defined]
    (fetched,) = entries("own archive export downloaded")
    assert fetched.who == "ada@localhost"
    assert export_of(job).fetched == 1
    first = ids.first_at(START)
    jobs.remove(job)
    export.refresh_from_db()
    assert export.state == "gone"
    (holding,) = held.exports_with([first, 17])
    assert (holding.export, holding.ids, holding.certain) == (export, (first,), True)


def test_nobody_fetches_what_is_not_his(ada: Account, officer: Account, client: Client) -> None:
    own = making.order_own(ada, format="xml")
    found = making.order_officer(officer, Criteria(people=(BOB,)), "xml", reason="Case 17")
    for job in (own, found):
        work.run(job.pk)
        assert again(job).state == "ready", again(job).trouble
    client.force_login(account("eve"))
    for job in (own, found):
        assert client.get(f"/jobs/{job.token}/file").status_code == 404
    client.force_login(ada)
    assert client.get(f"/jobs/{found.token}/file").status_code == 404
    client.force_login(officer)
    assert client.get(f"/jobs/{own.token}/file").status_code == 404
    client.force_login(account("second", is_staff=True, is_superuser=True))
    assert client.get(f"/jobs/{found.token}/file").status_code == 200
    (fetched,) = entries("archive export downloaded")
    assert json.loads(fetched.details)["owner"] == "chief@localhost"


def test_an_officer_who_is_none_any_more(ada: Account, officer: Account, client: Client) -> None:
    made = making.order_officer(officer, Criteria(people=(BOB,)), "xml", reason="Case 17")
    work.run(made.pk)
    waiting = making.order_officer(officer, Criteria(people=(BOB,)), "xml", reason="Case 17")
    officer.is_staff = officer.is_superuser = False
    officer.save()
    work.run(waiting.pk)
    assert again(waiting).state == "failed"
    assert again(waiting).trouble == "You may not export from the archives of others."
    client.force_login(officer)
    assert client.get(f"/jobs/{made.token}/file").status_code == 403
    assert not entries("archive export downloaded")
    with pytest.raises(making.Refused, match="may not export"):
        making.order_officer(officer, Criteria(), reason="x")


def test_cancelled_while_it_works(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    job = making.order_own(ada, format="xml")
    add = Gathered.add
    monkeypatch.setattr(work, "NOTE_SECONDS", 0.0)

    def cancelled_by(gathered: Gathered, *given: Any, **named: Any) -> None:
        add(gathered, *given, **named)
        jobs.cancel(again(job))

    monkeypatch.setattr(Gathered, "add", cancelled_by)
    work.run(job.pk)
    assert again(job).state == "cancelled"
    assert export_of(job).state == "failed"
    assert not HeldIds.objects.exists()
    assert not work.folder_of(job).exists()


@pytest.mark.parametrize("where", ["gathered", "written", "pdf"])
def test_a_full_disk(ada: Account, monkeypatch: pytest.MonkeyPatch, where: str, tmp_path: Path) -> None:
    if where == "gathered":

        def full(*_given: Any, **_named: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Gathered, "add", full)
    else:

        def no_space(*_given: Any, **_named: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(writing, "write", no_space)
        monkeypatch.setattr(producing.pdf, "draw", no_space)
    job = making.order_own(ada, format="pdf" if where == "pdf" else "xml")
    work.run(job.pk)
    job = again(job)
    assert job.state == "failed"
    assert job.trouble.startswith("The server's disk has no room for this export.")
    assert export_of(job).state == "failed"
    assert not HeldIds.objects.exists()
    assert not work.folder_of(job).exists()
    assert not (tmp_path / "exports").exists() or not list((tmp_path / "exports").iterdir())


def test_a_disk_that_is_nearly_full(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    job = making.order_own(ada, format="xml")
    monkeypatch.setattr(making.shutil, "disk_usage", lambda _path: making.shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    work.run(job.pk)
    assert "no room" in again(job).trouble


def test_more_than_one_export_holds(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_OWN", 20)
    with pytest.raises(making.Refused, match="These are 30 messages; an export holds at most 20"):
        making.order_own(ada, format="xml")
    monkeypatch.setattr(making, "MOST_OWN", 200)
    monkeypatch.setattr(gathering, "MOST", 20)
    monkeypatch.setattr(gathering.gather, "__kwdefaults__", {"most": 20})
    job = making.order_own(ada, format="xml")
    work.run(job.pk)
    assert again(job).trouble == "There are more than 20 messages; an export holds no more. Narrow what is wanted."


def test_an_order_is_refused_where_it_cannot_be_written_down(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: Any, **_named: Any) -> None:
        raise making.audit.NotWritten("no")

    monkeypatch.setattr(making.audit, "record", refuse)
    with pytest.raises(making.Refused, match="audit log takes nothing"):
        making.order_own(ada, format="xml")
    assert not Job.objects.exists()
    assert not Export.objects.exists()


def test_an_unknown_failure_holds_nothing(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(writing, "write", fail)
    job = making.order_own(ada, format="xml")
    work.run(job.pk)
    assert again(job).state == "failed"
    assert export_of(job).state == "failed"


def test_a_worker_that_lost_the_job_leaves_it_to_the_other(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    job = making.order_own(ada, format="xml")
    recheck = gathering.recheck

    def lost(*given: Any) -> int:
        Job.objects.filter(pk=job.pk).update(holder="another")
        return recheck(*given)

    monkeypatch.setattr(gathering, "recheck", lost)
    monkeypatch.setattr(work, "NOTE_SECONDS", 0.0)
    monkeypatch.setattr(producing, "_files", lambda order, gathered, folder, tell, volume: tell(1, 1))

    def told(*_given: Any, **_named: Any) -> None:
        Job.objects.filter(pk=job.pk).update(holder="another")

    monkeypatch.setattr(gathering, "gather", told)
    work.run(job.pk)
    assert (again(job).state, again(job).holder) == ("working", "another")
    assert export_of(job).state == "ordered"


def test_which_exports_held_a_message(ada: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(held, "PART", 7)
    first = making.remember(making.own_order(ada), "t1", "first")
    second = making.remember(making.own_order(ada), "t2", "second")
    numbers = [ids.first_at(START + number * 3) for number in range(100)]
    assert held.note(first, numbers) == 100
    assert held.note(second, numbers[::2]) == 50
    assert held.note(second, numbers[::2]) == 50
    assert [holding.export.pk for holding in held.exports_with([numbers[4]])] == [second.pk, first.pk]
    assert [holding.export.pk for holding in held.exports_with([numbers[5]])] == [first.pk]
    assert held.exports_with([numbers[5] + 1]) == []
    assert held.exports_with([]) == []
    (one, other) = held.exports_with(numbers)
    assert (len(one.ids), len(other.ids), one.certain) == (50, 100, True)
    held.bound(most=100)
    (holding,) = held.exports_with([numbers[5]])
    assert (holding.export.pk, holding.certain) == (first.pk, False)
    assert {holding.export.pk: holding.certain for holding in held.exports_with([numbers[98]])} == {
        first.pk: True,
        second.pk: True,
    }
    Export.objects.update(state=Export.State.GONE)
    held.bound(exports=1)
    assert list(Export.objects.values_list("token", flat=True)) == ["t2"]
    assert not HeldIds.objects.filter(export_id=first.pk).exists()


def test_packing() -> None:
    numbers = [1, 2, 130, ids.first_at(START), ids.MAX_ID]
    assert list(held.unpack(held.pack(numbers))) == numbers
    spread = [ids.first_at(START + number * 7.013) for number in range(4_000)]
    assert len(held.pack(spread)) < 5 * 4_000


def test_the_lock_of_a_folder(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    job = making.order_own(ada, format="xml")
    folder = work.folder_of(job)
    folder.mkdir(parents=True)
    monkeypatch.setattr(making, "_PATIENCE", 0.0)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        work.run(job.pk)
    assert "Another worker" in again(job).trouble


def test_downloads_of_what_is_not_known_are_refused(ada: Account, rf: Any) -> None:
    now = time.time()
    job = Job.objects.create(kind=making.KIND, owner="ada@localhost", about="x", created=now, changed=now)
    request = rf.get("/")
    request.user = ada
    with pytest.raises(PermissionDenied):
        making.downloaded(request, job)
