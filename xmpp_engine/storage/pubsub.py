"""Publish-subscribe: nodes, who may do what with them, and their items. The contract.

One store serves the publish-subscribe services of a domain, the form services, and the nodes of accounts (XEP-0163):
`service` is the domain of a service, or the bare JID of an account. A node is loaded as a whole, with its affiliations,
its subscriptions and its last item, and stays resident within a bound; its other items stay in the store and are read
by page. Items have an order, the one in which they were stored; an item that is published anew under its id is the
newest again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, get_args

NodeAffiliation = Literal["owner", "publisher", "publish-only", "member", "none", "outcast"]
SubscriptionState = Literal["subscribed", "pending", "unconfigured"]
NodeKind = Literal["leaf", "collection"]

#: Bounds of what is stored, in bytes of UTF-8.
MAX_NODE_BYTES: Final = 1_023
MAX_ITEM_ID_BYTES: Final = 1_023
MAX_JID_BYTES: Final = 3_071
#: An address without resource.
MAX_BARE_BYTES: Final = 2_047
MAX_CONFIG_BYTES: Final = 65_536
MAX_OPTIONS_BYTES: Final = 8_192
#: Items of one page, changes of one commit.
MAX_PAGE: Final = 1_000
MAX_CHANGES: Final = 2_000


class NodeExists(ValueError):
    """There is a node of this name."""


@dataclass(slots=True)
class Subscription:
    """One subscription (XEP-0060, 6.1). `jid` is bare or full; `options` are the values that differ from the defaults;
    `expire` is when it ends (seconds since the epoch), 0 for never."""

    jid: str
    subid: str
    state: SubscriptionState = "subscribed"
    options: dict[str, Any] = field(default_factory=dict)
    expire: float = 0.0


@dataclass(slots=True)
class Item:
    """A stored item. `payload` is one XML element with its namespace, "" for none; `publisher` the full or bare JID
    that published it; `published` when (seconds since the epoch); `sequence` its place in the order, given by the
    store, 0 before it is stored; `expire` when it goes by itself, 0 for never."""

    id: str
    payload: str
    publisher: str = ""
    published: float = 0.0
    sequence: int = 0
    expire: float = 0.0


@dataclass(slots=True)
class NodeRecord:
    """A stored node. `number` is its id in the database, never given to another node. `config` holds the values that
    differ from the service's defaults. `affiliations` by bare JID or domain, without "none". `subscriptions` by subid.
    `items` counts the stored items, `last` is the newest one, `subscribers` is only filled in summaries."""

    service: str
    name: str
    number: int = 0
    kind: NodeKind = "leaf"
    config: dict[str, Any] = field(default_factory=dict)
    creator: str = ""
    created: float = 0.0
    affiliations: dict[str, NodeAffiliation] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    items: int = 0
    last: Item | None = None


@dataclass(slots=True)
class NodeSummary:
    """One line of a service's list of nodes."""

    number: int
    name: str
    kind: NodeKind
    config: dict[str, Any]
    creator: str
    created: float
    items: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class PutItem:
    """Insert an item, or replace the one of its id (it becomes the newest). Afterwards the node keeps its newest `keep`
    items (None for all)."""

    number: int
    item: Item
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class RemoveItems:
    """Remove the items of these ids; unknown ones are no error."""

    number: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurgeItems:
    """Remove all items of a node."""

    number: int


ItemChange = PutItem | RemoveItems | PurgeItems


@dataclass(slots=True)
class ItemPage:
    """A page of a node's items, the oldest first. `count` is the number of all items of the node; `index` the number of
    items older than the page, None where that is not known without counting."""

    items: list[Item]
    count: int
    index: int | None = None
    complete: bool = False


