"""What the node answers about publish-subscribe, as the console's pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from xmpp_engine.api import STORED_LIMITS, Element, StreamError, parse_document, write

ACCESS = {
    "open": "everybody may subscribe and read",
    "presence": "who sees the owner's presence may read",
    "roster": "some groups of the owner's contacts may read",
    "authorize": "owners approve who may read",
    "whitelist": "who stands on the list may read",
    "": "as the service says",
}
PUBLISH = {
    "publishers": "publishers",
    "subscribers": "publishers and subscribers",
    "open": "everybody",
    "": "as the service says",
}


def when(text: str) -> datetime | None:
    """A time of the node's answers, None for none."""
    return datetime.fromisoformat(text) if text else None


def as_node(service: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A node with its addresses on the console."""
    name = str(row["node"])
    return {
        **row,
        "created": when(row["created"]),
        "url": address("node", service, name),
        "keeps_words": f"{row.get('keeps') or 0:,}",
        "access_words": ACCESS.get(row["access"], row["access"]),
        "publish_words": PUBLISH.get(row.get("publish", ""), row.get("publish", "")),
    }


def as_item(service: str, node: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """An item with times that templates can show, and its address."""
    return {
        **row,
        "published": when(row["published"]),
        "expires": when(row["expires"]),
        "url": address("item", service, node, item=row["id"]),
    }


def as_subscription(row: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription with times that templates can show."""
    return {**row, "expires": when(row["expires"])}


def address(page: str, service: str, node: str, **more: str) -> str:
    """Where a page about a node is."""
    return f"{reverse(f'pubsub:{page}', args=[service])}?{urlencode({'node': node, **more})}"


def indented(payload: str) -> str:
    """A payload with a line for each element, for people to read. What holds text beside elements stays on one line,
    for there the spaces count."""
    try:
        element = parse_document(payload.encode(), STORED_LIMITS)
    except StreamError:
        return payload
    lines: list[str] = []
    _lines(element, "", "", lines)
    return "\n".join(lines)


def _lines(element: Element, outer: str, indent: str, lines: list[str]) -> None:
    children = list(element.elements())
    texts = [child for child in element.children if isinstance(child, str)]
    if not children or any(text.strip() for text in texts):
        lines.append(indent + write(element, outer))
        return
    # The tags as the writer makes them, around nothing.
    hull = write(Element(element.ns, element.name, dict(element.attrs)).append(" "), outer)
    begin, _, end = hull.rpartition(" </")
    lines.append(indent + begin)
    for child in children:
        _lines(child, element.ns, f"{indent}  ", lines)
    lines.append(f"{indent}</{end}")
