"""XEP-0401 and XEP-0445: users invite people, by a link that lets them make an account, become a contact, or both.

Two ad-hoc commands make links. What is in a link is used in three places: before sign-in, where the token lets a
stranger register (`register.py` asks `check` and tells `accepted`); in a subscription request, where it approves
(XEP-0379, 3.4 and 3.5); and on the web page of the link, which comes in through `Register.redeem`.

A request with a token waits until the store has been asked; then it goes on without the token, so that neither a
client nor the roster sees a secret that may be good for more. A token that is no good changes nothing: the user is
asked, as for any request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.addressing.uri import uri_of as uri_of_address
from xmpp_engine.observe.log import refused, sessions
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import HANDLED, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.commands import Caller, CommandNode, Done, Form, Run
from xmpp_engine.stanza import forms
from xmpp_engine.stanza.build import presence, timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.invitations import TOKEN_LENGTH, Invitation, Kind, digest_of, new_token
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

DAY: Final = 86_400.0
#: Invitations that an administrator may make in a day.
_ADMIN_QUOTA: Final = 1_000
_SWEEP_SECONDS: Final = 3_600.0
#: How long those that ended are still shown to who made them.
KEPT_DAYS: Final = 30
_INVITATION: Final = f"{ns.INVITE}#invitation"
#: For clients that know nothing of invitations and show the form as it is.
_LABELS: Final = {"uri": "Address for apps", "landing-url": "Address for a browser", "expire": "Valid until"}


@dataclass(frozen=True, slots=True)
class InvitationOptions:
    """`accounts`: who may invite people to make an account. `contacts`: whether every user may make links by which
    somebody becomes a contact. `per_day`: how many a user makes in 24 hours. `days`: how long one is valid. `landing`:
    the address of the page of a link, to which the token is added; "" for `/invite/` of the domain's public URL."""

    accounts: Literal["everybody", "admins", "nobody"] = "admins"
    contacts: bool = True
    per_day: int = 10
    days: float = 7.0
    landing: str = ""

    def __post_init__(self) -> None:
        if self.accounts not in ("everybody", "admins", "nobody"):
            raise ValueError("invitations.accounts is everybody, admins or nobody")
        if not 0 < self.days <= 366:
            raise ValueError("invitations.days is a number up to 366, and more than 0")

    def may_register(self, *, is_admin: bool) -> bool:
        """Whether such a user may invite people to make an account."""
        return self.accounts == "everybody" or (self.accounts == "admins" and is_admin)

    def may_invite(self, *, is_admin: bool) -> bool:
        """Whether such a user may make links at all."""
        return self.contacts or self.may_register(is_admin=is_admin)

    def quota(self, *, is_admin: bool) -> int:
        """How many such a user may make in a day; 0 is none, never no limit."""
        return _ADMIN_QUOTA if is_admin else max(0, self.per_day)


def invite(
    options: InvitationOptions,
    domain: str,
    now: float,
    kind: Kind,
    *,
    inviter: str = "",
    local: str = "",
    register: bool = True,
    contact: bool = False,
    most: int = 1,
) -> tuple[str, Invitation]:
    """A token and its row, not stored yet. `local` is prepared here; raises ValueError where it is no user name."""
    if local:
        local = Jid.make(local, domain).local
    token = new_token()
    expires = now + options.days * DAY
    row = Invitation(digest_of(token), domain, kind, inviter, local, register, contact, now, expires, most)
    return token, row


def uri_of(row: Invitation, token: str) -> str:
    """The xmpp: URI of an invitation (XEP-0401, 4.1 and 4.5), "" for one to set a password."""
    if row.kind == "contact":
        inviter = uri_of_address(Jid.parse(row.inviter))
        return f"{inviter}?roster;preauth={token}" + (";ibr=y" if row.register else "")
    if row.kind == "account":
        return f"{uri_of_address(Jid(row.local, row.domain))}?register;preauth={token}"
    return ""


