"""Bookmarks of rooms: native ones (XEP-0402) are what is kept; private XML (XEP-0049) and the node `storage:bookmarks`
(XEP-0048) show the same, and what old clients write there becomes native.

    private XML            made of the items when it is asked for; only what has no native form is stored there
    storage:bookmarks      one item, written anew after each change of the native ones

Changes of one account are taken over one after the other, in the order in which they were made, each with what the
client said in it: so a list that an old client writes counts from where it stands among the others' changes. What the
server writes itself bears the account's bare JID as its publisher, by which it is known not to be one of them.

Bookmarks in private XML from before become native ones the first time that their owner asks for any form.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.pubsub import pep_bookmark_forms as forms
from xmpp_engine.pubsub.payload import element_of, text_of
from xmpp_engine.pubsub.pep_service import AccountService, Change
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.storage.pubsub import MAX_PAGE, Item
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

_STORAGE: Final = (ns.BOOKMARKS_1, "storage")
#: XEP-0223: the item of a list, and who may see it.
_CURRENT: Final = "current"
_CLOSED: Final = {"access_model": "whitelist"}
#: Items of one publication, and changes that may wait for one account.
_AT_ONCE: Final = 20
_WAITING: Final = 1_000
#: An account's note: its private XML has no rooms any more.
_MOVED: Final = "bookmarks moved"


@dataclass(slots=True)
class _Work:
    """What is to be taken over for one account: a list that an old client has written, or the rooms of native bookmarks
    that have changed."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changes: deque[Element | set[str]] = field(default_factory=deque)
    users: int = 0


