"""XEP-0215: services outside XMPP, above all STUN and TURN for calls.

A TURN service with a `secret` gets credentials for one account and a limited time by the scheme that coturn calls
"TURN REST API" (draft-uberti-behave-turn-rest): the username is the time of expiry and the account, the password the
Base64 of HMAC-SHA1 over it. The secret itself never leaves the configuration.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import iq as build_iq
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

_MAX_SERVICES: Final = 50
_MAX_ASKED: Final = 20
_ASKED: Final = "external_services"
_TRANSPORTS: Final = ("", "tcp", "tls", "udp")


@dataclass(frozen=True, slots=True)
class ExternalService:
    """One service. `secret` is shared with a TURN server and makes credentials; fixed ones are `username` and
    `password`. `restricted` says that credentials are needed, as a secret does by itself."""

    type: str
    host: str
    port: int = 0
    transport: str = ""
    name: str = ""
    restricted: bool = False
    secret: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("type", "host", "name", "secret", "username", "password"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"external_services: {name} is text")
        if not self.type or not self.host:
            raise ValueError("external_services: a service needs type and host")
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= 65_535:
            raise ValueError("external_services: port is a number from 0 to 65535")
        if self.transport not in _TRANSPORTS:
            raise ValueError("external_services: transport is udp, tcp or tls")
        if self.secret and (self.username or self.password):
            raise ValueError("external_services: either a secret or username and password")

    @property
    def needs_credentials(self) -> bool:
        """Whether nobody gets in without a password."""
        return self.restricted or bool(self.secret or self.password)


@dataclass(frozen=True, slots=True)
class ExternalServicesOptions:
    """`services`: mappings with the fields of ExternalService; `seconds`: how long made credentials are good."""

    services: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    seconds: int = 3_600

    def __post_init__(self) -> None:
        if isinstance(self.seconds, bool) or not isinstance(self.seconds, int) or not 60 <= self.seconds <= 604_800:
            raise ValueError("external_services.seconds is a number from 60 to 604800")
        read(self.services)


def read(given: Any) -> tuple[ExternalService, ...]:
    """The services of the option; raises ValueError saying what is wrong, without repeating what may be secret."""
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence) or len(given) > _MAX_SERVICES:
        raise ValueError(f"external_services.services is a list of at most {_MAX_SERVICES} services")
    known = ExternalService.__dataclass_fields__
    found: list[ExternalService] = []
    for entry in given:
        if not isinstance(entry, Mapping):
            raise ValueError("external_services: each service is a mapping")
        for name in entry:
            if name not in known:
                raise ValueError(f"external_services: a service has no {name!r}")
        if not {"type", "host"} <= entry.keys():
            raise ValueError("external_services: a service needs type and host")
        found.append(ExternalService(**entry))
    return tuple(found)


def turn_credentials(secret: str, account: str, expires: float) -> tuple[str, str]:
    """(username, password) for a TURN server with this secret, good until `expires` (seconds since the epoch)."""
    username = f"{int(expires)}:{account}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


class ExternalServices(Module):
    """Lists the services of a domain to its own accounts."""

    name = "external_services"
    xeps = (Xep("0215", "1.0.0"),)
    Config = ExternalServicesOptions
    features = {Target.HOST: (ns.EXTERNAL_SERVICES,)}

    def setup(self, reg: Registrar) -> None:
        self._services = read(self.config.services)
        reg.iq_get(Target.HOST, ns.EXTERNAL_SERVICES, "services", self.list_services)
        reg.iq_get(Target.HOST, ns.EXTERNAL_SERVICES, "credentials", self.give_credentials)

    def reconfigured(self, config: Any) -> None:
        """Who has asked for a list gets what is different now (XEP-0215, 3.2)."""
        old, new = self._services, read(config.services)
        super().reconfigured(config)
        self._services = new
        if old == new:
            return
        for session in list(self.services.registry.full.values()):
            if session.host is self.host and session.notes is not None and _ASKED in session.notes:
                self._push(session, old, new)

    def list_services(self, iq: Stanza, context: IqContext) -> Element:
        """All services or those of a type, with credentials made for who asks."""
        session = self._asker(iq, context)
        request = iq.element.first()
        kind = (request.get("type") if request is not None else None) or ""
        if session.notes is None:
            session.notes = {}
        session.notes[_ASKED] = kind[:64]
        answer = Element(ns.EXTERNAL_SERVICES, "services", {"type": kind} if kind else None)
        for service in self._services:
            if not kind or service.type == kind:
                answer.append(self._described(service, session))
        return answer

    def give_credentials(self, iq: Stanza, context: IqContext) -> Element:
        """Credentials for the services that are named by host and type, and port where that is given."""
        session = self._asker(iq, context)
        request = iq.element.first()
        wanted = [] if request is None else list(request.find_all(ns.EXTERNAL_SERVICES, "service"))
        if not wanted or len(wanted) > _MAX_ASKED:
            raise StanzaError("bad-request", f"name 1 to {_MAX_ASKED} services")
        answer = Element(ns.EXTERNAL_SERVICES, "credentials")
        named: list[ExternalService] = []
        for element in wanted:
            host, kind, port = element.get("host"), element.get("type"), element.get("port")
            if not host or not kind:
                raise StanzaError("bad-request", "a service is named by host and type")
            for service in self._services:
                fits = (service.host, service.type) == (host, kind) and port in (None, "", str(service.port))
                if fits and service.needs_credentials and service not in named:
                    named.append(service)
                    answer.append(self._described(service, session))
        if not named:
            raise StanzaError("item-not-found", "no such service needs credentials")
        return answer

    def _asker(self, iq: Stanza, context: IqContext) -> Session:
        """The session of an account of this domain, and nobody else."""
        session: Session | None = context.session
        if session is None or session.host is not self.host:
            refused.info("external services of %s are not for %s", self.host.domain, iq.sender)
            raise StanzaError("forbidden", "only accounts of this domain may ask")
        return session

    def _described(self, service: ExternalService, session: Session, action: str = "") -> Element:
        attrs = {"host": service.host, "type": service.type}
        if action:
            attrs["action"] = action
        if service.port:
            attrs["port"] = str(service.port)
        if service.transport:
            attrs["transport"] = service.transport
        if service.name:
            attrs["name"] = service.name
        if action == "remove":
            return Element(ns.EXTERNAL_SERVICES, "service", attrs)
        if service.needs_credentials:
            attrs["restricted"] = "true"
        if service.secret:
            expires = self.services.clock.time() + self.config.seconds
            attrs["username"], attrs["password"] = turn_credentials(service.secret, session.account.bare, expires)
            attrs["expires"] = timestamp(int(expires))
        elif service.password:
            attrs["username"], attrs["password"] = service.username, service.password
        return Element(ns.EXTERNAL_SERVICES, "service", attrs)

    def _push(self, session: Session, old: tuple[ExternalService, ...], new: tuple[ExternalService, ...]) -> None:
        kind = str((session.notes or {}).get(_ASKED, ""))
        before = {_place(service): service for service in old if not kind or service.type == kind}
        after = {_place(service): service for service in new if not kind or service.type == kind}
        payload = Element(ns.EXTERNAL_SERVICES, "services", {"type": kind} if kind else None)
        for place, service in before.items():
            if place not in after:
                payload.append(self._described(service, session, "remove"))
        for place, service in after.items():
            if before.get(place) != service:
                payload.append(self._described(service, session, "modify" if place in before else "add"))
        if payload.first() is not None:
            session.deliver(build_iq(self.host.jid, session.jid, "set", payload))


def _place(service: ExternalService) -> tuple[str, str, int, str]:
    return service.type, service.host, service.port, service.transport
