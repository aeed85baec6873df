"""Binder: where a negotiated stream becomes a session (RFC 6120, 7; XEP-0198, 5).

It is the seam that the stream layer calls (`stream.role.Binder`): credentials, binding with the host's conflict rule,
and resumption. A resumption that fails because the node was restarted still tells the client how many of its stanzas
are durable (`<failed h=''/>`), so it sends only the rest again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.prep import resourcepart
from xmpp_engine.observe.log import sessions
from xmpp_engine.routing.host import Host, Services
from xmpp_engine.routing.session import Session
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Credentials
from xmpp_engine.stream.feature_sm import REQUEST
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError
from xmpp_engine.xml.writer import encode

_SETTLE_SECONDS: Final = 10.0
_SETTLE_STEP: Final = 0.005


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

    async def bind(self, stream: Any, account: Jid, resource: str | None, facts: Any) -> Jid:
        """Make the session; returns its full JID. Raises StanzaError as RFC 6120, 7.6.2 and 7.7.2 name them."""
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
        config = host.config
        current = resident.sessions.get(wanted) if wanted else None
        if current is not None and config.resource_conflict != "replace":
            if config.resource_conflict == "reject":
                raise StanzaError("conflict", "the resource is in use")
            wanted, current = "", None
        if current is None and len(resident.sessions) >= config.max_resources:
            raise StanzaError("resource-constraint", "too many resources of this account are connected")
        if current is not None:
            current.kick(StreamError("conflict", "the resource was bound by another connection"))
        jid = resident.jid.with_resource(wanted or _generated())
        session = Session(self._services, resident, jid, stream, facts)
        self._services.registry.add(session)
        stream.on_element = session.receive
        stream.on_lost = session.lost
        stream.on_idle = session.idle
        for hook in host.table.session_bound:
            hook(session)
        self._services.counters.logins += 1
        sessions.info("%s bound from %s over %s", jid, stream.transport.peer, stream.transport.name)
        self._services.tasks.spawn(
            f"login {account.bare}",
            self._services.stores.accounts.record_login(account.bare, self._services.clock.time()),
        )
        return jid

    async def resume(self, stream: Any, account: Jid, element: Element, facts: Any) -> bool:
        """`<resume/>`: True when the stream goes on as an old session; else `<failed/>` was sent and bind may
        follow."""
        sm_id = element.get("previd") or ""
        session = self._services.registry.resumable.get(sm_id)
        if session is None or session.ended or session.account.bare != account.bare:
            await self._refuse_resumption(stream, account, sm_id)
            return False
        sm = session.sm
        assert sm is not None
        # The count we report must cover all that was taken from the old connection, or the client sends it twice.
        if not await self._settled(session) or stream.closed:
            await self._refuse_resumption(stream, account, "")
            return False
        sm.acknowledged(element.get("h"))
        sm.forget_connection()
        session.attach(stream, facts)
        stream.on_element = session.receive
        stream.on_lost = session.lost
        stream.on_idle = session.idle
        attrs = {"previd": sm_id, "h": str(sm.handled_count % 2**32)}
        stream.write(encode(Element(ns.SM, "resumed", attrs), ""))
        for stanza, _stamp in sm.queue:
            to = stanza.to
            stream.write(stanza.encode(to.encoded if to is not None else None, session.flavour))
        if sm.queue:
            sm.asked = True
            stream.write(REQUEST)
        sessions.info("%s resumed from %s, %d stanzas sent again", session.jid, stream.transport.peer, len(sm.queue))
        return True

    async def _settled(self, session: Session) -> bool:
        """Wait until nothing of the session is held or on its way to the disk; False when that takes too long."""
        if session.stream is not None:
            session.stream.transport.pause()
        for _ in range(int(_SETTLE_SECONDS / _SETTLE_STEP)):
            if not session.held:
                break
            await asyncio.sleep(_SETTLE_STEP)
        await self._services.ledger.sync()
        return not session.held and not session.ended

    async def _refuse_resumption(self, stream: Any, account: Jid, sm_id: str) -> None:
        attrs: dict[str, str] = {}
        if sm_id:
            await self._services.ledger.sync()
            mark = await self._services.stores.ledger.stream_mark(sm_id)
            resident = await self._services.stores.accounts.load(account.bare)
            if mark is not None and resident is not None and mark[0] == resident.account_id:
                attrs["h"] = str(mark[1])
        failed = Element(ns.SM, "failed", attrs, Element(ns.STANZA_ERRORS, "item-not-found"))
        stream.write(encode(failed, ""))


def _generated() -> str:
    return secrets.token_urlsafe(9)
