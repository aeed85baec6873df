"""Who hears of the events of a node: found once and kept until something changes that it depends on.

Subscribers with the same headers get the same stanza, so they stand together in a group; the greatest has no headers
at all. Subscriptions to collections above a node count as far as their depth reaches, and a JID that is subscribed in
more than one way gets one message that names them all (XEP-0060, 7.1.2.4 and 12.4; XEP-0248, 5). Who wants events only
while online, or only while showing certain states, is looked at with each event.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access
from xmpp_engine.pubsub.node import Node
from xmpp_engine.storage.pubsub import Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Collections above one node that are looked at.
_ANCESTORS: Final = 500
#: Subscriptions that are looked at without a pause.
_STEP: Final = 5_000
#: Values of pubsub#show-values that say no more than that somebody is online.
ANY_SHOW: Final = frozenset({"away", "chat", "dnd", "online", "xa"})

#: Somebody who gets an event only while his presence shows one of these; all of them: while he is online.
Watched = tuple[Jid, frozenset[str]]


@dataclass(slots=True)
class Group:
    """Recipients of one stanza. `headers` is its SHIM element, `body` whether a text for people is added."""

    headers: Element | None
    body: bool
    always: list[Jid] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """Who hears of items, and who of the node itself. `stamp` is the state of the tree for which it was made; `lasting`
    is whether it is good until something changes. `known` are all JIDs that stand in `items`."""

    items: tuple[Group, ...]
    nodes: tuple[Group, ...]
    known: frozenset[str]
    stamp: int
    lasting: bool


@dataclass(slots=True)
class _Way:
    """All ways in which one JID is subscribed."""

    jid: Jid
    subids: list[str] = field(default_factory=list)
    collections: list[str] = field(default_factory=list)
    body: bool = False
    always: bool = False
    shows: set[str] = field(default_factory=set)


async def plan(node: Node) -> Plan:
    """The plan of a node, made where there is none that holds. Raises StoreUnavailable."""
    found = node.plan
    if found is not None and found.lasting and found.stamp == node.service.nodes.stamp:
        return found
    made = await _make(node)
    node.plan = made
    return made


def current(node: Node) -> Plan | None:
    """The plan of a node if there is one that holds."""
    found = node.plan
    return found if found is not None and found.lasting and found.stamp == node.service.nodes.stamp else None


async def _make(node: Node) -> Plan:
    stamp = node.service.nodes.stamp
    lasting = node.config.access_model not in ("presence", "roster")
    items: dict[str, _Way] = {}
    nodes: dict[str, _Way] = {}
    for count, entry in enumerate(list(node.record.subscriptions.values())):
        if count % _STEP == _STEP - 1:
            await asyncio.sleep(0)
        if entry.state == "subscribed" and entry.options.get("deliver", True):
            jid = Jid.parse(entry.jid)
            if await access.receives(node, jid):
                if node.kind == "leaf":
                    _add(items, node, jid, entry, "")
                _add(nodes, node, jid, entry, "")
    for collection, distance in await _above(node):
        lasting = lasting and collection.config.access_model not in ("presence", "roster")
        for count, entry in enumerate(list(collection.record.subscriptions.values())):
            if count % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            if entry.state != "subscribed" or not entry.options.get("deliver", True) or not _deep(entry, distance):
                continue
            jid = Jid.parse(entry.jid)
            if not await access.receives(collection, jid):
                continue
            wanted = entry.options.get("subscription_type", "nodes")
            if wanted in ("items", "all"):
                _add(items, node, jid, entry, collection.name)
            if wanted in ("nodes", "all"):
                _add(nodes, node, jid, entry, collection.name)
    return Plan(_groups(items), _groups(nodes), frozenset(items), stamp, lasting)


async def _above(node: Node) -> list[tuple[Node, int]]:
    """The collections above a node, each with its distance by the shortest way."""
    service: PubSubService = node.service
    found: list[tuple[Node, int]] = []
    seen = {node.name}
    level = list(node.config.collection)
    distance = 1
    while level and len(found) < _ANCESTORS:
        above: list[str] = []
        for name in level:
            if name in seen:
                continue
            seen.add(name)
            try:
                collection = await service.nodes.fetch(name)
            except StanzaError:
                continue
            found.append((collection, distance))
            above.extend(collection.config.collection)
        level = above
        distance += 1
    return found


def _deep(entry: Subscription, distance: int) -> bool:
    depth = entry.options.get("subscription_depth", 1)
    return bool(depth == "all" or distance <= depth)


def _add(ways: dict[str, _Way], node: Node, jid: Jid, entry: Subscription, collection: str) -> None:
    way = ways.get(jid.full)
    if way is None:
        way = ways[jid.full] = _Way(jid)
    way.subids.append(entry.subid)
    if collection:
        way.collections.append(collection)
    way.body = way.body or bool(entry.options.get("include_body", False))
    shows: Any = entry.options.get("show-values")
    if shows:
        way.shows.update(shows)
    elif node.config.presence_based_delivery:
        way.shows.update(ANY_SHOW)
    else:
        way.always = True


def _groups(ways: dict[str, _Way]) -> tuple[Group, ...]:
    groups: dict[tuple[tuple[str, ...], tuple[str, ...], bool], Group] = {}
    for way in ways.values():
        collections = tuple(way.collections)
        subids = tuple(way.subids) if len(way.subids) > 1 else ()
        key = (collections, subids, way.body)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(_headers(collections, subids), way.body)
        if way.always:
            group.always.append(way.jid)
        else:
            group.watched.append((way.jid, frozenset(way.shows)))
    return tuple(groups.values())


def _headers(collections: tuple[str, ...], subids: tuple[str, ...]) -> Element | None:
    if not collections and not subids:
        return None
    headers = Element(ns.SHIM, "headers")
    for name, values in (("Collection", collections), ("SubID", subids)):
        for value in values:
            headers.add(ns.SHIM, "header", {"name": name}, value)
    return headers
