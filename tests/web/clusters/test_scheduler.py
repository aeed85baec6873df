"""One of several schedulers works: who, when another takes over, and that nothing is started twice or forgotten."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from celery import Celery
from django.db import OperationalError

from mlink_web.clusters import scheduler
from mlink_web.clusters.models import Scheduler
from mlink_web.clusters.scheduler import LEASE_SECONDS, LOOK_SECONDS, Lease, OneScheduler
from tests.live import ROOT


class Clock:
    """Both of Python's clocks, which stand still."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(scheduler, "time", made)
    return made


class Resting(Lease):
    """Leaves the test its connection."""

    def rest(self) -> None:
        """See Lease."""


class Standing(OneScheduler):
    """Starts things into a list."""

    started: list[str]
    #: No broker is connected with.
    producer = None

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """See celery.beat.Scheduler."""
        self.started.append(entry.name)


def standing(node: str, clock: Clock) -> Standing:
    """A node's scheduler of one thing that is due every ten seconds."""
    app = Celery("test", broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"sweep": {"task": "sweep", "schedule": 10.0}}
    # Celery reads the clock by itself.
    app.now = lambda: datetime.fromtimestamp(clock.now, UTC)  # type: ignore[method-assign]
    made = Standing(app, lease=Resting(node))
    made.started = []
    for entry in made.schedule.values():
        entry.last_run_at = app.now()
    return made


def run(clock: Clock, seconds: float, *schedulers: Standing) -> None:
    """Let time pass for these."""
    end = clock.now + seconds
    while clock.now < end:
        for one in schedulers:
            for _ in range(3):
                one.tick()
        clock.now += 1.0


@pytest.mark.django_db
def test_one_of_two_starts_what_is_due(clock: Clock) -> None:
    first, second = standing("one", clock), standing("two", clock)
    run(clock, 65, first, second)
    assert (first.leads, second.leads) == (True, False)
    assert len(first.started) == 6
    assert second.started == []
    assert Scheduler.objects.get().node == "one"


@pytest.mark.django_db
def test_the_other_takes_over_when_the_first_is_silent_and_goes_on_from_there(clock: Clock) -> None:
    first, second = standing("one", clock), standing("two", clock)
    run(clock, 22, first, second)
    assert len(first.started) == 2
    run(clock, LEASE_SECONDS - LOOK_SECONDS, second)
    assert second.started == []
    run(clock, 2 * LOOK_SECONDS + 1, second)
    assert second.leads
    assert second.started == ["sweep"]  # what was missed, once
    # The first one slept: it starts nothing before it knows better.
    run(clock, 30, first, second)
    assert not first.leads
    assert len(first.started) == 2
    assert len(second.started) == 4


@pytest.mark.django_db
def test_a_node_that_comes_back_takes_its_own_row_and_does_not_start_early(clock: Clock) -> None:
    first, other = standing("one", clock), standing("two", clock)
    run(clock, 27, first, other)
    assert len(first.started) == 2
    again = standing("one", clock)
    run(clock, 2, again, other)
    assert (again.leads, other.leads) == (True, False)
    assert again.started == []
    run(clock, 9, again, other)
    assert again.started == ["sweep"]


@pytest.mark.django_db
def test_a_process_that_was_replaced_under_its_own_name_stays_out(clock: Clock) -> None:
    first, again = standing("one", clock), standing("one", clock)
    run(clock, 12, first, again)
    assert [first.leads, again.leads].count(True) == 1
    led = again.leads
    run(clock, 60, first, again)
    assert again.leads is led
    assert [first.leads, again.leads].count(True) == 1


@pytest.mark.django_db
def test_without_the_database_it_stops_when_its_time_is_over_and_forgets_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = standing("one", clock)
    run(clock, 12, only)
    renew = only._lease.renew

    def away(_runs: dict[str, float]) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(only._lease, "renew", away)
    run(clock, LEASE_SECONDS + 5, only)
    assert not only.leads
    count = len(only.started)
    run(clock, 60, only)
    assert len(only.started) == count
    monkeypatch.setattr(only._lease, "renew", renew)
    run(clock, LOOK_SECONDS + 1, only)
    assert only.leads
    assert len(only.started) == count + 1
    run(clock, LOOK_SECONDS, only)
    assert Scheduler.objects.get().runs["sweep"] > clock.now - 20


@pytest.mark.django_db
def test_a_clock_that_was_set_back_does_not_keep_the_row(clock: Clock) -> None:
    Scheduler.objects.create(pk=1, holder="somebody", node="gone", until=clock.now + 3600)
    only = standing("one", clock)
    run(clock, 1, only)
    assert only.leads


# Two real workers


class Workers:
    """Processes of workers that do nothing themselves, so that what is started stays in Redis."""

    def __init__(self, home: Path, postgres: str, queue: str) -> None:
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev",
            "MLINK_HOME": str(home),
            "MLINK_DATABASE_URL": postgres,
            "MLINK_REDIS_URL": queue,
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def migrate(self) -> None:
        """Make the tables."""
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0", "clusters"],
            cwd=ROOT,
            env=self.environment,
            check=True,
            timeout=240,
        )

    def start(self, node: str) -> None:
        """Start the worker as a node does, but for the queue."""
        # Its own words, read by a child with the node's settings.
        program = (
            "import django; django.setup(); from mlink_web.node import worker\n"
            "import os, subprocess\n"
            "subprocess.Popen = lambda command, **_: os.execv(command[0],"
            " [part if part != 'celery' or command[i - 1] != '--queues' else 'nobody'"
            " for i, part in enumerate(command)])\n"
            "worker.spawn(worker.SCHEDULED)"
        )
        self.running[node] = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**self.environment, "MLINK_NODE_NAME": node},
            process_group=0,
        )

    def kill(self, node: str) -> None:
        """SIGKILL, with the scheduler's process."""
        process = self.running.pop(node)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def workers(tmp_path: Path, fresh_postgres_url: str, redis_url: str) -> Iterator[Workers]:
    made = Workers(tmp_path, fresh_postgres_url, redis_url)
    made.migrate()
    yield made
    for node in list(made.running):
        made.kill(node)


def wait(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    """Until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.net
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_two_workers_one_starts_things_and_the_other_does_when_it_is_killed(
    workers: Workers, fresh_postgres_url: str, redis_url: str
) -> None:
    queue = redis.Redis.from_url(redis_url)
    queue.delete("celery")
    database = psycopg.connect(fresh_postgres_url, autocommit=True)

    def holder() -> str:
        row = database.execute("SELECT node FROM clusters_scheduler WHERE until > %s", (time.time(),)).fetchone()
        return str(row[0]) if row else ""

    def starters() -> list[str]:
        """Which process started each thing, the latest first."""
        return [json.loads(message)["headers"]["origin"] for message in queue.lrange("celery", 0, -1)]

    workers.start("one")
    workers.start("two")
    # Every three seconds one thing is due.
    wait(lambda: len(starters()) >= 3)
    assert len(set(starters())) == 1
    first = holder()
    other = {"one": "two", "two": "one"}[first]
    [old] = set(starters())
    workers.kill(first)
    # What has passed when it was silent for so long.
    database.execute("UPDATE clusters_scheduler SET until = %s", (time.time() - 1,))
    wait(lambda: holder() == other)
    wait(lambda: starters()[0] != old)
    assert len(set(starters())) == 2
    bodies = [json.loads(message) for message in queue.lrange("celery", 0, -1)]
    assert all(base64.b64decode(body["body"]) for body in bodies)
    database.close()
