"""The only writers of accounts: what the console, `xmppctl`, the account store and the sign-in pages call.

Each change that running nodes must see leaves an AccountChange row in the same transaction and, once that has
committed, a notice to the nodes (`notify.py`); a lost notice costs the two seconds until nodes look at the rows anyway.

Wrong input raises ValueError with a sentence for people.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction

from mlink_web.accounts import scram
from mlink_web.accounts.models import Account, AccountChange, Credential, SignInToken
from mlink_web.conf import notify
from mlink_web.conf.models import Domain
from mlink_web.devices.store import forget_password
from mlink_web.invitations import store as invitations
from mlink_web.stores.models import StreamMark
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.storage.protocols import AccountExists
from xmpp_engine.storage.types import ScramKeys

TOKEN_SECONDS: Final = 60.0


class UnknownAccount(ValueError):
    """There is no account with this address."""


def atomic(using: str = DEFAULT_DB_ALIAS) -> AbstractContextManager[None]:
    """A transaction of the database with this alias."""
    return transaction.atomic(using=using)


def address(text: str) -> Jid:
    """The account address that a person typed; raises ValueError with a sentence."""
    try:
        jid = Jid.parse(text.strip())
    except ValueError as error:
        raise ValueError(f"{text.strip()!r} is not an XMPP address: {error}.") from None
    if not jid.local or jid.resource:
        raise ValueError(f"{text.strip()!r} is not the address of an account; it looks like name@domain.")
    return jid


def find(text: str) -> Account:
    """The account with this address; raises UnknownAccount or ValueError."""
    jid = address(text)
    try:
        return Account.objects.select_related("domain").get(username=jid.bare)
    except Account.DoesNotExist:
        raise UnknownAccount(f"There is no account {jid.bare}.") from None


def create_account(
    text: str, password: str | None, *, is_staff: bool = False, is_superuser: bool = False, state: str = "active"
) -> Account:
    """Make an account; `password` None means that nobody can sign in yet. Raises AccountExists, or ValueError also for
    a name that an invitation reserves."""
    jid = address(text)
    check_reserved(jid)
    keys = scram.derive(password) if password is not None else []
    try:
        return insert(jid.bare, keys, is_staff=is_staff, is_superuser=is_superuser, state=state)
    except IntegrityError:
        raise AccountExists(f"There is an account {jid.bare} already.") from None


def check_reserved(jid: Jid, using: str = DEFAULT_DB_ALIAS) -> None:
    """Raise ValueError where an open invitation keeps this name for somebody."""
    if invitations.reserved(jid.domain, jid.local, time.time(), using):
        raise ValueError(
            f"An invitation reserves the name {jid.local} in {jid.domain}; withdraw it first, or let it be used."
        )


def set_password(account: Account, password: str) -> None:
    """Give a new password: web sessions and one-time tokens of the account end. Raises ValueError."""
    replace_keys(account.username, scram.derive(password))
    account.__dict__.pop("_keys_cache", None)


def disable(account: Account) -> None:
    """Nobody signs in as the account any more; its sessions end at once."""
    _set_state(account, Account.State.DISABLED)


def enable(account: Account) -> None:
    """Let the account sign in again, whatever kept it from that."""
    _set_state(account, Account.State.ACTIVE)


def set_state(account: Account, state: str) -> None:
    """Put the account into one of Account.State; raises ValueError."""
    if state not in Account.State.values:
        raise ValueError(f"{state!r} is not a state of an account; there are {', '.join(Account.State.values)}.")
    _set_state(account, Account.State(state))


def set_roles(account: Account, *, is_staff: bool, is_superuser: bool) -> None:
    """Give or take the console; refuses to take it from the last administrator (ValueError)."""
    with transaction.atomic():
        if account.is_superuser and not is_superuser:
            _keep_one_administrator(account)
        account.is_staff, account.is_superuser = is_staff, is_superuser
        account.save(update_fields=("is_staff", "is_superuser"))
        changed([account.username])


def set_archive(account: Account, default: str, always: Sequence[str] = (), never: Sequence[str] = ()) -> None:
    """Store the archive preferences (XEP-0313); raises ValueError for a default that does not exist."""
    if default not in Account.Archive.values:
        raise ValueError(f"{default!r} is not an archive preference.")
    account.archive, account.archive_always, account.archive_never = default, sorted(always), sorted(never)
    with transaction.atomic():
        account.save(update_fields=("archive", "archive_always", "archive_never"))
        changed([account.username])


def move(account: Account, text: str) -> str:
    """Mark an account as moved to another address, and return that: others are told so, the owner may go on to sign in.
    Raises ValueError with a sentence for an address that cannot be: none, its own, one of a domain that is served here
    without such an account, or one that has moved to this one itself."""
    now = address(text).bare
    with transaction.atomic():
        # Of two that move to each other at once the second sees the first.
        ordered = Account.objects.select_for_update().filter(username__in=(account.username, now)).order_by("username")
        known = {row.username: row for row in ordered}
        if now == account.username:
            raise ValueError("An account cannot move to its own address.")
        if now not in known and Domain.objects.filter(name=now.rpartition("@")[2]).exists():
            raise ValueError(f"There is no account {now}; add it first.")
        seen, here = {account.username}, now
        while here:
            if here in seen:
                raise ValueError(f"{now} has moved to {account.username} itself.")
            seen.add(here)
            here = Account.objects.filter(username=here).values_list("moved_to", flat=True).first() or ""
        _set_moved(account, now)
    return now


def unmove(account: Account) -> None:
    """The account is itself again: others reach it as before. Who follows the other address goes on to."""
    with transaction.atomic():
        _set_moved(account, "")


def remove(account: Account) -> None:
    """Delete the account with its roster, offline messages, private data and vCard; archives stay."""
    with transaction.atomic():
        if account.is_superuser:
            _keep_one_administrator(account)
        delete(account.username)


def issue_token(account: Account) -> str:
    """A one-time password, good for one XMPP login within the next minute; raises ValueError where none can work."""
    if not account.is_active:
        raise ValueError(f"{account.username} may not sign in.")
    credentials = list(account.credentials.all())
    if not credentials:
        raise ValueError(f"{account.username} has no password, so no sign-in can be prepared.")
    text = secrets.token_urlsafe(24)
    now = time.time()
    # Each by its own salt: those of an imported account may differ, and some may be missing.
    keys = [scram.like(text, credential.as_keys()) for credential in credentials]
    serial = secrets.token_hex(16)
    with transaction.atomic():
        SignInToken.objects.filter(account=account, expires__lt=now).delete()
        SignInToken.objects.bulk_create(
            SignInToken(
                account=account,
                token=serial,
                mechanism=key.mechanism,
                stored_key=key.stored_key,
                server_key=key.server_key,
                expires=now + TOKEN_SECONDS,
            )
            for key in keys
        )
    return text


def changed(addresses: Sequence[str], using: str = DEFAULT_DB_ALIAS) -> None:
    """Note that running nodes must look at these accounts again; call it inside the transaction of the change."""
    AccountChange.objects.using(using).bulk_create(AccountChange(bare=bare) for bare in addresses)
    transaction.on_commit(lambda: notify.accounts_changed(addresses), using=using)


def insert(
    bare: str,
    keys: list[ScramKeys],
    *,
    is_staff: bool = False,
    is_superuser: bool = False,
    state: str = "active",
    using: str = DEFAULT_DB_ALIAS,
) -> Account:
    """Store a new account; raises IntegrityError for one that exists, ValueError for a domain that does not."""
    local, _, name = bare.partition("@")
    with atomic(using):
        account = Account(
            username=bare,
            local=local,
            domain=domain_of(name, using),
            is_staff=is_staff,
            is_superuser=is_superuser,
            state=state,
        )
        account.save(using=using, force_insert=True)
        Credential.objects.using(using).bulk_create(Credential.of(account, keys))
        # Nodes remember for a moment which addresses do not exist.
        changed([bare], using)
    return account


def domain_of(name: str, using: str = DEFAULT_DB_ALIAS) -> Domain:
    """The domain with this name; raises ValueError."""
    try:
        return Domain.objects.using(using).get(name=name)
    except Domain.DoesNotExist:
        raise ValueError(f"The domain {name} is not served here.") from None


def replace_keys(bare: str, keys: list[ScramKeys], using: str = DEFAULT_DB_ALIAS) -> None:
    """Store the keys of a new password; raises UnknownAccount."""
    with atomic(using):
        account = Account.objects.using(using).filter(username=bare).first()
        if account is None:
            raise UnknownAccount(f"There is no account {bare}.")
        Credential.replace(account, keys)
        forget_password(using, account.pk)
        changed([bare], using)


def delete(bare: str, using: str = DEFAULT_DB_ALIAS) -> None:
    """Delete the rows of an account; nothing happens where there is none."""
    with atomic(using):
        account = Account.objects.using(using).filter(username=bare).first()
        if account is None:
            return
        StreamMark.objects.using(using).filter(account_id=account.pk).delete()
        account.delete(using=using)
        # Whoever gets the address later is not where these have moved to: contacts would follow him.
        moved = Account.objects.using(using).filter(moved_to=bare)
        orphans = list(moved.values_list("username", flat=True))
        moved.update(moved_to="")
        changed([bare, *orphans], using)


def _set_state(account: Account, state: Account.State) -> None:
    with transaction.atomic():
        if state != Account.State.ACTIVE and account.is_superuser:
            _keep_one_administrator(account)
        account.state = state
        account.save(update_fields=("state",))
        changed([account.username])


def _set_moved(account: Account, now: str) -> None:
    account.moved_to = now
    account.save(update_fields=("moved_to",))
    changed([account.username])


def _keep_one_administrator(account: Account) -> None:
    others = Account.objects.filter(is_superuser=True, state=Account.State.ACTIVE).exclude(pk=account.pk)
    if account.is_active and not others.exists():
        raise ValueError(f"{account.username} is the last administrator; make another one first.")
