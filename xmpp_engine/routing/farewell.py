"""What the contacts of a removed account are told: the stanzas that a user would send who takes every contact from the
roster, so that no roster keeps a subscription to nobody."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.account import Account
from xmpp_engine.stanza.build import presence
from xmpp_engine.storage.protocols import StoreUnavailable

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services

#: Farewells between two looks at what else the loop has to do.
_FAREWELLS: Final = 20
#: Removed accounts that are looked for in rosters at a time, and roster items that are read at a time.
_HOLDERS: Final = 200
_MOST_GONE: Final = 100_000
#: How long more removed accounts are waited for, so that thousands are few queries.
_GATHER_SECONDS: Final = 1.0


class Farewells:
    """Those of one host."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: Bare JIDs of removed accounts whose contacts have to be found; whether a task does that.
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._leaving = False

    def of(self, account: Account) -> None:
        """Tell the contacts of an account that is gone that nothing comes from it any more and nobody sees them; its
        sessions have ended. Runs as a task."""
        self._services.tasks.spawn(f"farewell of {account.bare}", self._say_farewell(account))

    def of_absent(self, gone: Jid) -> None:
        """The same for an account whose roster nobody has in memory any more: the contacts of this server are those
        that have it in theirs. One task does this for all that are gone: many may be removed at once."""
        self._gone[gone.bare] = None
        if len(self._gone) > _MOST_GONE:
            forgotten = self._gone.popitem(last=False)[0]
            refused.error("the contacts of %s do not learn that it is gone: too many were removed", forgotten)
        if not self._leaving:
            self._leave_soon()

    def _leave_soon(self) -> None:
        self._leaving = True
        spawn = self._services.tasks.spawn
        self._services.clock.call_later(
            _GATHER_SECONDS, lambda: spawn("farewell of removed accounts", self._say_farewell_to_holders())
        )

    async def _say_farewell(self, account: Account) -> None:
        for number, item in enumerate(list(account.roster.values())):
            types = []
            if item.subscription in ("to", "both") or item.ask:
                types.append("unsubscribe")
            if item.subscription in ("from", "both") or item.pending_in:
                types.append("unsubscribed")
            await self._leave(account.jid, Jid.parse(item.jid), types)
            if number % _FAREWELLS == 0:
                await asyncio.sleep(0)

    async def _say_farewell_to_holders(self) -> None:
        all_gone, self._gone = list(self._gone), OrderedDict()
        try:
            for start in range(0, len(all_gone), _HOLDERS):
                jids = all_gone[start : start + _HOLDERS]
                try:
                    await self._leave_holders(jids)
                except StoreUnavailable as error:
                    refused.error("the contacts of %s do not learn that they are gone: %s", ", ".join(jids), error)
        finally:
            self._leaving = False
            if self._gone:
                self._leave_soon()

    async def _leave_holders(self, jids: list[str]) -> None:
        after = (0, "")
        while True:
            found = await self._services.stores.rosters.holders(jids, after, _HOLDERS)
            for _number, bare, item in found:
                types = []
                if item.subscription in ("from", "both") or item.pending_in:
                    types.append("unsubscribe")
                if item.subscription in ("to", "both") or item.ask:
                    types.append("unsubscribed")
                await self._leave(Jid.parse(item.jid), Jid.parse(bare), types)
            if len(found) < _HOLDERS:
                return
            after = found[-1][0], found[-1][2].jid

    async def _leave(self, gone: Jid, contact: Jid, types: list[str]) -> None:
        """Send a contact these stanzas. One after the other: a long roster must not become as many queries at once."""
        hosts = self._services.router.hosts
        if types and contact.domain in hosts:
            try:
                await self._services.accounts.load(contact.bare, hosts[contact.domain])
            except StoreUnavailable as error:
                refused.error("%s does not learn that %s is gone: %s", contact, gone, error)
                return
        for type in types:
            self._services.router.route(presence(gone, contact, type))
