"""Engine: the composition root. Read this first: it makes every object and hands it what it needs.

    Engine
      stores, clock, tasks, ledger, counters          L0/L1, shared by all
      registry, accounts, router, local, iq            L3
      hosts: domain -> Host(config, modules, table)    L2/L4, one per domain
      binder -> role_c2s -> Stream                     one Stream per connection, made by `accept`
      listeners, TLS contexts                          opened and closed by `apply`

Time and configuration come in from outside; `apply` takes a new snapshot while running.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.everywhere import Everywhere
from xmpp_engine.cluster.bus import BusError
from xmpp_engine.cluster.cluster import Cluster, ClusterError
from xmpp_engine.cluster.directory import Directory
from xmpp_engine.component.components import Components
from xmpp_engine.config.diff import difference
from xmpp_engine.config.schema import EngineConfig, HostConfig, ListenerConfig
from xmpp_engine.config.validate import check
from xmpp_engine.modules.devices import Devices
from xmpp_engine.modules.moved import Moved
from xmpp_engine.modules.push import Push
from xmpp_engine.modules.register import Register
from xmpp_engine.modules.version import VERSION
from xmpp_engine.observe.counters import Counters
from xmpp_engine.plugin.loader import compile_table, load, options_of
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.pubsub_administration import PubSubAdministration
from xmpp_engine.pubsub.administration import Administration as NodeAdministration
from xmpp_engine.pubsub.pep import Pep
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.routing.account import Account, AccountTable
from xmpp_engine.routing.binder import SessionBinder
from xmpp_engine.routing.drain import Drain
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.routing.iq import IqDispatch
from xmpp_engine.routing.local import LocalDelivery
from xmpp_engine.routing.redaction import replace_waiting
from xmpp_engine.routing.registry import Registry
from xmpp_engine.routing.router import Router
from xmpp_engine.routing.whereabouts import join_sessions
from xmpp_engine.runtime.clock import Clock, LoopClock, Timer
from xmpp_engine.runtime.ledger import Ledger
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.s2s.federation import Federation
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import Stores, StoreUnavailable
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
from xmpp_engine.xml.errors import StanzaError, StreamError

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
        self.contexts = Contexts()
        self.dirty = DirtySet(asyncio.get_running_loop())
        self.sweeper = Sweeper(self.clock)
        self.federation = Federation(self.services, self.contexts, self.dirty, self.sweeper, config)
        self.components = Components(self.services, self.sweeper, config)
        self.router.remote = self.federation
        self.running = False
        self._kinds = tuple(modules)
        self._binder = SessionBinder(self.services)
        self._admission = Admission()
        self._throttle = Throttle(self.clock)
        self._secret = secret or secrets.token_bytes(32)
        self._listeners: dict[str, Listener] = {}
        #: What the streams of one listener configuration share.
        self._c2s: dict[ListenerConfig, C2S] = {}
        self._timers: dict[str, list[Timer]] = {}

    async def start(self) -> None:
        """Load the hosts, join the cluster, open the listeners. Raises ListenError with a sentence when a port is
        taken, ClusterError or BusError where there is no place for this node, and has stopped again then."""
        self._take_limits()
        self.contexts.apply(self.config.hosts)
        hosts = {domain: self._make_host(config) for domain, config in self.config.hosts.items()}
        self._publish(hosts)
        for host in hosts.values():
            await self._started(host)
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
        self._every(_ACCOUNT_SWEEP_SECONDS, self.accounts.sweep)
        self._every(_ASK_SECONDS, self._ask)
        self.running = True
        log.info("%s serves %s", self.config.node, ", ".join(hosts) or "no domain yet")

    async def stop(self) -> None:
        """Close the listeners and all streams with `system-shutdown`, commit the ledger, stop the modules."""
        self.running = False
        for listener in self._listeners.values():
            listener.close()
        for host in self.router.hosts.values():
            self._close(host)
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
            await self._end(host)
        if self.cluster is not None:
            self.cluster.finish()
        await self._write_down()
        if self.cluster is not None:
            await self.cluster.stop()
            # What others did not take of this node any more.
            await self._write_down()
        for timers in self._timers.values():
            for timer in timers:
                timer.cancel()
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
        made = {domain: self._make_host(new.hosts[domain]) for domain in changes.added}
        self.config = new
        self._take_limits()
        self.contexts.apply(new.hosts)
        hosts = dict(self.router.hosts)
        for domain in changes.removed:
            await self._remove(hosts.pop(domain))
        hosts.update(made)
        ordered = {domain: hosts[domain] for domain in new.hosts}
        before = {domain: host.modules for domain, host in ordered.items() if domain not in changes.added}
        for domain in changes.changed:
            await self._reconfigure(ordered[domain], new.hosts[domain])
        self.components.apply(new)
        self._publish(ordered)
        self.federation.apply(new)
        for domain, host in ordered.items():
            if host.modules is not before.get(domain):
                await self._started(host)
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

    def _make_host(self, config: HostConfig) -> Host:
        host = Host(config)
        host.modules = load(self._kinds, host, self.services, config.modules, config.disabled_modules)
        host.table = compile_table(host.modules)
        return host

    async def _started(self, host: Host) -> None:
        for module in host.modules.values():
            await module.started()
        self._timers[host.domain] = []
        for seconds, function, owner in host.table.timers:
            self._repeat(seconds, function, owner, self._timers[host.domain])

    async def _reconfigure(self, host: Host, config: HostConfig) -> None:
        """New options for a host: the modules learn of them, the table is compiled anew, sessions take it over. Where
        one is switched on or off all are made anew, for they know each other: those that were end as with the host."""
        host.config = config
        kinds = {kind.name: kind for kind in self._kinds}
        wanted = [kind for kind in self._kinds if kind.name not in config.disabled_modules]
        if [kind.name for kind in wanted] != list(host.modules):
            modules = load(self._kinds, host, self.services, config.modules, config.disabled_modules)
            self._close(host)
            await self._end(host)
            host.modules = modules
        else:
            for module in host.modules.values():
                module.reconfigured(options_of(kinds[module.name], config.modules.get(module.name, {})))
        host.table = compile_table(host.modules)
        for session in self.registry.full.values():
            if session.host is host:
                session.table = host.table

    def _close(self, host: Host) -> None:
        """Let the modules say a last word to the sessions."""
        for module in host.modules.values():
            try:
                module.closing()
            except Exception:
                log.exception("module %s could not say its last word", module.name)

    async def _remove(self, host: Host) -> None:
        """The domain is gone: its streams end with `host-gone`, its accounts are forgotten."""
        self._close(host)
        for session in list(self.registry.full.values()):
            if session.host is host:
                session.kick(StreamError("host-gone"))
        await self._end(host)
        for account in list(self.accounts.resident.values()):
            if account.host is host:
                self.accounts.forget(account.bare)

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

    async def _end(self, host: Host) -> None:
        """The modules of a host finish what must not be lost, and do nothing more by themselves."""
        for timer in self._timers.pop(host.domain, []):
            timer.cancel()
        for module in host.modules.values():
            try:
                await module.stopping()
            except Exception:
                log.exception("module %s could not stop", module.name)

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

    # Accounts

    async def account_changed(self, bare: str) -> int:
        """Something about an account changed outside (password, state, removal): read it anew, and end its sessions
        unless it is still active. Returns how many sessions ended."""
        host = self.router.hosts.get(Jid.parse(bare).domain)
        removing = host.modules.get("register") if host is not None else None
        if isinstance(removing, Register):
            await removing.removed(bare)
        account = await self.accounts.refresh(bare)
        self._renew_nodes(bare)
        if account is not None and account.data.state == "active":
            return 0
        resident = self.accounts.get(bare)
        # One that is not resident may be there all the same.
        if account is None and (resident is not None or await self.services.stores.accounts.load(bare) is None):
            self.router.account_removed(bare)
            if resident is None and self._leads():
                self._farewell_of(bare)
        if resident is None:
            return 0
        sessions = [session for session in resident.sessions.values() if not session.remote]
        for session in sessions:
            session.kick(StreamError("not-authorized", "the account is not active any more"))
        self.accounts.forget(bare)
        register = resident.host.modules.get("register")
        if account is None and isinstance(register, Register) and self._leads():
            register.farewells.of(resident)
        return len(sessions)

    def _leads(self) -> bool:
        """Whether this node does what one of the cluster does for all."""
        return self.cluster is None or self.cluster.leader == self.cluster.name

    def _renew_nodes(self, bare: str) -> None:
        """An import may have changed the nodes of an account as well."""
        host = self.router.hosts.get(bare.partition("@")[2])
        pep = host.modules.get("pep") if host is not None else None
        if isinstance(pep, Pep):
            pep.accounts.renew(bare)

    def _farewell_of(self, bare: str) -> None:
        """An account was removed that was not resident."""
        jid = Jid.parse(bare)
        host = self.router.hosts.get(jid.domain)
        register = host.modules.get("register") if host is not None else None
        if isinstance(register, Register):
            register.farewells.of_absent(jid)

    async def end_device(self, bare: str, device: str) -> int:
        """A device of an account was revoked outside: its sessions end, and a sign-in that is under way. Returns how
        many sessions ended; raises StoreUnavailable."""
        host = self.router.hosts.get(bare.partition("@")[2])
        devices = host.modules.get("devices") if host is not None else None
        if host is None or not isinstance(devices, Devices):
            return 0
        # Loaded, for who is about to sign in may not be resident yet.
        account = await self.accounts.load(bare, host)
        return devices.end(account, device) if account is not None else 0

    async def pushes_changed(self, bare: str) -> None:
        """Push registrations of an account were removed outside: nothing is sent for them any more. Raises
        StoreUnavailable."""
        host = self.router.hosts.get(bare.partition("@")[2])
        push = host.modules.get("push") if host is not None else None
        if isinstance(push, Push):
            # Devices are told while nobody of the account is here, so it need not be resident.
            data = await self.services.stores.accounts.load(bare)
            if data is not None:
                push.reread(data.account_id)

    async def tell_of_move(self, bare: str, report: Callable[[Any], None] = lambda _step: None) -> dict[str, Any]:
        """Have the contacts of an account that has moved asked to follow it, on behalf of the account where it is now;
        returns `Told` and where that is. `report` gets a sentence now and then. Raises ValueError with a sentence where
        that cannot be, and StoreUnavailable."""
        old = await self._resident(bare)
        if old is None:
            raise ValueError(f"There is no account {bare}.")
        if not old.data.moved_to:
            raise ValueError(f"{bare} has not moved.")
        now = Jid.parse(old.data.moved_to)
        host = self.router.hosts.get(now.domain)
        if host is None:
            raise ValueError(f"{now} is not here: its own client tells the contacts.")
        moved = host.modules.get("moved")
        if not isinstance(moved, Moved):
            raise ValueError(f"The module moved is off in {host.domain}: the client of {now} tells the contacts.")
        return {"moved_to": now.bare, **asdict(await moved.tell(old, now.bare, report))}

    async def _resident(self, bare: str) -> Account | None:
        host = self.router.hosts.get(bare.partition("@")[2])
        return await self.accounts.load(bare, host) if host is not None else None

    async def redeem(self, domain: str, token: str, name: str, password: str, address: str) -> str:
        """Make an account with the token of an invitation; returns its bare JID. Raises StanzaError or
        StoreUnavailable."""
        host = self.router.hosts.get(domain)
        register = host.modules.get("register") if host is not None else None
        if not isinstance(register, Register):
            raise StanzaError("item-not-found", f"no accounts are made in {domain}")
        return await register.redeem(token, name, password, address)

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

    def _every(self, seconds: float, function: Callable[[], Any]) -> None:
        self._repeat(seconds, function, "engine", self._timers.setdefault("", []))

    def _repeat(self, seconds: float, function: Callable[[], Any], owner: str, timers: list[Timer]) -> None:
        """Call again and again; a coroutine function runs to its end before the next pause begins."""

        def due() -> None:
            timers.remove(handle[0])
            if asyncio.iscoroutinefunction(function):
                self.tasks.spawn(f"timer of {owner}", wait())
                return
            try:
                function()
            except Exception:
                log.exception("a timer of %s failed", owner)
            again()

        async def wait() -> None:
            try:
                await function()
            except StoreUnavailable as error:
                log.warning("a timer of %s waits for the database: %s", owner, error)
            except Exception:
                log.exception("a timer of %s failed", owner)
            again()

        def again() -> None:
            if all(timers is not kept for kept in self._timers.values()):
                return  # Its host has gone, or has other modules, while it was at work.
            handle[0] = self.clock.call_later(seconds, due)
            timers.append(handle[0])

        handle: list[Timer] = [self.clock.call_later(seconds, due)]
        timers.append(handle[0])
