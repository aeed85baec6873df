"""Collections: nodes that hold nodes (XEP-0248).

A node names the collections it belongs to; a collection's children are found in the directory. A tree has no cycles,
its depth and the children of a collection have bounds, and whoever puts a node into a collection must be allowed to by
the collection and own the node. One change of the tree of a
service is under way at a time (`PubSubService.tree`), so that two changes together make no cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, notify
from xmpp_engine.pubsub.config import MAX_ENTRIES, at_most
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService


async def check_parents(
    service: PubSubService, name: str, parents: Sequence[str], present: Sequence[str], who: Jid | None
) -> None:
    """Raise StanzaError where a node of this name may not belong to these collections. `present` are those it belongs
    to already."""
    for parent in parents:
        if parent in present:
            continue
        line = service.nodes.directory.get(parent)
        if line is None or line.redirect:
            raise StanzaError("item-not-found", f"there is no collection {parent[:200]}")
        if line.kind != "collection":
            raise refusal("not-allowed", "invalid-options", "a leaf has no children")
        collection = await service.nodes.fetch(parent)
        if who is not None and not _may_associate(collection, who):
            raise StanzaError("forbidden", "you may not put nodes into this collection", type="cancel")
        most = at_most(collection.config.children_max, service.options.max_children)
        if len(service.nodes.children.get(parent, ())) >= most:
            raise refusal("not-allowed", "max-nodes-exceeded", f"the collection has at most {most} nodes")
        _check_tree(service, name, parent)


async def check_children(node: Node, children: Sequence[str], who: Jid | None) -> None:
    """Raise StanzaError where these may not be the children of a node."""
    service = node.service
    present = service.nodes.children.get(node.name, {})
    most = at_most(node.config.children_max, service.options.max_children)
    if len(children) > most:
        raise refusal("not-allowed", "max-nodes-exceeded", f"the collection has at most {most} nodes")
    for name in children:
        if name in present:
            continue
        child = await service.nodes.fetch(name)
        if who is not None and not access.is_owner(child, who):
            raise StanzaError("forbidden", "you may not put this node into a collection", type="cancel")
        if len(child.config.collection) >= MAX_ENTRIES:
            raise refusal("not-allowed", "max-nodes-exceeded", "the node is in too many collections")
        _check_tree(service, name, node.name)


async def set_children(node: Node, children: Sequence[str], who: Jid | None) -> None:
    """Make these the children of a collection. Raises StanzaError, StoreUnavailable."""
    await check_children(node, children, who)
    service = node.service
    present = dict(service.nodes.children.get(node.name, {}))
    for name in present:
        if name not in children:
            await _move(service, name, node.name, inside=False)
    for name in children:
        if name not in present:
            await _move(service, name, node.name, inside=True)


async def associate(service: PubSubService, parent: str, child: str, who: Jid) -> None:
    """Put a node into a collection (XEP-0248, 6.6). Raises StanzaError, StoreUnavailable."""
    collection, node = await service.nodes.fetch(parent), await service.nodes.fetch(child)
    if collection.kind != "collection":
        raise refusal("not-allowed", "invalid-options", "a leaf has no children")
    if not (access.is_owner(node, who) and _may_associate(collection, who)):
        raise StanzaError("forbidden", "you may not put this node into that collection", type="cancel")
    if parent in node.config.collection:
        return
    if len(node.config.collection) >= MAX_ENTRIES:
        raise refusal("not-allowed", "max-nodes-exceeded", "the node is in too many collections")
    await check_parents(service, child, (parent,), (), who)
    await _move(service, child, parent, inside=True)


async def dissociate(service: PubSubService, parent: str, child: str, who: Jid) -> None:
    """Take a node out of a collection (XEP-0248, 6.7). Raises StanzaError, StoreUnavailable."""
    collection, node = await service.nodes.fetch(parent), await service.nodes.fetch(child)
    if not (access.is_owner(node, who) or access.is_owner(collection, who)):
        raise StanzaError("forbidden", "you may not take this node out of that collection", type="cancel")
    if parent not in node.config.collection:
        raise StanzaError("bad-request", "the node is not in that collection")
    await _move(service, child, parent, inside=False)


async def moved(node: Node, before: Iterable[str]) -> None:
    """A node belongs to other collections than before: those who listen to them learn of it."""
    now = set(node.config.collection)
    old = set(before)
    for parent in sorted(now - old):
        await _tell(node.service, parent, node.name, "associate")
    for parent in sorted(old - now):
        await _tell(node.service, parent, node.name, "dissociate")


async def orphan(service: PubSubService, parent: str) -> None:
    """A collection is gone: its children stay, in their other collections or in none. Raises StoreUnavailable."""
    for name in list(service.nodes.children.get(parent, ())):
        try:
            await _move(service, name, parent, inside=False, told=False)
        except StanzaError:
            continue  # Deleted meanwhile.


async def _move(service: PubSubService, name: str, parent: str, *, inside: bool, told: bool = True) -> None:
    from xmpp_engine.pubsub.owner import take

    async with service.at(name) as node:
        async with service.tree:
            present = node.config.collection
            if inside == (parent in present):
                return
            parents = (*present, parent) if inside else tuple(other for other in present if other != parent)
            if inside:
                _check_tree(service, name, parent)
            await take(node, replace(node.config, collection=parents))
        if told:
            await _tell(service, parent, name, "associate" if inside else "dissociate")


async def _tell(service: PubSubService, parent: str, child: str, what: str) -> None:
    try:
        collection = await service.nodes.fetch(parent)
    except StanzaError:
        return
    event = Element(ns.PUBSUB_EVENT, "collection", {"node": parent})
    event.add(ns.PUBSUB_EVENT, what, {"node": child})
    await notify.about(collection, event)


def _may_associate(collection: Node, who: Jid) -> bool:
    if access.is_owner(collection, who):
        return True
    policy = collection.config.children_association_policy
    if collection.affiliation_of(who) == "outcast":
        return False
    if policy == "all":
        return True
    listed = collection.config.children_association_whitelist
    return policy == "whitelist" and (who.bare in listed or who.full in listed or who.domain in listed)


def _check_tree(service: PubSubService, name: str, parent: str) -> None:
    """Raise StanzaError where the node would be above itself, or the tree too deep."""
    nodes = service.nodes
    height = _height(service, name)
    seen: set[str] = set()
    level = [parent]
    depth = 1
    while level:
        if name in level:
            raise refusal("not-allowed", "invalid-options", "a collection cannot hold itself")
        if depth + height > service.options.max_depth:
            raise refusal("not-allowed", "invalid-options", "collections stand too deep in each other")
        seen.update(level)
        level = [above for one in level for above in nodes.parents(one) if above not in seen]
        depth += 1


def _height(service: PubSubService, name: str) -> int:
    """How many levels of nodes are below a node."""
    nodes = service.nodes
    height = 0
    seen = {name}
    level = list(nodes.children.get(name, ()))
    while level and height <= service.options.max_depth:
        height += 1
        seen.update(level)
        level = [below for one in level for below in nodes.children.get(one, ()) if below not in seen]
    return height
