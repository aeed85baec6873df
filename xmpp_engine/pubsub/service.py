"""PubSubService: one address with nodes, `pubsub.example.org` or the bare JID of an account (XEP-0060; XEP-0163).

    requests.py      iqs: what is asked, by the name of the element; each answers with a function of
    publish.py subscribe.py items.py owner.py create.py collections.py
    access.py        who may
    notify.py        who is told, by recipients.py
    nodes.py node.py turn.py    nodes in memory, one change of a node at a time
    writer.py        items of all nodes are stored together

What is answered is stored. Other modules act through the methods here, as the server itself: nobody is asked whether
they may. A subclass says what an account's service does differently: whose node it is (`is_operator`, `may_create`),
who its contacts are (`sees_presence`, `in_groups`), and who hears of items without a subscription (`followers`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.table import Target
from xmpp_engine.pubsub import create, owner, publish, shared, subscribe
from xmpp_engine.pubsub.config import NodeConfig, from_values
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.nodes import Nodes
from xmpp_engine.pubsub.options import ServiceOptions
from xmpp_engine.pubsub.payload import with_payload
from xmpp_engine.pubsub.presences import Presences
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.refusals import Refusals
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import Item, NodeAffiliation, NodeKind, Subscription
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Host, Services


#: Errors for notifications count for so long.
_BOUNCES_SECONDS: Final = 3_600.0


class Gate(Protocol):
    """Policy that comes before the configuration of nodes; None leaves the matter to it. When its answers change, call
    `PubSubService.rights_changed`."""

    def may(
        self, node: str, action: Literal["see", "subscribe", "retrieve", "publish", "own"], who: Jid
    ) -> bool | None:
        """Whether somebody may do this with a node."""


#: Takes the place of writing items to the store: must store them durably or raise StanzaError, and returns them as
#: stored (the payload may differ, the sequence is set); none of them where they were there before.
Publisher = Callable[[Node, list[Item], Jid], Awaitable[list[Item]]]


class PubSubService:
    """One publish-subscribe service. `identities` (category, type, name) and `features` are shown in service discovery
    beside those of every service."""

    def __init__(
        self, host: Host, services: Services, domain: str, options: ServiceOptions, refusals: Refusals | None = None
    ) -> None:
        self.host = host
        self.services = services
        self.domain = domain
        self.jid = Jid.parse(domain)
        self.shared = shared.of(services)
        self.gate: Gate | None = None
        self.publisher: Publisher | None = None
        self.identities: tuple[tuple[str, str, str], ...] = ()
        self.features: tuple[str, ...] = ()
        #: Called when everything was read anew from the store, for another module whose service this is.
        self.renewed: Callable[[], None] | None = None
        self.refusals = refusals or Refusals(services)
        self.presences = Presences(self)
        #: Subscriptions that end when somebody goes offline, by bare JID: (node, subid).
        self.temporary: dict[str, set[tuple[str, str]]] = {}
        #: People for whom last items are looked up just now.
        self.arriving = 0
        #: Notifications sent.
        self.notified = 0
        #: Errors that came back for notifications, by bare JID, and since when they are counted.
        self.bounces: dict[str, int] = {}
        self.bounces_since = services.clock.now()
        #: Held while the tree of collections changes.
        self.tree = asyncio.Lock()
        self.configure(options)
        self.nodes = Nodes(self)

    def configure(self, options: ServiceOptions) -> None:
        """Take other options; nodes keep what was set for them, for the rest they follow the defaults."""
        before: dict[str, NodeConfig] | None = getattr(self, "_defaults", None)
        self.options = options
        self._defaults: dict[str, NodeConfig] = {
            "leaf": from_values(NodeConfig(), options.defaults),
            "collection": from_values(
                NodeConfig(persist_items=False, send_last_published_item="never"), options.collection_defaults
            ),
        }
        self._operators = frozenset(options.operators)
        self._creators = frozenset(options.creators)
        self._pattern = re.compile(options.name_pattern) if options.name_pattern else None
        self.creations = Buckets(options.creations_per_second, options.creation_burst)
        if before is not None and before != self._defaults:
            self.nodes.renew()
            if self.nodes.complete:
                self.services.tasks.spawn(f"nodes of {self.domain}", self.nodes.reread())

    def defaults(self, kind: NodeKind) -> NodeConfig:
        """The configuration of a new node."""
        return self._defaults[kind]

    def fresh(self, _name: str, kind: NodeKind) -> NodeConfig:
        """The configuration of a new node of this name, where nobody says otherwise."""
        return self.defaults(kind)

    # In

    def receive(self, stanza: Stanza) -> None:
        """Everything that is sent to the service's domain; never raises."""
        try:
            if self.shared.leading.leads:
                self._take(stanza)
            else:
                self.shared.leading.pass_on(stanza)
        except StanzaError as error:
            self.refusals.refuse(stanza, error)
        except Exception as error:
            refused.exception("%s failed on a %s of %s", self.domain, stanza.kind, stanza.sender, exc_info=error)
            bounce(self.services.router, stanza, StanzaError("internal-server-error"))

    def _take(self, stanza: Stanza) -> None:
        to = stanza.to
        assert to is not None
        if stanza.kind == "presence":
            self.presences.receive(stanza)
        elif to.local:
            if stanza.type not in ("error", "result"):
                raise StanzaError("item-not-found", "there is nobody of this name")
        elif stanza.kind == "iq":
            self.refusals.watch(stanza)
            self.services.iq.serve(stanza, self.host, Target.PUBSUB, None, self)
        else:
            self.message(stanza)

    def message(self, stanza: Stanza) -> None:
        """A message to the service: an owner's answer about a subscription, or an error. Raises StanzaError."""
        from xmpp_engine.pubsub import approval, undelivered

        if stanza.type == "error":
            undelivered.receive(self, stanza)
        elif not approval.receive(self, stanza):
            raise StanzaError("service-unavailable", "nobody reads messages to this service")

    # Who is who

    def is_operator(self, jid: Jid) -> bool:
        """Whether somebody is an owner of every node: by the options, or an administrator of the server."""
        if jid.bare in self._operators:
            return True
        account = self.services.accounts.resident.get(jid.bare)
        return account is not None and account.data.is_admin

    def may_create(self, creator: Jid) -> bool:
        """Whether somebody may create nodes."""
        rule = self.options.create
        if rule == "everybody" or self.is_operator(creator):
            return True
        if rule == "local":
            return creator.domain in self.services.router.hosts
        return rule == "list" and (creator.bare in self._creators or creator.domain in self._creators)

    def check_name(self, name: str) -> None:
        """Raise StanzaError where no node may have this name."""
        if not name or len(name.encode()) > self.options.name_bytes:
            raise StanzaError("not-acceptable", f"the name of a node has at most {self.options.name_bytes} bytes")
        if self._pattern is not None and not self._pattern.fullmatch(name):
            raise StanzaError("not-allowed", "nodes of this service have other names")

    async def sees_presence(self, node: Node, who: Jid) -> bool:
        """Whether somebody sees the presence of an owner. Raises StoreUnavailable."""
        return await owner.knows(node, who, None)

    async def in_groups(self, node: Node, who: Jid, groups: Sequence[str]) -> bool:
        """Whether somebody is in one of these groups of an owner's contacts. Raises StoreUnavailable."""
        return await owner.knows(node, who, frozenset(groups))

    def followers(self, _node: Node) -> Iterable[Jid]:
        """Who hears of the node's events without being subscribed."""
        return ()

    async def admit(self, node: Node, items: Sequence[Item]) -> None:
        """Raise StanzaError where there is no room for items that are about to be stored."""

    def happened(
        self, node: Node, published: Sequence[Item] = (), by: Jid | None = None, gone: Sequence[str] = ()
    ) -> None:
        """A node has changed, and who follows it was told: somebody has published items, items of these ids were taken
        back; without either all of them have gone, the configuration is another, or the node is deleted."""

    def holds(self, node: Node) -> bool:
        """Whether something of the node is in memory only."""
        return bool(node.fleeting) or (not node.config.keeps and node.record.last is not None)

    def rights_changed(self) -> None:
        """The gate answers otherwise than before: who hears of events is found anew."""
        for node in self.nodes.resident.values():
            node.changed()

    def groups_changed(self) -> None:
        """Groups have other members, by which a gate may decide."""
        self.rights_changed()

    # Nodes, for other modules

    @asynccontextmanager
    async def at(self, name: str, *, shared: bool = False, node: Node | None = None) -> AsyncIterator[Node]:
        """The node, in a turn of it. `node` is what the caller has fetched already. Raises StanzaError
        `item-not-found` or `gone`, StoreUnavailable."""
        while True:
            if node is None:
                node = await self.nodes.fetch(name)
            await node.turn.take(shared=shared)
            if self.nodes.get(name) is node:
                break
            # Deleted, or out of memory and in it again, while this waited.
            node.turn.give(shared=shared)
            node = None
        try:
            yield node
        finally:
            node.turn.give(shared=shared)

    async def settled(self, name: str) -> Node:
        """The node behind what was asked of it before: who reads what he has just written finds it. Raises StanzaError,
        StoreUnavailable."""
        node = await self.nodes.fetch(name)
        if not node.turn.idle:
            async with self.at(name, node=node) as node:
                pass
        return node

    async def node(self, name: str) -> Node:
        """A node; raises StanzaError `item-not-found`, StoreUnavailable."""
        return await self.nodes.fetch(name)

    async def create_node(
        self,
        name: str,
        values: Mapping[str, Any] | None = None,
        *,
        creator: str = "",
        kind: NodeKind = "leaf",
        affiliations: Mapping[str, NodeAffiliation] | None = None,
    ) -> Node:
        """Make a node with these values of NodeConfig. `creator` (a bare JID) is its owner. Raises StanzaError
        `conflict` where there is one, StoreUnavailable."""
        config = _config(self.defaults(kind), values or {})
        return await create.make(self, name, config, creator=creator, kind=kind, affiliations=affiliations or {})

    async def make_node(self, name: str, config: NodeConfig, *, creator: Jid) -> Node:
        """Make a leaf for somebody who may."""
        create.allow(self, creator, name)
        return await create.make(self, name, config, creator=creator.bare)

    async def configure_node(self, name: str, values: Mapping[str, Any]) -> None:
        """Set some values of NodeConfig; subscribers are told as the node says. Raises StanzaError,
        StoreUnavailable."""
        async with self.at(name) as node:
            await owner.reconfigure(node, _config(node.config, values))

    async def delete_node(self, name: str, *, redirect: str = "") -> None:
        """Delete a node; subscribers are told as the node says. Raises StanzaError, StoreUnavailable."""
        await owner.delete(self, name, None, redirect)

    async def purge_node(self, name: str) -> None:
        """Remove all items of a node. Raises StanzaError, StoreUnavailable."""
        await publish.purge(self, name, None)

    async def publish(
        self, name: str, items: Sequence[Item], publisher: Jid, *, options: publish.Options = None
    ) -> list[Item]:
        """Publish items; one without an id gets one. `options` are fields that must be as the node's configuration.
        Returns them as stored. Raises StanzaError, StoreUnavailable."""
        for item in items:
            item.id = item.id or publish.new_item_id()
        drafts = [with_payload(item) for item in items]
        return await publish.publish(self, name, drafts, publisher, options, trusted=True)

    async def retract(self, name: str, ids: Sequence[str], *, notify: bool = True) -> None:
        """Take items back. Raises StanzaError `item-not-found`, StoreUnavailable."""
        await publish.retract(self, name, ids, None, told=notify)

    async def subscribe(self, name: str, jid: Jid, options: Mapping[str, Any] | None = None) -> Subscription:
        """Subscribe somebody; `options` as `options_form.py` names them. Raises StanzaError, StoreUnavailable."""
        return await subscribe.subscribe(self, name, jid, None, dict(options) if options is not None else None)

    async def unsubscribe(self, name: str, jid: Jid, subid: str = "") -> None:
        """End somebody's subscription. Raises StanzaError, StoreUnavailable."""
        await subscribe.unsubscribe(self, name, jid, None, subid)

    async def set_affiliations(self, name: str, entries: Mapping[str, NodeAffiliation]) -> None:
        """Say what bare JIDs and domains are to a node. Raises StanzaError: `not-acceptable` where no owner would be
        left, `resource-constraint`; StoreUnavailable."""
        async with self.at(name) as node:
            await owner.affiliate(node, dict(entries))

    def overview(self) -> dict[str, int]:
        """Figures for commands and the console."""
        resident = self.nodes.resident.values()
        return {
            "nodes": sum(not line.redirect for line in self.nodes.directory.values()),
            "resident": len(self.nodes.resident),
            "subscriptions": sum(len(node.record.subscriptions) for node in resident),
            "notifications": self.notified,
        }

    # Time

    async def start(self) -> None:
        """Read which nodes there are; again and again until the store answers."""
        await self.nodes.start()

    @property
    def leads(self) -> bool:
        """Whether this node of a cluster is the one that serves; see leading.py."""
        return self.shared.leading.leads

    def read_anew(self) -> None:
        """Another node has served until now: nothing in memory counts any more."""
        self.temporary.clear()
        self.bounces.clear()
        self.nodes.forget()
        self.services.tasks.spawn(f"nodes of {self.domain}", self._read_anew())

    async def _read_anew(self) -> None:
        await self.nodes.start()
        if self.renewed is not None:
            self.renewed()

    def sweep(self) -> None:
        """Let go of what is not used."""
        from xmpp_engine.pubsub import presence_events

        now = self.services.clock.now()
        presence_events.sweep(self)
        self.nodes.sweep(now)
        if self.bounces_since + _BOUNCES_SECONDS <= now:
            self.bounces.clear()
            self.bounces_since = now

    def forget_person(self, bare: str) -> None:
        """An account was removed, the store has forgotten it: so do the nodes in memory."""
        for node in self.nodes.resident.values():
            owner.forget(node, bare)
        self.temporary.pop(bare, None)
        self.bounces.pop(bare, None)

    def came(self, jid: Jid) -> None:
        """Somebody has come online."""
        from xmpp_engine.pubsub import presence_events

        presence_events.came(self, jid)

    def went(self, jid: Jid) -> None:
        """A client has gone offline, or somebody with all of them."""
        from xmpp_engine.pubsub import presence_events

        presence_events.went(self, jid)


def _config(base: NodeConfig, values: Mapping[str, Any]) -> NodeConfig:
    try:
        return from_values(base, values, strict=True)
    except ValueError as error:
        raise StanzaError("not-acceptable", str(error)) from None