class Invitations(Module):
    """Commands that make invitations, and what tokens open."""

    name = "invitations"
    xeps = (
        Xep("0401", "0.6.0"),
        Xep("0445", "0.2.0"),
        Xep("0379", "0.3.3", "partial", "tokens are made and accepted by the server, by the rules of XEP-0401"),
    )
    requires = ("adhoc", "roster", "subscription", "register")
    Config = InvitationOptions

    def setup(self, reg: Registrar) -> None:
        if self.config.accounts != "nobody":
            self.needs("register").invites = self
            reg.early_feature(self.offer)
        adhoc = self.needs("adhoc")
        adhoc.add(CommandNode(f"{ns.INVITE}#invite", "Invite somebody", self._may_invite, self.make_link))
        adhoc.add(
            CommandNode(
                f"{ns.INVITE}#create-account",
                "Invite somebody to make an account",
                self._may_register,
                self.make_account_link,
                (self.ask,),
            )
        )
        reg.presence_in(Phase.POLICY, self.requested)
        reg.timer(_SWEEP_SECONDS, self.sweep)

    def offer(self, _host: Any) -> Element:
        """The stream feature for strangers with a token (XEP-0445, 3)."""
        return Element(ns.IBR_TOKEN, "register")

    async def sweep(self) -> None:
        """Forget invitations that ended long ago."""
        cluster = self.services.cluster
        if cluster is not None and cluster.leader != cluster.name:
            return
        await self.services.stores.invitations.expire(self.services.clock.time() - KEPT_DAYS * DAY)

    # Links

    def _may_invite(self, caller: Caller) -> bool:
        return self._ours(caller) and bool(self.config.may_invite(is_admin=caller.administrator))

    def _may_register(self, caller: Caller) -> bool:
        return self._ours(caller) and bool(self.config.may_register(is_admin=caller.administrator))

    def _ours(self, caller: Caller) -> bool:
        return caller.session is not None and caller.session.host is self.host

    async def make_link(self, run: Run) -> Done:
        """`#invite`: who uses the link becomes a contact, with an account of this server where that is allowed."""
        register = self.config.may_register(is_admin=run.caller.administrator)
        return await self._make(run.caller, "contact", register=register, contact=True)

    def ask(self, _run: Run) -> Form:
        """The form of `#create-account`."""
        fields = (
            forms.Field("username", label="User name", description="Leave it empty to let the new user choose."),
            forms.Field("roster-subscription", "boolean", label="Make us contacts of each other", values=("1",)),
        )
        return Form(fields, title="Invite somebody to make an account")

    async def make_account_link(self, run: Run) -> Done:
        """`#create-account`: an account with a name that is given or left open."""
        local = str(run.values.get("username") or "").strip()
        contact = bool(run.values.get("roster-subscription", False))
        return await self._make(run.caller, "account", local=local, contact=contact)

    async def _make(self, caller: Caller, kind: Kind, **more: Any) -> Done:
        now = self.services.clock.time()
        bare = caller.jid.bare
        stores = self.services.stores
        try:
            token, row = invite(self.config, self.host.domain, now, kind, inviter=bare, **more)
            if row.local and await stores.accounts.credentials(f"{row.local}@{row.domain}") is not None:
                raise StanzaError("conflict", "there is an account with this name already")
            quota = self.config.quota(is_admin=caller.administrator)
            if not quota:
                raise StanzaError("resource-constraint", "no invitations can be made here")
            await stores.invitations.add(row, now - DAY, quota)
        except ValueError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        sessions.info("%s made an invitation (%s)", bare, kind)
        values: dict[str, forms.Value] = {"uri": uri_of(row, token)}
        landing = self._landing(token)
        if landing:
            values["landing-url"] = landing
        values["expire"] = timestamp(row.expires)
        fields = [forms.Field(var, label=_LABELS[var], values=(str(value),)) for var, value in values.items()]
        return Done(payloads=(forms.render("result", _INVITATION, fields, title="Invitation"),))

    def _landing(self, token: str) -> str:
        if self.config.landing:
            return f"{self.config.landing}{token}"
        public = self.host.config.public_url.rstrip("/")
        return f"{public}/invite/{token}" if public else ""

    # What register.py asks

    async def check(self, token: str) -> Invitation:
        """The invitation that lets make an account in this domain; raises StanzaError."""
        row: Invitation | None = None
        if 0 < len(token) <= TOKEN_LENGTH:
            row = await self.services.stores.invitations.find(digest_of(token))
        fits = row is not None and row.register and row.kind != "reset" and row.domain == self.host.domain
        if row is None or not fits or not row.valid(self.services.clock.time()) or not await self._stands(row):
            raise StanzaError("item-not-found", "the token is invalid, or has expired")
        return row

    async def _stands(self, row: Invitation) -> bool:
        """Whether who made it may still sign in: those who were put out let nobody in."""
        if not row.inviter:
            return True
        inviter = await self.services.stores.accounts.credentials(row.inviter)
        return inviter is not None and inviter.state == "active"

    async def accepted(self, invitation: Invitation, account: str) -> None:
        """An account was made: inviter and invitee become contacts where the invitation says so (XEP-0401, 4.6)."""
        if not invitation.contact or not invitation.inviter:
            return
        inviter = await self.services.accounts.load(invitation.inviter, self.host)
        invitee = await self.services.accounts.load(account, self.host)
        if inviter is None or invitee is None:
            return
        for one, other in ((invitee, inviter), (inviter, invitee)):
            item = one.roster.get(other.bare) or RosterItem(other.bare)
            if not item.listed:
                self.needs("roster").check_room(one)
            both = replace(item, subscription="both", ask=False, approved=False, pending_in=False, request="")
            await self.needs("roster").change(one, [both])

    # Requests that bring a token

    def requested(self, stanza: Stanza, account: Account) -> Verdict:
        """A subscription request with a token waits for the store; every other presence goes on."""
        if stanza.type != "subscribe":
            return None
        preauth = stanza.element.find(ns.PARS, "preauth")
        if preauth is None:
            return None
        origin = stanza.origin
        held = origin is not None and origin.hold("invitation")
        self.services.tasks.spawn(f"invitation of {account.bare}", self._request(stanza, account, preauth, held))
        return HANDLED

    async def _request(self, stanza: Stanza, account: Account, preauth: Element, held: bool) -> None:
        contact = stanza.sender.to_bare()
        try:
            stanza.element.remove(preauth)
            stanza.changed()
            approved = await self._approve(account, contact, preauth.get("token") or "")
            self.services.router.route(stanza)
            if approved:
                self._ask_back(account, contact)
        except StoreUnavailable as error:
            refused.error("the invitation of %s to %s is not looked at: %s", account.bare, contact, error)
            self.services.router.route(stanza)
        finally:
            if held:
                stanza.origin.release()

    async def _approve(self, account: Account, contact: Jid, token: str) -> bool:
        """Spend the token and approve the request that comes next; False where the user must be asked."""
        store = self.services.stores.invitations
        if not 0 < len(token) <= TOKEN_LENGTH or account.is_subscribed_to_us(contact.bare):
            return False
        row = await store.find(digest_of(token))
        if row is None or row.inviter != account.bare or not row.contact:
            return False
        if await store.use(row.digest, contact.bare, self.services.clock.time()) is None:
            return False
        roster = self.needs("roster")
        item = account.roster.get(contact.bare) or RosterItem(contact.bare)
        if not item.listed:
            try:
                roster.check_room(account)
            except StanzaError as error:
                refused.warning("%s was invited by %s, whose roster is full: %s", contact, account.bare, error)
                await store.release(row.digest, contact.bare)
                return False
        roster.put(account, replace(item, approved=True))
        sessions.info("%s was invited by %s and is a contact now", contact, account.bare)
        return True

    def _ask_back(self, account: Account, contact: Jid) -> None:
        """The inviter asks in turn (XEP-0379, 3.5)."""
        item = account.roster.get(contact.bare)
        if item is None or item.ask or item.subscription not in ("none", "from"):
            return
        roster = self.needs("roster")
        stored = roster.put(account, replace(item, ask=True))
        self.services.router.route(presence(account.jid, contact, "subscribe"))
        # An answer that came at once has pushed what is newer than this.
        if account.roster.get(contact.bare) is stored:
            roster.push(account, stored)
