"""The throw-away services are real, empty, separate, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
import uvloop

from tests import services


def test_postgres_answers_and_is_durable_enough_to_write(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE services_probe (n int)")
        connection.execute("INSERT INTO services_probe SELECT generate_series(1, 100)")
        assert connection.execute("SELECT sum(n) FROM services_probe").fetchone() == (5050,)
        connection.execute("DROP TABLE services_probe")


def test_fresh_database_is_empty_and_not_the_shared_one(fresh_postgres_url: str, postgres_url: str) -> None:
    assert fresh_postgres_url != postgres_url
    with psycopg.connect(fresh_postgres_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)


def test_redis_answers_and_keeps_nothing_on_disk(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.set("services_probe", "1")
        assert client.get("services_probe") == b"1"
        assert client.config_get("save") == {"save": ""}
        client.delete("services_probe")


def test_a_test_is_marked_by_the_service_it_uses(request: pytest.FixtureRequest, redis_url: str) -> None:
    assert redis_url
    assert request.node.get_closest_marker("redis")
    assert not request.node.get_closest_marker("postgres")


async def test_asynchronous_tests_run_on_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


def test_ports_for_servers_are_none_of_outgoing_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = map(int, services.LOCAL_PORTS.read_text().split())
    assert all(not first <= services.free_port() <= last for _ in range(100))
    wide = tmp_path / "range"
    wide.write_text("1024\t65535\n")
    monkeypatch.setattr(services, "LOCAL_PORTS", wide)
    assert services.free_port() > 0


def test_a_port_that_is_taken_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", services.free_port()))
        both = iter([taken.getsockname()[1], services.free_port()])
        monkeypatch.setattr(services.secrets, "choice", lambda _ports: next(both))
        assert services.free_port() != taken.getsockname()[1]


def test_a_service_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "START_SECONDS", 1.0)
    service = services.Service("broken")
    with pytest.raises(services.ServiceError, match="no such thing"):
        service.start(lambda _port: ["sh", "-c", "echo no such thing; exit 3"], lambda _port: nobody_answers())
    assert not service.folder.exists()


def nobody_answers() -> None:
    raise ConnectionRefusedError


def test_a_killed_run_leaves_no_server_behind() -> None:
    program = (
        "import pathlib, time; from tests.services import Service\n"
        "service = Service('orphan')\n"
        "child = service.spawn(['sleep', '60'], 1)\n"
        # What asks the kernel for its own end becomes the server afterwards: before that nobody ends it.
        "while pathlib.Path(f'/proc/{child.pid}/comm').read_text() != 'sleep\\n': time.sleep(0.01)\n"
        "service.remove(); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """True while the process exists and is not only waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return os.path.exists(f"/proc/{pid}")
