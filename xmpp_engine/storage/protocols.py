"""The store protocols. The docstrings here are the contract; `tests/kits/store_kit.py` checks every implementation
by it.

All methods are coroutines: an implementation over a database runs in its own bounded thread pool, the one in memory
returns at once. Rows given and returned are copies: no caller sees another's changes. A store that cannot answer
raises `StoreUnavailable`; what a caller asked for wrongly raises ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from xmpp_engine.storage.devices import DeviceStore
from xmpp_engine.storage.invitations import InvitationStore
from xmpp_engine.storage.outbox import OutboxStore
from xmpp_engine.storage.pubsub import PubSubStore
from xmpp_engine.storage.pushes import PushStore
from xmpp_engine.storage.reports import ReportStore
from xmpp_engine.storage.rooms import RoomStore
from xmpp_engine.storage.types import AccountData, Batch, Credentials, OfflineRow, RosterItem, ScramKeys
from xmpp_engine.storage.uploads import UploadStore


class StoreUnavailable(Exception):
    """The database does not answer; the caller may try later."""


class QuotaExceeded(Exception):
    """The account may not store that much; the text says what is full."""


class AccountExists(ValueError):
    """There is an account with this address already."""


class AccountStore(Protocol):
    """Accounts and their credentials. `bare` is a prepared bare JID."""

    async def credentials(self, bare: str) -> Credentials | None:
        """What authentication needs, None for an unknown account."""

    async def load(self, bare: str) -> AccountData | None:
        """All resident data in one go, None for an unknown account."""

    async def create(self, bare: str, keys: list[ScramKeys]) -> None:
        """Make an active account; raises AccountExists, or ValueError where the domain is unknown."""

    async def change_keys(self, bare: str, keys: list[ScramKeys]) -> None:
        """Replace the password's keys; raises ValueError for an unknown account."""

    async def remove(self, bare: str) -> None:
        """Remove the account with its roster, offline messages, private data and vCard; archives stay."""

    async def record_login(self, bare: str, when: float) -> None:
        """Remember the last login."""

    async def record_logout(self, bare: str, when: float, status: str) -> None:
        """Remember when the last resource left and with which status text (XEP-0012)."""

    async def record_motd(self, bare: str, since: float) -> None:
        """Remember that the account was told the message of the day that was set at this time."""

    async def use_token(self, bare: str, stored_key: bytes) -> bool:
        """Spend a one-time token; False when it was spent or expired already (then the login must fail)."""


class RosterStore(Protocol):
    """Contacts of an account. Reading is part of `AccountStore.load`."""

    async def put(self, account_id: int, items: list[RosterItem], version: int) -> int:
        """Insert or replace these items and set the roster's version, in one transaction; returns which it was before.
        It never becomes less: another node of a cluster may be ahead."""

    async def remove(self, account_id: int, jids: list[str], version: int) -> int:
        """Delete these contacts, remember them as removed at `version`, and set the roster's version; returns which it
        was before."""

    async def versions(self, account_ids: Sequence[int]) -> dict[int, int]:
        """The versions of the rosters of these accounts, by account; those that are gone have none."""

    async def holders(
        self, jids: Sequence[str], after: tuple[int, str], limit: int
    ) -> list[tuple[int, str, RosterItem]]:
        """Who has these bare JIDs in the roster: (account's number, its bare JID, the item), `limit` of them in the
        order of numbers and then of the items' addresses, those behind the number and address `after`."""


class BlockStore(Protocol):
    """The block list (XEP-0191). Reading is part of `AccountStore.load`."""

    async def add(self, account_id: int, jids: list[str]) -> None:
        """Add entries; those that stand already are no error."""

    async def remove(self, account_id: int, jids: list[str] | None) -> None:
        """Remove these entries, or all for None."""

    async def blocking(self, account_ids: Sequence[int], entries: Sequence[str]) -> set[int]:
        """Those of these accounts on whose list one of these entries stands."""


class OfflineStore(Protocol):
    """Messages for accounts that were away. Writing goes through the ledger."""

    async def pending(self, account_id: int, limit: int, after: int = 0) -> list[OfflineRow]:
        """The oldest `limit` rows with id > `after` that have not expired, in the order in which they were stored."""

    async def delete(self, account_id: int, ids: Sequence[int]) -> None:
        """Remove these rows. Nodes of a cluster commit side by side: a row with a lower id may come after one with a
        higher one, so "all up to this one" would take some that nobody has seen."""

    async def usage(self, account_id: int) -> tuple[int, int]:
        """(count, bytes) stored now."""

    async def waiting(self, account_ids: Sequence[int]) -> set[int]:
        """Those of these accounts for which something is stored."""


class PrivateStore(Protocol):
    """Private XML (XEP-0049), one document per namespace and element name."""

    async def get(self, account_id: int, ns: str, name: str) -> str | None:
        """The stored element as text, None where there is none."""

    async def put(self, account_id: int, ns: str, name: str, xml: str, quota: int) -> None:
        """Store or replace; raises QuotaExceeded when all private data together would exceed `quota` bytes."""


class VCardStore(Protocol):
    """vcard-temp (XEP-0054)."""

    async def get(self, bare: str) -> str | None:
        """The vCard of an account as text, None where there is none."""

    async def put(self, account_id: int, xml: str) -> None:
        """Store or replace."""


class LedgerStore(Protocol):
    """The durable side of acknowledgements."""

    async def commit(self, batch: Batch) -> None:
        """Write all of the batch in one transaction, synced to disk; raises StoreUnavailable when nothing was written.

        Archive rows and rows of the outbox whose id exists already are skipped, so a batch may be tried again; ids in
        `sent` that are not there are no error.
        """

    async def stream_mark(self, sm_id: str) -> tuple[int, int] | None:
        """(account id, handled count) of a stream of an earlier run, None where unknown."""


class Stores:
    """All stores of one engine, handed in at construction."""

    __slots__ = (
        "accounts",
        "blocks",
        "devices",
        "invitations",
        "ledger",
        "offline",
        "outbox",
        "private",
        "pubsub",
        "pushes",
        "reports",
        "rooms",
        "rosters",
        "uploads",
        "vcards",
    )

    def __init__(
        self,
        accounts: AccountStore,
        rosters: RosterStore,
        blocks: BlockStore,
        offline: OfflineStore,
        private: PrivateStore,
        vcards: VCardStore,
        ledger: LedgerStore,
        rooms: RoomStore,
        devices: DeviceStore,
        uploads: UploadStore,
        pushes: PushStore,
        invitations: InvitationStore,
        reports: ReportStore,
        pubsub: PubSubStore,
        outbox: OutboxStore,
    ) -> None:
        self.accounts = accounts
        self.rosters = rosters
        self.blocks = blocks
        self.offline = offline
        self.private = private
        self.vcards = vcards
        self.ledger = ledger
        self.rooms = rooms
        self.devices = devices
        self.uploads = uploads
        self.pushes = pushes
        self.invitations = invitations
        self.reports = reports
        self.pubsub = pubsub
        self.outbox = outbox
