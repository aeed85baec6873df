"""Servers that talk to each other: whole engines on loopback sockets with real TLS, DNS and certificates.

async with Network(folder) as network:
    capulet = await network.server("capulet.example")
    montague = await network.server("montague.example")
    juliet, romeo = await capulet.login("juliet"), await montague.login("romeo")
    juliet.send("<message to='romeo@montague.example' type='chat'><body>hi</body></message>")
    await got(romeo, "<message from='juliet@capulet.example'><body>hi</body></message>")
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.kits.authority import Authority, Certified
from tests.kits.nameserver import NameServer
from tests.story import MODULES, Client, World, elements, matches
from xmpp_engine.config.schema import EngineConfig, HostConfig, ListenerConfig, PeerConfig, S2sConfig, TlsConfig
from xmpp_engine.runtime.clock import LoopClock
from xmpp_engine.s2s.federation import Federation
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.writer import write

SECONDS = 20.0
_stamps = itertools.count(1)


class Server(World):
    """A World on real time, with a listener for other servers and federation as its way out."""

    def __init__(self, network: Network, domains: Sequence[str], **arguments: Any) -> None:
        super().__init__(domains=domains, clock=LoopClock(asyncio.get_running_loop()), **arguments)
        self.network = network
        self.router.remote = self.engine.federation

    @property
    def federation(self) -> Federation:
        """Its streams to and from others."""
        return self.engine.federation

    @property
    def port(self) -> int:
        """Where other servers connect."""
        return self.engine.ports()["s2s"]

    async def settle(self) -> None:
        """Time is real here: tests wait for what they expect."""
        await asyncio.sleep(0)

    async def change(self, **fields: Any) -> None:
        """Put another S2sConfig in force."""
        config = self.engine.config
        await self.engine.apply(replace(config, version=config.version + 1, s2s=replace(config.s2s, **fields)))

    async def host_config(self, **fields: Any) -> None:
        """Put another HostConfig of the first domain in force."""
        await self.engine.apply(host_config(self.engine.config, self.domain, **fields))

    def dirty_flush(self) -> None:
        """Send what is collected in this turn of the loop."""
        self.engine.dirty.flush()

    def streams(self, remote: str = "") -> list[dict[str, Any]]:
        """The rows of streams that are ready."""
        return [
            row
            for row in self.federation.rows()
            if row["kind"] == "stream" and row["authentication"] and remote in ("", row["remote"])
        ]


class Network:
    """Names, an authority that all trust, and the servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dns = NameServer()
        self.authority = Authority("Everybody's root")
        self.roots = self.authority.write(folder, "roots.pem")
        self.servers: list[Server] = []

    async def __aenter__(self) -> Network:
        self.dns.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for server in self.servers:
            await server.engine.stop()
        await asyncio.to_thread(self.dns.__exit__, *error)

    def certificate(self, *names: str, issuer: Authority | None = None, **options: Any) -> TlsConfig:
        """PEM files of a certificate for these names."""
        options.setdefault("xmpp", names)
        return self.written((issuer or self.authority).issue(*names, **options), names[0])

    def written(self, certified: Certified, name: str = "own") -> TlsConfig:
        """The same of a certificate that is there."""
        stamp = next(_stamps)
        certificate, key = certified.write(self.folder, f"{name}-{stamp}")
        return TlsConfig(str(certificate), str(key), stamp)

    async def server(
        self,
        *domains: str,
        tls: TlsConfig | None = None,
        listener: str = "required",
        default: PeerConfig | None = None,
        peers: Mapping[str, PeerConfig] | None = None,
        names: Sequence[str] = (),
        modules: Sequence[str] = MODULES,
        limits: Any = None,
        config: Mapping[str, Any] | None = None,
        extras: dict[str, Any] | None = None,
        stores: MemoryStores | None = None,
        durable: bool = False,
        bus: Any = None,
        **s2s: Any,
    ) -> Server:
        """A server for these domains that runs and is in DNS, with further `names` for services below them. `listener`
        is its TLS mode; `default` and `peers` are records of others, `s2s` fields of S2sConfig; nodes of a
        cluster have a `bus` each and the same `stores`."""
        federation = S2sConfig(
            enabled=True,
            default=default or PeerConfig(revocation="off"),
            peers=peers or {},
            nameservers=(self.dns.address,),
            **{
                "authorities": str(self.roots),
                "connect_seconds": 10.0,
                "dialback_secret": f"secret of {domains[0]}",
                **s2s,
            },
        )
        port = ListenerConfig("s2s", "s2s", "127.0.0.1", 0, listener, **({"limits": limits} if limits else {}))  # type: ignore[arg-type]
        server = Server(
            self,
            domains,
            modules=modules,
            extras=extras,
            config={"listeners": (port,), "s2s": federation, "drain_seconds": 1.0, **(config or {})},
            tls=tls if tls is not None else self.certificate(*domains),
            stores=stores,
            bus=bus,
            federation_durable=durable,
        )
        self.servers.append(server)
        await server.engine.start()
        for domain in (*domains, *names):
            self.dns.server(domain, server.port, direct=listener == "direct")
        return server


async def until(condition: Callable[[], Any], what: str | Callable[[], str] = "it", seconds: float = SECONDS) -> Any:
    """Let the loop run until the condition holds; returns its value."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (value := condition()):
        assert loop.time() < deadline, f"{what() if callable(what) else what} did not happen in time"
        await asyncio.sleep(0.005)
    return value


async def got(client: Client, *expected: str) -> Element:
    """Wait for stanzas that match these, in this order; others before them are passed over. Returns the last."""
    found: Element | None = None
    for xml in expected:
        found = await _next(client, xml)
    assert found is not None
    return found


async def _next(client: Client, xml: str) -> Element:
    (wanted,) = elements(xml)
    seen: list[str] = []

    def taken() -> Element | None:
        while client.wire.inbox:
            actual = client.wire.inbox.popleft()
            seen.append(write(actual, ns.CLIENT))
            if matches(wanted, actual):
                return actual
        return None

    found: Element = await until(taken, lambda: f"{client.full} got {seen} and not {xml}, which")
    return found


def host_config(config: EngineConfig, domain: str, **fields: Any) -> EngineConfig:
    """A configuration in which one host is another."""
    hosts: dict[str, HostConfig] = dict(config.hosts)
    hosts[domain] = replace(hosts[domain], **fields)
    return replace(config, version=config.version + 1, hosts=hosts)
