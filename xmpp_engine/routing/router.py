"""Router: where a stanza goes (hot file). A few dictionary lookups, the first hit wins.

full JID bound here | account of a local host | host itself | sub-domain of a service | another server
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmpp_engine.observe.counters import Counters
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.host import Host
from xmpp_engine.routing.local import LocalDelivery
from xmpp_engine.routing.ports import NoRemoteDomains, RemoteDomains
from xmpp_engine.routing.registry import Registry
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.crossing import Crossing


class Router:
    """Routes stanzas whose `to` is set. `hosts` and `services` are replaced as a whole on a reload."""

    __slots__ = ("_full", "counters", "crossing", "hosts", "local", "remote", "services")

    def __init__(self, registry: Registry, counters: Counters, remote: RemoteDomains | None = None) -> None:
        self._full = registry.full
        self.counters = counters
        self.hosts: dict[str, Host] = {}
        #: Sub-domain to an object with receive(stanza).
        self.services: dict[str, Any] = {}
        self.remote: RemoteDomains = remote or NoRemoteDomains()
        #: The way to sessions on other nodes, None for a node that is alone.
        self.crossing: Crossing | None = None
        #: Set once by the engine: it needs the router itself.
        self.local: LocalDelivery

    def route(self, stanza: Stanza) -> None:
        """Deliver, answer, pass on or bounce; never raises."""
        to = stanza.to
        assert to is not None
        host = self.hosts.get(to.domain)
        if host is not None:
            if to.local:
                kind = stanza.kind
                if kind == "message":
                    self.local.message(stanza, host)
                elif kind == "presence":
                    self.local.presence(stanza, host)
                else:
                    self.local.iq(stanza, host)
            else:
                self._to_host(stanza, host)
            return
        service = self.services.get(to.domain)
        if service is not None:
            service.receive(stanza)
        elif not self.remote.send(stanza):
            bounce(self, stanza, StanzaError("remote-server-not-found", "this server does not reach that domain"))

    def reply(self, request: Stanza, reply: Stanza) -> None:
        """Send an answer to a request back along the shortest way."""
        origin = request.origin
        if origin is not None and not origin.ended:
            origin.deliver(reply)
            return
        to = reply.to
        assert to is not None
        session = self._full.get(to.full)
        if session is not None:
            session.deliver(reply)
        elif self.crossing is not None and self.crossing.to_full(reply):
            return
        elif to.domain not in self.hosts or not to.local or (reply.kind == "iq" and not to.resource):
            self.route(reply)  # the host itself may have asked, or an account by its bare JID

    def account_removed(self, bare: str) -> None:
        """An account is gone for good: modules of all domains forget what it was to them."""
        for host in self.hosts.values():
            for hook in host.table.account_removed:
                try:
                    hook(bare)
                except Exception:
                    refused.exception("a module failed to forget %s", bare)

    def _to_host(self, stanza: Stanza, host: Host) -> None:
        """Something for the domain itself."""
        if stanza.kind == "iq":
            self.local.dispatch.serve(stanza, host, Target.HOST, None)
        elif stanza.kind == "message":
            bounce(self, stanza, StanzaError("service-unavailable", "nobody reads messages to the server itself"))
