"""A site: nodes in network namespaces of their own, joined by a bridge to Redis, PostgreSQL and the tests.

                     root namespace: tests, Redis, PostgreSQL
                           10.213.S.1 on the bridge
                    +------------+------------+
                 10.213.S.11  10.213.S.12  10.213.S.13
                  node1         node2         node3

`cut(node)` takes away what the node says to Redis, and so to the other nodes, without a word to anybody: clients and
the database still reach it. `isolate(node)` takes its link down altogether. `freeze` is SIGSTOP, `kill` SIGKILL. Needs
root, as namespaces do.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from tests.live import ROOT, LiveNode
from tests.services import PostgresServer, RedisServer, ServiceError, postgres_bin, redis_program

DOMAIN = "cluster.example"


def ip(*arguments: str) -> None:
    """Run iproute2; raises CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class SiteNode(LiveNode):
    """A node in a namespace of the site."""

    def __init__(self, site: Site, number: int, **environment: str) -> None:
        self.site = site
        self.number = number
        self.name = f"node{number}"
        self.namespace = f"mlink-{site.mark}-{number}"
        super().__init__(DOMAIN, **environment)
        #: Where the files are that it runs.
        self.root = ROOT
        #: Whether it was ended on purpose.
        self.ended = False
        self._begun = 0

    def choose_ports(self) -> None:
        """The ordinary ports: the namespace is the node's alone."""
        self.c2s_port, self.c2s_tls_port, self.http_port = 5222, 5223, 8080

    @property
    def address(self) -> str:
        """Of the namespace."""
        return f"{self.site.network}.{10 + self.number}"

    @property
    def url(self) -> str:
        """Where its HTTP endpoints are."""
        return f"http://{self.address}:{self.http_port}"

    @property
    def command(self) -> list[str]:
        """In its namespace, without the web pages."""
        program = [sys.executable, str(self.root / "manage.py"), "runnode", "--no-worker"]
        return ["ip", "netns", "exec", self.namespace, *program]

    def environment(self) -> dict[str, str]:
        """See LiveNode.environment."""
        return {
            **super().environment(),
            "MLINK_BIND": "0.0.0.0",
            "MLINK_CLUSTER": "on",
            "MLINK_NODE_NAME": self.name,
            "MLINK_NODE_ADDRESS": f"{self.address}:{self.c2s_port}",
            "MLINK_REDIS_URL": self.site.redis.url,
            "MLINK_DATABASE_URL": self.site.database,
            "MLINK_ADMIN_PASSWORD": "of the whole cluster",
            **self.extra,
        }

    def spawn(self) -> None:
        """See LiveNode.spawn; the secret is that of all nodes."""
        if not (self.home / "secret_key").exists():
            shutil.copy(self.site.secret, self.home / "secret_key")
            (self.home / "secret_key").chmod(0o600)
        self._begun = self.log.stat().st_size if self.log.exists() else 0
        self.ended = False
        super().spawn()

    def kill(self) -> None:
        """See LiveNode.kill."""
        self.ended = True
        super().kill()

    def waited(self) -> None:
        """Wait until it takes clients; raises ServiceError with the end of its log."""
        if not self.comes_up(90.0):
            raise ServiceError(f"{self.name} is not ready. Its log ends:\n{self.log_tail()}")

    def is_ready(self) -> bool:
        """Whether it takes clients: it works before that, while it joins the others."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                ready = answer.status == 200
            socket.create_connection((self.address, self.c2s_port), 2).close()
        except OSError:
            return False
        return bool(ready)

    def links(self) -> set[str]:
        """The nodes that it has a link to, by its log since its last start."""
        found: set[str] = set()
        text = self.log.read_bytes()[self._begun :].decode(errors="replace")
        for name, what in re.findall(r"node (\S+) is (here|gone)", text):
            (found.add if what == "here" else found.discard)(name)
        return found

    def freeze(self) -> None:
        """Stop the process where it stands."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def inside(self, *command: str, text: str = "") -> None:
        """Run a command in its namespace, with this as its input; raises CalledProcessError."""
        whole = ["ip", "netns", "exec", self.namespace, *command]
        subprocess.run(whole, check=True, capture_output=True, text=True, input=text)


