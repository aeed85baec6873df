"""The process of a node: the engine and an HTTP server in one uvloop loop.

    run()
      tune()                      file limit, thread switch interval, garbage collector
      Node.start
        DatabaseStores            threads with a connection each
        snapshot -> Engine        listeners for XMPP open here
        EmbeddedServer            BOSH, WebSocket, health; the pages with --with-web
        Watcher, ControlServer    changes from the database, commands of administrators
        Worker                    child process for background work
      wait for SIGTERM or SIGINT
      Node.stop                   new connections refused, streams told system-shutdown, ledger committed

Read `xmpp_engine/engine.py` next.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import ipaddress
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import uvicorn
import uvloop
from django.conf import settings
from django.urls import get_resolver
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from archive.selection.resident import ResidentDecisions
from archive.selection.resident import read as read_decisions
from archive.store import ArchiveReader
from fdp.store import DatabaseForms
from mlink_web.admin_commands import within
from mlink_web.admin_commands.registry import registry
from mlink_web.audit import log as audit
from mlink_web.clusters.layer_bus import LayerBus
from mlink_web.clusters.numbers import bus_prefix
from mlink_web.clusters.reporting import Reporter
from mlink_web.conf import snapshot
from mlink_web.groups.resident import ResidentGroups
from mlink_web.groups.resident import read as read_groups
from mlink_web.node.control import ControlServer, NodeRunsAlready
from mlink_web.node.lateness import Lateness
from mlink_web.node.watcher import Watcher
from mlink_web.node.worker import QUEUES, Worker, sweep_queue
from mlink_web.stores.build import DatabaseStores
from xmpp_engine.admin import live
from xmpp_engine.cluster.bus import BusError
from xmpp_engine.cluster.cluster import ClusterError
from xmpp_engine.config.schema import EngineConfig
from xmpp_engine.engine import Engine
from xmpp_engine.plugin.loader import import_modules
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.transport.listener import ListenError

log = logging.getLogger("mlink.node")

#: Half a millisecond: at Python's default of 5 ms a busy store thread would hold up the loop ten times as long.
SWITCH_SECONDS: Final = 0.0005
#: New objects between two looks of the garbage collector; stanzas make no cycles, so rare looks are enough.
GC_THRESHOLDS: Final = (50_000, 25, 25)
HTTP_BACKLOG: Final = 1024
STOP_SECONDS: Final = 3
#: Administrators' commands on the database that run at a time.
DATA_COMMANDS: Final = 4

R = TypeVar("R")


class StartError(Exception):
    """The node cannot start; the text is a sentence for people."""


class RefusedUpgrades(logging.Filter):
    """COMPAT(uvicorn 0.54, 2026-11): where an endpoint answers an upgrade with an HTTP status, uvicorn logs an error:
    so anybody outside could fill the log with errors of which none is ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        return "without completing handshake" not in record.getMessage()


class EmbeddedServer(uvicorn.Server):
    """uvicorn inside our loop: signals are the node's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handlers alone; uvicorn would raise the signal again and skip our clean-up."""
        yield