class PubSubStore(Protocol):
    """All methods raise StoreUnavailable when the database does not answer, and ValueError for what is longer than the
    bounds above or, where a number is given, for a node that is not there (any more), without a change.

    Removing an account (`AccountStore.remove`, or any other way in which its row goes) removes the nodes whose service
    is its bare JID, its affiliations and its subscriptions (of its bare JID and of its full ones), at once with it.
    That it is an outcast stays: it is the node's decision about the address, which would otherwise end with the
    account.
    """

    async def load(self, service: str, names: Sequence[str]) -> list[NodeRecord]:
        """Those of these nodes that exist, whole."""

    async def load_services(self, services: Sequence[str], limit: int) -> list[NodeRecord]:
        """All nodes of these services, whole, at most `limit` of each in the order of their numbers. For accounts: what
        somebody who comes online must learn is one query for all of his contacts."""

    async def nodes(self, service: str, after: str, limit: int) -> list[NodeSummary]:
        """The nodes of a service with a name behind `after`, in the order of their names (by code point)."""

    async def count(self, service: str) -> int:
        """How many nodes a service has."""

    async def create(self, record: NodeRecord) -> int:
        """Store a new node with its affiliations and subscriptions, without items; returns its number. Raises
        NodeExists."""

    async def configure(self, number: int, config: dict[str, Any]) -> None:
        """Replace the configuration. A lower limit of items is the caller's matter: see `trim`."""

    async def become_collection(self, number: int, config: dict[str, Any]) -> None:
        """The leaf is a collection from now on, with this configuration; its items go, all in one transaction."""

    async def trim(self, number: int, keep: int) -> list[str]:
        """Keep the newest `keep` items; returns the ids of those removed, at most MAX_PAGE of them at a time (call
        again while it returns that many)."""

    async def put_affiliations(self, number: int, entries: dict[str, NodeAffiliation]) -> None:
        """Set these; "none" removes."""

    async def put_subscriptions(self, number: int, entries: Sequence[Subscription], removed: Sequence[str]) -> None:
        """Insert or replace these, and remove those with the subids `removed`, in one transaction."""

    async def remove(self, number: int) -> None:
        """Forget the node with all it has; an unknown number is no error."""

    async def commit(self, changes: Sequence[ItemChange]) -> list[int]:
        """Apply all changes in their order and in one transaction, synced to disk; returns the new sequence for each
        PutItem, 0 for each of the others. Changes of a node that is not there any more are skipped (-1)."""

    async def items(
        self, number: int, *, limit: int, after: str | None = None, before: str | None = None, index: int | None = None
    ) -> ItemPage:
        """A page of at most `limit` items: behind the item `after`, before the item `before` ("" for the newest ones),
        or from the place `index` on; without any of them from the oldest one on. Raises LookupError where `after` or
        `before` is no item of the node. Takes the same time however many items there are, except by `index`."""

    async def get(self, number: int, ids: Sequence[str]) -> list[Item]:
        """Those of these items that exist, in the order asked for."""

    async def since(self, number: int, after_sequence: int, start: float, end: float, limit: int) -> list[Item]:
        """Items behind a sequence number, published from `start` to before `end`, the oldest first (XEP-0442)."""

    async def expire(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """Remove items whose time has come, at most `limit`; returns (service, node, item id) of each."""

    async def expire_subscriptions(self, now: float, limit: int) -> list[tuple[str, str, str]]:
        """The same for subscriptions; returns (service, node, subid) of each."""

    async def subscriptions_of(self, service: str, bare: str) -> list[tuple[str, Subscription]]:
        """(node, subscription) of a bare JID and its full ones on a service, by node."""

    async def affiliations_of(self, service: str, bare: str) -> list[tuple[str, NodeAffiliation]]:
        """(node, affiliation) of a bare JID on a service, by node."""

    async def forget_person(self, bare: str) -> list[tuple[str, str]]:
        """The account of this bare JID was removed: what the class says; returns (service, node) of each node of others
        that changed, for those that have it resident."""


def check_node(record: NodeRecord) -> None:
    """Raise ValueError where a node to be stored is longer than the bounds, or has no place."""
    if not record.service or not record.name:
        raise ValueError("A node needs a service and a name.")
    if record.kind not in get_args(NodeKind):
        raise ValueError(f"A node cannot be a {record.kind!r}.")
    _check("address of the service", record.service, MAX_BARE_BYTES)
    _check("name of a node", record.name, MAX_NODE_BYTES)
    _check("creator", record.creator, MAX_JID_BYTES)
    check_config(record.config)
    check_affiliations(record.affiliations)
    check_subscriptions(list(record.subscriptions.values()))


def check_config(config: dict[str, Any]) -> None:
    """Raise ValueError for a configuration that is too long or that JSON cannot tell."""
    _check("configuration", _json(config), MAX_CONFIG_BYTES)


def check_affiliations(entries: dict[str, NodeAffiliation]) -> None:
    """Raise ValueError for an affiliation that there is not, or an address that is too long."""
    for jid, affiliation in entries.items():
        if not jid:
            raise ValueError("An affiliation needs an address.")
        if affiliation not in get_args(NodeAffiliation):
            raise ValueError(f"There is no affiliation {affiliation!r}.")
        _check("address", jid, MAX_BARE_BYTES)


def check_subscriptions(entries: Sequence[Subscription]) -> None:
    """Raise ValueError for a subscription without address or subid, or longer than the bounds."""
    for entry in entries:
        if not entry.jid or not entry.subid:
            raise ValueError("A subscription needs an address and a subid.")
        if entry.state not in get_args(SubscriptionState):
            raise ValueError(f"A subscription cannot be {entry.state!r}.")
        _check("address", entry.jid, MAX_JID_BYTES)
        _check("address", bare_of(entry.jid), MAX_BARE_BYTES)
        _check("subid", entry.subid, MAX_ITEM_ID_BYTES)
        _check("options of a subscription", _json(entry.options), MAX_OPTIONS_BYTES)


def check_changes(changes: Sequence[ItemChange]) -> None:
    """Raise ValueError for more changes than one commit takes, or items that are longer than the bounds."""
    if len(changes) > MAX_CHANGES:
        raise ValueError(f"One commit takes at most {MAX_CHANGES} changes.")
    for change in changes:
        if isinstance(change, PutItem):
            if not change.item.id:
                raise ValueError("An item needs an id.")
            _check("id of an item", change.item.id, MAX_ITEM_ID_BYTES)
            _check("publisher", change.item.publisher, MAX_JID_BYTES)
            check_text("payload", change.item.payload)
            if change.keep is not None and change.keep < 0:
                raise ValueError("A node keeps no less than no item.")


def check_limit(limit: int, least: int = 1) -> None:
    """Raise ValueError for a page of another size than `least` to MAX_PAGE."""
    if not least <= limit <= MAX_PAGE:
        raise ValueError(f"A page has from {least} to {MAX_PAGE} entries.")


def check_names(names: Sequence[str]) -> None:
    """Raise ValueError for more names than one call takes."""
    if len(names) > MAX_PAGE:
        raise ValueError(f"At most {MAX_PAGE} at a time.")


def check_place(after: str | None, before: str | None, index: int | None) -> None:
    """Raise ValueError where a page is asked for by more than one place, or from before the first item."""
    if sum(place is not None for place in (after, before, index)) > 1:
        raise ValueError("A page has one place: behind an item, before one, or by number.")
    if index is not None and index < 0:
        raise ValueError("Places count from 0.")


def check_text(what: str, text: str) -> None:
    """Raise ValueError for text that databases cannot keep."""
    if "\0" in text:
        raise ValueError(f"The {what} must not hold the character of code 0.")
    text.encode()


def bare_of(jid: str) -> str:
    """The bare JID of an address."""
    return jid.partition("/")[0]


def _json(value: dict[str, Any]) -> str:
    try:
        text = json.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if "\\u0000" in text:
        raise ValueError("JSON that is stored must not hold the character of code 0.")
    return text


def _check(what: str, text: str, limit: int) -> None:
    check_text(what, text)
    if len(text) > limit or len(text.encode()) > limit:
        raise ValueError(f"The {what} has at most {limit} bytes.")
