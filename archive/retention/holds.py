"""Legal holds (ARC-10): whether a message or a whole archive may be removed. The only judge of it.

A hold covers messages by their addresses and their time, so it covers both sides of a conversation, what a person said
in rooms, and what is archived after the hold was placed. It fails closed: where holds cannot be read, everything is
held.

Who removes or changes messages asks inside the transaction that does it, by `Guard.read`, which on PostgreSQL also
keeps a new hold waiting until that transaction is over (on SQLite writers follow each other anyway). So when a hold has
been placed, nothing that it covers goes any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids
from archive.retention.models import Hold, Rules
from xmpp_engine.api import Jid, JidError

log = logging.getLogger("mlink.archive")

#: Holds in force at a time: each message that is removed is compared with all of them.
MAX_ACTIVE: Final = 1_000
MAX_REASON: Final = 2_000
_FIELDS: Final = 'id, scope, address, peer, start, "end"'


class Message(Protocol):
    """What is asked of a message."""

    @property
    def id(self) -> int: ...
    @property
    def sender(self) -> str: ...
    @property
    def recipient(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Span:
    """A hold, and the ids of the messages in its time."""

    hold: int
    low: int
    high: int


@dataclass(slots=True)
class Guard:
    """The holds in force, arranged so that a message is compared with few of them."""

    everything: list[_Span] = field(default_factory=list)
    addresses: dict[str, list[_Span]] = field(default_factory=dict)
    talks: dict[frozenset[str], list[_Span]] = field(default_factory=dict)
    domains: dict[str, list[_Span]] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: BaseDatabaseWrapper) -> Guard:
        """The holds as they stand in the database; inside a transaction, whose removals they then judge. Whatever it
        raises, nothing may be removed."""
        guard = cls()
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and connection.in_atomic_block:
                cursor.execute("LOCK TABLE retention_hold IN SHARE MODE")
            cursor.execute(f"SELECT {_FIELDS} FROM retention_hold WHERE released IS NULL")  # noqa: S608
            for id, scope, address, peer, start, end in cursor.fetchall():
                low = 0 if start is None else ids.first_at(start)
                high = ids.MAX_ID if end is None else ids.first_after(end) - 1
                guard._add(scope, address, peer, _Span(id, low, high))
        return guard

    def _add(self, scope: str, address: str, peer: str, span: _Span) -> None:
        if scope in (Hold.Scope.ACCOUNT, Hold.Scope.ROOM):
            self.addresses.setdefault(address, []).append(span)
        elif scope == Hold.Scope.TALK:
            self.talks.setdefault(frozenset((address, peer)), []).append(span)
        elif scope == Hold.Scope.DOMAIN:
            self.domains.setdefault(address, []).append(span)
        else:
            # Also a scope that this version does not know.
            self.everything.append(span)

    def __bool__(self) -> bool:
        return bool(self.everything or self.addresses or self.talks or self.domains)

    def holds_archive(self, address: str) -> bool:
        """Whether a hold without a bound in time covers everything in the archive of this address."""
        spans = [*self.everything, *self.addresses.get(address, ())]
        for domain in domains_of(address):
            spans += self.domains.get(domain, ())
        return any(span.low == 0 and span.high == ids.MAX_ID for span in spans)

    def hold_on(self, message: Message) -> int:
        """The number of a hold that covers the message, 0 for none."""
        if not self:
            return 0
        one, other = message.sender, message.recipient
        spans = [*self.everything, *self.addresses.get(one, ()), *self.addresses.get(other, ())]
        if self.talks:
            spans += self.talks.get(frozenset((one, other)), ())
        if self.domains:
            for address in (one, other):
                for domain in domains_of(address):
                    spans += self.domains.get(domain, ())
        return next((span.hold for span in spans if span.low <= message.id <= span.high), 0)


def domains_of(address: str) -> list[str]:
    """The domain of an address and those above it: `a.b.c`, `b.c`, `c`."""
    parts = address.rpartition("@")[2].partition("/")[0].split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def held_ids(connection: BaseDatabaseWrapper, records: Sequence[Message]) -> set[int]:
    """The ids of those of these messages that a hold covers: all of them where holds cannot be read."""
    try:
        guard = Guard.read(connection)
        return {record.id for record in records if guard.hold_on(record)}
    except Exception:
        log.exception("holds cannot be read: everything is held")
        return {record.id for record in records}


def is_held(account: str = "", room: str = "", *, connection: BaseDatabaseWrapper | None = None) -> Hold | None:
    """A hold because of which the archive of an account or a room (bare addresses) may not be removed as a whole, None
    where there is none. One that is not stored stands for holds that cannot be read."""
    address = account or room
    if not address:
        raise ValueError("an account or a room is asked about")
    alias = DEFAULT_DB_ALIAS if connection is None else connection.alias
    try:
        above = set(domains_of(address))
        for hold in Hold.objects.using(alias).filter(released=None).order_by("id"):
            if hold.scope == Hold.Scope.DOMAIN:
                covered = hold.address in above
            elif hold.scope in (Hold.Scope.ACCOUNT, Hold.Scope.ROOM, Hold.Scope.TALK):
                covered = address in (hold.address, hold.peer)
            else:
                covered = True
            if covered:
                return hold
    except Exception:
        log.exception("holds cannot be read: everything is held")
        return Hold(scope=Hold.Scope.ALL, reason="Holds cannot be read.", placed_by="", placed=time.time())
    return None


def place(
    by: str,
    scope: str,
    address: str = "",
    peer: str = "",
    *,
    reason: str,
    start: float | None = None,
    end: float | None = None,
) -> Hold:
    """Place a hold; the caller has it written into the audit log in the same transaction. Raises ValueError with a
    sentence."""
    if scope not in Hold.Scope.values:
        raise ValueError(f"A hold covers one of {', '.join(Hold.Scope.values)}, not {scope!r}.")
    reason = reason.strip()
    if not reason:
        raise ValueError("A hold needs a reason.")
    if len(reason) > MAX_REASON:
        raise ValueError(f"The reason has at most {MAX_REASON} characters.")
    if start is not None and end is not None and start > end:
        raise ValueError("The end of the time lies before its beginning.")
    address, peer = _addresses(scope, address, peer)
    with transaction.atomic():
        if Hold.objects.filter(released=None).count() >= MAX_ACTIVE:
            raise ValueError(f"There are {MAX_ACTIVE} holds in force already; release some first.")
        return Hold.objects.create(
            scope=scope,
            address=address,
            peer=peer,
            start=start,
            end=end,
            reason=reason,
            placed_by=by,
            placed=time.time(),
        )


def release(hold: Hold, by: str, reason: str) -> None:
    """Release a hold: what it covered is removed with the next run of the expiry, where it is due. Raises ValueError
    with a sentence."""
    reason = reason.strip()
    if not reason:
        raise ValueError("Releasing a hold needs a reason.")
    if len(reason) > MAX_REASON:
        raise ValueError(f"The reason has at most {MAX_REASON} characters.")
    with transaction.atomic():
        changed = Hold.objects.filter(pk=hold.pk, released=None).update(
            released=time.time(), released_by=by, release_reason=reason
        )
        if not changed:
            raise ValueError("The hold was released already.")
        bump()
    hold.refresh_from_db()


def bump() -> int:
    """The rules changed: the expiry looks at everything anew."""
    row, _ = Rules.objects.select_for_update().get_or_create(pk=1)
    row.version += 1
    row.save(update_fields=("version",))
    return row.version


def canonical(text: str) -> str:
    """A bare address as it stands in the archive; raises ValueError with a sentence."""
    try:
        jid = Jid.parse(text.strip())
    except JidError:
        raise ValueError(f"{text.strip()!r} is no address.") from None
    if not jid.local or jid.resource:
        raise ValueError(f"{text.strip()!r} is no address of an account or a room, such as romeo@example.org.")
    return jid.bare


def canonical_domain(text: str) -> str:
    """A domain name as it stands in addresses; raises ValueError with a sentence."""
    try:
        jid = Jid.parse(text.strip())
    except JidError:
        raise ValueError(f"{text.strip()!r} is no domain name.") from None
    if jid.local or jid.resource:
        raise ValueError(f"{text.strip()!r} is no domain name.")
    return jid.bare


def _addresses(scope: str, address: str, peer: str) -> tuple[str, str]:
    if scope == Hold.Scope.ALL:
        return "", ""
    if scope == Hold.Scope.DOMAIN:
        return canonical_domain(address), ""
    if scope != Hold.Scope.TALK:
        return canonical(address), ""
    one, other = canonical(address), canonical(peer)
    return one, other


def listed(connection: BaseDatabaseWrapper, holds: Iterable[int]) -> dict[int, Hold]:
    """Holds by their numbers."""
    return {hold.pk: hold for hold in Hold.objects.using(connection.alias).filter(pk__in=list(holds))}
