"""What the pages and commands do with invitations. Wrong input raises ValueError with a sentence for people.

Accounts are made by the running node and not here (`xmpp_engine.admin.invitations`): inviter and invitee become
contacts in rosters that the node has in memory. New passwords are set here, as everywhere on the pages.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.invitations import store
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from xmpp_engine.api import QuotaExceeded, RegisterOptions, invitations_module, stored_invitations

Invitation = stored_invitations.Invitation
Options = invitations_module.InvitationOptions
NODE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Made:
    """A new invitation: the only time that its token is known."""

    token: str
    row: Invitation

    @property
    def uri(self) -> str:
        """The xmpp: URI, "" for one that sets a password."""
        return invitations_module.uri_of(self.row, self.token)


def options_of(domain: Domain) -> Options:
    """The options of the domain's module; nobody may do anything where the module is off."""
    if "invitations" in domain.disabled_modules or not domain.enabled:
        return Options(accounts="nobody", contacts=False)
    return Options(**domain.modules.get("invitations", {}))


def shortest_password(name: str) -> int:
    """Characters that a password of this domain needs."""
    domain = Domain.objects.filter(name=name).first()
    given = domain.modules.get("register", {}) if domain is not None else {}
    return int(given.get("shortest_password", RegisterOptions().shortest_password))


def may(account: Account) -> tuple[bool, bool]:
    """Whether this user may make links for contacts, and links that let make an account."""
    options = options_of(account.domain)
    is_admin = account.is_superuser
    return options.may_invite(is_admin=is_admin), options.may_register(is_admin=is_admin)


def invite_by(account: Account, *, register: bool) -> Made:
    """A link by which somebody becomes a contact of this user, and may make an account where `register` is wanted and
    allowed."""
    invites, registers = may(account)
    if not invites or (register and not registers):
        raise ValueError("You may not make such an invitation here.")
    quota = options_of(account.domain).quota(is_admin=account.is_superuser)
    if not quota:  # which means no limit to the store
        raise ValueError("No invitations can be made here.")
    return _store(
        account.domain,
        quota,
        "contact",
        inviter=account.username,
        register=register,
        contact=True,
    )


def invite_to_account(domain: Domain, name: str = "", most: int = 1) -> Made:
    """An administrator's invitation to make an account, of a given name or any."""
    if not 1 <= most <= 1_000:
        raise ValueError("An invitation is good for 1 to 1000 accounts.")
    if name and most > 1:
        raise ValueError("An account with a given name can be made once.")
    if options_of(domain).accounts == "nobody":
        raise ValueError(f"Invitations are switched off in {domain.name}.")
    if name:
        bare = accounts.address(f"{name}@{domain.name}").bare
        if Account.objects.filter(username=bare).exists():
            raise ValueError(f"There is an account {bare} already.")
    return _store(domain, 0, "account", local=name, most=most)


def invite_to_new_password(account: Account) -> Made:
    """A link by which the owner of an account sets a new password."""
    return _store(account.domain, 0, "reset", local=account.local, register=False)


def _store(domain: Domain, quota: int, kind: Any, **more: Any) -> Made:
    now = time.time()
    token, row = invitations_module.invite(options_of(domain), domain.name, now, kind, **more)
    try:
        row.id = store.add(row, now - invitations_module.DAY, quota)
    except QuotaExceeded as error:
        raise ValueError(f"{str(error).capitalize()}.") from None
    return Made(token, row)


def find_valid(token: str) -> Invitation | None:
    """The invitation with this token if it can still be used."""
    if not 0 < len(token) <= stored_invitations.TOKEN_LENGTH:
        return None
    row = store.find(stored_invitations.digest_of(token))
    if row is None or not row.valid(time.time()):
        return None
    # Those who were put out let nobody in.
    if row.inviter and not Account.objects.filter(username=row.inviter, state=Account.State.ACTIVE).exists():
        return None
    return row if Domain.objects.filter(name=row.domain, enabled=True).exists() else None


def check_name(row: Invitation, name: str) -> str:
    """What keeps this user name from being taken with the invitation, "" for nothing."""
    if "@" in name or "/" in name:
        return "Enter only the part before the @."
    try:
        jid = accounts.address(f"{name}@{row.domain}")
    except ValueError:
        return "This cannot be a user name. Letters, digits, dots and dashes are fine."
    holder = store.reserved(row.domain, jid.local, time.time())
    if Account.objects.filter(username=jid.bare).exists() or (holder and holder != row.digest):
        return f"{jid.bare} is taken already."
    return ""


def register(row: Invitation, token: str, name: str, password: str, address: str) -> Account:
    """Make the account by the running node."""
    return accounts.find(redeem(row.domain, token, name, password, address))


def redeem(domain: str, token: str, name: str, password: str, address: str) -> str:
    """What the node is asked; returns the new bare JID."""

    async def ask() -> Any:
        async with asyncio.timeout(NODE_SECONDS):
            return await EngineClient().call(
                "invite redeem", domain=domain, token=token, name=name, password=password, address=address
            )

    try:
        answer = asyncio.run(ask())
    except NodeDown:
        raise ValueError("The chat server is not running just now. Please try again in a moment.") from None
    except EngineError as error:
        text = str(error)
        raise ValueError(f"{text[:1].upper()}{text[1:]}.") from None
    except (TimeoutError, OSError):
        raise ValueError("The chat server does not answer. Please try again in a moment.") from None
    return str(answer["jid"])


def set_password(row: Invitation, password: str) -> Account:
    """Spend an invitation for a new password."""
    account = accounts.find(f"{row.local}@{row.domain}")
    if len(password) < shortest_password(row.domain):
        raise ValueError(f"A password needs {shortest_password(row.domain)} characters.")
    if store.use(row.digest, account.username, time.time()) is None:
        raise ValueError("This link was used already.")
    try:
        accounts.set_password(account, password)
    except Exception:
        store.release(row.digest, account.username)
        raise
    return account


def state_of(row: Invitation) -> str:
    """One word for lists: open, used, withdrawn or expired."""
    if row.revoked:
        return "withdrawn"
    if row.uses >= row.most:
        return "used"
    return "open" if row.valid(time.time()) else "expired"


def purpose_of(row: Invitation) -> str:
    """What it is for, in a few words."""
    if row.kind == "reset":
        return f"New password for {row.local}"
    if row.kind == "contact":
        return "Contact and account" if row.register else "Contact"
    return f"Account {row.local}" if row.local else "Account"
