"""Three nodes on this machine with a PostgreSQL and a Redis of their own, to try a cluster (`make cluster`).

Everything is below var/cluster (MLINK_CLUSTER_HOME says where else) and is found there again by the next start. Ctrl-C
ends all. Where this runs as root, PostgreSQL runs as the user `postgres` and keeps its data below /var/tmp.
"""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("MLINK_CLUSTER_HOME") or ROOT / "var" / "cluster")
NODES = os.environ.get("MLINK_NODES") or "3"
START_SECONDS = 60.0
#: In their order; they are to end with this process however it ends.
STARTED: list[Server] = []


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str, *patterns: str) -> str:
    """The path of a program; ends the process with a sentence where it is missing."""
    found = shutil.which(name) or next(iter(sorted((p for one in patterns for p in glob.glob(one)), reverse=True)), "")
    if not found:
        sys.exit(f"{name} is not installed. On Debian: apt-get install postgresql redis-server")
    return found


class Server:
    """A server process that ends with this one."""

    def __init__(self, name: str, command: list[str], user: str | None = None) -> None:
        self.name = name
        self.log = HOME / f"{name}.log"
        self.process = subprocess.Popen(
            command,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the nodes first: they write what they have.
            process_group=0,
        )
        STARTED.append(self)

    def wait(self, port: int) -> None:
        """Until it answers; ends the process with a sentence where it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"{self.name} did not start; {self.log} says why.")

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()


def database_folder() -> Path:
    """Where PostgreSQL has its data. Its user reaches no folder of root's; each copy of the program has its own."""
    mark = hashlib.sha256(str(HOME.absolute()).encode()).hexdigest()[:8]
    return Path(f"/var/tmp/mlink-cluster-postgres-{mark}") if os.geteuid() == 0 else HOME / "postgres"


def postgres(password: str) -> str:
    """The URL of the database of a PostgreSQL that was started."""
    initdb = program("initdb", "/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb")
    user = "postgres" if os.geteuid() == 0 else None
    folder = database_folder()
    if not (folder / "PG_VERSION").exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = folder.parent / f".{folder.name}.password"
        secret.write_text(password)
        secret.chmod(0o600)
        if user:
            shutil.chown(folder, user)
            shutil.chown(secret, user)
        options = ["-U", "mlink", "-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8", "--no-locale"]
        made = subprocess.run(
            [initdb, "-D", str(folder), *options],
            user=user,
            group=user,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        secret.unlink()
        if made.returncode:
            sys.exit(f"PostgreSQL's data folder cannot be made: {made.stderr.strip()}")
    port = free_port()
    command = [str(Path(initdb).parent / "postgres"), "-D", str(folder)]
    for option in (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"):
        command += ["-c", option]
    server = Server("postgres", command, user)
    server.wait(port)
    return f"postgresql://mlink:{password}@127.0.0.1:{port}/postgres"


def redis(password: str) -> str:
    """The URL of a Redis that was started."""
    port = free_port()
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--requirepass",
        password,
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    server = Server("redis", [program("redis-server"), *options])
    server.wait(port)
    return f"redis://:{password}@127.0.0.1:{port}/0"


def main() -> None:
    """Start all, run the nodes, end all."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = HOME / "password"
    if not kept.exists():
        if (database_folder() / "PG_VERSION").exists():
            sys.exit(
                f"{database_folder()} holds the database of an earlier cluster, whose password and secret were in "
                f"{HOME} and are gone with it. Remove it to begin anew."
            )
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_hex(16))
    password = kept.read_text().strip()
    nodes: subprocess.Popen[bytes] | None = None

    def end(_number: int, _frame: object) -> None:
        if nodes is None:
            sys.exit(1)
        nodes.terminate()

    # From the beginning: servers in process groups of their own would outlive this process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        database_url = postgres(password)
        redis_url = redis(password)
        environment = {
            **os.environ,
            "MLINK_HOME": str(HOME / "data"),
            "MLINK_DATABASE_URL": database_url,
            "MLINK_REDIS_URL": redis_url,
            "MLINK_NODES": NODES,
            "MLINK_NODES_APART": os.environ.get("MLINK_NODES_APART") or "1",
            "MLINK_NODE_NAME": os.environ.get("MLINK_NODE_NAME") or "node",
        }
        print(f"PostgreSQL and Redis run; their data and logs are below {HOME}.", flush=True)
        print(f"Commands: MLINK_HOME={HOME / 'data'} MLINK_DATABASE_URL={database_url} \\", flush=True)
        print(f"  MLINK_REDIS_URL={redis_url} {sys.executable} manage.py xmppctl cluster", flush=True)
        nodes = subprocess.Popen(
            [sys.executable, "manage.py", "runnode", "--with-web"], cwd=ROOT, env=environment, process_group=0
        )
        nodes.wait()
    finally:
        for server in reversed(STARTED):
            server.stop()


if __name__ == "__main__":
    main()
