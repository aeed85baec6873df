"""XEP-0494: which clients have access to an account, and an end to it.

Every sign-in and the end of every session leave a visit, collected in memory and written together: nobody's login
waits for it. A client that gives an id of itself (XEP-0388) is known by that; older ones by their resource, without
the digits that some make up anew for each session; those that leave the resource to us are one "unknown client".

Who has shown the password can come back with it, so their access ends only with a new password. That is what the answer
to `<revoke/>` says then (section 3.2). For all others revoking means: tokens go, sessions end, the row goes.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.devices import FAST, MAX_RESOURCE, METHODS, PASSWORD, DeviceRow, DeviceVisit, reference
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

log = logging.getLogger("mlink.devices")

#: Visits that may wait while the database is away; more are forgotten, oldest first.
_MOST_WAITING: Final = 20_000
_WRITE_SECONDS: Final = 2.0
_AT_ONCE: Final = 500
#: Devices remembered as known to the store, so that most visits need no look at their account's number of them.
_MOST_KNOWN: Final = 50_000
#: Seconds for which a revoked device is turned away whose sign-in had begun before; longer than any negotiation.
_GUARD_SECONDS: Final = 60.0
_MOST_GUARDED: Final = 10_000
_EXPIRE_SECONDS: Final = 3_600.0
_DAY: Final = 86_400.0
_TOLD: Final = "device"
#: `converse.js-123456789`, `go-sendxmpp.d3c619d2`: what clients draw anew for each session.
_DRAWN: Final = re.compile(r"(?:[-./_]?\d{5,}|[-./_][0-9a-f]{8})\Z")


@dataclass(frozen=True, slots=True)
class DeviceOptions:
    """Days after which a device that was not seen is forgotten with its tokens; whether addresses are kept."""

    days: int = 90
    keep_addresses: bool = True


class Devices(Module):
    """The clients of each account."""

    name = "devices"
    xeps = (
        Xep("0388", "1.0.4", "complete", "no mechanism here needs a second step, so continue is never sent"),
        Xep("0386", "1.1.0"),
        Xep("0474", "0.5.0"),
        Xep("0484", "0.2.0", "complete", "no early data (0-RTT), as TLS sessions are not resumed"),
        Xep("0494", "0.1.0"),
    )
    Config = DeviceOptions
    features = {Target.ACCOUNT: (ns.CAM,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: OrderedDict[tuple[int, str, bool], DeviceVisit] = OrderedDict()
        self._known: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._revoked: OrderedDict[tuple[int, str], float] = OrderedDict()

    def setup(self, reg: Registrar) -> None:
        self.services.hear(self.host.domain, _TOLD, self.heard)
        reg.session_bound(self.bound)
        reg.session_awake(self.awake)
        reg.session_closed(self.closed)
        reg.iq_get(Target.ACCOUNT, ns.CAM, "list", self.show, own_only=True)
        reg.iq_set(Target.ACCOUNT, ns.CAM, "revoke", self.revoke, own_only=True)
        reg.timer(_WRITE_SECONDS, self.write)
        reg.timer(_EXPIRE_SECONDS, self.expire)

    async def stopping(self) -> None:
        """Write what waits."""
        await self.write()

    # What sessions leave

    def bound(self, session: Session) -> None:
        """Note who came, from where and how."""
        facts = session.facts
        agent = getattr(facts, "agent", None)
        method = getattr(facts, "method", 0)
        if not method:
            return  # a session that did not sign in by SASL
        named = bool(facts.device)
        resource = session.jid.resource
        if not named:
            facts.device = _of_resource("" if facts.drawn else resource)
        software, device = agent or ("", "")
        facts.agent = None
        key = (session.account.id, facts.device)
        if method != FAST:
            # It has come back by itself: the token that it gets now is not one of those that were revoked.
            self._revoked.pop(key, None)
        elif self._is_revoked(key):
            self.services.clock.call_later(0.0, session.kick, _ended())
            return
        fresh = key not in self._known
        self._known[key] = None
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        peer = session.stream.transport.peer if self.config.keep_addresses and session.stream is not None else ""
        self._note(
            DeviceVisit(
                *key,
                self.services.clock.time(),
                software,
                device,
                _host(peer),
                facts.mechanism,
                "" if facts.drawn else resource[:MAX_RESOURCE],
                method,
                named,
                False,
                fresh,
            )
        )

    def awake(self, session: Session) -> None:
        """A session was resumed by a new sign-in (or somebody only looks at it again): the same for that."""
        if getattr(session.facts, "agent", None) is not None:
            self.bound(session)

    def closed(self, session: Session, _reason: str) -> None:
        """Note until when it was there."""
        device = getattr(session.facts, "device", "")
        if device and not self._is_revoked((session.account.id, device)):
            self._note(DeviceVisit(session.account.id, device, self.services.clock.time(), ended=True))

    def _note(self, visit: DeviceVisit) -> None:
        key = (visit.account_id, visit.device, visit.ended)
        old = self._waiting.pop(key, None)
        if old is not None:
            visit.method |= old.method
            visit.fresh = visit.fresh or old.fresh
        elif len(self._waiting) >= _MOST_WAITING:
            self._waiting.popitem(last=False)
            self.services.counters.count("device_visits_lost_total")
        self._waiting[key] = visit

    async def write(self) -> None:
        """Write what waits, in slices; what cannot be written waits on."""
        while self._waiting:
            visits = [self._waiting.popitem(last=False)[1] for _ in range(min(_AT_ONCE, len(self._waiting)))]
            try:
                await self.services.stores.devices.seen(visits)
            except StoreUnavailable as error:
                log.warning("%d visits of devices wait for the database: %s", len(visits), error)
                for visit in reversed(visits):
                    key = (visit.account_id, visit.device, visit.ended)
                    if key not in self._waiting and len(self._waiting) < _MOST_WAITING:
                        self._waiting[key] = visit
                        self._waiting.move_to_end(key, last=False)
                return

    async def expire(self) -> None:
        """Forget devices that were not seen for long, and tokens that have expired."""
        cluster = self.services.cluster
        if cluster is not None and cluster.leader != cluster.name:
            return
        now = self.services.clock.time()
        try:
            await self.services.stores.devices.expire(self.host.domain, now - self.config.days * _DAY, now)
        except StoreUnavailable as error:
            log.warning("old devices wait for the database: %s", error)

    # What users ask

    async def show(self, _iq: Stanza, context: IqContext) -> Element:
        """The clients of the account that asks."""
        account = _own(context)
        await self.write()
        answer = Element(ns.CAM, "clients")
        connected = {getattr(session.facts, "device", "") for session in account.sessions.values()}
        now = self.services.clock.time()
        for row in await self.services.stores.devices.devices(account.id):
            answer.append(_client(row, row.device in connected, now))
        return answer

    async def revoke(self, iq: Stanza, context: IqContext) -> None:
        """End the access of one client; raises StanzaError where only a new password does that."""
        account = _own(context)
        request = iq.element.first()
        device = (request.get("id") if request is not None else None) or ""
        if not device:
            raise StanzaError("bad-request", "the id of the client is missing")
        await self.write()
        devices = self.services.stores.devices
        row = next((row for row in await devices.devices(account.id) if row.device == device), None)
        if row is None:
            raise StanzaError("item-not-found", "there is no such client")
        if row.methods & PASSWORD:
            raise StanzaError(
                "service-unavailable",
                "this client knows the password",
                type="cancel",
                app=Element(ns.CAM, "password-reset-required"),
            )
        await devices.revoke(account.id, device)
        log.info("%s revoked the device %s (%s)", iq.sender, device, row.software or row.resource or "unknown")
        self.end(account, device, context.session)

    def end(self, account: Account, device: str, asking: Session | None = None) -> int:
        """A device was revoked: end its sessions, and those whose sign-in is under way. Returns how many ended."""
        self.services.tell(account.bare, _TOLD, device)
        return self._end(account, device, asking)

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """A device was revoked on another node of a cluster. Who is about to sign in here is resident."""
        if account is not None:
            self._end(account, values[0])

    def _end(self, account: Account, device: str, asking: Session | None = None) -> int:
        now = self.services.clock.now()
        self._revoked[(account.id, device)] = now
        while len(self._revoked) > _MOST_GUARDED or (
            self._revoked and now - next(iter(self._revoked.values())) > _GUARD_SECONDS
        ):
            self._revoked.popitem(last=False)
        self._known.pop((account.id, device), None)
        for ended in (False, True):
            self._waiting.pop((account.id, device, ended), None)
        for hook in self.host.table.device_ended:
            hook(account, device)
        chosen = [s for s in account.sessions.values() if getattr(s.facts, "device", "") == device]
        for session in chosen:
            if session is asking:
                # It shall have its answer first.
                self.services.clock.call_later(0.0, session.kick, _ended())
            else:
                session.kick(_ended())
        return len(chosen)

    def _is_revoked(self, key: tuple[int, str]) -> bool:
        when = self._revoked.get(key)
        return when is not None and self.services.clock.now() - when < _GUARD_SECONDS


def _client(row: DeviceRow, connected: bool, now: float) -> Element:
    """One `<client/>` (XEP-0494, 3.1)."""
    attrs = {"connected": "true" if connected else "false", "id": row.device, "type": "session"}
    client = Element(ns.CAM, "client", attrs)
    client.add(ns.CAM, "first-seen", text=timestamp(row.first_seen))
    client.add(ns.CAM, "last-seen", text=timestamp(now if connected else row.last_seen))
    auth = Element(ns.CAM, "auth")
    for bit, name in METHODS.items():
        if bit == FAST:
            if row.token_expires > now:
                auth.add(ns.CAM, name)
        elif row.methods & bit and name != "certificate":
            auth.add(ns.CAM, name)
    client.append(auth)
    client.append(Element(ns.CAM, "permission", {"status": "unrestricted"}))
    agent = Element(ns.CAM, "user-agent")
    software = row.software or (_DRAWN.sub("", row.resource) if not row.named else "") or "unknown client"
    agent.add(ns.CAM, "software", text=software)
    if row.name:
        agent.add(ns.CAM, "device", text=row.name)
    client.append(agent)
    return client


@lru_cache(4_096)
def _of_resource(resource: str) -> str:
    """The reference of a client that gives no id of itself."""
    kind = _DRAWN.sub("", resource)
    return reference("resource", kind) if kind else reference("unknown", "")


def _host(peer: str) -> str:
    """An address without its port."""
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    return peer.partition(":")[0] if peer.count(":") == 1 else peer


def _ended() -> StreamError:
    return StreamError("not-authorized", "the access of this client was revoked")


def _own(context: IqContext) -> Account:
    """The account that asks; handlers with `own_only` have one."""
    assert context.account is not None
    return context.account
