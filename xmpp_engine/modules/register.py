"""XEP-0077: password change and removal for signed-in users; account creation before sign-in where the host allows it.

Creation is off by default. It is open to everybody where the domain says so, and to those who bring the token of an
invitation (XEP-0445, `invitations.py`), whose check this module is given by that one. Attempts of strangers are counted
per address, per network and altogether, in bounded tables. What comes in may be a data form or the legacy fields.

The removal of an account ends its sessions at once, and nobody can bind or sign in from the moment it begins. The
contacts learn of it by the stanzas that a user would send who takes every contact from the roster.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.farewell import Farewells
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.sasl.attempts import Attempts, wide_network
from xmpp_engine.sasl.keys import fresh
from xmpp_engine.sasl.throttle import network
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.invitations import Invitation
from xmpp_engine.storage.protocols import AccountExists, QuotaExceeded, StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

#: Streams that have shown a token and not registered yet.
_PREAUTHENTICATED: Final = 10_000
#: What nodes of a cluster tell each other.
_REMOVED: Final = "removed"
_CREATED: Final = "created"
_FIELDS: Final = (
    forms.Field("username", label="User name", required=True),
    forms.Field("password", "text-private", label="Password", required=True),
)


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """`open`: strangers may create accounts. How many of them within `seconds`: `per_address`, `per_network` (an IPv4
    /24 or IPv6 /48), `altogether`; 0 is no limit. `removal`, `password_change`: what signed-in users may do.
    `shortest_password`: characters. `redirect`: a page where accounts are made, shown to who asks for the form
    (XEP-0077, 5), "" for none. `instructions`: the form's text. `notify`: addresses that get a message for each
    account made."""

    open: bool = False
    per_address: int = 3
    per_network: int = 20
    altogether: int = 200
    seconds: float = 3_600.0
    removal: bool = True
    password_change: bool = True
    shortest_password: int = 8
    redirect: str = ""
    instructions: str = "Choose a user name and a password."
    notify: tuple[str, ...] | list[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.notify, str):
            raise ValueError("register.notify is a list of addresses")
        for address in self.notify:
            Jid.parse(address)


class Invites(Protocol):
    """What this module asks of the one that knows invitations."""

    async def check(self, token: str) -> Invitation:
        """The invitation that lets make an account; raises StanzaError."""

    async def accepted(self, invitation: Invitation, account: str) -> None:
        """An account was made with it."""


class Register(Module):
    """In-band registration."""

    name = "register"
    xeps = (Xep("0077", "2.4"),)
    Config = RegisterOptions
    features = {Target.HOST: (ns.REGISTER,)}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._attempts = Attempts()
        #: Stream ids to the invitation whose token was shown on them (XEP-0445, 4).
        self._shown: OrderedDict[str, Invitation] = OrderedDict()
        #: Accounts that their users are removing here just now, each with the end of that.
        self._removals: dict[str, asyncio.Future[None]] = {}
        self.farewells = Farewells(self.services)
        #: The module of invitations, where there is one; it sets this itself.
        self.invites: Invites | None = None

    def setup(self, reg: Registrar) -> None:
        self.invites = None
        self.services.hear(self.host.domain, _REMOVED, self.heard_removed)
        self.services.hear(self.host.domain, _CREATED, self.heard_created)
        reg.early_feature(self.offer)
        for target in (Target.HOST, Target.ACCOUNT):
            reg.iq_get(target, ns.REGISTER, "query", self.describe, own_only=target is Target.ACCOUNT)
            reg.iq_set(target, ns.REGISTER, "query", self.change, own_only=target is Target.ACCOUNT)

    def offer(self, _host: Any) -> Element | None:
        """The stream feature for strangers, where they may register or are told where."""
        shown = self.config.open or self.config.redirect or self.invites is not None
        return Element(ns.REGISTER_FEATURE, "register") if shown else None

    # Signed-in users

    def describe(self, iq: Stanza, context: IqContext) -> Element:
        """What a signed-in user is registered as."""
        self._own(context)
        query = Element(ns.REGISTER, "query")
        query.add(ns.REGISTER, "registered")
        query.add(ns.REGISTER, "username", text=iq.sender.local)
        query.add(ns.REGISTER, "password")
        return query

    async def change(self, iq: Stanza, context: IqContext) -> None:
        """Remove the account, or set a new password; both only for oneself."""
        account = self._own(context)
        query = iq.element.first()
        assert query is not None
        if query.find(ns.REGISTER, "remove") is not None:
            if sum(1 for _child in query.elements()) > 1:
                raise StanzaError("bad-request", "a removal has nothing beside it")
            await self._remove(account)
            return
        username, password = _filled_in(query)
        if not self.config.password_change:
            raise StanzaError("not-allowed", "passwords are changed elsewhere here")
        if not username or not password:
            raise StanzaError("bad-request", "a user name and a password are needed")
        if self._address(username) != account.bare:
            raise StanzaError("forbidden")
        keys = await self._keys(password)
        await self.services.stores.accounts.change_keys(account.bare, keys)
        sessions.info("%s changed the password", account.bare)

    def _own(self, context: IqContext) -> Account:
        """The account of this host that asks; raises StanzaError for anybody else."""
        session = context.session
        if session is None or session.host is not self.host:
            raise StanzaError("forbidden")
        account: Account = session.account
        return account

    async def _remove(self, account: Account) -> None:
        if not self.config.removal:
            raise StanzaError("not-allowed", "accounts are removed by the administrator here")
        if account.data.is_admin:
            raise StanzaError("not-allowed", "an administrator's account is removed in the console")
        if account.bare in self._removals:
            raise StanzaError("conflict", "the account is being removed")
        state, account.data.state = account.data.state, "removed"  # nobody binds to it from now on
        self._removals[account.bare] = asyncio.get_running_loop().create_future()
        try:
            await self.services.stores.accounts.remove(account.bare)
        except BaseException as error:
            account.data.state = state
            self._removals.pop(account.bare).set_result(None)
            if isinstance(error, ValueError):
                raise StanzaError("not-allowed", str(error)) from None
            raise
        sessions.info("%s removed the account", account.bare)
        # The result goes out first: handlers answer by returning.
        asyncio.get_running_loop().call_soon(self._end_sessions, account)

    def _end_sessions(self, account: Account) -> None:
        self._removals.pop(account.bare).set_result(None)
        self.services.tell(account.bare, _REMOVED)
        self._forget(account)
        self.services.router.account_removed(account.bare)
        self.farewells.of(account)

    async def removed(self, bare: str) -> None:
        """Wait while its user removes this account: whoever learns of it by the database must not end the session that
        is owed the result."""
        removal = self._removals.get(bare)
        if removal is not None:
            await asyncio.wait((removal,))

    def _forget(self, account: Account) -> None:
        for session in list(account.sessions.values()):
            session.kick(StreamError("not-authorized", "the account was removed"))
        self.services.accounts.forget(account.bare)

    def heard_removed(self, account: Account | None, bare: str, _values: list[Any]) -> None:
        """Another node of a cluster has removed an account, and says farewell."""
        if account is not None:
            account.data.state = "removed"
            self._forget(account)
        self.services.router.account_removed(bare)

    def heard_created(self, _account: Account | None, bare: str, _values: list[Any]) -> None:
        """Another node of a cluster has made an account."""
        self.services.accounts.known(bare)

    # Strangers

    def before_login(self, stream: Any, iq: Element) -> bool:
        """An iq of a stranger: whether it was about registration and has been, or will be, answered."""
        query = iq.first()
        if query is None or not iq.get("id") or iq.get("type") not in ("get", "set"):
            return False
        if (query.ns, query.name, iq.get("type")) == (ns.PARS, "preauth", "set"):
            self._later(stream, iq, self._show_token(stream, query.get("token") or ""))
            return True
        if (query.ns, query.name) == (ns.PING, "ping") and iq.get("to") in (None, self.host.domain):
            # COMPAT(Pidgin 2.14; 2026-11): it pings while a person fills in the form. What is for the server itself
            # need not end the stream (RFC 6120, 7.1).
            _answer(stream, iq, None)
            return True
        if (query.ns, query.name) != (ns.REGISTER, "query"):
            return False
        if iq.get("type") == "set":
            self._later(stream, iq, self._create_for(stream, query))
            return True
        try:
            _answer(stream, iq, self.form(self._shown.get(stream.id)))
        except StanzaError as error:
            _refuse(stream, iq, error)
        else:
            stream.role.registering()
        return True

    def _later(self, stream: Any, iq: Element, work: Any) -> None:
        self.services.tasks.spawn("register", self._serve(stream, iq, work))

    async def _serve(self, stream: Any, iq: Element, work: Any) -> None:
        try:
            await work
        except StanzaError as error:
            refused.info("%s may not register here: %s", stream.transport.peer, error)
            _refuse(stream, iq, error)
        except StoreUnavailable:
            _refuse(stream, iq, StanzaError("internal-server-error", "the database does not answer", type="wait"))
        else:
            _answer(stream, iq, None)

    async def _show_token(self, stream: Any, token: str) -> None:
        """XEP-0445, 4: from here on the token counts, whenever it expires."""
        if self.invites is None:
            raise StanzaError("service-unavailable")
        self._shown[stream.id] = await self.invites.check(token)
        if len(self._shown) > _PREAUTHENTICATED:
            self._shown.popitem(last=False)

    async def _create_for(self, stream: Any, query: Element) -> None:
        await self.create(network(stream.transport.peer), query, self._shown.get(stream.id))
        self._shown.pop(stream.id, None)

    async def create(self, address: str, query: Element, invitation: Invitation | None = None) -> str:
        """An account for a stranger on an unauthenticated stream from `address`; returns its bare JID. Raises
        StanzaError."""
        self._check_open(invitation)
        username, password = _filled_in(query)
        if not username or not password:
            raise StanzaError("not-acceptable", "a user name and a password are needed")
        return await self.make(address, username, password, invitation)

    async def redeem(self, token: str, username: str, password: str, address: str) -> str:
        """An account for somebody who has the token of an invitation, from a web page; returns its bare JID. Raises
        StanzaError or StoreUnavailable."""
        if self.invites is None:
            raise StanzaError("not-allowed", "there are no invitations here")
        return await self.make(network(address), username, password, await self.invites.check(token))

    async def make(self, address: str, username: str, password: str, invitation: Invitation | None) -> str:
        """Make an account from `address`, spending the invitation; returns its bare JID. Raises StanzaError or
        StoreUnavailable, and the invitation can then be used again."""
        self._check_open(invitation)
        bare = self._address(username)
        local = bare.partition("@")[0]
        now = self.services.clock.time()
        stores = self.services.stores
        if invitation is not None and invitation.local not in ("", local):
            raise StanzaError("not-acceptable", f"the invitation is for the name {invitation.local}")
        reserved = await stores.invitations.reserved(self.host.domain, local, now)
        if reserved and (invitation is None or reserved != invitation.digest):
            raise StanzaError("conflict", "the user name is taken")
        self._count(address, invited=invitation is not None)
        keys = await self._keys(password)
        # The expiry was looked at when the token was shown.
        if invitation is not None and await stores.invitations.use(invitation.digest, bare, 0.0) is None:
            raise StanzaError("item-not-found", "the invitation was used or withdrawn")
        try:
            await stores.accounts.create(bare, keys)
        except Exception as error:
            if invitation is not None:
                await stores.invitations.release(invitation.digest, bare)
            if isinstance(error, AccountExists):
                raise StanzaError("conflict", "the user name is taken") from None
            if isinstance(error, QuotaExceeded):
                raise StanzaError("resource-constraint", str(error)) from None
            raise
        await self.services.accounts.refresh(bare)
        self.services.tell(bare, _CREATED)
        by = f", invited by {invitation.inviter or 'an administrator'}" if invitation is not None else ""
        sessions.info("%s was registered from %s%s", bare, address, by)
        if invitation is not None and self.invites is not None:
            try:
                await self.invites.accepted(invitation, bare)
            except (StoreUnavailable, StanzaError) as error:
                refused.error("%s and %s are not made contacts: %s", bare, invitation.inviter, error)
        self._notify(f"{bare} was registered from {address}{by}.")
        return bare

    def form(self, invitation: Invitation | None = None) -> Element:
        """What a stranger has to fill in; raises StanzaError where registration is closed."""
        config = self.config
        query = Element(ns.REGISTER, "query")
        if invitation is None and not config.open and config.redirect:
            query.add(ns.REGISTER, "instructions", text=f"Accounts are made at {config.redirect}")
            query.append(_link(config.redirect))
            return query
        self._check_open(invitation)
        name = invitation.local if invitation is not None else ""
        query.add(ns.REGISTER, "instructions", text=config.instructions)
        query.add(ns.REGISTER, "username", text=name or None)
        query.add(ns.REGISTER, "password")
        fields = forms.filled(_FIELDS, {"username": name} if name else {})
        query.append(forms.render("form", ns.REGISTER, fields, instructions=config.instructions))
        if config.redirect:
            query.append(_link(config.redirect))
        return query

    def _check_open(self, invitation: Invitation | None) -> None:
        if invitation is None and not self.config.open:
            invited = self.invites is not None
            why = "an invitation is needed here" if invited else "accounts are made by the administrator here"
            raise StanzaError("not-allowed", why)

    def _count(self, address: str, *, invited: bool) -> None:
        """Count an attempt; raises StanzaError where there were too many. A household that was invited shares one
        address, so invitations count for the wider limits only."""
        config = self.config
        now = self.services.clock.now()
        limits = [(wide_network(address), config.per_network), ("everybody", config.altogether)]
        if not invited:
            limits.insert(0, (f"address {address}" if address else "", config.per_address))
        source = self._attempts.take(limits, config.seconds, now)
        if source:
            refused.warning("too many registrations, the last one from %s (%s)", address, source)
            raise StanzaError("resource-constraint", "too many accounts were made, try again later", type="wait")

    def _address(self, username: str) -> str:
        try:
            return Jid.make(username, self.host.domain).bare
        except ValueError as error:
            raise StanzaError("jid-malformed", str(error)) from None

    async def _keys(self, password: str) -> Any:
        if len(password) < self.config.shortest_password:
            raise StanzaError("not-acceptable", f"a password needs {self.config.shortest_password} characters")
        try:
            return await asyncio.to_thread(fresh, password)
        except ValueError as error:
            raise StanzaError("not-acceptable", str(error)) from None

    def _notify(self, text: str) -> None:
        for address in self.config.notify:
            body = Element(ns.CLIENT, "body", None, text)
            self.services.router.route(message(self.host.jid, Jid.parse(address), "normal", body))


def _filled_in(query: Element) -> tuple[str, str]:
    """User name and password, of the data form where there is one, else of the legacy fields (XEP-0077, 4)."""
    form = forms.find(query, "submit")
    if form is not None:
        expected = ns.REGISTER if forms.form_type(form) else ""
        values = forms.read(form, expected)
        username, password = (" ".join(values.get(name, ())) for name in ("username", "password"))
        return username.strip(), password
    legacy = query.child_text(ns.REGISTER, "username") or ""
    return legacy.strip(), query.child_text(ns.REGISTER, "password") or ""


def _link(url: str) -> Element:
    return Element(ns.OOB, "x", None, Element(ns.OOB, "url", None, url))


def _answer(stream: Any, iq: Element, payload: Element | None) -> None:
    result = Element(ns.CLIENT, "iq", {"type": "result", "id": iq.attrs["id"]})
    stream.send(result if payload is None else result.append(payload))


def _refuse(stream: Any, iq: Element, error: StanzaError) -> None:
    stream.send(Element(ns.CLIENT, "iq", {"type": "error", "id": iq.attrs["id"]}, error.element()))
