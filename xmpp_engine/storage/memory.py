"""Every store in dictionaries: the reference that the contract is read against, for tests and demonstrations.

    stores = MemoryStores(domains=("example.org",))
    await stores.accounts.create("romeo@example.org", keys)

Nothing survives the process, so `LedgerStore.commit` is durable in name only. `fail_with` makes every call raise, as a
database that is away would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from xmpp_engine.storage.devices import MemoryDevices
from xmpp_engine.storage.invitations import MemoryInvitations
from xmpp_engine.storage.memory_pubsub import MemoryPubSub
from xmpp_engine.storage.outbox import MemoryOutbox, OutboxRow
from xmpp_engine.storage.protocols import AccountExists, QuotaExceeded, Stores, StoreUnavailable
from xmpp_engine.storage.pushes import MemoryPushes
from xmpp_engine.storage.reports import MemoryReports
from xmpp_engine.storage.rooms import MemoryRooms
from xmpp_engine.storage.types import (
    REMOVED_KEPT,
    AccountData,
    ArchiveRow,
    Batch,
    Credentials,
    OfflineRow,
    RosterItem,
    ScramKeys,
    StreamMark,
)
from xmpp_engine.storage.uploads import MemoryUploads
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document


@dataclass(slots=True)
class Token:
    """A one-time sign-in token: its keys by mechanism."""

    keys: list[ScramKeys]
    expires: float


@dataclass(slots=True)
class Kept:
    """One account with everything that belongs to it."""

    data: AccountData
    keys: list[ScramKeys]
    tokens: list[Token] = field(default_factory=list)
    private: dict[tuple[str, str], str] = field(default_factory=dict)
    vcard: str | None = None
    last_login: float = 0.0


class Memory:
    """What all stores of one set share."""

    def __init__(self, domains: Iterable[str] | None, now: Callable[[], float]) -> None:
        self.domains = None if domains is None else frozenset(domains)
        self.now = now
        self.accounts: dict[str, Kept] = {}
        self.numbers: dict[int, Kept] = {}
        self.offline: dict[int, OfflineRow] = {}
        self.archive: dict[int, ArchiveRow] = {}
        self.marks: dict[str, StreamMark] = {}
        self.outbox: dict[str, OutboxRow] = {}
        self.last_account = 0
        self.last_offline = 0
        self.fail_with: str | None = None
        #: What other stores do when an account is removed; called with its bare JID.
        self.on_removal: list[Callable[[str], object]] = []
        #: The same when a device is forgotten; called with the number of its account and its reference.
        self.on_device_removal: list[Callable[[int, str], object]] = []
        #: What `AccountData.avatar` is for a bare JID; the store of publish-subscribe sets it.
        self.avatar_of: Callable[[str], tuple[str, str] | None] = lambda _bare: None

    def check(self) -> None:
        """Raise what a database that is away would."""
        if self.fail_with is not None:
            raise StoreUnavailable(self.fail_with)

    def account(self, account_id: int) -> Kept:
        """The account with this number; raises ValueError."""
        self.check()
        kept = self.numbers.get(account_id)
        if kept is None:
            raise ValueError(f"There is no account {account_id}.")
        return kept

    def offline_of(self, account_id: int) -> list[OfflineRow]:
        """The stored messages of an account, oldest first."""
        return [row for row in self.offline.values() if row.account_id == account_id]


class MemoryAccounts:
    """Accounts and credentials; see `AccountStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def credentials(self, bare: str) -> Credentials | None:
        """See the protocol."""
        self._memory.check()
        kept = self._memory.accounts.get(bare)
        if kept is None:
            return None
        now = self._memory.now()
        data = kept.data
        return Credentials(
            data.account_id,
            bare,
            data.state,
            {keys.mechanism: replace(keys) for keys in kept.keys},
            [replace(keys) for token in kept.tokens if token.expires > now for keys in token.keys],
            data.is_admin,
        )

    async def load(self, bare: str) -> AccountData | None:
        """See the protocol."""
        self._memory.check()
        kept = self._memory.accounts.get(bare)
        if kept is None:
            return None
        data = kept.data
        stored = self._memory.offline_of(data.account_id)
        return replace(
            data,
            roster={jid: replace(item) for jid, item in data.roster.items()},
            removed=list(data.removed),
            blocked=set(data.blocked),
            offline_count=len(stored),
            offline_bytes=sum(row.size for row in stored),
            avatar=self._memory.avatar_of(bare),
        )

    async def create(self, bare: str, keys: list[ScramKeys]) -> None:
        """See the protocol."""
        self._memory.check()
        domain = bare.partition("@")[2]
        if self._memory.domains is not None and domain not in self._memory.domains:
            raise ValueError(f"The domain {domain} is not served here.")
        if bare in self._memory.accounts:
            raise AccountExists(f"There is an account {bare} already.")
        self._memory.last_account += 1
        data = AccountData(self._memory.last_account, bare, "active", {}, 0, created=self._memory.now())
        kept = Kept(data, [replace(key) for key in keys])
        self._memory.accounts[bare] = self._memory.numbers[data.account_id] = kept

    async def change_keys(self, bare: str, keys: list[ScramKeys]) -> None:
        """See the protocol; one-time tokens go, their salt is gone too."""
        kept = self._named(bare)
        if kept is None:
            raise ValueError(f"There is no account {bare}.")
        kept.keys = [replace(key) for key in keys]
        kept.tokens = []

    async def remove(self, bare: str) -> None:
        """See the protocol."""
        kept = self._named(bare)
        if kept is None:
            return
        number = kept.data.account_id
        del self._memory.accounts[bare], self._memory.numbers[number]
        for row in self._memory.offline_of(number):
            del self._memory.offline[row.id]
        for sm_id in [sm_id for sm_id, mark in self._memory.marks.items() if mark.account_id == number]:
            del self._memory.marks[sm_id]
        for forget in self._memory.on_removal:
            forget(bare)

    async def record_login(self, bare: str, when: float) -> None:
        """See the protocol."""
        kept = self._named(bare)
        if kept is not None:
            kept.last_login = when

    async def record_logout(self, bare: str, when: float, status: str) -> None:
        """See the protocol."""
        kept = self._named(bare)
        if kept is not None:
            kept.data.last_logout, kept.data.last_status = when, status

    async def record_motd(self, bare: str, since: float) -> None:
        """See the protocol."""
        kept = self._named(bare)
        if kept is not None:
            kept.data.motd_seen = since

    async def use_token(self, bare: str, stored_key: bytes) -> bool:
        """See the protocol."""
        kept = self._named(bare)
        now = self._memory.now()
        for token in kept.tokens if kept is not None else ():
            if token.expires > now and any(keys.stored_key == stored_key for keys in token.keys):
                assert kept is not None
                kept.tokens.remove(token)
                return True
        return False

    def add_token(self, bare: str, keys: list[ScramKeys], expires: float) -> None:
        """Make a one-time token; `keys` are its keys by mechanism, with the account's salt."""
        self._memory.accounts[bare].tokens.append(Token(keys, expires))

    def set_state(self, bare: str, state: str) -> None:
        """Put the account into another state."""
        self._memory.accounts[bare].data.state = state

    def change(self, bare: str, **values: object) -> None:
        """Set fields of the stored AccountData (archive preferences, is_admin), as an administrator would."""
        kept = self._memory.accounts[bare]
        kept.data = replace(kept.data, **values)  # type: ignore[arg-type]

    def _named(self, bare: str) -> Kept | None:
        self._memory.check()
        return self._memory.accounts.get(bare)


class MemoryRosters:
    """Contacts; see `RosterStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def put(self, account_id: int, items: list[RosterItem], version: int) -> int:
        """See the protocol."""
        data = self._memory.account(account_id).data
        written = {item.jid for item in items}
        for item in items:
            data.roster[item.jid] = replace(item)
        data.removed = [entry for entry in data.removed if entry[0] not in written]
        return _raise_version(data, version)

    async def remove(self, account_id: int, jids: list[str], version: int) -> int:
        """See the protocol."""
        data = self._memory.account(account_id).data
        for jid in jids:
            data.roster.pop(jid, None)
        again = set(jids)
        data.removed = [entry for entry in data.removed if entry[0] not in again]
        data.removed = [*data.removed, *((jid, version) for jid in dict.fromkeys(jids))][-REMOVED_KEPT:]
        return _raise_version(data, version)

    async def versions(self, account_ids: Sequence[int]) -> dict[int, int]:
        """See the protocol."""
        self._memory.check()
        numbers = self._memory.numbers
        return {number: numbers[number].data.roster_version for number in account_ids if number in numbers}

    async def holders(
        self, jids: Sequence[str], after: tuple[int, str], limit: int
    ) -> list[tuple[int, str, RosterItem]]:
        """See the protocol."""
        self._memory.check()
        found = [
            (number, kept.data.bare, replace(kept.data.roster[jid]))
            for number, kept in self._memory.numbers.items()
            for jid in set(jids)
            if jid in kept.data.roster and (number, jid) > after
        ]
        return sorted(found, key=lambda entry: (entry[0], entry[2].jid))[:limit]


