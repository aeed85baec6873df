"""The nodes of one service: a line for each there is, and those that are in memory.

The directory is read when a service starts, so that lists, the tree of collections and the answer that there is no
such node need no database. A node that somebody asks for is loaded whole, once, whoever else asks meanwhile; the ones
that were not used for some time go again, and the oldest when there are too many. Nodes of accounts are loaded
together and handed to `adopt`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.pubsub import errors
from xmpp_engine.pubsub.config import AccessModel, NodeConfig, from_values
from xmpp_engine.pubsub.node import Node
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import MAX_PAGE, NodeKind, NodeRecord

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

log = logging.getLogger("mlink.pubsub")

_RETRY_SECONDS: Final = 5.0
#: How long a request waits for the directory.
_PATIENCE_SECONDS: Final = 10.0
#: The value of a stored configuration that says that the node was deleted and where it is now.
REDIRECT: Final = "redirect"


@dataclass(slots=True)
class Listing:
    """What is known of a node that is not in memory. `redirect` is where a deleted node has gone."""

    name: str
    number: int
    kind: NodeKind
    title: str
    creator: str
    created: float
    access_model: AccessModel
    collection: tuple[str, ...] = ()
    #: Whether the last item is sent to whoever comes online.
    on_presence: bool = False
    purge_offline: bool = False
    redirect: str = ""


class Nodes:
    """All nodes of one service."""

    __slots__ = (
        "_loading",
        "_ready",
        "_service",
        "by_number",
        "children",
        "complete",
        "created",
        "directory",
        "making",
        "on_presence",
        "purge_offline",
        "resident",
        "stamp",
    )

    def __init__(self, service: PubSubService) -> None:
        self._service = service
        self.directory: dict[str, Listing] = {}
        self.resident: dict[str, Node] = {}
        #: The same by their numbers.
        self.by_number: dict[int, Node] = {}
        #: Names of the nodes in each collection.
        self.children: dict[str, dict[str, None]] = {}
        #: How many nodes each bare JID has created, with those of which only a redirection is left.
        self.created: dict[str, int] = {}
        #: Names of the nodes that send their last item to who comes online, and of those that lose items with who goes.
        self.on_presence: set[str] = set()
        self.purge_offline: set[str] = set()
        #: Whether the directory has what the store has.
        self.complete = False
        #: Grows with every change in the tree of collections or in who subscribes to one.
        self.stamp = 0
        self._loading: dict[str, asyncio.Future[Node | None]] = {}
        #: Names of nodes that are being stored, with the end of that: who asks for one meanwhile comes after its maker.
        self.making: dict[str, asyncio.Future[None]] = {}
        self._ready: asyncio.Future[None] | None = None

    # The directory

    async def start(self) -> None:
        """Read the directory; again and again until the store answers."""
        service = self._service
        while not self.complete:
            try:
                await self._read()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.error("the nodes of %s cannot be listed now: %s", service.domain, error)
                await asyncio.sleep(_RETRY_SECONDS)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def renew(self) -> None:
        """The defaults are others: nodes in memory follow in what was not set for them."""
        for node in self.resident.values():
            node.config = from_values(self._service.defaults(node.kind), node.record.config)
            node.changed()
            self.listed(node)

    async def reread(self) -> None:
        """The defaults are others: the lines of nodes that are not in memory follow."""
        try:
            await self._read()
        except Exception as error:
            log.error("the nodes of %s cannot be listed anew: %s", self._service.domain, error)

    async def _read(self) -> None:
        store, after = self._service.services.stores.pubsub, ""
        while True:
            rows = await store.nodes(self._service.domain, after, MAX_PAGE)
            for row in rows:
                old = self.directory.get(row.name)
                if self.complete and (old is None or row.name in self.resident):
                    continue  # Made, deleted or changed meanwhile: that line is the better one.
                config = from_values(self._service.defaults(row.kind), row.config)
                line = listing(row.name, row.number, row.kind, row.creator, row.created, config, row.config)
                if old is not None:
                    self._leave(old)
                self._enter(line)
            if len(rows) < MAX_PAGE:
                break
            after = rows[-1].name
        self.complete = True

    def forget(self) -> None:
        """Everything is to be read anew by `start`; a node in use goes when its turn is over, and who waits for one
        finds the new one."""
        for node in list(self.resident.values()):
            self._unload(node)
            node.gone = True
        self.directory.clear()
        self.children.clear()
        self.created.clear()
        self.on_presence.clear()
        self.purge_offline.clear()
        self.stamp += 1
        self.complete = False
        self._ready = None

    async def ready(self) -> None:
        """Wait until the directory is there. Raises StoreUnavailable where that takes too long."""
        if self.complete:
            return
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise StoreUnavailable("the nodes are not known yet") from None

    def adopt(self, records: Iterable[NodeRecord]) -> None:
        """Take all nodes of the service in: the directory is complete. For the services of accounts."""
        for record in records:
            config = from_values(self._service.defaults(record.kind), record.config)
            if REDIRECT in record.config:
                made = record.creator, record.created
                self._enter(listing(record.name, record.number, record.kind, *made, config, record.config))
            elif record.name not in self.resident:
                self.put(Node(self._service, record, config))
        self.complete = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def listed(self, node: Node) -> None:
        """The directory's line of a node has changed."""
        record = node.record
        line = listing(record.name, record.number, record.kind, record.creator, record.created, node.config)
        old = self.directory.get(record.name)
        if old is not None:
            if old == line:
                return
            self._leave(old)
        self._enter(line)

    def names(self) -> list[str]:
        """The names of all nodes, in their order."""
        return sorted(name for name, line in self.directory.items() if not line.redirect)

    def parents(self, name: str) -> tuple[str, ...]:
        """The collections that a node belongs to."""
        line = self.directory.get(name)
        return line.collection if line is not None else ()

    def _enter(self, line: Listing) -> None:
        self.directory[line.name] = line
        if line.on_presence:
            self.on_presence.add(line.name)
        if line.purge_offline:
            self.purge_offline.add(line.name)
        for parent in line.collection:
            self.children.setdefault(parent, {})[line.name] = None
            self.stamp += 1
        if line.creator:
            self.created[line.creator] = self.created.get(line.creator, 0) + 1

    def _leave(self, line: Listing) -> None:
        del self.directory[line.name]
        self.on_presence.discard(line.name)
        self.purge_offline.discard(line.name)
        for parent in line.collection:
            self.stamp += 1
            among = self.children.get(parent)
            if among is not None:
                among.pop(line.name, None)
                if not among:
                    del self.children[parent]
        if line.creator:
            left = self.created[line.creator] - 1
            if left:
                self.created[line.creator] = left
            else:
                del self.created[line.creator]

    # Nodes in memory

    def get(self, name: str) -> Node | None:
        """A node if it is in memory."""
        return self.resident.get(name)

    async def fetch(self, name: str) -> Node:
        """The node, loaded where it is not in memory. Raises StanzaError: `item-not-found`, or `gone` where it has
        moved; StoreUnavailable."""
        node = self.resident.get(name)
        if node is None:
            await self.ready()
            await self.made(name)
            line = self.directory.get(name)
            if line is None:
                raise errors.no_node()
            if line.redirect:
                raise errors.moved(line.redirect)
            node = self.resident.get(name) or await self._load(name)
        node.used = self._service.services.clock.now()
        return node

    async def made(self, name: str) -> None:
        """Wait while a node of this name is being made."""
        while (making := self.making.get(name)) is not None:
            await asyncio.wait((making,))

    async def _load(self, name: str) -> Node:
        waiting = self._loading.get(name)
        if waiting is None:
            waiting = self._loading[name] = asyncio.get_running_loop().create_future()
            self._service.services.tasks.spawn(f"load {name} of {self._service.domain}", self._loaded(name, waiting))
        node = await asyncio.shield(waiting)
        if node is None or node.gone:
            raise errors.no_node()
        return node

    async def _loaded(self, name: str, waiting: asyncio.Future[Node | None]) -> None:
        service = self._service
        try:
            records = await service.services.stores.pubsub.load(service.domain, [name])
            node = self.resident.get(name)
            if node is None and records and name in self.directory:
                record = records[0]
                node = Node(service, record, from_values(service.defaults(record.kind), record.config))
                self.put(node)
            waiting.set_result(node)
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        except Exception as error:
            waiting.set_exception(error)
        finally:
            self._loading.pop(name, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # Whoever waited has it; nobody may have.

    def put(self, node: Node) -> None:
        """Take a node in."""
        node.used = self._service.services.clock.now()
        self.resident[node.name] = node
        self.by_number[node.number] = node
        self.listed(node)
        if len(self.resident) > self._service.options.resident_nodes:
            self._make_place()

    def drop(self, node: Node, redirect: str = "", number: int = 0) -> None:
        """The node is gone for good, or has moved."""
        node.gone = True
        self._unload(node)
        line = self.directory.get(node.name)
        if line is not None:
            self._leave(line)
        if redirect:
            # It counts as a node of who made the old one, or redirections would have no bound.
            creator = node.record.creator
            self._enter(Listing(node.name, number, "leaf", "", creator, 0.0, "open", redirect=redirect))

    def forget_redirect(self, name: str) -> int:
        """A node of a name that had moved is made anew: returns the number of what tells so, 0 for none."""
        line = self.directory.get(name)
        if line is None or not line.redirect:
            return 0
        self._leave(line)
        return line.number

    def sweep(self, now: float) -> None:
        """Let nodes go that were not used for some time."""
        seconds = self._service.options.unload_seconds
        for node in list(self.resident.values()):
            if node.used + seconds <= now and self._loose(node):
                self._unload(node)

    def _make_place(self) -> None:
        """Too many are in memory: a tenth of them go, those first that were used longest ago."""
        loose = sorted((n for n in self.resident.values() if self._loose(n)), key=lambda node: node.used)
        for node in loose[: max(1, len(self.resident) // 10)]:
            if node.used < self._service.services.clock.now():
                self._unload(node)

    def _unload(self, node: Node) -> None:
        if self.resident.get(node.name) is node:
            del self.resident[node.name]
        if self.by_number.get(node.number) is node:
            del self.by_number[node.number]

    def _loose(self, node: Node) -> bool:
        """Whether nothing would be lost with the node in memory."""
        return node.turn.idle and not self._service.holds(node)


def listing(
    name: str,
    number: int,
    kind: NodeKind,
    creator: str,
    created: float,
    config: NodeConfig,
    stored: dict[str, Any] | None = None,
) -> Listing:
    """The directory's line of a node. `stored` are its stored values."""
    redirect = str((stored or {}).get(REDIRECT, ""))
    return Listing(
        name,
        number,
        kind,
        config.title,
        creator,
        created,
        config.access_model,
        config.collection,
        config.send_last_published_item == "on_sub_and_presence" and kind == "leaf",
        config.purge_offline,
        redirect,
    )
