"""The seam between administrators' commands and a publish-subscribe service: what is asked of it. The service does it
as an owner of every node would, except that nobody has to be one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.pubsub import Item, ItemPage, NodeAffiliation, NodeKind, Subscription


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service as lists show it. `subscriptions` counts those of the nodes in memory."""

    address: str
    name: str
    nodes: int
    resident: int
    subscriptions: int
    notifications: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as lists show it. `created` is seconds since the epoch."""

    name: str
    kind: NodeKind
    title: str
    access_model: str
    creator: str
    created: float
    items: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """All that a node's page shows beside its lists."""

    facts: NodeFacts
    number: int
    description: str
    publish_model: str
    keeps: int
    pending: int
    affiliated: int
    collections: tuple[str, ...] = ()
    children: tuple[str, ...] = ()


class PubSubAdministration(Protocol):
    """What a publish-subscribe service does for administrators. Methods on one node raise StanzaError:
    `item-not-found` for a node that is not there, `gone` for one that has moved, and what an owner would get for a wish
    that cannot be granted; all may raise StoreUnavailable."""

    def facts(self) -> ServiceFacts:
        """The service."""

    async def nodes(self, search: str, start: int, limit: int) -> tuple[int, list[NodeFacts]]:
        """How many nodes have this in their name or title, and some of them in the order of their names."""

    async def details(self, name: str) -> NodeDetails:
        """One node."""

    async def form(self, name: str) -> Sequence[Field]:
        """The configuration as the form that owners get."""

    async def new_form(self, kind: NodeKind) -> Sequence[Field]:
        """The same form for a node that is not yet there, with the service's defaults."""

    async def create(self, name: str, kind: NodeKind, owner: str, values: Mapping[str, Sequence[str]]) -> None:
        """Make a node of this owner (a bare JID, "" for nobody's); StanzaError `conflict` where there is one."""

    async def configure(self, name: str, values: Mapping[str, Sequence[str]]) -> None:
        """Submit fields of that form; raises ValueError for a value that does not fit, and then changes nothing."""

    async def delete(self, name: str, redirect: str) -> None:
        """Delete the node; subscribers are told as it says, and where to go instead unless `redirect` is ""."""

    async def purge(self, name: str) -> None:
        """Remove all items."""

    async def items(
        self, name: str, limit: int, *, after: str | None = None, before: str | None = None, index: int | None = None
    ) -> ItemPage:
        """See `PubSubStore.items`; raises StanzaError `item-not-found` where the place is no item (any more)."""

    async def item(self, name: str, item_id: str) -> Item:
        """One item; raises StanzaError `item-not-found`."""

    async def publish(self, name: str, item_id: str, payload: str, publisher: str) -> Item:
        """Publish one item, "" for an id that the service makes; raises ValueError where the payload is no XML element
        with a namespace."""

    async def retract(self, name: str, item_id: str, *, notify: bool) -> None:
        """Take an item back; `notify` tells subscribers whatever the node says."""

    async def subscriptions(self, name: str) -> list[Subscription]:
        """Who is subscribed, or waits for approval."""

    async def subscribe(self, name: str, jid: str) -> Subscription:
        """Subscribe somebody, who is told."""

    async def decide(self, name: str, jid: str, subid: str, *, allowed: bool) -> int:
        """Approve what waits of this JID, or end its subscriptions; all of them where `subid` is "". Who is concerned
        is told. Returns how many changed."""

    async def affiliations(self, name: str) -> dict[str, NodeAffiliation]:
        """What bare JIDs and domains are to the node."""

    async def affiliate(self, name: str, jid: str, affiliation: NodeAffiliation) -> None:
        """Change an affiliation, as an owner would."""


class PubSubHosting(Protocol):
    """What the commands use of the engine."""

    def pubsub_services(self) -> Mapping[str, PubSubAdministration]:
        """The publish-subscribe services by domain, those of forms among them."""

    def pubsub_service(self, address: str) -> AbstractAsyncContextManager[PubSubAdministration | None]:
        """The service of a domain, or the one that an account is (a bare JID), which stays in memory meanwhile; None
        where there is none. Raises StoreUnavailable."""
