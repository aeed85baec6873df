"""XEP-0077: password change and removal for signed-in users; account creation before sign-in where the host allows it.

Creation is off by default. Where it is on, attempts per address are limited, with a bound on the memory that
counting takes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import sessions
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.sasl.keys import fresh
from xmpp_engine.sasl.throttle import network
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import AccountExists, StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """`open`: strangers may create accounts. `per_address`: how many of one address within `seconds`. `removal`,
    `password_change`: what signed-in users may do. `shortest_password`: characters."""

    open: bool = False
    per_address: int = 3
    seconds: float = 3_600.0
    removal: bool = True
    password_change: bool = True
    shortest_password: int = 8


class Register(Module):
    """In-band registration."""

    name = "register"
    xeps = (Xep("0077", "2.4"),)
    Config = RegisterOptions
    features = {Target.HOST: (ns.REGISTER,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._attempts: dict[str, list[float]] = {}

    def setup(self, reg: Registrar) -> None:
        reg.early_feature(self.offer)
        for target in (Target.HOST, Target.ACCOUNT):
            reg.iq_get(target, ns.REGISTER, "query", self.describe, own_only=target is Target.ACCOUNT)
            reg.iq_set(target, ns.REGISTER, "query", self.change, own_only=target is Target.ACCOUNT)

    def offer(self, _host: Any) -> Element | None:
        """The stream feature for strangers, where they may register."""
        return Element(ns.REGISTER_FEATURE, "register") if self.config.open else None

    def describe(self, iq: Stanza, _context: IqContext) -> Element:
        """What a signed-in user is registered as."""
        query = Element(ns.REGISTER, "query")
        query.add(ns.REGISTER, "registered")
        query.add(ns.REGISTER, "username", text=iq.sender.local)
        query.add(ns.REGISTER, "password")
        return query

    async def change(self, iq: Stanza, context: IqContext) -> None:
        """Remove the account, or set a new password; both only for oneself."""
        query = iq.element.first()
        session = context.session
        if query is None or session is None:
            raise StanzaError("forbidden")
        account = session.account
        if query.find(ns.REGISTER, "remove") is not None:
            if not self.config.removal:
                raise StanzaError("not-allowed", "accounts are removed by the administrator here")
            await self.services.stores.accounts.remove(account.bare)
            sessions.info("%s removed the account", account.bare)
            asyncio.get_running_loop().call_soon(self._end_sessions, account)
            return
        username = (query.child_text(ns.REGISTER, "username") or "").strip()
        password = query.child_text(ns.REGISTER, "password") or ""
        if not self.config.password_change:
            raise StanzaError("not-allowed", "passwords are changed elsewhere here")
        if not username or not password:
            raise StanzaError("bad-request", "a user name and a password are needed")
        if Jid.make(username, self.host.domain).bare != account.bare:
            raise StanzaError("forbidden")
        keys = await self._keys(password)
        await self.services.stores.accounts.change_keys(account.bare, keys)
        sessions.info("%s changed the password", account.bare)

    def before_login(self, stream: Any, iq: Element) -> bool:
        """An iq of a stranger: whether it was about registration and has been, or will be, answered."""
        query = iq.first()
        if query is None or (query.ns, query.name) != (ns.REGISTER, "query") or not iq.get("id"):
            return False
        if iq.get("type") == "get":
            try:
                _answer(stream, iq, self.form())
            except StanzaError as error:
                _refuse(stream, iq, error)
        elif iq.get("type") == "set":
            self.services.tasks.spawn("register", self._create_for(stream, iq, query))
        else:
            return False
        return True

    async def _create_for(self, stream: Any, iq: Element, query: Element) -> None:
        try:
            await self.create(network(stream.transport.peer), query)
        except StanzaError as error:
            _refuse(stream, iq, error)
        except StoreUnavailable:
            _refuse(stream, iq, StanzaError("internal-server-error", "the database does not answer", type="wait"))
        else:
            _answer(stream, iq, None)

    async def create(self, address: str, query: Element) -> str:
        """An account for a stranger on an unauthenticated stream from `address`; returns its bare JID. Raises
        StanzaError."""
        if not self.config.open:
            raise StanzaError("not-allowed", "accounts are made by the administrator here")
        username = (query.child_text(ns.REGISTER, "username") or "").strip()
        password = query.child_text(ns.REGISTER, "password") or ""
        if not username or not password:
            raise StanzaError("not-acceptable", "a user name and a password are needed")
        try:
            bare = Jid.make(username, self.host.domain).bare
        except ValueError as error:
            raise StanzaError("jid-malformed", str(error)) from None
        self._count(address)
        keys = await self._keys(password)
        try:
            await self.services.stores.accounts.create(bare, keys)
        except AccountExists:
            raise StanzaError("conflict", "the user name is taken") from None
        await self.services.accounts.refresh(bare)
        sessions.info("%s was registered from %s", bare, address)
        return bare

    def form(self) -> Element:
        """What a stranger has to fill in; raises StanzaError where registration is closed."""
        if not self.config.open:
            raise StanzaError("not-allowed", "accounts are made by the administrator here")
        query = Element(ns.REGISTER, "query")
        query.add(ns.REGISTER, "instructions", text="Choose a user name and a password.")
        query.add(ns.REGISTER, "username")
        query.add(ns.REGISTER, "password")
        return query

    def _count(self, address: str) -> None:
        now = self.services.clock.now()
        if len(self._attempts) > 10_000:
            self._attempts = {
                key: times for key, times in self._attempts.items() if times[-1] > now - self.config.seconds
            }
        recent = [t for t in self._attempts.get(address, ()) if t > now - self.config.seconds]
        if len(recent) >= self.config.per_address or len(self._attempts) > 20_000:
            raise StanzaError("resource-constraint", "too many accounts were made from this address")
        self._attempts[address] = [*recent, now]

    async def _keys(self, password: str) -> Any:
        if len(password) < self.config.shortest_password:
            raise StanzaError("not-acceptable", f"a password needs {self.config.shortest_password} characters")
        try:
            return await asyncio.to_thread(fresh, password)
        except ValueError as error:
            raise StanzaError("not-acceptable", str(error)) from None

    def _end_sessions(self, account: Any) -> None:
        for session in list(account.sessions.values()):
            session.kick(StreamError("not-authorized", "the account was removed"))
        self.services.accounts.forget(account.bare)


def _answer(stream: Any, iq: Element, payload: Element | None) -> None:
    result = Element(ns.CLIENT, "iq", {"type": "result", "id": iq.attrs["id"]})
    stream.send(result if payload is None else result.append(payload))


def _refuse(stream: Any, iq: Element, error: StanzaError) -> None:
    stream.send(Element(ns.CLIENT, "iq", {"type": "error", "id": iq.attrs["id"]}, error.element()))
