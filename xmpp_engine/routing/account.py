"""Resident accounts: everything that a hot hook reads of an account, in memory while a session is bound and a while
longer.

`AccountTable.get` is a dictionary lookup. An account that is not resident is loaded by `fetch`: what is addressed to
it meanwhile
waits in a bounded list per account, in order. Unknown addresses are remembered for a few seconds so that a
flood to nobody does not become a flood to the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.runtime.tasks import Tasks
from xmpp_engine.storage.protocols import AccountStore, StoreUnavailable
from xmpp_engine.storage.types import AccountData, RosterItem

if TYPE_CHECKING:
    from xmpp_engine.routing.coherence import Unsaved
    from xmpp_engine.routing.host import Host
    from xmpp_engine.routing.rescue import Rescue
    from xmpp_engine.routing.session import Session

log = logging.getLogger("mlink.accounts")

_UNKNOWN_SECONDS: Final = 5.0
_MAX_UNKNOWN: Final = 10_000
_MAX_WAITING: Final = 1_000
#: Times that an account which changes meanwhile is read anew at once, and the seconds until it is done again.
_READS: Final = 5
_AGAIN_SECONDS: Final = 1.0


class Account:
    """A resident account. `data` is its stored state, kept current by the modules that change it; `notes` belongs to
    modules, by module name."""

    __slots__ = ("bare", "changes", "data", "host", "id", "jid", "notes", "rescue", "sessions", "used")

    def __init__(self, host: Host, data: AccountData, now: float) -> None:
        self.host = host
        self.data = data
        self.id = data.account_id
        #: Counts what changes of `data`, here or on another node: what was read from the store meanwhile may be older.
        self.changes = 0
        self.jid = Jid.parse(data.bare)
        self.bare = self.jid.bare
        #: Bound sessions by resource.
        self.sessions: dict[str, Session] = {}
        self.used = now
        #: Under way while many unacknowledged stanzas of a lost session find another way.
        self.rescue: Rescue | None = None
        self.notes: dict[str, Any] | None = None

    @property
    def roster(self) -> dict[str, RosterItem]:
        """Contacts by bare JID."""
        return self.data.roster

    def available(self) -> list[Session]:
        """Sessions that have sent initial presence."""
        return [session for session in self.sessions.values() if session.presence is not None]

    def receptive(self) -> list[Session]:
        """Available sessions that take messages to the bare JID: priority 0 or more (RFC 6121, 8.5.2.1)."""
        return [s for s in self.sessions.values() if s.presence is not None and s.priority >= 0]

    def is_elsewhere(self) -> bool:
        """Whether all of its sessions are on other nodes."""
        return all(session.remote for session in self.sessions.values())

    def note(self, name: str, default: Callable[[], Any]) -> Any:
        """A module's own state of this account, made by `default` when first asked for."""
        if self.notes is None:
            self.notes = {}
        if name not in self.notes:
            self.notes[name] = default()
        return self.notes[name]

    def sees(self, bare: str) -> bool:
        """Whether it is shown what resources of that address show: its own, and those of contacts whose presence it may
        see (subscription to or both)."""
        item = self.data.roster.get(bare)
        return bare == self.bare or (item is not None and item.subscription in ("to", "both"))

    def is_subscribed_to_us(self, bare: str) -> bool:
        """Whether the contact may see this account's presence (subscription from or both)."""
        item = self.data.roster.get(bare)
        return item is not None and item.subscription in ("from", "both")


Waiter = Callable[["Account | None", "Exception | None"], Any]


