"""Plugin: a throw-away PostgreSQL and Redis for the tests that speak to real ones.

Each process of a run starts its own on first use, on an ephemeral loopback port and a data folder below the system's
temporary one, and ends it when the run ends. The kernel ends it too if the run is killed (`dying_by`), so no
server is left behind. PostgreSQL refuses to run as root: there it runs as the user `postgres` that its package made.

Fixtures: `postgres_url` and `redis_url` (one empty database per process, shared by its tests), `fresh_postgres_url`
(a new empty database for one test), `postgres_server`, `chromium_path`. A test that uses one gets the matching mark.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

#: All that needs a service fails where it is not there in time: a busy machine gets some.
START_SECONDS = 90.0
STOP_SECONDS = 10.0
PORT_ATTEMPTS = 3
#: The ports that the kernel gives to outgoing connections, and what of those below may be taken.
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_000
ENOUGH_PORTS = 1_000
MARKS = {
    "postgres_server": "postgres",
    "postgres_url": "postgres",
    "fresh_postgres_url": "postgres",
    "redis_url": "redis",
    "chromium_path": "browser",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the services their fixtures bring, so that `-m "not postgres"` is always true."""
    for item in items:
        for fixture in set(getattr(item, "fixturenames", ())) & MARKS.keys():
            item.add_marker(MARKS[fixture])


class ServiceError(Exception):
    """A service did not start in time; the text holds the end of its log."""


class Service:
    """A server process with its temporary folder.

    `command` is called with a port and returns the arguments; `ready` is called with the port and raises OSError,
    psycopg.Error or redis.RedisError while the server does not answer.
    """

    def __init__(self, name: str, user: str | None = None) -> None:
        self.name = name
        self.user = user
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        # Another user must be able to reach the folder, which a private TMPDIR would forbid.
        self.folder = Path(tempfile.mkdtemp(prefix=f"mlink-{name}-", dir="/tmp" if user else None))
        if user:
            shutil.chown(self.folder, user)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, command: Callable[[int], list[str]], ready: Callable[[int], None]) -> None:
        """Start on a free port; raises ServiceError when it does not answer within START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        for _ in range(PORT_ATTEMPTS):  # another process may take the port between our look and the server's bind
            self.port = free_port()
            with self.log.open("ab") as log:
                self.process = self.spawn(command(self.port), log.fileno())
            while self.process.poll() is None and time.monotonic() < deadline:
                try:
                    ready(self.port)
                except (OSError, psycopg.Error, redis.RedisError):
                    time.sleep(0.05)
                else:
                    return
            self.stop_process(signal.SIGKILL)
        text = self.log.read_text(errors="replace")[-2000:]
        self.remove()
        raise ServiceError(f"{self.name} did not start within {START_SECONDS:.0f} s. Its log ends:\n{text}")

    def spawn(self, arguments: list[str], output: int) -> subprocess.Popen[bytes]:
        """Start a process as the service's user; it dies with this one."""
        return subprocess.Popen(
            # A shell that runs the tests in its background has them ignore this signal, and children would too.
            ["env", "--default-signal=QUIT", *dying_by("QUIT"), *arguments],
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def stop_process(self, how: signal.Signals) -> None:
        """End the process and wait for it, at most STOP_SECONDS before it is killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def remove(self) -> None:
        """Delete the folder with all data."""
        shutil.rmtree(self.folder, ignore_errors=True)


def dying_by(name: str) -> list[str]:
    """What stands before a command whose process the kernel shall end by this signal when the thread that started it
    is gone. To ask for that between fork and exec would run Python in the copy of a process with threads, which may
    stand still for ever."""
    return ["setpriv", "--pdeathsig", name, "--"]


def free_port() -> int:
    """A TCP port on the loopback address that nobody has now. It lies below those that the kernel gives to outgoing
    connections: one of these would take it from a server that is only starting, or that is started again.
    """
    lowest = int(LOCAL_PORTS.read_text().split()[0])
    while True:
        # Where nothing is left below, any will do.
        port = secrets.choice(range(LOWEST_PORT, lowest)) if lowest - LOWEST_PORT > ENOUGH_PORTS else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return int(probe.getsockname()[1])


class PostgresServer:
    """A running PostgreSQL cluster; `url(name)` addresses a database of it, `create()` makes a new empty one."""

    def __init__(self, bin_folder: Path, address: str = "127.0.0.1") -> None:
        """`address` is where it listens."""
        self.bin = bin_folder
        self.address = address
        self.password = secrets.token_hex(8)
        self.service = Service("postgres", user="postgres" if os.geteuid() == 0 else None)

    def url(self, database: str) -> str:
        """Connection URL as MLINK_DATABASE_URL takes it."""
        return f"postgresql://mlink:{self.password}@{self.address}:{self.service.port}/{database}"

    def start(self) -> None:
        """Make the cluster and start it; raises ServiceError."""
        data = self.service.folder / "data"
        secret = self.service.folder / "password"
        secret.write_text(self.password)
        if self.service.user:
            shutil.chown(secret, self.service.user)
        initdb = [self.bin / "initdb", "-D", data, "-U", "mlink", "-A", "scram-sha-256", "--pwfile", secret]
        initdb += ["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        with self.service.log.open("ab") as log:
            code = self.service.spawn([str(part) for part in initdb], log.fileno()).wait(START_SECONDS)
        if code:
            text = self.service.log.read_text(errors="replace")[-2000:]
            self.service.remove()
            raise ServiceError(f"initdb ended with code {code}:\n{text}")
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        self.service.start(lambda port: self.command(data, port), lambda _port: self.execute("SELECT 1"))

    def command(self, data: Path, port: int) -> list[str]:
        """The server's arguments. No fsync: tests kill our processes, never the machine under them."""
        options = {
            "listen_addresses": self.address,
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(self.bin / "postgres"), "-D", str(data), *settings]

    def execute(self, statement: str) -> None:
        """Run one statement in the maintenance database, outside a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def create(self) -> str:
        """Make an empty database; returns its name."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, ending connections that are still open."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self) -> None:
        """End the server at once (its data is thrown away) and delete everything."""
        self.service.stop_process(signal.SIGQUIT)
        self.service.remove()


