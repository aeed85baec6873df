"""Options of the publish-subscribe services of a domain, with what they are checked by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from xmpp_engine.config.services import bare_addresses, check_services, options_from
from xmpp_engine.pubsub.config import NodeConfig, from_values
from xmpp_engine.storage.pubsub import MAX_NODE_BYTES, MAX_PAGE

_CREATE: Final = ("everybody", "local", "operators", "list")


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """One publish-subscribe service. Raises ValueError with a sentence where a value makes no sense."""

    #: Shown in service discovery.
    name: str = "Publish-subscribe"
    #: Who may create nodes: everybody, accounts of this server, operators, or who stands in `creators` (bare JIDs and
    #: domains). Operators and administrators of the server always may.
    create: Literal["everybody", "local", "operators", "list"] = "local"
    creators: tuple[str, ...] = ()
    #: Bare JIDs that are owners of each node.
    operators: tuple[str, ...] = ()
    #: Whether publishing to a node that is not there makes it, for those who may create nodes (XEP-0060, 7.1.4).
    auto_create: bool = False
    #: A regular expression that the name of a new node must match as a whole, "" for any.
    name_pattern: str = ""
    #: Bytes of a node's name.
    name_bytes: int = MAX_NODE_BYTES
    #: Nodes of the service, nodes that exist by the creation of one bare JID, and nodes kept in memory.
    max_nodes: int = 20_000
    nodes_per_user: int = 500
    resident_nodes: int = 2_000
    #: Subscriptions to one node, those of one bare JID among them, and those that wait for approval.
    max_subscriptions: int = 50_000
    subscriptions_per_user: int = 20
    max_pending: int = 1_000
    #: Seconds for which a subscription may be asked for at most, 0 for any time.
    lease_seconds: float = 0.0
    #: Entries with an affiliation to one node, and changes of subscriptions or affiliations in one request.
    max_affiliations: int = 20_000
    max_changes: int = 500
    #: Items that a node may keep at most (what `max` means in its configuration), bytes of one payload, items of one
    #: publish request.
    max_items: int = 1_000_000
    payload_bytes: int = 196_608
    items_per_publish: int = 20
    #: Items and bytes of items in one answer.
    page_items: int = 500
    page_bytes: int = 524_288
    #: Children of one collection, and how deep collections may stand in each other.
    max_children: int = 2_000
    max_depth: int = 10
    #: Creation of nodes by one account: sustained rate, and how many may come at once.
    creations_per_second: float = 5.0
    creation_burst: int = 100
    #: Seconds that a node stays in memory after it was used last.
    unload_seconds: float = 600.0
    #: Values of NodeConfig for new nodes, and for new collections.
    defaults: Mapping[str, Any] = field(default_factory=dict)
    collection_defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("creators", "operators"):
            set_(self, name, bare_addresses(name, getattr(self, name)))
        if self.create not in _CREATE:
            raise ValueError(f"create is one of {', '.join(_CREATE)}")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        for name in ("lease_seconds", "unload_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is not negative")
        if self.creations_per_second <= 0:
            raise ValueError("creations_per_second is more than 0")
        if self.name_bytes > MAX_NODE_BYTES:
            raise ValueError(f"name_bytes is at most {MAX_NODE_BYTES}")
        if self.page_items > MAX_PAGE:
            raise ValueError(f"page_items is at most {MAX_PAGE}")
        try:
            re.compile(self.name_pattern)
        except re.error as error:
            raise ValueError(f"name_pattern is no regular expression: {error}") from None
        from_values(NodeConfig(), self.defaults, strict=True)
        from_values(NodeConfig(), self.collection_defaults, strict=True)


_AT_LEAST_ONE: Final = (
    "name_bytes",
    "max_nodes",
    "nodes_per_user",
    "resident_nodes",
    "max_subscriptions",
    "subscriptions_per_user",
    "max_pending",
    "max_affiliations",
    "max_changes",
    "max_items",
    "payload_bytes",
    "items_per_publish",
    "page_items",
    "page_bytes",
    "max_children",
    "max_depth",
    "creation_burst",
)


@dataclass(frozen=True, slots=True)
class PubSubOptions:
    """`services`: sub-domain (`pubsub` for `pubsub.example.org`) to the values of ServiceOptions."""

    services: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"pubsub": {}})

    def __post_init__(self) -> None:
        check_services(self.services, service_options)


def service_options(values: Mapping[str, Any]) -> ServiceOptions:
    """The options from plain values; raises ValueError."""
    return options_from(ServiceOptions, values, several=("creators", "operators"))
