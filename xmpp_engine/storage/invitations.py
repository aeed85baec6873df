"""Invitations: to make an account, to become a contact, to set a new password (XEP-0401, XEP-0445). The contract, and
the store in memory.

The token of an invitation is a secret that stands in its link; only its digest is stored, so who reads the database
can use none. `use` is the one place that spends an invitation, and it does so for one caller at a time.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

Kind = Literal["account", "contact", "reset"]
KINDS: Final = ("account", "contact", "reset")
#: Bytes of a token before it becomes text: 144 bits.
_TOKEN_BYTES: Final = 18
#: Characters that a token may have where somebody brings one.
TOKEN_LENGTH: Final = 64


@dataclass(slots=True)
class Invitation:
    """One invitation.

    `digest` is the hash of the token (`digest_of`). `domain` is the domain that it lets into. `inviter` is the bare JID
    of who made it, "" for an administrator's command. `local` is the user name that an account must have, or whose
    password is reset; "" leaves the choice. `register` is whether an account may be made with it, `contact` whether
    inviter and invitee become contacts. `most` is how often it may be used. Times are seconds since the epoch,
    `expires` 0.0 for never. `used_by` is the bare JID of the last who used it.
    """

    digest: str
    domain: str
    kind: Kind
    inviter: str = ""
    local: str = ""
    register: bool = True
    contact: bool = False
    created: float = 0.0
    expires: float = 0.0
    most: int = 1
    uses: int = 0
    revoked: bool = False
    used_by: str = ""
    id: int = 0

    def valid(self, now: float) -> bool:
        """Whether it can still be used."""
        return not self.revoked and self.uses < self.most and (not self.expires or self.expires > now)


class InvitationStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer.

    Removing an account, in whatever way, removes in the same transaction the invitations that it made and those by
    which its password is set: whoever gets the address later has nothing to do with either.
    """

    async def add(self, row: Invitation, since: float, quota: int) -> int:
        """Store a new one and return its number. Raises QuotaExceeded where the inviter has made `quota` or more since
        `since`; 0 is no quota. A name that another valid invitation of the domain has reserved is a ValueError."""

    async def find(self, digest: str) -> Invitation | None:
        """The invitation with this digest, valid or not."""

    async def made(self, domain: str, inviter: str | None, limit: int, before: int = 0) -> list[Invitation]:
        """Those of a domain, or those of one inviter, newest first, with a number under `before` unless that is 0."""

    async def revoke(self, number: int, inviter: str | None = None) -> bool:
        """Make it useless; False where there is none with this number (of this inviter) that was not used up."""

    async def use(self, digest: str, bare: str, now: float) -> Invitation | None:
        """Count one use by `bare`; None where it cannot be used. `now` 0.0 ignores the expiry (XEP-0445, 4)."""

    async def release(self, digest: str, bare: str) -> None:
        """Take one use by `bare` back: what it was for has failed."""

    async def reserved(self, domain: str, local: str, now: float) -> str:
        """The digest of the valid invitation for this user name, "" where the name is free (XEP-0445, 5)."""

    async def expire(self, before: float) -> int:
        """Remove those that ended before this time; returns how many."""


def new_token() -> str:
    """A fresh, unguessable token that needs no escaping in a URI."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest_of(token: str) -> str:
    """What is stored of a token. Tokens are long and random, so a plain hash cannot be reversed."""
    return hashlib.sha256(token.encode()).hexdigest()


class MemoryInvitations:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: dict[str, Invitation] = {}
        self._last = 0
        memory.on_removal.append(self._forget)

    async def add(self, row: Invitation, since: float, quota: int) -> int:
        """See the protocol."""
        self._memory.check()
        made = sum(other.inviter == row.inviter and other.created > since for other in self._rows.values())
        if quota and made >= quota:
            from xmpp_engine.storage.protocols import QuotaExceeded

            raise QuotaExceeded(f"{quota} invitations were made already; try again later")
        if row.kind == "account" and row.local and await self.reserved(row.domain, row.local, row.created):
            raise ValueError(f"Another invitation reserves the name {row.local}.")
        self._last += 1
        self._rows[row.digest] = replace(row, id=self._last)
        return self._last

    async def find(self, digest: str) -> Invitation | None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(digest)
        return None if row is None else replace(row)

    async def made(self, domain: str, inviter: str | None, limit: int, before: int = 0) -> list[Invitation]:
        """See the protocol."""
        self._memory.check()
        rows = [
            replace(row)
            for row in self._rows.values()
            if row.domain == domain and inviter in (None, row.inviter) and (not before or row.id < before)
        ]
        return sorted(rows, key=lambda row: -row.id)[:limit]

    async def revoke(self, number: int, inviter: str | None = None) -> bool:
        """See the protocol."""
        self._memory.check()
        for row in self._rows.values():
            if row.id == number and inviter in (None, row.inviter) and not row.revoked and row.uses < row.most:
                row.revoked = True
                return True
        return False

    async def use(self, digest: str, bare: str, now: float) -> Invitation | None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(digest)
        if row is None or row.revoked or row.uses >= row.most or (now and row.expires and row.expires <= now):
            return None
        row.uses += 1
        row.used_by = bare
        return replace(row)

    async def release(self, digest: str, bare: str) -> None:
        """See the protocol."""
        self._memory.check()
        row = self._rows.get(digest)
        if row is not None and row.uses and row.used_by == bare:
            row.uses -= 1
            row.used_by = ""

    async def reserved(self, domain: str, local: str, now: float) -> str:
        """See the protocol."""
        self._memory.check()
        for row in self._rows.values():
            if (row.kind, row.domain, row.local) == ("account", domain, local) and row.valid(now):
                return row.digest
        return ""

    async def expire(self, before: float) -> int:
        """See the protocol."""
        self._memory.check()
        gone = [digest for digest, row in self._rows.items() if row.expires and row.expires < before]
        for digest in gone:
            del self._rows[digest]
        return len(gone)

    def _forget(self, bare: str) -> None:
        for row in list(self._rows.values()):
            if row.inviter == bare or (row.kind == "reset" and f"{row.local}@{row.domain}" == bare):
                del self._rows[row.digest]