class Bookmarks(Module):
    """Keeps the forms of bookmarks together."""

    name = "pep-bookmarks"
    xeps = (Xep("0402", "1.2.0"), Xep("0048", "1.2"), Xep("0411", "1.1.0"))
    requires = ("pep", "private")
    features: ClassVar = {
        Target.ACCOUNT: (ns.BOOKMARKS_COMPAT, f"{ns.BOOKMARKS_COMPAT}-pep", ns.BOOKMARKS_CONVERSION),
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._work: dict[str, _Work] = {}

    def setup(self, reg: Registrar) -> None:
        self.needs("private").converters[_STORAGE] = self
        pep = self.needs("pep")
        for name in (ns.BOOKMARKS, ns.BOOKMARKS_1):
            pep.watchers[name] = self.changed
        pep.preparations[ns.BOOKMARKS] = self.prepare_native
        pep.preparations[ns.BOOKMARKS_1] = self.prepare

    # Private XML

    async def read(self, context: IqContext) -> Element:
        """The list as private XML."""
        account = context.account
        assert account is not None
        async with self._alone(account.bare) as service:
            await self._move(service, account)
            return forms.storage(await self._native(service), await self._rest(account))

    async def write(self, element: Element, context: IqContext) -> None:
        """An old client has written the list."""
        account = context.account
        assert account is not None
        async with self._alone(account.bare) as service:
            wanted, rest = forms.split(element)
            await self._take_over(service, wanted)
            await self._keep(account, rest)
            await self._list(service, rest)

    # Nodes

    def changed(self, service: AccountService, change: Change) -> None:
        """A node of bookmarks has changed."""
        if change.own:
            return
        taken: Element | set[str]
        if change.node == ns.BOOKMARKS:
            taken = {*(item.id for item in change.published), *change.gone}
        else:
            listed = element_of(change.published[-1].payload) if change.published else None
            if listed is None or (listed.ns, listed.name) != _STORAGE:
                return  # Without a list the bookmarks are still there.
            taken = listed
        bare = service.domain
        work = self._work.get(bare)
        if work is None:
            work = self._work[bare] = _Work()
        elif work.changes and isinstance(taken, set) and isinstance(work.changes[-1], set):
            work.changes[-1] |= taken
            return
        if len(work.changes) >= _WAITING:
            refused.warning("%s changes its bookmarks too fast, a list is not taken over", bare)
            return
        work.changes.append(taken)
        work.users += 1
        self.services.tasks.spawn(f"bookmarks of {bare}", self._follow(bare, work))

    async def prepare_native(self, account: Account, reads: bool) -> None:
        """The owner is about to ask for the native ones: who reads them finds a node, though it may be empty.

        COMPAT(Dino 0.4, 2026-11): where there is none it takes bookmarks for unsupported, and never writes the first
        one. Who publishes makes the node with options of his own."""
        await self.prepare(account, reads)
        if not reads:
            return
        async with self._alone(account.bare) as service:
            if service.nodes.get(ns.BOOKMARKS) is None:
                with suppress(StanzaError):  # too many nodes: then he learns that there is none
                    await self._closed(service, ns.BOOKMARKS)

    async def prepare(self, account: Account, _reads: bool) -> None:
        """The owner is about to ask for a node of bookmarks."""
        if account.notes is not None and account.notes.get(_MOVED):
            return
        async with self._alone(account.bare) as service:
            await self._move(service, account)

    async def _follow(self, bare: str, work: _Work) -> None:
        """Take over the changes that wait."""
        try:
            async with self._alone(bare) as service:
                while work.changes:
                    change = work.changes.popleft()
                    account = await self.services.accounts.load(bare, self.host)
                    if account is None:
                        return
                    rest = await self._rest(account)
                    if isinstance(change, Element):
                        wanted, rest = forms.split(change)
                        # What changed after the list was written stays as it is.
                        later = {room for after in work.changes if isinstance(after, set) for room in after}
                        await self._take_over(service, wanted, later)
                        await self._keep(account, rest)
                    await self._list(service, rest)
        except Exception as error:
            refused.error("the bookmarks of %s are not the same in all forms: %s", bare, error)
        finally:
            self._leave(bare, work)

    # One account at a time

    @asynccontextmanager
    async def _alone(self, bare: str) -> AsyncIterator[AccountService]:
        work = self._work.get(bare)
        if work is None:
            work = self._work[bare] = _Work()
        work.users += 1
        try:
            async with work.lock, self.needs("pep").accounts.use(bare) as service:
                yield service
        finally:
            self._leave(bare, work)

    def _leave(self, bare: str, work: _Work) -> None:
        work.users -= 1
        if not work.users and self._work.get(bare) is work:
            del self._work[bare]

    async def _native(self, service: AccountService) -> forms.Bookmarks:
        node = service.nodes.get(ns.BOOKMARKS)
        found: forms.Bookmarks = {}
        after: str | None = None
        while node is not None and node.record.last is not None:
            page = await self.services.stores.pubsub.items(node.number, limit=MAX_PAGE, after=after)
            for item in page.items:
                payload = element_of(item.payload)
                if payload is not None and (payload.ns, payload.name) == (ns.BOOKMARKS, "conference"):
                    found[item.id] = payload
            if len(page.items) < MAX_PAGE:
                break
            after = page.items[-1].id
        return found

    async def _take_over(self, service: AccountService, wanted: forms.Bookmarks, later: Set[str] = frozenset()) -> None:
        """Make the native bookmarks those that a list wants, but for these."""
        put, removed = forms.changes(await self._native(service), wanted)
        put = {room: bookmark for room, bookmark in put.items() if room not in later}
        removed = [room for room in removed if room not in later]
        if put:
            await self._closed(service, ns.BOOKMARKS)
            items = [Item(room, text_of(bookmark)) for room, bookmark in put.items()]
            for start in range(0, len(items), _AT_ONCE):
                await service.publish(ns.BOOKMARKS, items[start : start + _AT_ONCE], service.jid)
        if removed:
            await service.retract(ns.BOOKMARKS, removed)

    async def _list(self, service: AccountService, rest: list[Element]) -> None:
        """Write the list in its node anew, unless it says the same already."""
        bookmarks = await self._native(service)
        node = service.nodes.get(ns.BOOKMARKS_1)
        last = node.record.last if node is not None else None
        present = element_of(last.payload) if last is not None else None
        old, old_rest = forms.split(present) if present is not None else ({}, [])
        if old_rest == rest and forms.changes(bookmarks, old) == ({}, []):
            return
        await self._closed(service, ns.BOOKMARKS_1)
        payload = text_of(forms.storage(bookmarks, rest))
        await service.publish(ns.BOOKMARKS_1, [Item(_CURRENT, payload)], service.jid)

    async def _closed(self, service: AccountService, name: str) -> None:
        """Nobody but the account may read what the server writes there (XEP-0411, 5)."""
        node = service.nodes.get(name)
        if node is None:
            config = service.fresh(name, "leaf")
            values = {key: getattr(config, key) for key in ("access_model", "max_items", "send_last_published_item")}
            await service.create_node(name, values, creator=service.domain)
        elif node.config.access_model != "whitelist":
            refused.warning("the bookmarks of %s were to be seen by others, they are closed", service.domain)
            await service.configure_node(name, _CLOSED)

    # What private XML has

    async def _stored(self, account: Account) -> Element | None:
        stored = await self.services.stores.private.get(account.id, *_STORAGE)
        return element_of(stored) if stored is not None else None

    async def _rest(self, account: Account) -> list[Element]:
        """What is stored as private XML: what has no native form."""
        stored = await self._stored(account)
        return list(stored.elements()) if stored is not None else []

    async def _keep(self, account: Account, rest: list[Element]) -> None:
        element = Element(*_STORAGE, None, *rest)
        if await self._rest(account) != rest:
            quota: int = self.needs("private").config.quota
            await self.services.stores.private.put(account.id, *_STORAGE, text_of(element), quota)

    async def _move(self, service: AccountService, account: Account) -> None:
        """Make native bookmarks of those in private XML, once. What is native already stays as it is."""
        if account.note(_MOVED, bool):
            return
        stored = await self._stored(account)
        old, rest = forms.split(stored) if stored is not None else ({}, [])
        if old:
            present = await self._native(service)
            await self._take_over(service, {**old, **present})
            await self._keep(account, rest)
            await self._list(service, rest)
        assert account.notes is not None
        account.notes[_MOVED] = True
