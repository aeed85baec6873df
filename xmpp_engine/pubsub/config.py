"""NodeConfig: everything an owner may set about a node (XEP-0060, 8.2; XEP-0248, 6.3), as one frozen value.

Names are those of the fields of `pubsub#node_config` without their prefix. `config_form.py` shows it as a data form
and reads it back. What a kind of service changes of these defaults stands in its options; a node stores only what
differs from them. Whether a node is a leaf or a collection is the record's `kind`, and a collection's children are
known from their own `collection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, get_args

AccessModel = Literal["open", "presence", "roster", "authorize", "whitelist"]
PublishModel = Literal["publishers", "subscribers", "open"]
LastItem = Literal["never", "on_sub", "on_sub_and_presence"]
NodeFull = Literal["retract-oldest", "discard-oldest", "reject"]
#: A number, or as many as the service allows.
Count = int | Literal["max"]

#: Bytes of one text of a configuration, entries of one of its lists.
MAX_TEXT: Final = 2_000
MAX_ENTRIES: Final = 200


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The configuration of a leaf or a collection."""

    title: str = ""
    description: str = ""
    language: str = ""
    #: What the payloads are, as a rule a namespace. For people and for clients to find nodes by.
    type: str = ""
    #: JIDs of those to ask about the node.
    contact: tuple[str, ...] = ()
    #: Who may subscribe and read.
    access_model: AccessModel = "open"
    roster_groups_allowed: tuple[str, ...] = ()
    #: Who may publish, beside owners and publishers.
    publish_model: PublishModel = "publishers"
    #: Whether one may subscribe at all.
    subscribe: bool = True
    #: Whether items are stored, how many, for how many seconds, and what happens when one more comes.
    persist_items: bool = True
    max_items: Count = 100
    item_expire: Count = "max"
    publish_node_full: NodeFull = "retract-oldest"
    #: Bytes of a payload.
    max_payload_size: int = 131_072
    deliver_notifications: bool = True
    deliver_payloads: bool = True
    notify_config: bool = False
    notify_delete: bool = True
    notify_retract: bool = True
    #: Whether owners learn who subscribes.
    notify_sub: bool = False
    send_last_published_item: LastItem = "on_sub"
    #: Whether only those hear of events who are online.
    presence_based_delivery: bool = False
    notification_type: Literal["headline", "normal"] = "headline"
    #: Whether a publisher's items go when he goes offline.
    purge_offline: bool = False
    #: Whether each subscription lasts as long as the subscriber is online.
    tempsub: bool = False
    #: Whose address stands with the items for replies: the publisher's, or none.
    itemreply: Literal["none", "publisher", "owner"] = "none"
    body_xslt: str = ""
    dataform_xslt: str = ""
    #: Names of the collections that the node belongs to.
    collection: tuple[str, ...] = ()
    #: Of collections: who may put nodes into it, and how many it may have.
    children_association_policy: Literal["owners", "whitelist", "all"] = "owners"
    children_association_whitelist: tuple[str, ...] = ()
    children_max: Count = "max"

    @property
    def keeps(self) -> bool:
        """Whether items are stored."""
        return self.persist_items and self.max_items != 0


def from_values(base: NodeConfig, values: Mapping[str, Any], *, strict: bool = False) -> NodeConfig:
    """`base` with these values in place of some; lists become tuples. Unknown names and wrong types are left out (a
    later version wrote them), or raise ValueError where `strict`."""
    taken: dict[str, Any] = {}
    for name, value in values.items():
        name = name.removeprefix("pubsub#")
        try:
            taken[name] = _checked(name, value)
        except ValueError:
            if strict:
                raise
    return replace(base, **taken) if taken else base


def to_values(config: NodeConfig, base: NodeConfig) -> dict[str, Any]:
    """What of `config` differs from `base`, as values that JSON knows."""
    values: dict[str, Any] = {}
    for name in TYPES:
        value = getattr(config, name)
        if value != getattr(base, name):
            values[name] = list(value) if isinstance(value, tuple) else value
    return values


def at_most(value: Count, limit: int) -> int:
    """A count as a number."""
    return limit if value == "max" else min(value, limit)


def _checked(name: str, value: Any) -> Any:
    kind: Any = TYPES.get(name)
    if kind is None:
        raise ValueError(f"a node has no value {name}")
    if kind is tuple:
        if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
            raise ValueError(f"{name} is a list of texts")
        if len(value) > MAX_ENTRIES:
            raise ValueError(f"{name} has at most {MAX_ENTRIES} entries")
        return tuple(value)
    if name in COUNTS and value == "max":
        return value
    if type(value) is not kind:
        raise ValueError(f"{name} is {_WORDS[kind]}")
    if kind is int and value < 0:
        raise ValueError(f"{name} is not negative")
    if kind is str and len(value.encode()) > MAX_TEXT:
        raise ValueError(f"{name} has at most {MAX_TEXT} bytes")
    allowed = CHOICES.get(name)
    if allowed is not None and value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(allowed)}")
    return value


COUNTS: Final = frozenset({"max_items", "item_expire", "children_max"})
TYPES: Final[dict[str, type]] = {
    f.name: int if f.name in COUNTS else type(getattr(NodeConfig(), f.name)) for f in fields(NodeConfig)
}
_WORDS: Final = {bool: "true or false", int: "a number", str: "a text"}
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "access_model": get_args(AccessModel),
    "publish_model": get_args(PublishModel),
    "publish_node_full": get_args(NodeFull),
    "send_last_published_item": get_args(LastItem),
    "notification_type": ("headline", "normal"),
    "itemreply": ("none", "publisher", "owner"),
    "children_association_policy": ("owners", "whitelist", "all"),
}
