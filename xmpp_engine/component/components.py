"""External components: programs that serve a domain of their own over one stream (XEP-0114). Start reading here.

    listener -> accept -> Stream with ComponentRole -> admit, prove, settle (this file) -> External.take
    router   -> services[domain] -> External.receive

An `External` stands for each configured component, connected or not: so stanzas for one that is away come back at once
and never go to another server of that name. Who may connect is judged in this order: the domain is configured and
enabled, the address is in its networks, the address has not guessed too often, the secret is right, the place is free.
A stranger therefore learns nothing about a secret from an address that may not connect, and nobody drives a component
out whose secret he does not know.

What a component may do for our domains beside speaking as its own stands in `delegation.py` (XEP-0355) and
`privilege.py` (XEP-0356), modules of each host; this file tells them who comes and goes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from xmpp_engine.component.delegation import looked_at
from xmpp_engine.component.elsewhere import Elsewhere
from xmpp_engine.component.external import External
from xmpp_engine.component.refusals import Refusals, address_of
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.stream.role_component import COMPONENT_STREAM, ComponentRole, WrongSecret
from xmpp_engine.stream.stream import Stream
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ComponentConfig, EngineConfig, ListenerConfig
    from xmpp_engine.stream.sweeper import Sweeper
    from xmpp_engine.transport.base import Receiver, Transport

log = logging.getLogger("mlink.components")

#: Wrong secrets of one address for one component, and of one address for all, in five minutes; then nothing is looked
#: at until they are over.
_WRONG: Final = 10
_WRONG_ALL: Final = 50


class Watcher(Protocol):
    """What a module of a host is told (delegation, privilege)."""

    def arrived(self, component: External) -> None:
        """A component has connected, or may do other things than before."""

    def departed(self, component: External) -> None:
        """It is not connected any more."""


class Components:
    """The components of one engine. `services` has, for each configured domain and each further name that a component
    uses, what takes its stanzas, connected or not; it is replaced as a whole."""

    def __init__(self, services: Services, sweeper: Sweeper, config: EngineConfig) -> None:
        self._services = services
        self._sweeper = sweeper
        self._configured: dict[str, External] = {}
        self._throttle = Throttle(services.clock, per_pair=_WRONG, per_address=_WRONG_ALL)
        self.clock = services.clock
        self.counters = services.counters
        self.refusals = Refusals(services.clock)
        self.services: dict[str, Any] = {}
        #: Those of other nodes, None for a node that is alone.
        self.elsewhere: Elsewhere | None = None
        if services.cluster is not None:
            self.elsewhere = Elsewhere(services, services.cluster, self.named, lambda: list(self), self._moved)
        services.counters.gauge("components_connected", lambda: float(sum(c.connected for c in self)))
        self.apply(config)

    def __iter__(self) -> Iterator[External]:
        """All configured components, in the order of the configuration."""
        return iter(self._configured.values())

    async def start(self) -> None:
        """Begin; called once the hosts are loaded and before the listeners open."""

    async def stop(self) -> None:
        """Say goodbye to all components."""
        for component in self:
            component.close(StreamError("system-shutdown"))

    # Configuration

    def apply(self, config: EngineConfig) -> None:
        """Take a new snapshot; called before the router gets its services. A component whose secret is another one, or
        that may not connect from where it is, is disconnected; one that may do other things is told so."""
        old, self._configured = self._configured, {}
        changed: list[External] = []
        for domain, wanted in config.components.items():
            component = old.pop(domain, None)
            if component is None:
                component = External(self._services, wanted, self._privileged, self._learned, self._left, self._pass_on)
            elif component.config != wanted:
                before, component.config = component.config, wanted
                if self._adjust(component, before):
                    changed.append(component)
            self._configured[domain] = component
        for component in old.values():
            component.close(StreamError("host-gone", "this component is not configured any more"))
        taken = config.components.keys() | config.hosts.keys()
        for component in self:
            if component.give_up(taken) and component.connected and self.elsewhere is not None:
                self.elsewhere.announce(component)
        self._publish()
        delegated = {space for component in self if component.config.enabled for space in component.config.delegated}
        self._services.iq.delegates = self._delegates(delegated)
        for component in changed:
            self._tell(component)
        if self.elsewhere is not None:
            for component in self:
                # Another node may have said that it has one before it was configured here.
                self.elsewhere.place(component)

    def _adjust(self, component: External, before: ComponentConfig) -> bool:
        """End the connection of a component to which it does not apply any more; True where it goes on."""
        config, stream = component.config, component.stream
        if stream is None:
            return False
        if not config.enabled:
            component.close(StreamError("host-gone", "this component is switched off"))
        elif config.secret != before.secret:
            component.close(StreamError("not-authorized", "this component has another secret now"))
        elif not _allowed(config, stream.transport.peer):
            component.close(StreamError("not-authorized", "this component may not connect from this address any more"))
        return component.connected

    def _delegates(self, spaces: set[str]) -> dict[str, Any]:
        return dict.fromkeys(looked_at(spaces), self._delegate)

    def _publish(self) -> None:
        """Tell the router whom it can reach: the configured domains, and names below them that are in use."""
        found: dict[str, Any] = {name: component for component in self for name in component.names}
        found.update((component.domain, component) for component in self)
        self.services = found

    # What the engine and the console ask

    def accept(self, transport: Transport, listener: ListenerConfig) -> Receiver:
        """A connection of a component: its stream."""
        stream = Stream(transport, COMPONENT_STREAM, ComponentRole(self), self.clock, listener.limits)
        self._sweeper.add(stream)
        return stream

    def rows(self) -> list[dict[str, Any]]:
        """A line for each configured component, for lists and the console."""
        return [component.describe() for component in self]

    def named(self, domain: str) -> External | None:
        """The component of a domain."""
        return self._configured.get(domain)

    def of(self, host: str) -> list[External]:
        """The connected components that a host shows: those below it, and those below none of the hosts."""
        hosts = self._services.router.hosts
        return [
            component
            for component in self
            if component.present
            and (
                component.domain.endswith("." + host)
                or not any(component.domain.endswith("." + other) for other in hosts)
            )
        ]

    def for_host(self, host: str) -> list[External]:
        """The enabled components that may do things for a host (`ComponentConfig.domains`)."""
        return [c for c in self if c.config.enabled and (not c.config.domains or host in c.config.domains)]

    def kick(self, domain: str) -> bool:
        """End the connection of a component; False where it has none."""
        component = self._configured.get(domain)
        if component is None or not component.present:
            return False
        self._end(component, StreamError("policy-violation", "the administrator ended this connection"))
        return True

    def _end(self, component: External, error: StreamError) -> None:
        """End the connection of a component to whichever node."""
        if component.node and self.elsewhere is not None:
            self.elsewhere.close(component, error)
        else:
            component.close(error)

    # What streams ask (stream.role_component.Gate)

    def admit(self, domain: str, peer: str) -> None:
        """See Gate."""
        component = self._configured.get(domain)
        if component is None:
            self._refuse(domain, peer, "host-unknown", "there is no such component")
        elif not component.config.enabled:
            self._refuse(domain, peer, "host-unknown", "this component is switched off")
        elif not _allowed(component.config, peer):
            self._refuse(domain, peer, "not-authorized", "this component may not connect from this address")
        elif self._throttle.refuses(peer, domain):
            self._refuse(domain, peer, "policy-violation", "too many wrong secrets came from this address")

    def prove(self, stream: Stream, domain: str, digest: str) -> None:
        """See Gate."""
        peer = stream.transport.peer
        # The configuration may have changed since the header.
        self.admit(domain, peer)
        secret = self._configured[domain].config.secret
        expected = hashlib.sha1((stream.id + secret).encode(), usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(expected.encode(), digest.encode()):
            delay = self._throttle.failed(peer, domain)
            self.refusals.add(domain, peer, "the secret is wrong")
            raise WrongSecret(delay)
        self._throttle.succeeded(peer, domain)

    def settle(self, stream: Stream, domain: str) -> None:
        """See Gate; the rule for a second connection is the component's (`conflict`)."""
        component = self._configured[domain]
        if component.present:
            if component.config.conflict == "refuse":
                if component.node and self.elsewhere is not None:
                    self.elsewhere.look(component)
                else:
                    component.look()
                self._refuse(domain, stream.transport.peer, "conflict", "this component is connected already")
            self._end(component, StreamError("conflict", "another connection has taken this component's place"))
        component.attach(stream)
        stream.send(Element("jabber:client", "handshake"))
        log.info("component %s is connected from %s", domain, stream.transport.peer or "?")
        if self.elsewhere is not None:
            self.elsewhere.announce(component)
        self._tell(component)

    def left(self, stream: Stream) -> None:
        """See Gate."""
        self._sweeper.discard(stream)

    def _refuse(self, domain: str, peer: str, condition: str, reason: str) -> None:
        self.refusals.add(domain, peer, reason)
        raise StreamError(condition, reason)

    # What components do

    def _left(self, component: External, reason: str) -> None:
        log.info("component %s is gone: %s", component.domain, reason)
        self._moved(component)
        if self.elsewhere is not None:
            self.elsewhere.withdraw(component)
            self.elsewhere.place(component)

    def _moved(self, component: External, anew: bool = True) -> None:
        """A component has gone, or has come to or gone from another node; not `anew`: it uses another name there."""
        self._publish()
        router = self._services.router
        kept = {name: service for name, service in router.services.items() if service is not component}
        own = {name: service for name, service in self.services.items() if service is component and name not in kept}
        router.services = {**kept, **own}
        for watcher in self._watchers() if anew else ():
            (watcher.arrived if component.present else watcher.departed)(component)

    def _pass_on(self, component: External, stanza: Stanza) -> None:
        if self.elsewhere is not None:
            self.elsewhere.pass_on(component, stanza)

    def _learned(self, component: External, name: str) -> None:
        """A component speaks as a name below its domain: from now on it is reached by it."""
        self.services = {**self.services, name: component}
        self._services.router.services = {**self._services.router.services, name: component}
        if self.elsewhere is not None:
            self.elsewhere.announce(component)

    def _tell(self, component: External) -> None:
        for watcher in self._watchers():
            watcher.arrived(component)

    def introduce(self, hosts: Iterable[Host]) -> None:
        """These hosts are new, or have other modules than before: they learn which components are connected."""
        for watcher in self._watchers(hosts):
            for component in self:
                if component.present:
                    watcher.arrived(component)

    def _watchers(self, hosts: Iterable[Host] | None = None) -> list[Watcher]:
        found: list[Watcher] = []
        for host in self._services.router.hosts.values() if hosts is None else hosts:
            for name in ("delegation", "privilege"):
                module: Any = host.modules.get(name)
                if module is not None:
                    found.append(module)
        return found

    def _privileged(self, stanza: Stanza, payload: Element, component: External) -> bool:
        """A stanza of a component that asks for a privilege in one of our domains: whether it is dealt with."""
        assert stanza.to is not None
        host = self._services.router.hosts.get(stanza.to.domain)
        module: Any = host.modules.get("privilege") if host is not None else None
        return module is not None and module.take(stanza, payload, component)

    def _delegate(self, stanza: Stanza, host: Host, target: Target, account: Account | None, payload: Element) -> bool:
        """An iq in a namespace that some component serves: whether it goes there."""
        module: Any = host.modules.get("delegation")
        return module is not None and module.take(stanza, target, account, payload)


def _allowed(config: ComponentConfig, peer: str) -> bool:
    """Whether a component may connect from this address; one that is no IP address (memory) only where all may."""
    if not config.networks:
        return True
    try:
        address = ipaddress.ip_address(address_of(peer).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network, strict=False) for network in config.networks)
