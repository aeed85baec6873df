"""The push registrations that are in memory: read when they are needed, the accounts not needed for longest forgotten.

Others change the store too: devices are revoked or expire, pages switch registrations off. Where that is known at once
`reread` is called; for the rest what was read counts for an hour.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.storage.protocols import StoreUnavailable

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.storage.pushes import PushRow

#: Accounts whose registrations stay in memory.
_KNOWN: Final = 20_000
_REREAD_SECONDS: Final = 3_600.0
#: A reading during which something changed is done anew, so many times at most.
_READINGS: Final = 3

#: What names a registration in its account: service and node.
Key = tuple[str, str]


class Registration:
    """A registration in memory: what it has not been told yet, and how its service answers."""

    __slots__ = (
        "body",
        "busy",
        "count",
        "due",
        "failed",
        "failed_for_good",
        "requests",
        "row",
        "sender",
        "sent",
        "timer",
    )

    def __init__(self, row: PushRow) -> None:
        self.row = row
        #: Messages and subscription requests since the device last looked.
        self.count = 0
        self.requests = 0
        self.sender = ""
        self.body = ""
        #: A request is under way; something is to be told after it.
        self.busy = False
        self.due = False
        self.sent = float("-inf")
        self.timer: Timer | None = None
        self.failed = 0
        self.failed_for_good = 0

    @property
    def key(self) -> Key:
        """What names it in its account."""
        return (self.row.jid, self.row.node)

    def rest(self) -> None:
        """The device sees for itself: nothing is to be told."""
        self.count, self.requests, self.due = 0, 0, False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Known(dict[Key, Registration]):
    """The registrations of one account. `read`: when they were last read, by the clock that never goes back."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        super().__init__()
        self.read = float("-inf")


class Registrations:
    """Those of all accounts of a host."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Numbers of the accounts that have registrations; None until they are read.
        self._accounts: set[int] | None = None
        self._known: OrderedDict[int, Known] = OrderedDict()
        #: Grows with every change in the store: what was being read meanwhile may be old.
        self._changes = 0

    async def begin(self) -> None:
        """Read which accounts have registrations, so that messages to all others cost one look into a set."""
        try:
            self._accounts = await self._services.stores.pushes.accounts()
        except StoreUnavailable as error:
            refused.error("push registrations cannot be read, each account will be asked: %s", error)

    def may_have(self, account_id: int) -> bool:
        """Whether it is worth asking for the registrations of an account."""
        return self._accounts is None or account_id in self._accounts

    def get(self, account_id: int) -> Known | None:
        """The registrations of an account if they are in memory, however old."""
        return self._known.get(account_id)

    def fresh(self, account_id: int) -> Known | None:
        """The registrations of an account unless they have to be read."""
        known = self._known.get(account_id)
        return None if known is None or self._services.clock.now() - known.read > _REREAD_SECONDS else known

    async def load(self, account_id: int) -> Known:
        """The registrations of an account; raises StoreUnavailable."""
        known = self.fresh(account_id)
        if known is None:
            for _ in range(_READINGS):
                changes = self._changes
                rows = await self._services.stores.pushes.load(account_id)
                if changes == self._changes:
                    break
            known = self._known.setdefault(account_id, Known())
            self._update(known, rows)
            if len(self._known) > _KNOWN:
                for gone in self._known.popitem(last=False)[1].values():
                    gone.rest()
        self._known.move_to_end(account_id)
        return known

    async def put(self, row: PushRow, limit: int) -> None:
        """Store a registration; what the account has over `limit` goes. Raises StoreUnavailable or ValueError."""
        await self.load(row.account_id)
        gone = await self._services.stores.pushes.put(row, limit)
        self._changes += 1
        known = self._known.get(row.account_id)
        if known is not None:
            for key in [(old.jid, old.node) for old in (*gone, row)]:
                old = known.pop(key, None)
                if old is not None:
                    old.rest()
            known[(row.jid, row.node)] = Registration(row)
        if self._accounts is not None:
            self._accounts.add(row.account_id)

    async def remove(self, account_id: int, jid: str, node: str | None) -> None:
        """Remove one registration, or all of a service for None; raises StoreUnavailable."""
        known = await self.load(account_id)
        await self._services.stores.pushes.remove(account_id, jid, node)
        self._changes += 1
        self.drop(account_id, [key for key in known if key[0] == jid and node in (None, key[1])])

    def drop(self, account_id: int, keys: Iterable[Key]) -> None:
        """Forget registrations that are, or are about to be, removed in the store."""
        known = self._known.get(account_id)
        if known is None:
            return
        for key in keys:
            gone = known.pop(key, None)
            if gone is not None:
                gone.rest()
        if not known and self._accounts is not None:
            self._accounts.discard(account_id)

    def may_be(self, account_id: int) -> None:
        """An account may have registrations now that had none."""
        if self._accounts is not None:
            self._accounts.add(account_id)

    def reread(self, account_id: int) -> None:
        """Somebody else removed registrations of an account in the store: nothing more is sent for those in memory."""
        self._changes += 1
        for gone in self._known.pop(account_id, {}).values():
            gone.rest()

    def _update(self, known: Known, rows: list[PushRow]) -> None:
        """What was read; of a registration that is still there the figures stay."""
        known.read = self._services.clock.now()
        stored = {(row.jid, row.node): row for row in rows}
        for key in [key for key in known if key not in stored]:
            known.pop(key).rest()
        for key, row in stored.items():
            if key in known:
                known[key].row = row
            else:
                known[key] = Registration(row)
