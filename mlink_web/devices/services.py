"""The devices of an account as pages and commands show them, and their end.

What is in the database is changed first; then the running node is asked to end the sessions. A node that does not
answer has no effect on the revocation: nothing lets the device in again, and the sentence says what is not known.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from mlink_web.accounts.models import Account
from mlink_web.devices import store
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from xmpp_engine.api import DEVICE_METHODS, DeviceRow

ASK_SECONDS: Final = 3.0
_BITS: Final = {name: bit for bit, name in DEVICE_METHODS.items()}


@dataclass(frozen=True, slots=True)
class Shown:
    """One device. `title` is what it is in two words, `ways` how it signs in."""

    ref: str
    title: str
    name: str
    first_seen: datetime
    last_seen: datetime
    address: str
    mechanism: str
    knows_password: bool
    token_until: datetime | None
    ways: tuple[str, ...]
    connected: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revocation has done; `ended` is None where the node did not answer."""

    title: str
    knows_password: bool
    ended: int | None

    def sentence(self) -> str:
        """The same for people."""
        text = f"{self.title} is off the list" if self.knows_password else f"The access of {self.title} is revoked"
        if self.ended is None:
            text += "; a node did not answer, so a session that is open may go on until it ends"
        elif self.ended:
            text += f"; {self.ended} session{'s' if self.ended > 1 else ''} ended"
        text += "."
        if self.knows_password:
            text += " It knows the password and may come back: only a new password keeps it out."
        return text


def listed(account: Account, sessions: list[dict[str, Any]] | None = None) -> list[Shown]:
    """All devices, the last seen first; `sessions` are those of the account as the node describes them."""
    now = time.time()
    connected: dict[str, int] = {}
    for session in sessions or ():
        connected[session.get("device", "")] = connected.get(session.get("device", ""), 0) + 1
    return [_shown(row, connected.get(row.device, 0), now) for row in store.rows(connection, account.pk)]


def connected_sessions(account: Account) -> list[dict[str, Any]] | None:
    """The sessions of an account, None where no node answers."""
    try:
        return asyncio.run(_ask("sessions", jid=account.username))  # type: ignore[no-any-return]
    except (EngineError, OSError, TimeoutError):
        return None


def revoke(account: Account, device: str) -> Revoked | None:
    """Forget a device with its tokens and end its sessions; None for one that is not there."""
    row = store.revoke(connection, account.pk, device)
    if row is None:
        return None
    ended: int | None
    try:
        ended = int(asyncio.run(_ask("device end", jid=account.username, device=device))["ended"])
    except NodeDown:
        ended = 0
    except (EngineError, OSError, TimeoutError):
        ended = None
    return Revoked(_title(row), bool(row.methods & _BITS["password"]), ended)


async def _ask(command: str, **arguments: str) -> Any:
    async with asyncio.timeout(ASK_SECONDS):
        client = EngineClient()
        answer = await client.call(command, **arguments)
    if client.warnings and command == "device end":
        raise EngineError(" ".join(client.warnings))
    return answer


def _title(row: DeviceRow) -> str:
    return row.software or row.resource or "an unknown client"


def _shown(row: DeviceRow, connected: int, now: float) -> Shown:
    token = row.token_expires if row.token_expires > now else 0.0
    ways = [
        text
        for name, text in (("password", "password"), ("grant", "this website"), ("certificate", "certificate"))
        if row.methods & _BITS[name]
    ]
    if token:
        ways.append("token")
    return Shown(
        row.device,
        row.software or row.resource or "Unknown client",
        row.name,
        datetime.fromtimestamp(row.first_seen, UTC),
        datetime.fromtimestamp(row.last_seen, UTC),
        row.address,
        row.mechanism,
        bool(row.methods & _BITS["password"]),
        datetime.fromtimestamp(token, UTC) if token else None,
        tuple(ways),
        connected,
    )
