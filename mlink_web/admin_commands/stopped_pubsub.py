"""Publish-subscribe as the database has it, for commands and pages while the node does not run.

The rows are those of `xmpp_engine.admin.pubsub`. What a service sets as default is known to the node alone, so what a
node does not set itself is shown as "".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Q

from mlink_web.pubsub import items, nodes
from mlink_web.pubsub.models import Node, Service
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.pubsub import MAX_PAGE, affiliation_rows, place_of
from xmpp_engine.admin.pubsub_lookup import item_row, page_of_items, subscription_row
from xmpp_engine.admin.values import stamp, whole_number
from xmpp_engine.storage.pubsub import NodeRecord


def pubsub_services() -> list[dict[str, Any]]:
    """See `pubsub services`. Those with a domain; accounts are services too, and many."""
    living = Count("nodes", filter=~Q(nodes__config__has_key="redirect"))
    found = Service.objects.exclude(address__contains="@").annotate(size=living).order_by("address")
    return [
        {"service": one.address, "name": "", "nodes": one.size, "in_memory": 0, "subscriptions": 0, "notifications": 0}
        for one in found
    ]


def _found(service: str, search: str) -> list[Any]:
    address = service.strip().lower()
    if not Service.objects.filter(address=address).exists():
        raise CommandError(f"Nothing is stored of a publish-subscribe service {address!r}.")
    living = Node.objects.filter(service__address=address).exclude(config__has_key="redirect")
    subscribed = Count("subscriptions", filter=Q(subscriptions__state="subscribed"))
    wanted = search.casefold()
    return [
        node
        for node in living.annotate(subscribers=subscribed).order_by("name")
        if not wanted or wanted in f"{node.name}\n{node.config.get('title', '')}".casefold()
    ]


def _row(node: Any) -> dict[str, Any]:
    return {
        "node": node.name,
        "kind": node.kind,
        "title": str(node.config.get("title", "")),
        "access": str(node.config.get("access_model", "")),
        "items": node.items,
        "subscribers": node.subscribers,
        "creator": node.creator,
        "created": stamp(node.created),
    }


def pubsub_nodes(service: str, search: str, start: str, limit: str) -> list[dict[str, Any]]:
    """See `pubsub nodes`."""
    rows: list[dict[str, Any]] = pubsub_page(service, search, start, limit)["nodes"]
    return rows


def pubsub_page(service: str, search: str, start: str, limit: str) -> dict[str, Any]:
    """See `pubsub page`."""
    first, most = whole_number("start", start, 10**9), whole_number("limit", limit, MAX_PAGE)
    found = _found(service, search)
    return {"total": len(found), "nodes": [_row(node) for node in found[first : first + most]]}


def _record(service: str, node: str) -> NodeRecord:
    found = nodes.load(connection, service.strip().lower(), [node])
    if not found or "redirect" in found[0].config:
        raise CommandError("There is no such stored node.")
    return found[0]


def pubsub_node(service: str, node: str) -> dict[str, Any]:
    """See `pubsub node`."""
    record = _record(service, node)
    config = record.config
    entries = record.subscriptions.values()
    return {
        "node": record.name,
        "kind": record.kind,
        "title": str(config.get("title", "")),
        "access": str(config.get("access_model", "")),
        "items": record.items,
        "subscribers": sum(entry.state == "subscribed" for entry in entries),
        "creator": record.creator,
        "created": stamp(record.created),
        "number": record.number,
        "description": str(config.get("description", "")),
        "publish": str(config.get("publish_model", "")),
        "keeps": None,
        "pending": sum(entry.state == "pending" for entry in entries),
        "affiliated": len(record.affiliations),
        "collections": list(config.get("collection", ())),
        "children": [],
    }


def pubsub_items(service: str, node: str, before: str, after: str, start: str, limit: str) -> dict[str, Any]:
    """See `pubsub items`."""
    most, place = whole_number("limit", limit, MAX_PAGE), place_of(before, after, start)
    number = _record(service, node).number
    try:
        page = items.page(connection, number, most, place.get("after"), place.get("before"), place.get("index"))
    except LookupError:
        raise CommandError("There is no such item any more.") from None
    return page_of_items(page)


def pubsub_item(service: str, node: str, item: str) -> dict[str, Any]:
    """See `pubsub item`."""
    found = items.by_id(connection, _record(service, node).number, [item])
    if not found:
        raise CommandError("There is no such item.")
    return item_row(found[0], 0)


def pubsub_subscriptions(service: str, node: str) -> list[dict[str, Any]]:
    """See `pubsub subscriptions`."""
    entries = _record(service, node).subscriptions.values()
    return [subscription_row(entry) for entry in sorted(entries, key=lambda one: (one.state != "pending", one.jid))]


def pubsub_affiliations(service: str, node: str) -> list[dict[str, Any]]:
    """See `pubsub affiliations`."""
    return affiliation_rows(_record(service, node).affiliations)


ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {
    "pubsub services": pubsub_services,
    "pubsub nodes": pubsub_nodes,
    "pubsub page": pubsub_page,
    "pubsub node": pubsub_node,
    "pubsub items": pubsub_items,
    "pubsub item": pubsub_item,
    "pubsub subscriptions": pubsub_subscriptions,
    "pubsub affiliations": pubsub_affiliations,
}
