"""The clients that an account uses and the tokens they sign in with (XEP-0494, XEP-0484). The contract, and the store
in memory.

A device is known by a reference: a hash of the id that the client gives of itself (XEP-0388, `<user-agent/>`), or of
its resource where it gives none. The id itself is kept nowhere. No token is kept either: its text is derived from the
node's secret and the row (`sasl/fast.py`), so whoever has only the database cannot sign in.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from xmpp_engine.storage.memory import Memory

#: Devices remembered of one account; the ones not seen for longest go first, with their tokens.
MAX_DEVICES: Final = 50
#: How a device has proved who it is, as bits of `DeviceRow.methods`.
PASSWORD: Final = 1
FAST: Final = 2
GRANT: Final = 4
CERTIFICATE: Final = 8
METHODS: Final = {PASSWORD: "password", FAST: "fast", GRANT: "grant", CERTIFICATE: "certificate"}
#: Characters kept of what a client says of itself.
MAX_TEXT: Final = 100
MAX_RESOURCE: Final = 200


def reference(kind: str, text: str) -> str:
    """The reference of a device: `kind` says what `text` is (agent, resource, unknown)."""
    return urlsafe_b64encode(hashlib.sha256(f"{kind}\0{text}".encode()).digest())[:16].decode()


@dataclass(slots=True)
class DeviceVisit:
    """A sign-in, or (`ended`) the end of a session, of which only the time counts. `method` is one of METHODS, `fresh`
    whether the device may be new to the store."""

    account_id: int
    device: str
    stamp: float
    software: str = ""
    name: str = ""
    address: str = ""
    mechanism: str = ""
    resource: str = ""
    method: int = 0
    named: bool = False
    ended: bool = False
    fresh: bool = True


@dataclass(slots=True)
class DeviceRow:
    """One device. `methods` is a sum of METHODS since the password last changed, `named` whether the client gave an id
    of itself, `token_expires` when its last token ends (0.0: it has none)."""

    account_id: int
    device: str
    software: str
    name: str
    first_seen: float
    last_seen: float
    address: str
    mechanism: str
    resource: str
    methods: int
    named: bool
    token_expires: float = 0.0


@dataclass(slots=True)
class TokenRow:
    """One token (XEP-0484) without its text. A device has at most two: the one it uses (`current`), and a newer one
    that it was given and has not used yet. `count` is the highest counter seen."""

    account_id: int
    device: str
    mechanism: str
    nonce: bytes
    issued: float
    expires: float
    current: bool = False
    count: int = -1


class DeviceStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer."""

    async def seen(self, visits: Sequence[DeviceVisit]) -> None:
        """Write visits in their order; unknown accounts are passed over. Never more than MAX_DEVICES an account: what
        is too much is forgotten as by `revoke`."""

    async def devices(self, account_id: int) -> list[DeviceRow]:
        """The devices of an account, the last seen first."""

    async def revoke(self, account_id: int, device: str) -> DeviceRow | None:
        """Forget a device with its tokens and push registrations, in one transaction; returns what it was, None for an
        unknown one."""

    async def tokens(self, account_id: int, device: str) -> list[TokenRow]:
        """The tokens of a device, the newest first; expired ones too."""

    async def add_token(self, row: TokenRow, after: TokenRow | None = None) -> bool:
        """Store a new token in place of one that the device has not used. Accounts keep the newest 2 * MAX_DEVICES.

        False, and nothing stored, where it was to follow a token that is gone: the device was revoked meanwhile.
        """

    async def use_token(self, row: TokenRow, count: int | None) -> bool:
        """Mark a token as the current one, whereupon the device's older ones go; take its counter. False when the token
        is gone, or the counter is not higher than all before: then the sign-in must fail."""

    async def drop_token(self, row: TokenRow) -> bool:
        """Invalidate one token; False when it was gone."""

    async def forget_password(self, account_id: int) -> None:
        """The password has changed: no device knows it any more, and all tokens go."""

    async def expire(self, domain: str, before: float, now: float) -> int:
        """Remove devices of a domain not seen since `before`, with their tokens and push registrations, and tokens that
        expired before `now`; returns how many rows of devices and tokens."""


