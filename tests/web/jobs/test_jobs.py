"""Jobs: what their owners see, and what becomes of them when a worker dies at any step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client

from mlink_web.accounts import services as accounts
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.jobs import kinds, services, work
from mlink_web.jobs.kinds import Kind
from mlink_web.jobs.models import Job
from tests.live import ROOT

pytestmark = pytest.mark.django_db

#: What the kinds of this file do.
DO: dict[str, Callable[[work.Work], None]] = {}


def run(doing: work.Work) -> None:
    """The function of the kind."""
    DO["run"](doing)


@pytest.fixture(autouse=True)
def _kind(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.MLINK_HOME = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "exports": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "exports")},
        },
    }
    monkeypatch.setattr(kinds, "_kinds", {})
    kinds.register(Kind("test", run="tests.web.jobs.test_jobs.run", title="Test", per_owner=2, kept=2))
    monkeypatch.setitem(sys.modules, "tests.web.jobs.test_jobs", sys.modules[__name__])
    DO["run"] = lambda _work: None
    yield
    DO.clear()


def order(**parameters: object) -> Job:
    """A job of somebody."""
    return services.order("test", "ada@localhost", "Something long", parameters, total=10, unit="steps")


def keep(doing: work.Work, text: str = "result") -> None:
    """Make a result."""
    path = doing.folder / "made.txt"
    path.write_text(text)
    doing.keep(path, "made.txt", "text/plain")


def again(job: Job) -> Job:
    """The row as it is now."""
    return Job.objects.get(pk=job.pk)


def test_a_job_is_done_and_its_result_kept() -> None:
    DO["run"] = keep
    job = order()
    work.run(job.pk)
    job = again(job)
    assert (job.state, job.name, job.size, job.done) == ("ready", "made.txt", 6, 10)
    assert services.open_result(job).read() == b"result"
    assert not work.folder_of(job).exists()
    assert job.expires > time.time()
    work.run(job.pk)  # handed over twice: nothing more happens
    assert again(job).changed == job.changed


def test_a_refusal_is_told_and_a_failure_is_not(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(doing: work.Work) -> None:
        raise doing.Refused("There is nothing to do.")

    def fail(_work: work.Work) -> None:
        raise RuntimeError("secret path")

    DO["run"] = refuse
    job = order()
    work.run(job.pk)
    assert (again(job).state, again(job).trouble) == ("failed", "There is nothing to do.")
    DO["run"] = fail
    job = order()
    work.run(job.pk)
    assert again(job).state == "failed"
    assert "secret" not in again(job).trouble
    assert "secret path" in caplog.text


def test_a_full_disk_is_told() -> None:
    def fail(_work: work.Work) -> None:
        raise OSError(28, "No space left on device")

    DO["run"] = fail
    job = order()
    work.run(job.pk)
    assert "No space left on device" in again(job).trouble
    assert not work.folder_of(job).exists()


def test_a_job_is_cancelled_while_it_waits_and_while_it_works() -> None:
    job = order()
    services.cancel(job)
    work.run(job.pk)
    assert again(job).state == "cancelled"

    def working(doing: work.Work) -> None:
        keep(doing)
        services.cancel(doing.job)
        doing.note(3, checkpoint={"at": 3})

    DO["run"] = working
    job = order()
    work.run(job.pk)
    assert (again(job).state, again(job).name, again(job).done) == ("cancelled", "", 0)
    assert not work.folder_of(job).exists()


def test_a_job_that_is_removed_while_it_works_leaves_nothing(tmp_path: Path) -> None:
    def working(doing: work.Work) -> None:
        keep(doing)
        Job.objects.all().delete()

    DO["run"] = working
    job = order()
    work.run(job.pk)
    assert not list((tmp_path / "exports").iterdir())
    assert not work.folder_of(job).exists()


def test_numbers_are_bounded() -> None:
    order()
    order()
    with pytest.raises(services.TooMany):
        order()
    for job in Job.objects.all():
        work.run(job.pk)
    for _ in range(4):
        work.run(order().pk)
    assert Job.objects.count() == 3  # two that are over, and the newest


def test_a_silent_worker_is_given_up_and_its_job_goes_on_from_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(services, "start", started.append)
    seen: list[dict[str, int]] = []

    def dies(doing: work.Work) -> None:
        seen.append(dict(doing.checkpoint))
        doing.note(4, checkpoint={"at": 4})
        raise SystemExit  # as good as killed: nothing is written any more

    DO["run"] = dies
    job = order()
    with pytest.raises(SystemExit):
        work.run(job.pk)
    assert again(job).state == "working"
    assert services.sweep(time.time())["jobs begun again"] == 0
    later = time.time() + services.SILENT_SECONDS + 1
    assert services.sweep(later)["jobs begun again"] == 1
    assert started[-1] == job.pk
    DO["run"] = lambda doing: seen.append(dict(doing.checkpoint))
    work.run(job.pk)
    assert again(job).state == "ready"
    assert seen == [{}, {"at": 4}]


def test_a_job_that_never_gets_further_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "start", lambda _pk: None)

    def dies(_work: work.Work) -> None:
        raise SystemExit

    DO["run"] = dies
    job = order()
    later = time.time()
    for _ in range(services.ATTEMPTS + 1):
        with pytest.raises(SystemExit):
            work.run(job.pk)
        later += services.SILENT_SECONDS + 1
        services.sweep(later)
        Job.objects.filter(pk=job.pk).update(changed=later)
    assert again(job).state == "failed"
    assert "ended several times" in again(job).trouble


def test_a_worker_that_lost_its_job_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(doing: work.Work) -> None:
        Job.objects.filter(pk=doing.job.pk).update(holder="another")
        doing.note(1, checkpoint={"at": 1})

    DO["run"] = taken
    job = order()
    work.run(job.pk)
    assert (again(job).state, again(job).holder, again(job).checkpoint) == ("working", "another", {})


def test_what_is_old_goes() -> None:
    DO["run"] = keep
    job = order()
    work.run(job.pk)
    token = again(job).token
    stray = work.folder_of(job)
    stray.mkdir(parents=True)
    services.sweep(again(job).expires + 1)
    assert not Job.objects.exists()
    assert not stray.exists()
    with pytest.raises(FileNotFoundError):
        services.open_result(Job(token=token, name="made.txt"))


def test_a_job_that_was_lost_on_its_way_is_handed_over_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(services, "start", started.append)
    job = order()
    services.sweep(time.time() + services.WAITING_SECONDS + 1)
    assert started == [job.pk]


def test_only_its_owner_sees_a_job(client: Client) -> None:
    Domain.objects.get_or_create(name="localhost")
    DO["run"] = keep
    job = order()
    work.run(job.pk)
    address = f"/jobs/{job.token}/"
    assert client.get(address).status_code == 302
    client.force_login(accounts.create_account("eve@localhost", None, is_staff=True, is_superuser=True))
    for path in ("", "state", "file"):
        assert client.get(address + path).status_code == 404
    for path in ("cancel", "remove"):
        assert client.post(address + path).status_code == 404
    client.force_login(accounts.create_account("ada@localhost", None))
    page = client.get(address).content.decode()
    assert "Something long" in page
    assert again(job).sha256 in page
    assert b"".join(client.get(address + "file").streaming_content) == b"result"
    assert Entry.objects.get(who="ada@localhost").did == "test: downloaded"
    assert client.post(address + "remove", {"next": address}).url == "/"
    assert Entry.objects.latest("seq").did == "test: result removed"
    assert client.get(address).status_code == 404


def test_a_page_is_only_gone_back_to_on_this_server(client: Client) -> None:
    Domain.objects.get_or_create(name="localhost")
    client.force_login(accounts.create_account("ada@localhost", None))
    job = order()
    answer = client.post(f"/jobs/{job.token}/cancel", {"next": "https://evil.example/"})
    assert answer.url == f"/jobs/{job.token}/"


_CODE = """
import sys, time
import django; django.setup()
from mlink_web.jobs import kinds, work
from mlink_web.jobs.kinds import Kind
from mlink_web.jobs.models import Job

