"""A whole node in a process of its own: start, changes from outside, commands, end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlink_web.node.worker import QUEUES
from tests.live import ROOT, LiveNode, PlainClient, User


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    """A node of this file."""
    made = LiveNode()
    try:
        made.start()
        yield made
    finally:
        made.remove()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(folder.name))
    return found


class Refused(PlainClient):
    """A client that expects not to be let in; raises ConnectionRefusedError with what the server says."""

    def say(self, text: str, until: bytes) -> None:
        super().say(text, b"</failure>" if until == b"<success" else until)
        if b"<failure" in self.seen:
            raise ConnectionRefusedError(self.seen.decode())


def test_a_user_made_while_the_node_runs_signs_in(node: LiveNode) -> None:
    user = node.add_user("romeo")
    client = PlainClient(node, user, "a")
    rows = node.ctl_json("sessions", user.jid)
    assert [row["jid"] for row in rows] == [f"{user.jid}/a"]
    assert node.ctl_json("kick", f"{user.jid}/a")["ended"] == 1
    client.read(b"</stream:stream>")
    until(lambda: node.ctl_json("sessions", user.jid) == [])


def test_disabling_ends_the_sessions(node: LiveNode) -> None:
    user = node.add_user("romeo")
    client = PlainClient(node, user, "a")
    node.ctl("user", "disable", user.jid)
    begun = time.monotonic()
    client.read(b"</stream:stream>")
    assert time.monotonic() - begun < 5
    with pytest.raises(ConnectionRefusedError, match="account-disabled"):
        Refused(node, user, "b")
    node.ctl("user", "enable", user.jid)
    PlainClient(node, user, "c")


def test_a_domain_is_added_and_used_without_a_restart(node: LiveNode) -> None:
    node.ctl("domain", "add", "second.example")
    until(lambda: "second.example" in node.ctl_json("stats")["domains"])
    user = node.add_user("x")
    node.ctl("user", "remove", user.jid)
    answer = node.ctl("domain", "set", "second.example", "max_resources", "0", check=False)
    assert answer.returncode == 1
    assert "max_resources" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    node.ctl("domain", "remove", "second.example")
    until(lambda: "second.example" not in node.ctl_json("stats")["domains"])


def test_thousands_are_imported_in_seconds_while_the_node_runs(node: LiveNode, tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("".join(f"import{number}@localhost,p{number}\n" for number in range(1_000)))
    begun = time.monotonic()
    assert node.ctl_json("user", "import", str(path)) == {"made": 1000, "errors": []}
    assert time.monotonic() - begun < 30
    PlainClient(node, User("import999@localhost", "p999"), "a")


def test_a_second_node_on_the_same_data_says_so(node: LiveNode) -> None:
    done = start(node, "--no-worker")
    assert done.returncode == 1
    assert "running already" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["MLINK_C2S_PORT", "MLINK_HTTP_PORT"])
def test_a_port_that_is_taken_is_named(node: LiveNode, name: str) -> None:
    other = LiveNode(**{name: node.environment()[name]})
    try:
        done = start(other, "--no-worker")
        assert done.returncode == 1
        assert node.environment()[name] in done.stderr
        assert "cannot listen" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        other.remove()


def start(node: LiveNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a node that cannot start."""
    return subprocess.run(
        [sys.executable, "manage.py", "runnode", *arguments],
        cwd=ROOT,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_start_shows_a_password_once_and_sigterm_ends_cleanly() -> None:
    node = LiveNode(MLINK_ADMIN_PASSWORD="")
    try:
        node.start()
        until(lambda: "write it down" in node.log_tail())
        shown = node.log_tail()
        assert shown.count("Password:") == 1
        password = shown.partition("Password:")[2].split()[0]
        assert len(password) >= 20
        assert node.process is not None
        until(lambda: len(children(node.process.pid)) == len(QUEUES))  # type: ignore[union-attr]
        workers = children(node.process.pid)
        client = PlainClient(node, User("admin@localhost", password), "a")
        assert node.stop() == 0
        client.read(b"</stream:stream>")
        assert b"system-shutdown" in client.seen
        until(lambda: not any(alive(pid) for pid in workers))
        assert not (node.home / "run" / "node.sock").exists()
        node.start()
        assert "Password:" not in node.log_tail().partition("stopping")[2]
        assert password not in (node.home / "mlink.sqlite3").read_bytes().decode("latin-1")
    finally:
        node.remove()


def alive(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_killed_node_leaves_no_worker_and_starts_again(start_node: Callable[..., LiveNode]) -> None:
    node = start_node()
    assert node.process is not None
    until(lambda: len(children(node.process.pid)) == len(QUEUES))  # type: ignore[union-attr]
    workers = children(node.process.pid)
    node.kill()
    until(lambda: not any(alive(pid) for pid in workers), 20)
    node.start()
    assert node.ctl_json("stats")["sessions"] == 0


def test_a_worker_that_ends_is_started_again(start_node: Callable[..., LiveNode]) -> None:
    node = start_node()
    assert node.process is not None
    pid = node.process.pid
    until(lambda: len(children(pid)) == len(QUEUES))
    first = children(pid)[0]
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in children(pid) and len(children(pid)) == len(QUEUES), 20)


def test_the_worker_does_what_it_is_given(start_node: Callable[..., LiveNode]) -> None:
    node = start_node()
    database = sqlite3.connect(node.home / "mlink.sqlite3", timeout=20)
    with database:
        database.execute(
            "INSERT INTO stores_offlinemessage (account_id, stamp, xml, size, expires) VALUES (1, 1, '<m/>', 4, 2)"
        )
    code = "from mlink_web.stores.tasks import expire; expire.delay()"
    command = [sys.executable, "manage.py", "shell", "-c", code]
    subprocess.run(command, cwd=ROOT, env=node.environment(), timeout=60, check=True, capture_output=True)
    until(lambda: database.execute("SELECT COUNT(*) FROM stores_offlinemessage").fetchone() == (0,), 20)
    database.close()


def test_visits_are_in_the_database_after_the_end(start_node: Callable[..., LiveNode]) -> None:
    node = start_node()
    user = node.add_user("romeo")
    PlainClient(node, user, "a")
    node.stop()
    with sqlite3.connect(node.home / "mlink.sqlite3") as database:
        row = database.execute(
            "SELECT last_login, last_logout FROM accounts_account WHERE username = ?", (user.jid,)
        ).fetchone()
    assert row[0] is not None
    assert row[1] is not None


def test_a_node_on_postgresql_and_redis(
    start_node: Callable[..., LiveNode], fresh_postgres_url: str, redis_url: str
) -> None:
    node = start_node(MLINK_DATABASE_URL=fresh_postgres_url, MLINK_REDIS_URL=redis_url)
    user = node.add_user("romeo")
    client = PlainClient(node, user, "a")
    assert len(node.ctl_json("sessions")) == 1
    node.ctl("user", "disable", user.jid)
    client.read(b"</stream:stream>")
    node.ctl("domain", "add", "second.example")
    until(lambda: "second.example" in node.ctl_json("stats")["domains"])
    node.kill()
    node.start()
    assert node.ctl_json("stats")["domains"] == ["localhost", "second.example"]
    node.remove()