class MemoryDevices:
    """In dictionaries."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._devices: dict[tuple[int, str], DeviceRow] = {}
        self._tokens: list[TokenRow] = []

    async def seen(self, visits: Sequence[DeviceVisit]) -> None:
        """See the protocol."""
        self._memory.check()
        for visit in visits:
            if visit.account_id not in self._memory.numbers:
                continue
            key = (visit.account_id, visit.device)
            old = self._devices.get(key)
            if visit.ended:
                if old is not None:
                    old.last_seen = max(old.last_seen, visit.stamp)
                continue
            self._devices[key] = DeviceRow(
                visit.account_id,
                visit.device,
                visit.software,
                visit.name,
                old.first_seen if old is not None else visit.stamp,
                visit.stamp,
                visit.address,
                visit.mechanism,
                visit.resource,
                visit.method | (old.methods if old is not None else 0),
                visit.named,
            )
            for row in (await self.devices(visit.account_id))[MAX_DEVICES:]:
                await self.revoke(row.account_id, row.device)

    async def devices(self, account_id: int) -> list[DeviceRow]:
        """See the protocol."""
        self._memory.check()
        found = []
        for row in self._devices.values():
            if row.account_id == account_id and account_id in self._memory.numbers:
                expires = (token.expires for token in self._tokens if self._is(token, account_id, row.device))
                found.append(replace(row, token_expires=max(expires, default=0.0)))
        return sorted(found, key=lambda row: -row.last_seen)

    async def revoke(self, account_id: int, device: str) -> DeviceRow | None:
        """See the protocol."""
        found = next((row for row in await self.devices(account_id) if row.device == device), None)
        self._tokens = [token for token in self._tokens if not self._is(token, account_id, device)]
        self._forget((account_id, device))
        return found

    async def tokens(self, account_id: int, device: str) -> list[TokenRow]:
        """See the protocol."""
        self._memory.check()
        found = [replace(token) for token in self._tokens if self._is(token, account_id, device)]
        return sorted(found, key=lambda token: -token.issued)

    async def add_token(self, row: TokenRow, after: TokenRow | None = None) -> bool:
        """See the protocol."""
        if after is not None and all(
            token.nonce != after.nonce for token in await self.tokens(after.account_id, after.device)
        ):
            return False
        self._memory.check()
        self._tokens = [
            token for token in self._tokens if token.current or not self._is(token, row.account_id, row.device)
        ]
        self._tokens.append(replace(row))
        own = sorted((token for token in self._tokens if token.account_id == row.account_id), key=lambda t: -t.issued)
        for token in own[2 * MAX_DEVICES :]:
            self._tokens.remove(token)
        return True

    async def use_token(self, row: TokenRow, count: int | None) -> bool:
        """See the protocol."""
        self._memory.check()
        for token in self._tokens:
            if self._is(token, row.account_id, row.device) and token.nonce == row.nonce:
                if count is not None:
                    if count <= token.count:
                        return False
                    token.count = count
                token.current = True
                self._tokens = [
                    other
                    for other in self._tokens
                    if other is token or other.issued > token.issued or not self._is(other, row.account_id, row.device)
                ]
                return True
        return False

    async def drop_token(self, row: TokenRow) -> bool:
        """See the protocol."""
        self._memory.check()
        before = len(self._tokens)
        self._tokens = [
            token
            for token in self._tokens
            if token.nonce != row.nonce or not self._is(token, row.account_id, row.device)
        ]
        return len(self._tokens) < before

    async def forget_password(self, account_id: int) -> None:
        """See the protocol."""
        self._memory.check()
        self._tokens = [token for token in self._tokens if token.account_id != account_id]
        for row in self._devices.values():
            if row.account_id == account_id:
                row.methods &= ~(PASSWORD | FAST)

    async def expire(self, domain: str, before: float, now: float) -> int:
        """See the protocol."""
        self._memory.check()
        own = {id for id, kept in self._memory.numbers.items() if kept.data.bare.partition("@")[2] == domain}
        old = [key for key, row in self._devices.items() if row.last_seen < before and key[0] in own]
        for key in old:
            self._forget(key)
        spent = [
            token
            for token in self._tokens
            if token.account_id in own and (token.expires < now or (token.account_id, token.device) in old)
        ]
        for token in spent:
            self._tokens.remove(token)
        return len(old) + len(spent)

    def _forget(self, key: tuple[int, str]) -> None:
        self._devices.pop(key, None)
        for hook in self._memory.on_device_removal:
            hook(*key)

    @staticmethod
    def _is(token: TokenRow, account_id: int, device: str) -> bool:
        return token.account_id == account_id and token.device == device
