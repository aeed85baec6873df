"""The services of accounts in memory (XEP-0163, 3.1): one for each account that has nodes, made when it is needed.

That an account has no nodes is remembered too, so whoever comes online asks the database once for all of the contacts
nobody has asked for before, and mostly for none. An account is loaded once, whoever asks meanwhile: what is published
waits for that, so nothing that is loaded is older than what was published. What is kept is bounded by its size; those
go that were not used for the longest time and that nobody is using.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

from xmpp_engine.pubsub.options import ServiceOptions
from xmpp_engine.pubsub.pep_service import AccountService
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import NodeRecord

if TYPE_CHECKING:
    from xmpp_engine.pubsub.pep import Pep

#: Accounts of one query, and nodes of one account that are read.
_CHUNK: Final = 200
_NODES: Final = 2_000
#: Accounts without nodes that are remembered.
_NOTHING: Final = 100_000
_ROUNDS: Final = 5
#: What a service and a node cost beside their texts, in bytes; about.
_SERVICE: Final = 3_000
_NODE: Final = 2_500


class AccountServices:
    """The services of the accounts of one domain, by bare JID."""

    def __init__(self, pep: Pep) -> None:
        self._pep = pep
        #: The least recently used first.
        self._services: dict[str, AccountService] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._nothing: dict[str, None] = {}
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._users: dict[str, int] = {}
        #: Accounts that were removed while they were being loaded.
        self._removed: set[str] = set()
        #: Accounts whose nodes were changed outside while somebody was using them.
        self._stale: set[str] = set()

    def __len__(self) -> int:
        return len(self._services)

    def resident(self, bare: str) -> AccountService | None:
        """The service of an account that is in memory."""
        return self._services.get(bare)

    @asynccontextmanager
    async def use(self, bare: str, *, reads: bool = False) -> AsyncIterator[AccountService]:
        """The service of an account that exists, with all of its nodes; it stays in memory meanwhile. `reads`: whoever
        uses it changes nothing. Raises StoreUnavailable."""
        self._users[bare] = self._users.get(bare, 0) + 1
        try:
            if self._pep.services.accounts.get(bare) is None:
                # Its roster says who hears of what happens now.
                await self._pep.services.accounts.load(bare, self._pep.host)
            await self.known([bare])
            service = self._services.get(bare)
            if service is None:
                # The account has no nodes yet, or everything else is in use as well.
                service = self._make(bare, ())
            try:
                yield service
            finally:
                if not reads:
                    self._pep.tell(bare)
                if self._services.get(bare) is service:
                    self._weigh(service)
        finally:
            left = self._users[bare] - 1
            if left:
                self._users[bare] = left
            else:
                del self._users[bare]
                if bare in self._removed:
                    # Whoever gets the address later inherits nothing of what was under way.
                    self._removed.discard(bare)
                    self.forget(bare)
                    self._pep.services.tasks.spawn(
                        f"nodes of {bare}", self._pep.services.stores.pubsub.forget_person(bare)
                    )
                elif bare in self._stale:
                    self.renew(bare)
                self._make_place()

    async def known(self, bares: Iterable[str]) -> list[AccountService]:
        """The services of those of these accounts that have nodes. Raises StoreUnavailable."""
        wanted = list(bares)
        # Again where others have pushed out what was just loaded.
        for _ in range(_ROUNDS):
            missing = [bare for bare in wanted if bare not in self._services and bare not in self._nothing]
            if not missing:
                break
            await self._load(missing)
        found = []
        for bare in wanted:
            service = self._services.get(bare)
            if service is not None:
                # Used last, so it goes last.
                self._services[bare] = self._services.pop(bare)
                found.append(service)
        self._make_place()
        return found

    def configure(self, options: ServiceOptions) -> None:
        """Other limits are in force."""
        for service in self._services.values():
            service.configure(options)
        self._make_place()

    def forget(self, bare: str) -> None:
        """The account was removed, and its nodes with it; the nodes of others forget it."""
        for other in self._services.values():
            other.forget_person(bare)
        service = self._services.pop(bare, None)
        self._nothing.pop(bare, None)
        self._stale.discard(bare)
        self._size -= self._sizes.pop(bare, 0)
        if bare in self._loading or bare in self._users:
            self._removed.add(bare)
        if service is not None:
            service.close()

    def renew(self, bare: str) -> None:
        """What is stored of an account was changed outside, by an import: its nodes are read anew when somebody next
        asks for them. Those that are in use stay until they are not."""
        self._nothing.pop(bare, None)
        service = self._services.get(bare)
        self._stale.discard(bare)
        if bare in self._users or bare in self._loading or (service is not None and not service.idle):
            if len(self._stale) < _NOTHING:
                self._stale.add(bare)
        elif service is not None:
            del self._services[bare]
            self._size -= self._sizes.pop(bare, 0)
            service.close()

    # Loading

    async def _load(self, missing: list[str]) -> None:
        """Load these, unless somebody does already."""
        loop = asyncio.get_running_loop()
        fresh = [bare for bare in missing if bare not in self._loading]
        for bare in fresh:
            self._loading[bare] = loop.create_future()
        waiting = {self._loading[bare] for bare in missing}
        for start in range(0, len(fresh), _CHUNK):
            some = fresh[start : start + _CHUNK]
            self._pep.services.tasks.spawn(f"nodes of {len(some)} accounts", self._read(some))
        for future in waiting:
            await asyncio.shield(future)

    async def _read(self, bares: list[str]) -> None:
        error: Exception | None = StoreUnavailable("the engine is stopping")
        try:
            records = await self._pep.services.stores.pubsub.load_services(bares, _NODES)
            by_account: dict[str, list[NodeRecord]] = {}
            for record in records:
                by_account.setdefault(record.service, []).append(record)
            for bare in bares:
                if bare in by_account and bare not in self._removed:
                    self._make(bare, by_account[bare])
                else:
                    self._remember_nothing(bare)
            error = None
        except Exception as caught:
            error = caught
        finally:
            for bare in bares:
                if bare not in self._users:
                    self._removed.discard(bare)
                future = self._loading.pop(bare)
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
                    future.exception()  # Whoever waits has it; nobody may.
                if bare in self._stale and bare not in self._users:
                    # Something has changed while it was read.
                    self.renew(bare)

    def _make(self, bare: str, records: Iterable[NodeRecord]) -> AccountService:
        service = self._services.get(bare)
        if service is None:
            self._nothing.pop(bare, None)
            service = self._services[bare] = AccountService(self._pep, bare)
            service.nodes.adopt(records)
            self._weigh(service)
        return service

    def _remember_nothing(self, bare: str) -> None:
        if len(self._nothing) >= _NOTHING:
            for old in list(islice(self._nothing, _NOTHING // 10)):
                del self._nothing[old]
        self._nothing[bare] = None

    # The bound

    def _weigh(self, service: AccountService) -> None:
        size = _SERVICE
        for node in service.nodes.resident.values():
            last = node.record.last
            size += _NODE + (len(last.payload) if last is not None else 0) + 500 * len(node.record.subscriptions)
        self._size += size - self._sizes.get(service.domain, 0)
        self._sizes[service.domain] = size

    def _make_place(self) -> None:
        """Let services go when there is too much: some more than need be, so that this is seldom."""
        limit: int = self._pep.config.cache_bytes
        if self._size <= limit:
            return
        limit -= limit // 10
        for bare, service in list(self._services.items()):
            if self._users.get(bare) or not service.idle:
                continue
            del self._services[bare]
            self._size -= self._sizes.pop(bare, 0)
            if not service.nodes.resident:
                self._remember_nothing(bare)
            service.close()
            if self._size <= limit:
                return
