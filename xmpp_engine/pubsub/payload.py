"""Payloads of items as text and as elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document
from xmpp_engine.xml.writer import write

if TYPE_CHECKING:
    from xmpp_engine.storage.pubsub import Item


def text_of(payload: Element | None) -> str:
    """A payload as it is stored: one element with its namespace, "" for none."""
    return "" if payload is None else write(payload)


def element_of(text: str) -> Element | None:
    """A stored payload; None for none, and for one that is damaged."""
    if not text:
        return None
    try:
        return parse_document(text.encode(), STORED_LIMITS)
    except StreamError:
        return None


def with_payload(item: Item) -> tuple[Item, Element | None]:
    """An item together with its payload as an element."""
    return item, element_of(item.payload)