def postgres_bin() -> Path | None:
    """The folder with initdb and postgres of the newest PostgreSQL here, or None."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    folders = [
        Path(path).parent
        for path in glob.glob("/usr/lib/postgresql/*/bin/initdb") + glob.glob("/usr/pgsql-*/bin/initdb")
    ]
    return max(folders, key=lambda folder: float(folder.parent.name.rpartition("-")[2]), default=None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL of this process of the run."""
    folder = postgres_bin()
    if folder is None:
        pytest.skip("PostgreSQL is not installed; `make test` installs it")
    server = PostgresServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """URL of one database for the whole run, empty at its start."""
    return postgres_server.url(postgres_server.create())


@pytest.fixture
def fresh_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of an empty database that only this test uses."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


class RedisServer:
    """A running Redis that keeps nothing on disk; `restart` loses everything, as a crash would."""

    def __init__(self, program: str, address: str = "127.0.0.1") -> None:
        self.address = address
        self.service = Service("redis")
        self._program = program

    @property
    def url(self) -> str:
        """As MLINK_REDIS_URL takes it."""
        return f"redis://{self.address}:{self.service.port}/0"

    def start(self) -> None:
        """Start on a free port; raises ServiceError."""
        self.service.start(self._command, self._ping)

    def restart(self) -> None:
        """Kill it and start it again, empty, on the same port."""
        self.service.stop_process(signal.SIGKILL)
        self.begin_again()

    def begin_again(self) -> None:
        """Start it again, empty, on the same port, after `service.stop_process`."""
        port = self.service.port
        with self.service.log.open("ab") as log:
            self.service.process = self.service.spawn(self._command(port), log.fileno())
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ping(port)
            except (OSError, redis.RedisError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it."""
        self.service.stop_process(signal.SIGTERM)
        self.service.remove()

    def _command(self, port: int) -> list[str]:
        options = ["--bind", self.address, "--protected-mode", "no", "--save", "", "--appendonly", "no"]
        return [self._program, "--port", str(port), *options, "--dir", str(self.service.folder)]

    def _ping(self, port: int) -> None:
        with redis.Redis(host=self.address, port=port, socket_timeout=2) as client:
            client.ping()


def redis_program() -> str:
    """Where redis-server is; skips the test where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("Redis is not installed; `make test` installs it")
    return program


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of the Redis of this process of the run, empty at its start."""
    server = RedisServer(redis_program())
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def chromium_path() -> str | None:
    """The system's Chromium for Playwright's `executable_path`; None means the build that Playwright brings."""
    for name in ("chromium", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    if glob.glob(os.path.expanduser("~/.cache/ms-playwright/chromium*")):
        return None
    pytest.skip("Chromium is not installed; `make test` installs it")