def run(doing):
    at = doing.checkpoint.get("at", 0)
    path = doing.folder / "lines"
    with path.open("a") as file:
        file.truncate(at * 5)
        for number in range(at, 200):
            file.write(f"{number:04d}\\n"); file.flush()
            doing.note(number + 1, checkpoint={"at": number + 1})
            print(number, flush=True)
    doing.keep(path, "lines", "text/plain")

sys.modules["killed"] = sys.modules["__main__"]
kinds.register(Kind("killed", run="killed.run", title="Killed"))
work.run(Job.objects.get().pk)
"""


def test_a_killed_worker_costs_no_line(tmp_path: Path) -> None:
    """In processes of their own, with a database of their own."""
    environment = {
        **os.environ,
        "MLINK_HOME": str(tmp_path / "home"),
        "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev",
    }
    environment.pop("MLINK_DATABASE_URL", None)
    settled = {"cwd": ROOT, "env": environment, "timeout": 100, "check": True, "capture_output": True}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], **settled)
    create = (
        "import time; from mlink_web.jobs.models import Job;"
        "Job.objects.create(kind='killed', owner='a@b', about='x', created=time.time(), changed=time.time())"
    )
    subprocess.run([sys.executable, "manage.py", "shell", "-c", create], **settled)
    for stop_at in (0, 1, 57, 150):
        process = subprocess.Popen([sys.executable, "-c", _CODE], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= stop_at:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        later = (
            "import time; from mlink_web.jobs import services; services.start = print;"
            f"services.sweep(time.time() + {services.SILENT_SECONDS + 1})"
        )
        subprocess.run([sys.executable, "manage.py", "shell", "-c", later], **settled)
    subprocess.run([sys.executable, "-c", _CODE], **settled)
    show = (
        "from mlink_web.jobs import services; from mlink_web.jobs.models import Job; job = Job.objects.get();"
        "print(job.state); print(services.open_result(job).read().decode())"
    )
    shown = subprocess.run([sys.executable, "manage.py", "shell", "-c", show], **settled).stdout.decode()
    assert "ready" in shown.splitlines()
    numbers = [line for line in shown.splitlines() if line.isdigit() and len(line) == 4]
    assert numbers == [f"{number:04d}" for number in range(200)]