class AccountTable:
    """All resident accounts of all hosts."""

    def __init__(self, store: AccountStore, clock: Clock, tasks: Tasks, grace: float, limit: int) -> None:
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self.grace = grace
        self.limit = limit
        self.resident: dict[str, Account] = {}
        #: Bare JID to the number of times something was loaded for it.
        self._loading: dict[str, list[Waiter]] = {}
        self._unknown: dict[str, float] = {}
        #: Called with an account that has become resident, before its hooks; of a node that is not alone.
        self.settled: Callable[[Account], Any] | None = None

    def get(self, bare: str) -> Account | None:
        """The account if it is resident."""
        return self.resident.get(bare)

    def fetch(self, bare: str, host: Host, waiter: Waiter) -> None:
        """Call `waiter(account, None)`, with None for an unknown address, or `waiter(None, error)` when the store does
        not answer or too much waits already. At once where the answer is known, else from a task; waiters of one
        account are called in order."""
        account = self.resident.get(bare)
        if account is not None:
            account.used = self._clock.now()
            waiter(account, None)
            return
        until = self._unknown.get(bare)
        if until is not None:
            if until > self._clock.now():
                waiter(None, None)
                return
            del self._unknown[bare]
        waiting = self._loading.get(bare)
        if waiting is not None:
            if len(waiting) >= _MAX_WAITING:
                waiter(None, StoreUnavailable("too much waits for this account"))
            else:
                waiting.append(waiter)
            return
        self._loading[bare] = [waiter]
        self._tasks.spawn(f"load {bare}", self._load(bare, host))

    async def load(self, bare: str, host: Host) -> Account | None:
        """The account, loaded when it is not resident; None for an unknown one; raises StoreUnavailable."""
        account = self.resident.get(bare)
        if account is None:
            data = await self._store.load(bare)
            if data is None:
                return None
            account = self._settle(bare, host, data)
        account.used = self._clock.now()
        return account

    async def refresh(self, bare: str) -> Account | None:
        """Read a resident account anew after a change from outside; None when it is not resident or is gone."""
        self._unknown.pop(bare, None)
        account = self.resident.get(bare)
        if account is None:
            return None
        changes, reads = account.changes, 1
        data = await self._store.load(bare)
        while data is not None and account.changes != changes and reads < _READS:
            changes, reads = account.changes, reads + 1
            data = await self._store.load(bare)
        if data is None:
            return None
        if account.changes != changes:
            self._clock.call_later(_AGAIN_SECONDS, self._refresh_again, bare)
        # What the module of rosters has not written yet is not in what was read.
        roster = cast("Unsaved | None", account.host.modules.get("roster"))
        if roster is not None and account.id == data.account_id:
            roster.keep_unsaved(account, data)
        old, account.data = account.data, data
        account.id = data.account_id
        if roster is not None and self.settled is not None:
            roster.changed_elsewhere(account, old.roster)
        return account

    @property
    def loading(self) -> int:
        """Accounts that are being loaded for somebody who waits."""
        return len(self._loading)

    def _refresh_again(self, bare: str) -> None:
        self._tasks.spawn(f"reread {bare}", self.refresh(bare))

    def changed(self, bare: str) -> None:
        """Something of what is in memory of an account has changed, here or on another node."""
        account = self.resident.get(bare)
        if account is not None:
            account.changes += 1

    def is_loading(self, bare: str) -> bool:
        """Whether something waits for an account: what comes now has to wait behind it."""
        return bare in self._loading

    def known(self, bare: str) -> None:
        """There is an account of this address, whatever was found out a moment ago."""
        self._unknown.pop(bare, None)

    def forget(self, bare: str) -> None:
        """Drop an account that no longer exists."""
        self.resident.pop(bare, None)

    def sweep(self) -> None:
        """Drop accounts without sessions that were not used for the grace period, the oldest first when over the
        limit."""
        now = self._clock.now()
        idle = [account for account in self.resident.values() if not account.sessions or account.is_elsewhere()]
        surplus = len(self.resident) - self.limit
        if surplus > 0:
            idle.sort(key=lambda account: account.used)
        for index, account in enumerate(idle):
            if index < surplus or account.used + self.grace < now:
                del self.resident[account.bare]
        for bare in [bare for bare, until in self._unknown.items() if until <= now]:
            del self._unknown[bare]

    def _settle(self, bare: str, host: Host, data: AccountData) -> Account:
        """Make loaded data resident; two loads that overlapped give one account."""
        account = self.resident.get(bare)
        if account is None:
            account = self.resident[bare] = Account(host, data, self._clock.now())
            if self.settled is not None:
                self.settled(account)
            for hook in host.table.account_loaded:
                hook(account)
        return account

    async def _load(self, bare: str, host: Host) -> None:
        error: Exception | None = None
        account: Account | None = None
        try:
            data = await self._store.load(bare)
            if data is not None:
                account = self._settle(bare, host, data)
            elif len(self._unknown) < _MAX_UNKNOWN:
                self._unknown[bare] = self._clock.now() + _UNKNOWN_SECONDS
        except Exception as caught:
            log.error("%s could not be loaded: %s", bare, caught)
            error = caught
        finally:
            waiting = self._loading.pop(bare)
        for waiter in waiting:
            try:
                waiter(account, error)
            except Exception:
                log.exception("what waited for %s failed", bare)
