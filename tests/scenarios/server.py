"""The server of the scenarios: an engine on stores in memory, in this process, behind real sockets."""

from __future__ import annotations

import asyncio
import functools
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from archive.memory import MemoryReader
from fdp import rules
from fdp.memory import MemoryForms
from mlink_web.asgi_node import NodeApplication
from mlink_web.settings.engine import XMPP_MODULES
from tests.bench.processes import write_certificate
from tests.durability.client import unverified_tls
from tests.scenarios.bosh_wire import BoshWire
from tests.scenarios.wires import MemoryWire, TcpWire, WebSocketWire, Wire, cut_small
from xmpp_engine.config.schema import EngineConfig, HostConfig, ListenerConfig, StreamLimits, TlsConfig
from xmpp_engine.engine import Engine
from xmpp_engine.plugin.loader import import_modules
from xmpp_engine.sasl.keys import fresh
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.types import RosterItem, ScramKeys
from xmpp_engine.transport.memory import memory_pair

DOMAIN = "example.org"
PASSWORD = "but soft"
#: The form of XEP-0346, 4, with a check beside it.
ACCIDENT: dict[str, Any] = {
    "title": "Accident report form.",
    "instructions": ["Please fill in all fields."],
    "fields": [
        {
            "var": "Place",
            "type": "list-single",
            "label": "Place of fall:",
            "required": True,
            "options": [{"value": place} for place in ("Kitchen", "Conference Room", "Engineering")],
        },
        {"var": "Type", "type": "text-single", "label": "Type of injury:"},
        {"var": "Ambulance", "type": "boolean", "label": "Ambulance needed?"},
        {
            "var": "Injured",
            "label": "Injured:",
            "validate": {"datatype": "xs:int", "method": "range", "min": "0", "max": "9"},
        },
    ],
}
_LISTENER = ListenerConfig("memory", port=0, tls="optional")


@functools.cache
def _keys() -> tuple[ScramKeys, ...]:
    return tuple(fresh(PASSWORD, 4096))


@functools.cache
def _certificate() -> TlsConfig:
    folder = Path(tempfile.mkdtemp(prefix="mlink-scenarios-"))
    certificate, key = write_certificate(folder, DOMAIN)
    return TlsConfig(str(certificate), str(key))


class Server:
    """One engine; `wire` makes a connection to it over a transport."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]], limits: StreamLimits | None = None) -> None:
        """`options` are those of modules by name; `limits` are those of each connection."""
        limits = limits or StreamLimits()
        self.stores = MemoryStores((DOMAIN,))
        listeners = (
            ListenerConfig("tcp", port=0, tls="optional", limits=limits),
            ListenerConfig("tls", port=0, tls="direct", limits=limits),
        )
        host = HostConfig(DOMAIN, tls=_certificate(), modules=options)
        config = EngineConfig(hosts={DOMAIN: host}, listeners=listeners, drain_seconds=1.0)
        self.forms = MemoryForms(self.stores)
        extras = {"archive": MemoryReader(self.stores.memory.archive.values()), "forms": self.forms}
        self.engine = Engine(config, self.stores, import_modules(XMPP_MODULES), extras=extras)
        self._http: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._http_port = 0

    async def start(self, *, http: bool) -> None:
        """Start the engine, and its HTTP endpoints where they are needed."""
        await self.engine.start()
        forms = self.engine.router.hosts[DOMAIN].modules["forms"].hosted.values()
        while not all(service.in_step for service in forms):  # noqa: ASYNC110  (the product needs no event for it)
            await asyncio.sleep(0.001)
        if not http:
            return
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        self._http_port = listening.getsockname()[1]
        self._http = uvicorn.Server(
            uvicorn.Config(
                NodeApplication(self.engine),
                http="httptools",
                ws="websockets-sansio",
                ws_ping_interval=None,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._serving = asyncio.create_task(self._http._serve([listening]))
        while not self._http.started:
            assert not self._serving.done(), self._serving.exception()
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Stop everything."""
        await self.engine.stop()
        if self._http is not None and self._serving is not None:
            self._http.should_exit = True
            await self._serving

    def add_topic(self, suffix: str, readers: str, publishers: str) -> None:
        """A topic with the form of XEP-0346; before the start. Who may what is said as for `xmppctl topic rules`."""
        service = f"forms.{DOMAIN}"
        read, publish = rules.parse(readers), rules.parse(publishers)
        self.forms.add(service, suffix, ACCIDENT, title="AccidentReport", read=read, publish=publish)

    async def add_account(self, bare: str) -> None:
        """Make an account with PASSWORD unless it is there."""
        if await self.stores.accounts.credentials(bare) is None:
            await self.stores.accounts.create(bare, [replace(keys) for keys in _keys()])

    async def befriend(self, one: str, other: str) -> None:
        """Subscribe two accounts to each other's presence, as if it had been long ago."""
        for owner, contact in ((one, other), (other, one)):
            data = await self.stores.accounts.load(owner)
            assert data is not None
            item = RosterItem(contact, subscription="both", version=data.roster_version + 1)
            await self.stores.rosters.put(data.account_id, [item], item.version)

    def wire(self, transport: str) -> Wire:
        """A connection that is not open yet."""
        ports = self.engine.ports()
        if transport == "tcp":
            return TcpWire(ports["tcp"])
        if transport == "tls":
            return TcpWire(ports["tls"], unverified_tls())
        if transport == "websocket":
            return WebSocketWire(f"ws://127.0.0.1:{self._http_port}/xmpp-websocket")
        if transport == "bosh":
            return BoshWire(self._http_port)
        ours, theirs = memory_pair(self.engine.dirty, cut_small)
        theirs.receiver = self.engine.accept(theirs, _LISTENER)
        return MemoryWire(ours)