class Node:
    """Everything that runs in the process of a node."""

    def __init__(self, *, with_web: bool, worker: bool) -> None:
        self._with_web = with_web
        self._workers = [Worker(queue) for queue in QUEUES] if worker else []
        self._stores: DatabaseStores | None = None
        self._engine: Engine | None = None
        self._watcher: Watcher | None = None
        self._lateness: Lateness | None = None
        self._reporter: Reporter | None = None
        #: Why the cluster has no place for this node any more, "" while it has.
        self.expelled = ""
        self._control: ControlServer | None = None
        self._server: EmbeddedServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._data_commands = asyncio.Semaphore(DATA_COMMANDS)

    async def start(self) -> None:
        """Start everything; raises StartError. Call `stop` in any case."""
        if self._with_web:
            # Later it would be the first visitor who waits for all pages, and everybody's stream with him.
            await asyncio.to_thread(_import_pages)
        self._stores = DatabaseStores()
        config = await asyncio.to_thread(_read)
        forms = DatabaseForms(self._stores.executor)
        groups = ResidentGroups()
        groups.take(await self._stores.executor.read(None, read_groups, groups.version))
        decisions = ResidentDecisions()
        decisions.take(await self._stores.executor.read(None, read_decisions))
        modules = import_modules(settings.XMPP_MODULES)
        try:
            reader = ArchiveReader(self._stores.executor)
            self._engine = Engine(
                config,
                self._stores,
                modules,
                extras={
                    "archive": reader,
                    "archive decisions": decisions,
                    "groups": groups,
                    "forms": forms,
                    "http_base": settings.MLINK_HTTP_BASE,
                    "commands": registry,
                    "within": within.RULES,
                    "may change": within.account_may_change,
                    "run_data": self._run_data,
                    "audit": self._audit,
                    "shutdown": lambda: os.kill(os.getpid(), signal.SIGTERM),
                },
                secret=settings.SECRET_KEY.encode(),
                bus=LayerBus(config.node, bus_prefix()) if settings.MLINK_CLUSTER else None,
            )
            self._engine.everywhere.offer(live.registry)
            if self._engine.cluster is not None:
                self._engine.cluster.on_expelled = self._expelled
            self._watcher = Watcher(self._engine, self._stores.executor, groups, forms, decisions)
            self._control = ControlServer(self._engine, self._watcher.wake)
            # First of all: a second node on the same data must touch nothing.
            await self._control.start()
            await self._engine.start()
        except (BusError, ClusterError, ListenError, NodeRunsAlready, ValueError) as error:
            raise StartError(str(error)) from error
        await self._serve_http(config)
        await self._watcher.start()
        self._lateness = Lateness(self._engine.counters)
        self._lateness.start()
        if self._engine.cluster is not None:
            self._reporter = Reporter(self._engine, self._stores.executor, self._http_address())
            self._reporter.start()
        if self._workers:
            await asyncio.to_thread(sweep_queue)
        for worker in self._workers:
            worker.start()

    def _expelled(self, sentence: str) -> None:
        """The node may not stay in its cluster: on its own it would serve what others serve too."""
        self.expelled = sentence
        os.kill(os.getpid(), signal.SIGTERM)

    def _http_address(self) -> str:
        """Where other nodes and balancers reach this node's HTTP, "" where it serves none."""
        host = settings.MLINK_NODE_ADDRESS.rpartition(":")[0] or settings.MLINK_BIND
        return f"{host}:{settings.MLINK_HTTP_PORT}" if settings.MLINK_HTTP_PORT else ""

    async def _run_data(self, function: Callable[..., Any], arguments: Mapping[str, str]) -> Any:
        """Run an administrator's command on the database, and look at once what it changed."""
        async with self._data_commands:
            try:
                return await asyncio.to_thread(_with_connection, function, arguments)
            finally:
                if self._watcher is not None:
                    self._watcher.wake()

    async def _audit(self, who: str, did: str, arguments: Mapping[str, Any], outcome: str) -> None:
        """Note a command that an administrator gave over XMPP."""
        assert self._stores is not None
        try:
            await self._stores.executor.write(None, _note_command, who, did, arguments, outcome)
        except (audit.NotWritten, StoreUnavailable) as error:
            # The command has run: its answer must say how, not that the log is away.
            log.error("%s gave the command %s, which the audit log did not take: %s", who, did, error)

    async def _serve_http(self, config: EngineConfig) -> None:
        if not settings.MLINK_HTTP_PORT:
            return
        from mlink_web.asgi_node import NodeApplication

        assert self._engine is not None
        pages: Any = None
        if self._with_web:
            from mlink_web.asgi import application

            # The endpoints look at the headers of proxies themselves; Django expects it done.
            pages = ProxyHeadersMiddleware(application, trusted_hosts=list(config.http.trusted_proxies))
        sockets = [bind(settings.MLINK_BIND, settings.MLINK_HTTP_PORT)]
        logging.getLogger("uvicorn.error").addFilter(RefusedUpgrades())
        self._server = EmbeddedServer(
            uvicorn.Config(
                NodeApplication(self._engine, pages),
                http="httptools",
                ws="websockets-sansio",
                ws_ping_interval=None,
                ws_per_message_deflate=False,
                ws_max_size=config.http.limits.stanza_bytes + 1024,
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                log_level="warning",
                backlog=HTTP_BACKLOG,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=sockets), name="http")
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise StartError("The HTTP server could not start.")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop everything that was started, in the order that loses nothing."""
        # Workers take seconds to finish, so they begin at once.
        workers = [asyncio.create_task(worker.stop()) for worker in self._workers]
        if self._lateness is not None:
            self._lateness.stop()
        if self._reporter is not None:
            await self._reporter.stop()
        if self._control is not None:
            await self._control.stop()
        if self._watcher is not None:
            await self._watcher.stop()
        if self._engine is not None and self._engine.running:
            await self._engine.stop()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
        await asyncio.gather(*workers)
        if self._stores is not None:
            await self._stores.close()

    @property
    def failed(self) -> asyncio.Task[None] | None:
        """The HTTP server's task: it must not end before the node does."""
        return self._serving


def run(*, with_web: bool, worker: bool, announce: Callable[[EngineConfig], None]) -> None:
    """Run a node until SIGTERM or SIGINT; `announce` is called once everything answers. Raises StartError."""
    tune()
    uvloop.run(_main(with_web=with_web, worker=worker, announce=announce))


async def _main(*, with_web: bool, worker: bool, announce: Callable[[EngineConfig], None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    node = Node(with_web=with_web, worker=worker)
    try:
        await node.start()
        gc.collect()
        gc.freeze()
        assert node._engine is not None
        announce(node._engine.config)
        waits = [asyncio.create_task(stopping.wait())]
        if node.failed is not None:
            waits.append(node.failed)  # type: ignore[arg-type]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            raise StartError("The HTTP server has ended.")
        if node.expelled:
            raise StartError(node.expelled)
        log.info("stopping")
    finally:
        await node.stop()


def tune() -> None:
    """Settings of the process that a node needs."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*GC_THRESHOLDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind(address: str, port: int) -> socket.socket:
    """A socket bound to this address; raises StartError with a sentence, for example where the port is taken."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
    except OSError as error:
        found.close()
        raise StartError(f"HTTP cannot listen on {address} port {port}: {error.strerror}.") from None
    found.setblocking(False)
    return found


def _import_pages() -> None:
    """What serves the pages, and all of them."""
    importlib.import_module("mlink_web.asgi")
    _ = get_resolver().url_patterns


def _read() -> EngineConfig:
    """The snapshot, read in a thread whose connection is given back."""
    return _with_connection(snapshot.read, {})


def _with_connection(function: Callable[..., R], arguments: Mapping[str, str]) -> R:
    """Call a function that works on the database, and give the thread's connection back."""
    from django.db import connection

    try:
        return function(**arguments)
    finally:
        connection.close()


def _note_command(_connection: object, who: str, did: str, arguments: Mapping[str, Any], outcome: str) -> None:
    audit.record(who, did, origin="XMPP", outcome=outcome, **{"with": arguments})
