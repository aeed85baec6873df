"""Accounts that move to another address (XEP-0283): what `user move` and the console do.

    mark the account in the database --> every node reads it anew --> a node asks the contacts

A node can do that where the new address is one of this server; from elsewhere its owner's app does.

All nodes know of the mark before the first contact is asked: servers of contacts ask the old address whether it is
true, by whichever node their stream ends at. It may be done again at any time; contacts that have not answered are
asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.node.client import EngineClient, EngineError, NodeDown

REFRESH_SECONDS: Final = 10.0
TELL_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Move:
    """What came of it: where the account is now, what the node counted (`xmpp_engine.modules.moved.Told`), and
    sentences about what is still to be done."""

    jid: str
    moved_to: str
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def rows(self) -> dict[str, Any]:
        """The same for a terminal."""
        notes = {"note": " ".join(self.notes)} if self.notes else {}
        return {"jid": self.jid, "moved_to": self.moved_to, **self.counts, **notes}

    def sentence(self) -> str:
        """The same for a page."""
        text = f"{self.jid} has moved to {self.moved_to}."
        counts = self.counts
        if counts and not counts["contacts"]:
            text += " It has no contacts."
        elif counts:
            text += (
                f" Of {counts['contacts']} contacts {counts['following']} follow, {counts['asked']} were asked"
                f"{', ' + str(counts['refused']) + ' found no place in the new list' if counts['refused'] else ''}"
                f"{', ' + str(counts['blocked']) + ' are blocked' if counts['blocked'] else ''}."
            )
        return " ".join((text, *self.notes))


def move(account: Account, now: str, report: Callable[[str], Any] = lambda _step: None) -> Move:
    """Mark the account and have its contacts told; `report` gets a sentence now and then. Raises ValueError for an
    address that cannot be; what a node does not do is said in `notes`."""
    moved_to = services.move(account, now)
    is_here = Domain.objects.filter(name=moved_to.rpartition("@")[2]).exists()
    try:
        counts, warnings = asyncio.run(_tell(account.username, is_here, report))
    except (NodeDown, OSError, TimeoutError) as error:
        reason = str(error) or "A node did not answer in time."
        text = f"{reason} The contacts are told when this is done again while a node runs." if is_here else reason
        return Move(account.username, moved_to, notes=(text,))
    except EngineError as error:
        return Move(account.username, moved_to, notes=(f"The contacts are not told. {error}",))
    if not is_here:
        warnings.append("The owner's app tells the contacts, from the new account.")
    return Move(account.username, moved_to, counts, tuple(warnings))


def undo(account: Account) -> None:
    """The account is itself again."""
    services.unmove(account)
    try:
        asyncio.run(_refresh(EngineClient(), account.username))
    except (EngineError, OSError, TimeoutError):
        pass  # Nodes look into the database every two seconds anyway.


async def _refresh(client: EngineClient, bare: str) -> None:
    async with asyncio.timeout(REFRESH_SECONDS):
        await client.call("refresh", jid=bare)


async def _tell(bare: str, is_here: bool, report: Callable[[str], Any]) -> tuple[dict[str, int], list[str]]:
    client = EngineClient()
    await _refresh(client, bare)
    warnings = list(client.warnings)
    if not is_here:
        return {}, warnings

    async def told(step: Any) -> None:
        report(str(step))

    async with asyncio.timeout(TELL_SECONDS):
        counts = dict(await client.call("user tell-moved", progress=told, jid=bare))
    counts.pop("moved_to", None)
    return counts, warnings
