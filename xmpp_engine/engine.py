"""Engine: the composition root. Read this first: it makes every object and hands it what it needs.

    Engine
      stores, clock, tasks, ledger, counters          L0/L1, shared by all
      registry, accounts, router, local, iq            L3
      hosts: domain -> Host(config, modules, table)    L2/L4, one per domain
      binder -> role_c2s -> Stream                     one Stream per connection, made by `accept`
      outside                                          what the web platform has changed about accounts
      listeners, TLS contexts                          opened and closed by `apply`

Time and configuration come in from outside; `apply` takes a new snapshot while running.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.everywhere import Everywhere
from xmpp_engine.cluster.bus import BusError
from xmpp_engine.cluster.cluster import Cluster, ClusterError
from xmpp_engine.cluster.directory import Directory
from xmpp_engine.component.components import Components
from xmpp_engine.config.diff import difference
from xmpp_engine.config.schema import EngineConfig, ListenerConfig
from xmpp_engine.config.validate import check
from xmpp_engine.modules.register import Register
from xmpp_engine.modules.version import VERSION
from xmpp_engine.observe.counters import Counters
from xmpp_engine.outside import Outside
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.pubsub_administration import PubSubAdministration
from xmpp_engine.pubsub.administration import Administration as NodeAdministration
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.routing.account import AccountTable
from xmpp_engine.routing.binder import SessionBinder
from xmpp_engine.routing.drain import Drain
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.routing.hosting import Hosting
from xmpp_engine.routing.iq import IqDispatch
from xmpp_engine.routing.local import LocalDelivery
from xmpp_engine.routing.redaction import replace_waiting
from xmpp_engine.routing.registry import Registry
from xmpp_engine.routing.router import Router
from xmpp_engine.routing.whereabouts import join_sessions
from xmpp_engine.runtime.clock import Clock, LoopClock
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.runtime.timers import Timers
from xmpp_engine.s2s.federation import Federation
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import Stores
from xmpp_engine.storage.rooms import PersonRoom
from xmpp_engine.storage.types import TakenBack
from xmpp_engine.stream.role_c2s import C2S
from xmpp_engine.stream.stream import Stream
from xmpp_engine.stream.sweeper import Sweeper
from xmpp_engine.transport.admission import Admission
from xmpp_engine.transport.base import Receiver, Transport
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.listener import Listener, ListenError
from xmpp_engine.transport.tls import Contexts
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

log = logging.getLogger("mlink.engine")

_ACCOUNT_SWEEP_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 1.0
_DRAIN_STEP: Final = 0.02
#: Such steps for accounts that are being loaded for what came last.
_LOADING_TURNS: Final = 50


class Engine:
    """One XMPP server in one event loop. `modules` are Module classes in reading order; `extras` goes to
    `Services.extras`; `clock` is the loop's unless a test brings its own; `secret` makes what unknown accounts are
    answered and should be the same after a restart. `bus` is the way to other nodes (`cluster.bus.Bus`), None for a
    node that is alone."""

    def __init__(
        self,
        config: EngineConfig,
        stores: Stores,
        modules: Sequence[type[Module]],
        clock: Clock | None = None,
        extras: dict[str, Any] | None = None,
        secret: bytes = b"",
        bus: Any = None,
    ) -> None:
        check(config)
        self.config = config
        self.tasks = Tasks()
        self.clock: Clock = clock or LoopClock(asyncio.get_running_loop())
        self.counters = Counters(self.clock.time())
        self.ledger = Ledger(
            stores.ledger,
            self.clock,
            self.tasks,
            rows=config.ledger_rows,
            ms=config.ledger_ms,
            backlog=config.ledger_backlog,
        )
        self.registry = Registry()
        self.accounts = AccountTable(
            stores.accounts, self.clock, self.tasks, config.account_grace_seconds, config.account_cache
        )
        self.router = Router(self.registry, self.counters)
        iq = IqDispatch(self.router, self.clock, self.tasks)
        self.router.local = LocalDelivery(self.router, self.accounts, iq)
        self.cluster: Cluster | None = None
        if bus is not None:
            self.cluster = Cluster(config.node, VERSION, bus, self.clock, self.tasks, config.cluster)
        self.services = Services(
            stores,
            self.clock,
            self.tasks,
            self.ledger,
            self.counters,
            self.registry,
            self.accounts,
            self.router,
            iq,
            extras or {},
            self.cluster,
        )
        self.services.extras.setdefault("engine", self)
        self.services.extras.setdefault("node number", config.cluster.number)
        if self.cluster is not None:
            join_sessions(self.services, Directory(), self.cluster, config.cluster)
        self.drain = Drain(self.services)
        self.drain.turned = self._drain_turned
        self.everywhere = Everywhere(self, self.cluster)
        self.outside = Outside(self.services)
        self.contexts = Contexts()
        self.dirty = DirtySet(asyncio.get_running_loop())
        self.sweeper = Sweeper(self.clock)
        self.federation = Federation(self.services, self.contexts, self.dirty, self.sweeper, config)
        self.components = Components(self.services, self.sweeper, config)
        self.router.remote = self.federation
        self.running = False
        self._binder = SessionBinder(self.services)
        self._admission = Admission()
        self._throttle = Throttle(self.clock)
        self._secret = secret or secrets.token_bytes(32)
        self._listeners: dict[str, Listener] = {}
        #: What the streams of one listener configuration share.
        self._c2s: dict[ListenerConfig, C2S] = {}
        self._timers = Timers(self.clock, self.tasks)
        self._hosting = Hosting(self.services, modules, self._timers)

    async def start(self) -> None:
        """Load the hosts, join the cluster, open the listeners. Raises ListenError with a sentence when a port is
        taken, ClusterError or BusError where there is no place for this node, and has stopped again then."""
        self._take_limits()
        self.contexts.apply(self.config.hosts)
        hosts = {domain: self._hosting.make(config) for domain, config in self.config.hosts.items()}
        self._publish(hosts)
        for host in hosts.values():
            await self._hosting.start(host)
        await self.federation.start()
        await self.components.start()
        try:
            if self.cluster is not None:
                await self.cluster.start()
            for listener in self.config.listeners:
                await self._open(listener)
        except (BusError, ClusterError, ListenError):
            await self.stop()
            raise
        self.sweeper.start()
        self._timers.begin("")
        self._timers.every(_ACCOUNT_SWEEP_SECONDS, self.accounts.sweep, "engine", "")
        self._timers.every(_ASK_SECONDS, self._ask, "engine", "")
        self.running = True
        log.info("%s serves %s", self.config.node, ", ".join(hosts) or "no domain yet")

    async def stop(self) -> None:
        """Close the listeners and all streams with `system-shutdown`, commit the ledger, stop the modules."""
        self.running = False
        for listener in self._listeners.values():
            listener.close()
        for host in self.router.hosts.values():
            self._hosting.close(host)
        for session in list(self.registry.full.values()):
            session.kick(StreamError("system-shutdown"))
        for account in self.accounts.resident.values():
            if account.rescue is not None:
                account.rescue.finish()
        await self.components.stop()
        await self.federation.stop()
        for stream in list(self.sweeper.streams):
            stream.close(StreamError("system-shutdown"))
        for _ in range(int(self.config.drain_seconds / _DRAIN_STEP)):
            if not self.sweeper.streams:
                break
            await asyncio.sleep(_DRAIN_STEP)
        self.sweeper.stop()
        for listener in self._listeners.values():
            listener.abort()
        for host in self.router.hosts.values():
            await self._hosting.end(host)
        if self.cluster is not None:
            self.cluster.finish()
        await self._write_down()
        if self.cluster is not None:
            await self.cluster.stop()
            # What others did not take of this node any more.
            await self._write_down()
        self._timers.stop()
        await self.tasks.stop()

    def accept(self, transport: Transport, listener: ListenerConfig) -> Receiver:
        """A new connection, from a listener or an HTTP endpoint: its stream."""
        if listener.kind == "s2s":
            return self.federation.accept(transport, listener)
        if listener.kind == "component":
            return self.components.accept(transport, listener)
        service = self._c2s.get(listener)
        if service is None:
            service = self._c2s[listener] = C2S(
                self._binder,
                self.clock,
                self.counters,
                self._throttle,
                self.sweeper,
                tls=listener.tls,
                limits=listener.limits,
                contexts=self.contexts,
                secret=self._secret,
                before_login=self._register,
                refusal=self.drain.refusal,
            )
        return service.accept(transport)

    def _register(self, stream: Stream, iq: Element) -> bool:
        """An iq before authentication: in-band registration, where the module is loaded."""
        host = self.router.hosts.get(stream.host.domain) if stream.host is not None else None
        register = host.modules.get("register") if host is not None else None
        return isinstance(register, Register) and register.before_login(stream, iq)

    # Configuration

    async def apply(self, new: EngineConfig) -> None:
        """Take a new snapshot: only what differs is touched. Raises InvalidConfig and keeps the old one when it
        breaks a rule."""
        check(new)
        changes = difference(self.config, new)
        # First what may fail: then nothing has changed.
        made = {domain: self._hosting.make(new.hosts[domain]) for domain in changes.added}
        self.config = new
        self._take_limits()
        self.contexts.apply(new.hosts)
        hosts = dict(self.router.hosts)
        for domain in changes.removed:
            await self._hosting.remove(hosts.pop(domain))
        hosts.update(made)
        ordered = {domain: hosts[domain] for domain in new.hosts}
        before = {domain: host.modules for domain, host in ordered.items() if domain not in changes.added}
        for domain in changes.changed:
            await self._hosting.reconfigure(ordered[domain], new.hosts[domain])
        self.components.apply(new)
        self._publish(ordered)
        self.federation.apply(new)
        for domain, host in ordered.items():
            if host.modules is not before.get(domain):
                await self._hosting.start(host)
        self.components.introduce(host for domain, host in ordered.items() if host.modules is not before.get(domain))
        for name in changes.closed:
            listener = self._listeners.pop(name, None)
            if listener is not None:
                listener.close()
        for listener_config in changes.opened:
            try:
                await self._open(listener_config)
            except ListenError as error:
                log.error("%s", error)
        log.info("configuration %d is in force: %s", new.version, changes)

    def _take_limits(self) -> None:
        config = self.config
        self.registry.resume_seconds = config.resume_seconds
        self.registry.unacked = config.unacked_stanzas
        self.accounts.grace = config.account_grace_seconds
        self.accounts.limit = config.account_cache
        self.ledger.configure(config.ledger_rows, config.ledger_ms, config.ledger_backlog)
        if self.cluster is not None:
            self.cluster.configure(config.cluster)

    async def _write_down(self) -> None:
        """What did not get to whom it was for is stored, and on the disk."""
        for _ in range(_LOADING_TURNS):
            if not self.accounts.loading:
                break
            await asyncio.sleep(_DRAIN_STEP)
        for account in self.accounts.resident.values():
            if account.rescue is not None:
                account.rescue.finish()
        await self.ledger.stop()

    def _publish(self, hosts: dict[str, Host]) -> None:
        self.router.hosts = hosts
        own = {domain: service for host in hosts.values() for domain, service in host.table.services.items()}
        self.router.services = {**self.components.services, **own}

    async def _open(self, config: ListenerConfig) -> None:
        listener = Listener(config, self.accept, self.contexts, self.dirty, self._admission)
        if config.kind != "c2s" or not self.drain.on:
            await listener.start()
        self._listeners[config.name] = listener

    def _drain_turned(self, on: bool) -> None:
        """A drained node refuses connections of clients. They go on to the next of the SRV records then, as with a node
        that is down; where nodes share a port, the kernel gives them to the others.

        COMPAT(Gajim 1.7, Dino 0.4, 2026-11): they do not go where `see-other-host` sends them but to the first record
        again, and for as long as they are let in there they never come to another node."""
        for name, listener in self._listeners.items():
            if listener.config.kind != "c2s":
                continue
            if on:
                listener.close()
            else:
                self.tasks.spawn(f"listener {name}", self._reopen(listener))

    async def _reopen(self, listener: Listener) -> None:
        if not listener.port:
            await listener.start()
        if self.drain.on:
            listener.close()

    def ports(self) -> dict[str, int]:
        """The ports that the listeners really have, by listener name; those of closed ones are left out."""
        return {name: listener.port for name, listener in self._listeners.items() if listener.port}

    # What administrators ask

    def sessions(self) -> list[dict[str, Any]]:
        """Every session, as `Session.describe` shows it."""
        return [session.describe() for session in self.registry.full.values()]

    def kick(self, text: str) -> int:
        """End the session of a full JID, or all of a bare one; returns how many. Raises ValueError for no JID."""
        jid = Jid.parse(text)
        account = self.accounts.get(jid.bare)
        if account is None:
            return 0
        # Those of other nodes are ended there: the command goes to all nodes.
        here = [session for session in account.sessions.values() if not session.remote]
        chosen = [s for s in here if not jid.resource or s.jid.resource == jid.resource]
        for session in chosen:
            session.kick(StreamError("policy-violation", "the administrator ended this session"))
        return len(chosen)

    async def redacted(self, ids: Sequence[str]) -> dict[str, int]:
        """The archive has taken back messages: those of these ids (XEP-0359) of which it says so are taken out of what
        this node has in memory, and rooms tell their occupants. Returns how many it found where. Raises
        StoreUnavailable."""
        archive = self.services.extras.get("archive")
        found = {"waiting": 0, "histories": 0, "rooms": 0}
        if archive is None:
            return found
        taken: list[TakenBack] = await archive.redacted(ids)
        left = {one.id: Stanza.restore(one.xml) for one in taken}
        found["waiting"] = await replace_waiting(
            self.registry.full.values(), self.accounts, {id: stanza.element for id, stanza in left.items()}
        )
        # What was on its way to offline storage is there before anybody looks for it there.
        await self.ledger.sync()
        services = self.room_services()
        for room in dict.fromkeys(one.room for one in taken if one.room):
            jid = Jid.parse(room)
            if jid.domain in services:
                of_room = [one for one in taken if one.room == room]
                messages = {one.id: left[one.id] for one in of_room}
                silent = {one.id for one in of_room if one.silent}
                found["histories"] += await services[jid.domain].redacted(jid.local, messages, silent)
                found["rooms"] += 1
        return found

    def room_services(self) -> dict[str, Any]:
        """What administers the rooms of each multi-user chat service, by its domain."""
        found = {domain: getattr(service, "administration", None) for domain, service in self.router.services.items()}
        return {domain: administration for domain, administration in found.items() if administration is not None}

    def pubsub_services(self) -> dict[str, PubSubAdministration]:
        """What administers the nodes of each publish-subscribe service, by its domain."""
        return {
            domain: NodeAdministration(service)
            for domain, service in self.router.services.items()
            if isinstance(service, PubSubService)
        }

    @asynccontextmanager
    async def pubsub_service(self, address: str) -> AsyncIterator[PubSubAdministration | None]:
        """The same of one service, by its domain or the bare JID of an account; None where there is none. Raises
        StoreUnavailable."""
        if "@" not in address:
            yield self.pubsub_services().get(address)
            return
        host = self.router.hosts.get(address.partition("@")[2])
        accounts = getattr(host.modules.get("pep"), "accounts", None) if host is not None else None
        if accounts is None or await self.services.stores.accounts.load(address) is None:
            yield None
            return
        async with accounts.use(address) as service:
            yield NodeAdministration(service)

    def groups_changed(self) -> None:
        """Groups have other members (`extras["groups"]`): every service that grants something by them looks again."""
        for service in list(self.router.services.values()):
            looks_again = getattr(service, "groups_changed", None)
            if looks_again is not None:
                looks_again()

    async def rooms_of(self, bare: str) -> list[PersonRoom]:
        """The stored rooms in which this bare JID is affiliated or has a nickname; raises StoreUnavailable."""
        return await self.services.stores.rooms.of_person(bare)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.time()

    def stats(self) -> dict[str, Any]:
        """The figures of the overview."""
        counters = self.counters
        counts = [administration.counts() for administration in self.room_services().values()]
        return {
            "node": self.config.node,
            "version": self.config.version,
            "uptime": self.clock.time() - counters.started,
            "domains": list(self.router.hosts),
            "sessions": len(self.registry),
            "streams": len(self.sweeper.streams),
            "rooms": sum(rooms for rooms, _occupants in counts),
            "occupants": sum(occupants for _rooms, occupants in counts),
            "accounts_resident": len(self.accounts.resident),
            "messages": counters.messages,
            "messages_delivered": counters.messages_delivered,
            "presences": counters.presences,
            "iqs": counters.iqs,
            "logins": counters.logins,
            "ledger_waiting": self.ledger.depth,
            "ledger_batches": self.ledger.batches,
            "tasks": len(self.tasks),
            **counters.gauges(),
        }

    def metrics(self) -> str:
        """The same for Prometheus."""
        figures = self.stats()
        names = ("uptime", "sessions", "streams", "accounts_resident", "ledger_waiting", "ledger_batches", "tasks")
        return self.counters.exposition({name: float(figures[name]) for name in names})

    def hooks(self) -> dict[str, str]:
        """The order of hooks of each host as text."""
        return {domain: host.table.dump() for domain, host in self.router.hosts.items()}

    # Time

    def _ask(self) -> None:
        """Ask managed sessions for acknowledgements that are due."""
        waiting, self.registry.unasked = self.registry.unasked, set()
        for session in waiting:
            session.ask()
