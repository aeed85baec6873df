"""Binder: where a negotiated stream becomes a session (RFC 6120, 7; XEP-0198, 5).

It is the seam that the stream layer calls (`stream.role.Binder`): credentials, binding with the host's conflict rule,
and resumption. A resumption that fails because the node was restarted still tells the client how many of its stanzas
are durable (`<failed h=''/>`), so it sends only the rest again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.prep import resourcepart
from xmpp_engine.observe.log import sessions
from xmpp_engine.routing.handover import settled, unsettled
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.routing.inline import InlineBind, InlineResumption, take_over
from xmpp_engine.routing.session import Session
from xmpp_engine.storage.devices import DeviceStore
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Credentials
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError
from xmpp_engine.xml.writer import encode

if TYPE_CHECKING:
    from xmpp_engine.routing.remote_session import RemoteSession


class SessionBinder:
    """Binds and resumes sessions of all hosts of one engine."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def host(self, domain: str) -> Host | None:
        """The host of a prepared domain."""
        return self._services.router.hosts.get(domain)

    def default_host(self) -> Host | None:
        """The first host, for a stream header without `to`."""
        return next(iter(self._services.router.hosts.values()), None)

    async def credentials(self, host: Host, bare: str) -> Credentials | None:
        """What authentication needs; raises StoreUnavailable."""
        return await self._services.stores.accounts.credentials(bare)

    async def spend_token(self, bare: str, stored_key: bytes) -> bool:
        """Use up a one-time token; False when it was used already."""
        return await self._services.stores.accounts.use_token(bare, stored_key)

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> object:
        """Run a supervised task."""
        return self._services.tasks.spawn(name, coroutine)

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something slow outside the loop's thread."""
        return await asyncio.to_thread(function, *arguments)

    @property
    def devices(self) -> DeviceStore:
        """The clients of accounts and their tokens."""
        return self._services.stores.devices

    async def bind(self, stream: Any, account: Jid, resource: str | None, facts: Any) -> Jid:
        """Make the session; returns its full JID. Raises StanzaError as RFC 6120, 7.6.2 and 7.7.2 name them."""
        session = await self._session(stream, account, resource, facts)
        take_over(session, stream)
        self._begun(session)
        return session.jid

    async def bind_inline(self, stream: Any, account: Jid, resource: str, request: Element, facts: Any) -> InlineBind:
        """See `stream.role.Binder`."""
        session = await self._session(stream, account, resource, facts, alone=True)
        bound = InlineBind(session, stream)
        self._begun(session)
        await bound.enable(request)
        return bound

    async def _session(
        self, stream: Any, account: Jid, resource: str | None, facts: Any, *, alone: bool = False
    ) -> Session:
        """A session that is in the registry and does not read yet; `alone` ends earlier ones of the same device."""
        host = self._services.router.hosts.get(account.domain)
        if host is None:
            raise StanzaError("not-allowed", "this domain is not served any more")
        try:
            wanted = resourcepart(resource) if resource else ""
        except ValueError as error:
            raise StanzaError("bad-request", str(error)) from None
        try:
            resident = await self._services.accounts.load(account.bare, host)
        except StoreUnavailable as error:
            raise StanzaError("internal-server-error", "the database does not answer", type="wait") from error
        if resident is None or resident.data.state != "active":
            raise StanzaError("not-allowed", "the account is not active")
        if stream.closed:
            raise StanzaError("recipient-unavailable")
        if alone and facts.device:
            for other in list(resident.sessions.values()):
                if getattr(other.facts, "device", "") == facts.device:
                    other.kick(StreamError("conflict", "the same client has signed in again"))
        config = host.config
        current = resident.sessions.get(wanted) if wanted else None
        if current is not None and config.resource_conflict != "replace":
            if config.resource_conflict == "reject":
                raise StanzaError("conflict", "the resource is in use")
            wanted, current = "", None
        if current is None and len(resident.sessions) >= config.max_resources:
            raise StanzaError("resource-constraint", "too many resources of this account are connected")
        replaced: RemoteSession | None = None
        if current is not None:
            conflict = StreamError("conflict", "the resource was bound by another connection")
            if current.remote and self._services.whereabouts is not None:
                replaced = cast("RemoteSession", current)
                self._services.whereabouts.take_place(replaced, conflict)
            else:
                current.kick(conflict)
        if not wanted:
            facts.drawn = True
        jid = resident.jid.with_resource(wanted or _generated())
        session = Session(self._services, resident, jid, stream, facts)
        self._services.registry.add(session)
        if replaced is not None and self._services.whereabouts is not None:
            self._services.whereabouts.took_place(replaced)
        return session

    def _begun(self, session: Session) -> None:
        stream = session.stream
        for hook in session.table.session_bound:
            hook(session)
        self._services.counters.logins += 1
        sessions.info("%s bound from %s over %s", session.jid, stream.transport.peer, stream.transport.name)
        bare = session.account.bare
        self._services.tasks.spawn(
            f"login {bare}", self._services.stores.accounts.record_login(bare, self._services.clock.time())
        )

    async def resume(self, stream: Any, account: Jid, element: Element, facts: Any) -> bool:
        """`<resume/>`: True when the stream goes on as an old session; else `<failed/>` was sent and bind may
        follow."""
        answer, resumed = await self.resume_inline(stream, account, element, facts)
        stream.write(encode(answer, ""))
        if resumed is not None:
            resumed.begin()
        return resumed is not None

    async def resume_inline(
        self, stream: Any, account: Jid, element: Element, facts: Any
    ) -> tuple[Element, InlineResumption | None]:
        """See `stream.role.Binder`. The session has the stream when this returns, so what it has missed must be sent
        before anything else: by `begin`, without waiting in between."""
        sm_id = element.get("previd") or ""
        session = self._services.registry.resumable.get(sm_id)
        if session is None and sm_id and self._services.whereabouts is not None:
            heard = element.get("h") or ""
            session = await self._services.whereabouts.handover.fetch(account, sm_id, heard, stream, facts)
        if session is None or session.ended or session.account.bare != account.bare:
            return await self._refusal(account, sm_id), None
        sm = session.sm
        assert sm is not None
        # The count we report must cover all that was taken from the old connection, or the client sends it twice.
        if not await settled(self._services, session):
            unsettled(session)
            return await self._refusal(account, ""), None
        sm.acknowledged(element.get("h"))
        if stream.closed:
            unsettled(session)
            return await self._refusal(account, ""), None
        sm.forget_connection()
        # Where the client gives no id of itself it is still the device that it was.
        if not getattr(facts, "device", ""):
            facts.device, facts.agent = getattr(session.facts, "device", ""), None
        session.attach(stream, facts)
        take_over(session, stream)
        attrs = {"previd": sm_id, "h": str(sm.handled_count % 2**32)}
        return Element(ns.SM, "resumed", attrs), InlineResumption(session)

    async def _refusal(self, account: Jid, sm_id: str) -> Element:
        attrs: dict[str, str] = {}
        if sm_id:
            await self._services.ledger.sync()
            mark = await self._services.stores.ledger.stream_mark(sm_id)
            resident = await self._services.stores.accounts.load(account.bare)
            if mark is not None and resident is not None and mark[0] == resident.account_id:
                attrs["h"] = str(mark[1])
        return Element(ns.SM, "failed", attrs, Element(ns.STANZA_ERRORS, "item-not-found"))


def _generated() -> str:
    return secrets.token_urlsafe(9)