def _raise_version(data: AccountData, version: int) -> int:
    """Returns the version before."""
    before = data.roster_version
    data.roster_version = max(before, version)
    return before


class MemoryBlocks:
    """Block lists; see `BlockStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, account_id: int, jids: list[str]) -> None:
        """See the protocol."""
        self._memory.account(account_id).data.blocked.update(jids)

    async def remove(self, account_id: int, jids: list[str] | None) -> None:
        """See the protocol."""
        blocked = self._memory.account(account_id).data.blocked
        blocked.difference_update(blocked.copy() if jids is None else jids)

    async def blocking(self, account_ids: Sequence[int], entries: Sequence[str]) -> set[int]:
        """See the protocol."""
        self._memory.check()
        lists = {number: self._memory.numbers[number] for number in account_ids if number in self._memory.numbers}
        return {number for number, kept in lists.items() if not kept.data.blocked.isdisjoint(entries)}


class MemoryOffline:
    """Offline messages; see `OfflineStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def pending(self, account_id: int, limit: int, after: int = 0) -> list[OfflineRow]:
        """See the protocol."""
        self._memory.check()
        now = self._memory.now()
        rows = self._memory.offline_of(account_id)
        return [replace(row) for row in rows if row.id > after and (not row.expires or row.expires > now)][:limit]

    async def delete(self, account_id: int, ids: Sequence[int]) -> None:
        """See the protocol."""
        self._memory.check()
        for row in self._memory.offline_of(account_id):
            if row.id in ids:
                del self._memory.offline[row.id]

    async def usage(self, account_id: int) -> tuple[int, int]:
        """See the protocol."""
        self._memory.check()
        rows = self._memory.offline_of(account_id)
        return len(rows), sum(row.size for row in rows)

    async def waiting(self, account_ids: Sequence[int]) -> set[int]:
        """See the protocol."""
        self._memory.check()
        return {number for number in account_ids if self._memory.offline_of(number)}


class MemoryPrivate:
    """Private XML; see `PrivateStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def get(self, account_id: int, ns: str, name: str) -> str | None:
        """See the protocol."""
        self._memory.check()
        kept = self._memory.numbers.get(account_id)
        return None if kept is None else kept.private.get((ns, name))

    async def put(self, account_id: int, ns: str, name: str, xml: str, quota: int) -> None:
        """See the protocol."""
        private = self._memory.account(account_id).private
        others = sum(len(text.encode()) for key, text in private.items() if key != (ns, name))
        if others + len(xml.encode()) > quota:
            raise QuotaExceeded(f"private data of more than {quota} bytes")
        private[ns, name] = xml


