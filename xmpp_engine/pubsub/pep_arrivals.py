"""Who comes online gets the last items of those he may hear of (XEP-0163, 4.3.4).

A resource has come when its capabilities say which nodes it wants; that may be a moment after its presence. Then the
nodes of the account itself and of all contacts whose presence it sees are looked through, whether or not their owners
are online. Nobody waits for that: it is done by a task, few of them at a time. What is sent is read from memory in the
moment in which it is sent, so it is never older than an event that was sent before it, and what the resource has heard
of meanwhile is left out.

Of an owner who is in memory the roster says who may hear of what. Of the others two questions to the database say it,
for all of them together: their entries for the one who has come, and who of them blocks him.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import notify
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.session import Session
from xmpp_engine.storage.types import RosterItem

if TYPE_CHECKING:
    from xmpp_engine.pubsub.node import Node
    from xmpp_engine.pubsub.pep import Pep
    from xmpp_engine.pubsub.pep_service import AccountService

#: Arrivals that are worked on together, and entries of rosters of one query.
_TOGETHER: Final = 8
_ENTRIES: Final = 1_000
#: Arrivals of one session that may wait.
_OPEN: Final = 1_000
#: A session's note: the nodes of which it knows the last items.
WANTED: Final = "pep wanted"
_WATCHED: Final = frozenset({"to", "both"})


class Arrival:
    """A resource that has come, or is to hear of `owners` only. `told` is what it heard of meanwhile."""

    __slots__ = ("groups_only", "owners", "session", "told", "wanted", "working")

    def __init__(
        self, session: Session, wanted: frozenset[str], owners: tuple[str, ...] | None = None, groups_only: bool = False
    ) -> None:
        self.session = session
        self.wanted = wanted
        self.owners = owners
        #: Only what depends on the groups of a roster.
        self.groups_only = groups_only
        self.working = False
        self.told: set[tuple[str, str]] = set()


class Arrivals:
    """Those that have come to one domain and were not served yet."""

    def __init__(self, pep: Pep) -> None:
        self._pep = pep
        self._queue: deque[Arrival] = deque()
        self._running = 0
        #: Those under way, by full JID, so that what is sent meanwhile can be noted.
        self.open: dict[str, list[Arrival]] = {}

    def came(self, session: Session) -> None:
        """A session's capabilities have become known."""
        wanted = self._pep.interests(session)
        notes = session.notes
        if notes is None or session.presence is None:
            return
        fresh = wanted - notes.get(WANTED, frozenset())
        notes[WANTED] = wanted
        if fresh:
            self._begin(Arrival(session, fresh))

    def left(self, session: Session) -> None:
        """A session is not available any more."""
        if session.notes is not None:
            session.notes.pop(WANTED, None)

    def allowed(self, owner: str, who: Account, *, groups_only: bool = False, here_only: bool = False) -> None:
        """Somebody gets to see an owner's presence, or is in other groups: his resources hear what they could not
        before. `here_only`: those of this node."""
        for session in who.available():
            if here_only and session.remote:
                continue
            wanted = self._pep.interests(session)
            if wanted:
                self._begin(Arrival(session, wanted, (owner,), groups_only))

    def _begin(self, arrival: Arrival) -> None:
        open = self.open.setdefault(arrival.session.jid.full, [])
        for other in open:
            if not other.working and (other.owners, other.groups_only) == (arrival.owners, arrival.groups_only):
                other.wanted |= arrival.wanted
                return
        if len(open) >= _OPEN:
            refused.warning("%s changes too fast to learn all last items", arrival.session.jid)
            return
        open.append(arrival)
        self._queue.append(arrival)
        if self._running < _TOGETHER:
            self._running += 1
            self._pep.services.tasks.spawn("last items", self._work())

    async def _work(self) -> None:
        try:
            while self._queue:
                arrival = self._queue.popleft()
                arrival.working = True
                try:
                    await self._serve(arrival)
                except Exception as error:
                    refused.error("%s does not learn the last items: %s", arrival.session.jid, error)
                finally:
                    self._close(arrival)
        finally:
            self._running -= 1

    def _close(self, arrival: Arrival) -> None:
        full = arrival.session.jid.full
        left = [other for other in self.open[full] if other is not arrival]
        if left:
            self.open[full] = left
        else:
            del self.open[full]

    async def _serve(self, arrival: Arrival) -> None:
        session = arrival.session
        account = session.account
        if session.ended or session.presence is None:
            return
        owners = arrival.owners or (
            account.bare,
            *(item.jid for item in account.roster.values() if item.subscription in _WATCHED),
        )
        found: list[tuple[AccountService, Node]] = []
        for pep, bares in self._by_domain(owners).items():
            for service in await pep.accounts.known(bares):
                found += [(service, node) for node in service.last_items(arrival.wanted)]
        if not found:
            return
        away = {service.domain for service, _node in found if service.owner is None}
        entries = await self._entries(away, session.jid) if away else {}
        for service, node in found:
            if session.ended or session.presence is None:
                return
            last = node.record.last
            if node.gone or last is None or (service.domain, node.name) in arrival.told:
                continue
            if arrival.groups_only and node.config.access_model != "roster":
                continue
            if service.hears(node, session.jid, entries.get(service.domain)):
                await notify.last_item(node, session.jid)

    def _by_domain(self, bares: Iterable[str]) -> dict[Pep, list[str]]:
        """The accounts of each domain of this server that has personal eventing."""
        found: dict[Pep, list[str]] = {}
        for bare in bares:
            jid = Jid.parse(bare)
            pep = self._pep.of_domain(jid.domain) if jid.local else None
            if pep is not None:
                found.setdefault(pep, []).append(jid.bare)
        return found

    async def _entries(self, owners: set[str], who: Jid) -> dict[str, RosterItem]:
        """What owners who are not in memory say of somebody, without those who block him. Raises StoreUnavailable."""
        stores = self._pep.services.stores
        entries: dict[str, tuple[int, RosterItem]] = {}
        after, left = (0, ""), len(owners)
        while left:
            rows = await stores.rosters.holders([who.bare], after, _ENTRIES)
            for number, owner, item in rows:
                if owner in owners:
                    left -= 1
                    if item.subscription in ("from", "both"):
                        entries[owner] = (number, item)
            if len(rows) < _ENTRIES:
                break
            after = (rows[-1][0], rows[-1][2].jid)
        numbers = [number for number, _item in entries.values()]
        forms = {who.full, who.bare, who.domain, f"{who.domain}/{who.resource}"}
        blocking = await stores.blocks.blocking(numbers, sorted(forms)) if numbers else set()
        return {owner: item for owner, (number, item) in entries.items() if number not in blocking}
