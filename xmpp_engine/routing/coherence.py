"""Coherence: what several nodes have in memory of one account stays the same.

An account is resident on every node that deals with it. Whoever changes something of it tells the others, by records
that say what has changed ("c": what, bare JID, values); they take it over where the account is resident. Two kinds:

    values     said at once, before anything follows from the change: a contact who answers a subscription within
               milliseconds on another node must find it there. Links keep the order, so it does.
    stored     said once the change is committed, where the memory of others may differ from the store (two nodes have
               changed one contact at a time): who sees that it does reads the account anew (`reread`).

Accounts that are being loaded while something is told are read once more; and what was told of a contact and not yet
said to be stored holds against what is read. When a node is gone, what it told last may never have reached the store:
accounts that it changed shortly before are read anew too. And what it stored last it may not have told, or cannot tell
while the two are cut off from each other: then, and whenever a node joins, the versions of all rosters in memory are
held against those of the store. As a node that is out of reach may go on storing, and end without ever coming back,
they are while it is missing, less and less often.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.storage.protocols import StoreUnavailable

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.runtime.clock import Timer
    from xmpp_engine.storage.types import AccountData, RosterItem

log = logging.getLogger("mlink.coherence")

TOLD: Final = "c"
#: What is told where the store says all, and of a contact.
DATA: Final = "data"
ROSTER: Final = "roster"
#: Seconds for which a word about an account that is not resident is remembered: it may be being loaded. Accounts of
#: which it is, and that a node changed last.
_SECONDS: Final = 30.0
_REMEMBERED: Final = 20_000
#: Words about one account.
_KEPT: Final = 20
#: Seconds until an account that could not be read anew is tried again.
_AGAIN_SECONDS: Final = 2.0
#: Versions of rosters that are asked for at a time.
_COMPARED: Final = 500
#: Seconds after a node is gone until rosters are compared once more, each time twice as long up to the last.
_MISSING_SECONDS: Final = 15.0
_MISSING_LAST: Final = 960.0

#: function(account, bare, values): the account is None where it is not resident.
Heard = Callable[["Account | None", str, list[Any]], Any]


class Unsaved(Protocol):
    """What is asked of the module of rosters."""

    name: str

    def heard_before(self, account: Account, told: list[list[Any]]) -> None:
        """What other nodes have told before the account was read."""

    def changed_elsewhere(self, account: Account, old: dict[str, RosterItem]) -> None:
        """An account was read anew, and had these contacts before: let everybody here know what is different."""

    def keep_unsaved(self, account: Account, data: AccountData) -> None:
        """Put what is not in the database yet into what was read from it."""


class Brings(Protocol):
    """What is asked of the module of offline messages."""

    def stored_elsewhere(self, account: Account) -> None:
        """Something is stored, and whoever has stored it may have ended before he could say so."""


class Coherence:
    """The accounts of one node and those of the others."""

    def __init__(self, services: Services, peers: Peers) -> None:
        self._services = services
        self._peers = peers
        self._heard: dict[tuple[str, str], Heard] = {}
        #: Accounts of which something was told while they were not resident: when, by whom last, and what that was.
        self._recent: OrderedDict[str, tuple[float, str, deque[tuple[str, list[Any]]]]] = OrderedDict()
        #: Who changed which account last, the newest last.
        self._changed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        #: What was told of contacts of resident accounts that is not said to be stored yet, and by whom: by account and
        #: contact.
        self._unstored: OrderedDict[str, dict[str, tuple[str, list[Any]]]] = OrderedDict()
        self._reading: dict[str, bool] = {}
        self._whole: dict[tuple[str, str], Callable[[str], Any]] = {}
        #: Whether rosters are being compared with the store, and whether that is to be done once more.
        self._comparing = self._once_more = False
        #: Nodes whose words do not come, which may store something: those that are gone, and that have not greeted yet.
        #: And when that is looked at next.
        self._missing: set[str] = set()
        self._missing_timer: Timer | None = None
        peers.handle(TOLD, self._told)
        peers.on_joined(self._joined)
        peers.on_gone(self._gone)

    def tell(self, bare: str, what: str, *values: Any) -> None:
        """Something of an account has changed here."""
        self._peers.broadcast((TOLD, what, bare, *values))

    def tell_one(self, node: str, domain: str, what: str, *values: Any) -> None:
        """Tell one node of all accounts of a domain: its function gets the domain where an account's address is."""
        self._peers.post(node, (TOLD, what, domain, *values))

    def hear(self, domain: str, what: str, function: Heard, whole: Callable[[str], Any] | None = None) -> None:
        """Call the function when another node tells of this, and `whole` with a node that has joined; a module says so
        in its `setup`, again and again."""
        self._heard[(domain, what)] = function
        if whole is not None:
            self._whole[(domain, what)] = whole

    def _joined(self, node: str, _returned: bool) -> None:
        self._missing.add(node)
        for whole in list(self._whole.values()):
            whole(node)

    def greeted(self, node: str) -> None:
        """From now on the words of a node come. What it has stored before is seen by the versions, and what one that
        had its name before it stored when it was out of reach."""
        self._missing.discard(node)
        self.compare()

    @property
    def unsure(self) -> bool:
        """Whether others may have stored changes of rosters that this node does not know yet."""
        return bool(self._missing) or self._comparing

    def compare(self) -> None:
        """Read accounts anew, soon, whose roster has another version here than in the store; and bring what is stored
        to who is there."""
        self._once_more = True
        if not self._comparing:
            self._comparing = True
            self._services.tasks.spawn("compare rosters", self._compare())

    async def _compare(self) -> None:
        try:
            while self._once_more:
                self._once_more = False
                accounts = list(self._services.accounts.resident.values())
                for start in range(0, len(accounts), _COMPARED):
                    await self._compare_some(accounts[start : start + _COMPARED])
        except StoreUnavailable as error:
            log.warning("rosters are not compared with the store yet: %s", error)
            self._services.clock.call_later(_AGAIN_SECONDS, self.compare)
        finally:
            self._comparing = False

    async def _compare_some(self, accounts: list[Account]) -> None:
        stores = self._services.stores
        waiting = await stores.offline.waiting([account.id for account in accounts if account.sessions])
        for account in accounts:
            offline = cast("Brings | None", account.host.modules.get("offline"))
            if account.id in waiting and offline is not None:
                offline.stored_elsewhere(account)
        versions = await stores.rosters.versions([account.id for account in accounts])
        for account in accounts:
            bare = account.bare
            if account.data.roster_version == versions.get(account.id, account.data.roster_version):
                continue
            if bare in self._reading:
                self._reading[bare] = True
            else:
                self._reading[bare] = False
                await self._reread(bare)

    def settled(self, account: Account) -> None:
        """An account was read and is resident now."""
        when, node, told = self._recent.pop(account.bare, (0.0, "", deque()))
        if told and when + _SECONDS > self._services.clock.now():
            _note(self._changed, account.bare, (node, when))
            # What was read may be older than what was said: a request is answered here before it is stored there.
            roster = cast("Unsaved | None", account.host.modules.get("roster"))
            if roster is not None:
                roster.heard_before(account, [values for what, values in told if what == roster.name])
            # Of contacts it is said once more when they are stored.
            if roster is None or len(told) == _KEPT or any(what != roster.name for what, _values in told):
                self.reread(account.bare)

    def unstored(self, bare: str) -> list[list[Any]]:
        """What other nodes have told of contacts of an account and may not have stored yet."""
        return [values for _node, values in self._unstored.get(bare, {}).values()]

    def reread(self, bare: str) -> None:
        """Read a resident account anew, soon; what is asked for meanwhile is done after that."""
        if bare in self._reading:
            self._reading[bare] = True
            return
        self._reading[bare] = False
        self._services.tasks.spawn(f"reread {bare}", self._reread(bare))

    async def _reread(self, bare: str) -> None:
        try:
            while True:
                account = self._services.accounts.get(bare)
                if account is None:
                    return
                changes = account.changes
                data = await self._services.stores.accounts.load(bare)
                if data is None:
                    return  # whoever has removed it says so
                if self._reading[bare] or account.changes != changes:
                    self._reading[bare] = False
                    continue
                roster = cast("Unsaved | None", account.host.modules.get("roster"))
                if roster is not None:
                    roster.keep_unsaved(account, data)
                old, account.data = account.data, data
                if roster is not None:
                    roster.changed_elsewhere(account, old.roster)
                return
        except StoreUnavailable as error:
            log.warning("%s is not read anew yet: %s", bare, error)
            self._services.clock.call_later(_AGAIN_SECONDS, self.reread, bare)
        finally:
            del self._reading[bare]

    def _told(self, node: str, record: Record) -> None:
        _kind, what, bare, *values = record
        accounts = self._services.accounts
        account = accounts.get(bare)
        if account is None:
            now = self._services.clock.now()
            when, _who, told = self._recent.get(bare, (float("-inf"), "", deque()))
            if when + _SECONDS <= now:
                told = deque(maxlen=_KEPT)
            told.append((what, values))
            _note(self._recent, bare, (now, node, told))
        else:
            _note(self._changed, bare, (node, self._services.clock.now()))
            account.changes += 1
        if what == DATA and account is not None:
            self.reread(bare)
        elif what == ROSTER:
            self._told_of_contact(node, bare, values, resident=account is not None)
        heard = self._heard.get((bare.rpartition("@")[2], what))
        if heard is not None:
            heard(account, bare, values)

    def _told_of_contact(self, node: str, bare: str, values: list[Any], *, resident: bool) -> None:
        jid, committed = values[0], values[3]
        told = self._unstored.get(bare)
        if not committed:
            if resident:
                told = told if told is not None else {}
                told[jid] = (node, values)
                _note(self._unstored, bare, told)
        elif told is not None and told.get(jid, ("",))[0] == node:
            del told[jid]
            if not told:
                del self._unstored[bare]

    def _gone(self, node: str, _records: list[Record]) -> None:
        for bare, told in list(self._unstored.items()):
            # What it has not stored it never will.
            left = {jid: word for jid, word in told.items() if word[0] != node}
            if left:
                self._unstored[bare] = left
            else:
                del self._unstored[bare]
        since = self._services.clock.now() - _SECONDS
        for bare, (who, when) in list(self._changed.items()):
            if when < since or who == node:
                del self._changed[bare]
                if when >= since:
                    self.reread(bare)
        self.compare()
        self._missing.add(node)
        self._look_later(_MISSING_SECONDS)

    def _look_later(self, seconds: float) -> None:
        if self._missing_timer is not None:
            self._missing_timer.cancel()
        self._missing_timer = self._services.clock.call_later(seconds, self._look_again, seconds)

    def _look_again(self, after: float) -> None:
        """A node is missing; the last look was this many seconds ago."""
        self._missing_timer = None
        if not self._missing:
            return
        self.compare()
        if after < _MISSING_LAST:
            self._look_later(after * 2)
        else:
            self._missing.clear()


def _note(notes: OrderedDict[str, Any], key: str, value: Any) -> None:
    notes[key] = value
    notes.move_to_end(key)
    if len(notes) > _REMEMBERED:
        notes.popitem(last=False)