class MemoryVCards:
    """vCards; see `VCardStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def get(self, bare: str) -> str | None:
        """See the protocol."""
        self._memory.check()
        kept = self._memory.accounts.get(bare)
        return None if kept is None else kept.vcard

    async def put(self, account_id: int, xml: str) -> None:
        """See the protocol."""
        self._memory.account(account_id).vcard = xml


class MemoryLedger:
    """The durable side of acknowledgements; see `LedgerStore`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def commit(self, batch: Batch) -> None:
        """See the protocol."""
        memory = self._memory
        memory.check()
        for row in batch.archive:
            memory.archive.setdefault(row.id, replace(row))
        for share in batch.shares:
            if (shared := memory.archive.get(share.id)) is not None:
                shared.recipient_account = share.recipient_account
        for stored in batch.offline:
            memory.last_offline += 1
            memory.offline[memory.last_offline] = replace(stored, id=memory.last_offline)
        for sm_id, mark in batch.marks.items():
            if mark.handled < 0:
                memory.marks.pop(sm_id, None)
            else:
                memory.marks[sm_id] = replace(mark)
        for waiting in batch.outgoing:
            memory.outbox.setdefault(waiting.id, replace(waiting))
        for id in batch.sent:
            memory.outbox.pop(id, None)

    async def stream_mark(self, sm_id: str) -> tuple[int, int] | None:
        """See the protocol."""
        self._memory.check()
        found = self._memory.marks.get(sm_id)
        return None if found is None else (found.account_id, found.handled)


class MemoryStores(Stores):
    """A complete set of stores. `domains` are those that accounts may have, None for any; `now` gives the time."""

    __slots__ = ("memory", "memory_accounts")

    def __init__(self, domains: Iterable[str] | None = None, now: Callable[[], float] = time.time) -> None:
        self.memory = Memory(domains, now)
        self.memory_accounts = MemoryAccounts(self.memory)
        super().__init__(
            accounts=self.memory_accounts,
            rosters=MemoryRosters(self.memory),
            blocks=MemoryBlocks(self.memory),
            offline=MemoryOffline(self.memory),
            private=MemoryPrivate(self.memory),
            vcards=MemoryVCards(self.memory),
            ledger=MemoryLedger(self.memory),
            rooms=MemoryRooms(self.memory),
            devices=MemoryDevices(self.memory),
            uploads=MemoryUploads(self.memory),
            pushes=MemoryPushes(self.memory),
            invitations=MemoryInvitations(self.memory),
            reports=MemoryReports(self.memory),
            pubsub=MemoryPubSub(self.memory),
            outbox=MemoryOutbox(self.memory),
        )


def memory_stores(domains: Iterable[str] | None = None, now: Callable[[], float] = time.time) -> MemoryStores:
    """A complete, empty set of stores; see `MemoryStores`."""
    return MemoryStores(domains, now)


def origin_of(xml: str) -> tuple[str, str, str] | None:
    """(bare sender, bare recipient, id) of a stored message, the id being XEP-0359's or the stanza's; None without
    one."""
    try:
        stanza = parse_document(xml.encode(), STORED_LIMITS)
    except StreamError:
        return None
    origin = stanza.find(ns.STANZA_ID, "origin-id")
    number = (origin.get("id") if origin is not None else None) or stanza.get("id")
    sender, recipient = stanza.get("from"), stanza.get("to")
    if not (number and sender and recipient):
        return None
    return sender.partition("/")[0], recipient.partition("/")[0], number
