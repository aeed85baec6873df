"""Plugin: a whole node in a process of its own, as `make run` starts it, for tests from outside.

`live_node` is one node for all tests of a worker process (web pages and engine, SQLite, TLS optional). Its tests take
users of their own (`live_node.add_user()`), never the state of each other. `start_node(**environment)` starts further
ones for a test, with the product's environment variables as keywords:

    node = start_node(MLINK_DATABASE_URL=fresh_postgres_url)
    node.kill(); node.start()          # the same data, the same ports

Each node has a folder of its own as MLINK_HOME, free loopback ports and a printed-nowhere administrator password. It
dies with the test process (`services.dying_by`), and a test that uses one is marked `net`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.services import ServiceError, dying_by, free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 100.0
STOP_SECONDS = 60.0
CTL_SECONDS = 90.0
PORT_ATTEMPTS = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a node."""
    for item in items:
        if {"live_node", "start_node"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("net")
            item.add_marker("slow")


class User(NamedTuple):
    """An account made for a test."""

    jid: str
    password: str


class LiveNode:
    """A node process with its folder, ports and administrator. Made stopped; `start` and `stop` may alternate."""

    def __init__(self, domain: str = "localhost", **environment: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="mlink-node-"))
        self.domain = domain
        self.admin_password = secrets.token_urlsafe(12)
        self.extra = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.choose_ports()

    def choose_ports(self) -> None:
        """Take ports that are free now."""
        self.c2s_port, self.c2s_tls_port, self.http_port = free_port(), free_port(), free_port()

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return "127.0.0.1"

    @property
    def command(self) -> list[str]:
        """What runs it."""
        return [sys.executable, "manage.py", "runnode", "--with-web"]

    @property
    def url(self) -> str:
        """Where the web pages and HTTP endpoints are, without a slash at the end."""
        return f"http://localhost:{self.http_port}"

    @property
    def admin(self) -> User:
        """The administrator that the first start makes."""
        return User(f"admin@{self.domain}", self.admin_password)

    @property
    def log(self) -> Path:
        """What the process has written."""
        return self.home / "node.log"

    def log_tail(self, size: int = 4000) -> str:
        """The end of the log, for messages of failed tests."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def environment(self) -> dict[str, str]:
        """The environment of the node and of commands about it; nothing of the caller's own MLINK_ variables."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MLINK_")}
        own.pop("PYTEST_CURRENT_TEST", None)
        return {
            **own,
            "DJANGO_SETTINGS_MODULE": "mlink_web.settings.dev",
            "PYTHONUNBUFFERED": "1",
            "MLINK_HOME": str(self.home),
            "MLINK_DOMAIN": self.domain,
            "MLINK_BIND": "127.0.0.1",
            "MLINK_C2S_PORT": str(self.c2s_port),
            "MLINK_C2S_TLS_PORT": str(self.c2s_tls_port),
            "MLINK_HTTP_PORT": str(self.http_port),
            "MLINK_S2S_PORT": "0",
            "MLINK_S2S_TLS_PORT": "0",
            "MLINK_COMPONENT_PORT": "0",
            "MLINK_C2S_TLS": "optional",
            "MLINK_NODE_NAME": "live",
            "MLINK_ADMIN_PASSWORD": self.admin_password,
            **self.extra,
        }

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start the process and wait until it is ready; raises ServiceError with the end of its log."""
        fresh = self.process is None
        for _ in range(PORT_ATTEMPTS):
            self.spawn()
            if self.comes_up(seconds):
                return
            if not fresh or "cannot listen on" not in self.log_tail():
                break
            self.choose_ports()
        raise ServiceError(f"the node is not ready. Its log ends:\n{self.log_tail()}")

    def spawn(self) -> None:
        """Start the process and do not wait. It dies with the thread that calls this."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*dying_by("KILL"), *self.command],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def comes_up(self, seconds: float) -> bool:
        """Wait until a process that was started is ready; one that is not in time, or ends, is ended."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.is_ready():
                return True
            time.sleep(0.1)
        self.kill()
        return False

    def is_ready(self) -> bool:
        """Whether /healthz says that all is well."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def stop(self) -> int:
        """End the process as an operator would; returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a power cut would, apart from what the kernel already has."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(STOP_SECONDS)

    def remove(self) -> None:
        """End the process and delete its data."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `xmppctl` about this node; a non-zero exit code raises AssertionError unless `check` is False."""
        command = [sys.executable, "manage.py", "xmppctl", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=CTL_SECONDS, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def ctl_json(self, *arguments: str) -> Any:
        """What `xmppctl --json` answers."""
        return json.loads(self.ctl("--json", *arguments).stdout)

    def add_user(self, name: str = "user", password: str = "") -> User:
        """Make an account whose name begins with `name` and is new."""
        user = User(f"{name}-{secrets.token_hex(3)}@{self.domain}", password or secrets.token_urlsafe(9))
        self.ctl("user", "add", user.jid, "--password", user.password)
        return user


class PlainClient:
    """The least client that can be connected: PLAIN, bind, presence, then it only reads."""

    def __init__(self, node: LiveNode, user: User, resource: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.c2s_port), timeout=15)
        self.seen = b""
        domain = user.jid.partition("@")[2]
        spaces = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
        header = f"<stream:stream {spaces} to='{domain}' version='1.0'>"
        secret = b64encode(f"\0{user.jid.partition('@')[0]}\0{user.password}".encode()).decode()
        self.say(header, b"</stream:features>")
        self.say(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>", b"<success")
        self.say(header, b"</stream:features>")
        bind = f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind>"
        self.say(f"<iq type='set' id='b'>{bind}</iq>", b"</iq>")
        self.socket.sendall(b"<presence><show>dnd</show></presence>")

    def say(self, text: str, until: bytes) -> None:
        """Send, then read until these bytes have come."""
        self.seen = b""
        self.socket.sendall(text.encode())
        self.read(until)

    def read(self, until: bytes) -> None:
        """Read until these bytes have come; raises ConnectionError when the stream ends or the login fails before."""
        while until not in self.seen:
            if b"</failure>" in self.seen:
                raise ConnectionError(f"the login failed: {self.seen!r}")
            chunk = self.socket.recv(65_536)
            if not chunk:
                raise ConnectionError(f"the stream ended after {self.seen!r}")
            self.seen += chunk


@pytest.fixture(scope="session")
def live_node() -> Iterator[LiveNode]:
    """The node of this process of the run."""
    node = LiveNode()
    try:
        node.start()
        yield node
    finally:
        node.remove()


@pytest.fixture
def start_node() -> Iterator[Callable[..., LiveNode]]:
    """A function that starts a node of the test's own, with further environment variables as keywords."""
    nodes: list[LiveNode] = []

    def start(domain: str = "localhost", **environment: str) -> LiveNode:
        node = LiveNode(domain, **environment)
        nodes.append(node)
        node.start()
        return node

    yield start
    for node in nodes:
        node.remove()
