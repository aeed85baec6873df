"""Options of personal eventing, and how nodes of accounts are configured unless somebody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from xmpp_engine.pubsub.config import NodeConfig, from_values
from xmpp_engine.pubsub.options import ServiceOptions
from xmpp_engine.xml import ns

#: Bytes of a payload: a picture that fits into a vCard fits into an item.
_PAYLOAD: Final = 262_144

#: XEP-0163, 5; one item unless the node is configured for more.
DEFAULTS: Final[Mapping[str, Any]] = {
    "access_model": "presence",
    "send_last_published_item": "on_sub_and_presence",
    "max_items": 1,
    "max_payload_size": _PAYLOAD,
}
#: For data that are nobody else's (XEP-0223), of which there are many.
_PRIVATE: Final[Mapping[str, Any]] = {
    "access_model": "whitelist",
    "max_items": "max",
    "send_last_published_item": "never",
}
_OPEN: Final[Mapping[str, Any]] = {"access_model": "open"}
_OMEMO_1: Final = "eu.siacs.conversations.axolotl"
_OMEMO_2: Final = "urn:xmpp:omemo:2:"
#: What differs for well-known nodes, so that a client that says nothing does not tell its contacts the user's
#: bookmarks, and devices are found by whoever wants to write to them.
OF_NODES: Final[Mapping[str, Mapping[str, Any]]] = {
    ns.BOOKMARKS: _PRIVATE,
    ns.DISPLAYED: _PRIVATE,
    ns.BOOKMARKS_1: {"access_model": "whitelist"},
    f"{_OMEMO_1}.devicelist": _OPEN,
    f"{_OMEMO_2}devices": _OPEN,
    f"{_OMEMO_2}bundles": {**_OPEN, "max_items": "max"},
}
#: The same for nodes of which each device has one: what their names begin with.
_OF_DEVICES: Final = f"{_OMEMO_1}.bundles:"


@dataclass(frozen=True, slots=True)
class PepOptions:
    """`nodes`, `items` and `bytes` are what one account may have: nodes, items in one node (what `max` means), bytes of
    all items together. `subscriptions` are those of others to one node. `cache_bytes` is about what the nodes of
    accounts may take in memory, for all accounts of the domain."""

    nodes: int = 300
    items: int = 5_000
    bytes: int = 20_971_520
    subscriptions: int = 2_000
    cache_bytes: int = 67_108_864

    def __post_init__(self) -> None:
        for name in ("nodes", "items", "bytes", "subscriptions", "cache_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1")
        if self.nodes > _MOST_NODES:
            raise ValueError(f"nodes is at most {_MOST_NODES}")


#: Nodes of one account that are read.
_MOST_NODES: Final = 2_000


def service_options(options: PepOptions) -> ServiceOptions:
    """What the service of an account may do."""
    return ServiceOptions(
        name="",
        create="list",
        auto_create=True,
        max_nodes=options.nodes,
        nodes_per_user=options.nodes,
        resident_nodes=_MOST_NODES + 1,
        max_subscriptions=options.subscriptions,
        max_affiliations=options.subscriptions,
        max_pending=min(options.subscriptions, 100),
        max_items=options.items,
        payload_bytes=_PAYLOAD,
        unload_seconds=float("inf"),
        defaults=DEFAULTS,
    )


def fresh(base: NodeConfig, name: str) -> NodeConfig:
    """The configuration of a new node of this name."""
    special = _OPEN if name.startswith(_OF_DEVICES) else OF_NODES.get(name)
    return from_values(base, special) if special is not None else base
