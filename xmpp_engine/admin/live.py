"""Commands that only a running node can answer: its sessions, figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from xmpp_engine.admin import cluster, components, federation, invitations, people, pubsub, rooms
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.plugin.pubsub_administration import PubSubAdministration
from xmpp_engine.plugin.room_administration import RoomAdministration
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.rooms import PersonRoom

#: Messages of one command.
MAX_REDACTED: Final = 500
registry: Final = Registry()
registry.include(people.registry)
registry.include(cluster.registry)
registry.include(rooms.registry)
registry.include(pubsub.registry)
registry.include(invitations.registry)
registry.include(federation.registry)
registry.include(components.registry)


class OperatedAccounts(Protocol):
    """What the commands use of `Outside`."""

    async def end_device(self, bare: str, device: str) -> int:
        """End the sessions of a revoked device; returns how many ended."""

    async def pushes_changed(self, bare: str) -> None:
        """Read the push registrations of an account anew."""

    async def account_changed(self, bare: str) -> int:
        """Read an account anew; returns how many sessions ended."""

    async def tell_of_move(self, bare: str, report: Callable[[Any], None]) -> dict[str, Any]:
        """Have the contacts of a moved account asked to follow it."""


class Operated(Protocol):
    """What the commands use of the engine."""

    @property
    def outside(self) -> OperatedAccounts:
        """What follows changes of accounts."""

    def sessions(self) -> list[dict[str, Any]]:
        """Every session."""

    def kick(self, text: str) -> int:
        """End sessions; returns how many."""

    def stats(self) -> dict[str, Any]:
        """The figures of the overview."""

    def hooks(self) -> dict[str, str]:
        """The order of hooks of each host."""

    def room_services(self) -> Mapping[str, RoomAdministration]:
        """The multi-user chat services by domain."""

    async def rooms_of(self, bare: str) -> list[PersonRoom]:
        """The stored rooms in which this bare JID is affiliated or has a nickname."""

    def pubsub_services(self) -> Mapping[str, PubSubAdministration]:
        """The publish-subscribe services by domain."""

    def pubsub_service(self, address: str) -> AbstractAsyncContextManager[PubSubAdministration | None]:
        """The service of a domain or an account."""

    async def redacted(self, ids: Sequence[str]) -> dict[str, int]:
        """Take what the archive has taken back out of memory."""

    def now(self) -> float:
        """Seconds since the epoch."""


@registry.command(
    "sessions",
    "List the connected sessions.",
    Argument("jid", "only those of this account", default=""),
    permission="read",
    where="node",
)
async def sessions(engine: Operated, jid: str) -> list[dict[str, Any]]:
    """All sessions, or those of one account."""
    return [row for row in engine.sessions() if not jid or str(row.get("jid", "")).partition("/")[0] == jid]


@registry.command("kick", "End the sessions of an address.", Argument("jid", "full or bare address"), where="node")
async def kick(engine: Operated, jid: str) -> dict[str, Any]:
    """End one session, or all of an account."""
    return {"jid": jid, "ended": engine.kick(jid)}


@registry.command("stats", "Show the figures of the node.", permission="read", where="node")
async def stats(engine: Operated) -> dict[str, Any]:
    """Sessions, messages, ledger and more."""
    return engine.stats()


@registry.command(
    "hooks",
    "Show in which order modules see stanzas.",
    Argument("domain", "only this domain", default=""),
    permission="read",
    where="node",
)
async def hooks(engine: Operated, domain: str) -> dict[str, str]:
    """The compiled tables."""
    return {name: text for name, text in engine.hooks().items() if not domain or name == domain}


@registry.command(
    "refresh", "Read an account anew after a change in the database.", Argument("jid", "bare address"), where="node"
)
async def refresh(engine: Operated, jid: str) -> dict[str, Any]:
    """Refresh a resident account; its sessions end unless it is active."""
    return {"jid": jid, "ended": await engine.outside.account_changed(jid)}


@registry.command(
    "redacted",
    "Take messages that were redacted in the archive out of the node's memory, and tell their rooms.",
    Argument("ids", "their archive ids, separated by blanks"),
    where="node",
)
async def redacted(engine: Operated, ids: str) -> dict[str, Any]:
    """What a redaction asks of the node; of messages that the archive still has nothing changes."""
    wanted = ids.split()
    if len(wanted) > MAX_REDACTED:
        raise CommandError(f"At most {MAX_REDACTED} messages at a time.")
    try:
        return dict(await engine.redacted(wanted))
    except StoreUnavailable as error:
        raise CommandError(f"The database does not answer: {error}.") from None


@registry.command(
    "device end",
    "End the sessions of a device that was revoked in the database.",
    Argument("jid", "bare address"),
    Argument("device", "reference of the device"),
    where="node",
)
async def device_end(engine: Operated, jid: str, device: str) -> dict[str, Any]:
    """What `device revoke` asks of the node."""
    ended = await engine.outside.end_device(jid, device)
    await engine.outside.pushes_changed(jid)
    return {"jid": jid, "ended": ended}


@registry.command(
    "push refresh",
    "Read the push registrations of an account anew after a change in the database.",
    Argument("jid", "bare address"),
    where="node",
)
async def push_refresh(engine: Operated, jid: str) -> dict[str, Any]:
    """Nothing more is sent for those that were removed."""
    await engine.outside.pushes_changed(jid)
    return {"jid": jid}


@registry.command(
    "user tell-moved",
    "Ask the contacts of an account that has moved, on behalf of its new address, to follow it.",
    Argument("jid", "address of the old account"),
    where="node",
    progress=True,
)
async def tell_moved(engine: Operated, jid: str, report: Callable[[Any], None] = lambda _step: None) -> dict[str, Any]:
    """What `user move` asks of the node; again, it asks those that have not answered."""
    try:
        return await engine.outside.tell_of_move(jid, report)
    except StoreUnavailable as error:
        raise CommandError(f"The database does not answer: {error}.") from None
