"""A context for mechanisms without a stream, and a driver that runs what they wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.sasl.mechanism import Outcome, Wait
from xmpp_engine.storage.devices import MemoryDevices, TokenRow
from xmpp_engine.storage.memory import Memory
from xmpp_engine.storage.types import Credentials


class FakeContext:
    """Accounts in a dictionary, channel bindings in another."""

    def __init__(self, *accounts: Credentials, bindings: dict[str, bytes] | None = None) -> None:
        self.domain = "localhost"
        self.data = bindings or {}
        self.bindings = tuple(self.data)
        self.secret = b"secret"
        self.iterations = 16
        self.accounts = {account.bare: account for account in accounts}
        self.asked: list[str] = []
        self.spent: list[bytes] = []
        self.token_is_good = True
        self.derived = 0
        self.certificate: tuple[str, ...] = ()
        self.offered_hash = ""
        self.time = 1_000_000.0
        self.devices = MemoryDevices(Memory(None, lambda: self.time))

    def binding(self, kind: str) -> bytes | None:
        return self.data.get(kind)

    async def credentials(self, account: Jid) -> Credentials | None:
        self.asked.append(account.bare)
        return self.accounts.get(account.bare)

    async def spend_token(self, account: Jid, stored_key: bytes) -> bool:
        self.spent.append(stored_key)
        return self.token_is_good

    def now(self) -> float:
        return self.time

    def downgrade_hash(self, hash: str) -> str:
        return self.offered_hash

    async def fast_tokens(self, account_id: int, device: str) -> list[TokenRow]:
        return await self.devices.tokens(account_id, device)

    async def use_fast_token(self, row: TokenRow, count: int | None) -> bool:
        return await self.devices.use_token(row, count)

    async def drop_fast_token(self, row: TokenRow) -> bool:
        return await self.devices.drop_token(row)

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.derived += 1
        return function(*arguments)


def settle(outcome: Outcome) -> Outcome:
    """The outcome after everything it waits for."""
    while isinstance(outcome, Wait):
        work = outcome.work
        try:
            work.send(None)  # type: ignore[attr-defined]
        except StopIteration as stop:
            outcome = outcome.then(stop.value)
        else:
            raise AssertionError("a fake waits")
    return outcome