class Site:
    """Redis, PostgreSQL and the nodes that were started."""

    def __init__(self) -> None:
        self.number = 0
        #: In the names of links and namespaces: what an earlier run has left does not matter.
        self.mark = secrets.token_hex(2)
        self.nodes: list[SiteNode] = []
        self._cut: set[str] = set()
        self._isolated: set[str] = set()
        self._bridge()
        folder = postgres_bin()
        assert folder is not None, "PostgreSQL is not installed; `make test` installs it"
        self.redis = RedisServer(redis_program(), self.gate)
        self.postgres = PostgresServer(folder, self.gate)
        self.redis.start()
        self.postgres.start()
        self.database = self.postgres.url(self.postgres.create())
        self.secret = self.redis.service.folder / "secret_key"
        self.secret.write_text(secrets.token_urlsafe(64))

    @property
    def network(self) -> str:
        """The first three numbers of all addresses."""
        return f"10.213.{self.number}"

    @property
    def gate(self) -> str:
        """The address of the root namespace."""
        return f"{self.network}.1"

    def start(self, count: int, **environment: str) -> list[SiteNode]:
        """Start so many further nodes: the first prepares the database, then the others at the same time."""
        fresh = [self.prepare(**environment) for _ in range(count)]
        fresh[0].start()
        for node in fresh[1:]:
            node.spawn()
        for node in fresh[1:]:
            node.waited()
        return fresh

    def prepare(self, **environment: str) -> SiteNode:
        """A further node with its namespace, not started."""
        node = SiteNode(self, len(self.nodes) + 1, **environment)
        self.nodes.append(node)
        inner, outer = f"mli{self.mark}-{node.number}", self.outer(node)
        ip("netns", "add", node.namespace)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", node.namespace)
        ip("link", "set", outer, "master", self.bridge, "up")
        node.inside("ip", "link", "set", "lo", "up")
        node.inside("ip", "addr", "add", f"{node.address}/24", "dev", inner)
        node.inside("ip", "link", "set", inner, "up")
        return node

    def cut(self, node: SiteNode) -> None:
        """The node and Redis hear nothing of each other any more; its clients and the database do not notice."""
        if node.name not in self._cut:
            self._cut.add(node.name)
            self._filter(node, "-A")

    def heal(self, node: SiteNode) -> None:
        """The end of `cut`."""
        if node.name in self._cut:
            self._cut.discard(node.name)
            self._filter(node, "-D")

    def isolate(self, node: SiteNode) -> None:
        """Nothing reaches the node or comes from it."""
        self._isolated.add(node.name)
        ip("link", "set", self.outer(node), "down")

    def rejoin(self, node: SiteNode) -> None:
        """The end of `isolate`."""
        self._isolated.discard(node.name)
        ip("link", "set", self.outer(node), "up")

    @contextmanager
    def database_frozen(self) -> Iterator[None]:
        """PostgreSQL stands still, with all its processes: nobody is refused, and nobody is answered."""
        process = self.postgres.service.process
        assert process is not None
        found = [process.pid, *_children(process.pid)]
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def whole(self, nodes: list[SiteNode]) -> None:
        """Wait until each of these nodes says that it has links to all others."""
        deadline = time.monotonic() + 60
        names = {node.name for node in nodes}
        while True:
            told = {node.name: node.links() for node in nodes}
            if all(links == names - {name} for name, links in told.items()):
                return
            assert time.monotonic() < deadline, f"the nodes have not found each other: {told}"
            time.sleep(0.1)

    def database_again(self) -> None:
        """Start PostgreSQL with its data, after `postgres.service.stop_process`."""
        service = self.postgres.service
        with service.log.open("ab") as log:
            command = self.postgres.command(service.folder / "data", service.port)
            service.process = service.spawn(command, log.fileno())
        deadline = time.monotonic() + 60
        while True:
            try:
                self.postgres.execute("SELECT 1")
            except psycopg.Error:
                assert time.monotonic() < deadline, service.log.read_text(errors="replace")[-2000:]
                time.sleep(0.05)
            else:
                return

    def mend(self, nodes: list[SiteNode]) -> None:
        """What a test has broken and, since it failed, not put right works again: the services, and these nodes, which
        have links to each other. Fails, afterwards, for a node that ended by itself."""
        redis, postgres = self.redis.service.process, self.postgres.service.process
        if redis is None or redis.poll() is not None:
            self.redis.begin_again()
        if postgres is None or postgres.poll() is not None:
            self.database_again()
        by_themselves: dict[str, str] = {}
        dead: list[SiteNode] = []
        for node in nodes:
            self.heal(node)
            if node.name in self._isolated:
                self.rejoin(node)
            if node.process is not None and node.process.poll() is None:
                node.thaw()
                continue
            if not node.ended:
                by_themselves[node.name] = node.log_tail()
            dead.append(node)
        for node in dead:
            node.spawn()
        for node in dead:
            node.waited()
        self.whole(nodes)
        assert not by_themselves, "\n".join(f"{name} ended by itself:\n{log}" for name, log in by_themselves.items())

    def remove(self) -> None:
        """End everything, and leave no namespace behind."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.thaw()
            node.remove()
            # Explicitly, for the kernel takes its time to clear a namespace away.
            subprocess.run(["ip", "link", "delete", self.outer(node)], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "delete", node.namespace], check=False, capture_output=True)
        self.redis.stop()
        self.postgres.stop()
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)

    def outer(self, node: SiteNode) -> str:
        """Our end of a node's link."""
        return f"mlo{self.mark}-{node.number}"

    @property
    def bridge(self) -> str:
        """The name of the bridge."""
        return f"mlb{self.number}"

    def _filter(self, node: SiteNode, how: str) -> None:
        """Add or delete the rules of a cut, both directions in one moment."""
        port = self.redis.service.port
        rules = (f"{how} OUTPUT -p tcp --dport {port} -j DROP", f"{how} INPUT -p tcp --sport {port} -j DROP")
        node.inside("iptables-restore", "--noflush", text="\n".join(("*filter", *rules, "COMMIT", "")))

    def _bridge(self) -> None:
        """A bridge with a number that no other site has."""
        assert os.geteuid() == 0, "network namespaces need root"
        for number in range(1, 250):
            done = subprocess.run(
                ["ip", "link", "add", f"mlb{number}", "type", "bridge"], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                self.number = number
                ip("addr", "add", f"10.213.{number}.1/24", "dev", self.bridge)
                ip("link", "set", self.bridge, "up")
                return
            assert "exists" in done.stderr, done.stderr
        raise AssertionError("there is no number left for a bridge")


def _children(pid: int) -> list[int]:
    """The processes below one."""
    text = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in text.split()]


@contextmanager
def running_site() -> Iterator[Site]:
    """A site that is gone afterwards."""
    site = Site()
    try:
        yield site
    finally:
        site.remove()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site of one module of tests."""
    with running_site() as found:
        yield found
