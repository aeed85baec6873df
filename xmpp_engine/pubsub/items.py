"""Reading items (XEP-0060, 6.5; XEP-0059; XEP-0248, 6.2).

The oldest stand first. `max_items` gives the newest ones, a page of XEP-0059 any part of them, and an answer that would
be too long says by a `<set/>` that there is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, errors, notify
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.payload import element_of
from xmpp_engine.stanza import rsm
from xmpp_engine.storage.pubsub import Item, ItemPage
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Leaves of a collection whose items are read for one answer.
_LEAVES: Final = 100
#: Items that are read at a time.
_STEP: Final = 50


async def request(service: PubSubService, who: Jid, asked: Element, parent: Element) -> list[Element]:
    """The answer to `<items/>`: `parent` is the element it stands in. Raises StanzaError, StoreUnavailable."""
    name = asked.get("node") or ""
    node = await service.settled(name)
    _check_subid(node, who, asked.get("subid") or "")
    await access.need_retrieve(node, who)
    limit = service.options.page_items
    newest = _number(asked.get("max_items"))
    page = rsm.parse(parent)
    if parent.find(ns.RSM, "set") is None:
        page = rsm.parse(asked)
    if node.kind == "collection":
        return await _of_collection(node, newest)
    ids = [item.get("id") or "" for item in asked.find_all(ns.PUBSUB, "item")]
    if ids:
        found = await by_id(node, ids[:limit], service.options.page_bytes)
        return [listed(node, found, service.options.page_bytes)[0]]
    if not node.config.keeps and service.publisher is None:
        return [listed(node, [node.record.last] if node.record.last is not None else [], 0)[0]]
    paged = parent.find(ns.RSM, "set") is not None or asked.find(ns.RSM, "set") is not None
    size = limit if page.max is None else min(page.max, limit)
    if newest is not None:
        size = min(size, newest)
        if not paged:
            page = rsm.PageRequest(before="")
    found_page = await read(node, page, size, service.options.page_bytes)
    element, shown = listed(node, found_page.items, service.options.page_bytes, from_end=page.backwards)
    if not paged and (newest is not None or len(shown) == found_page.count):
        return [element]
    index = found_page.index
    if index is not None and page.backwards:
        index += len(found_page.items) - len(shown)
    first, last = (shown[0].id, shown[-1].id) if shown else ("", "")
    return [element, rsm.answer(rsm.PageAnswer(first, last, found_page.count, index))]


async def read(node: Node, page: rsm.PageRequest, size: int, most: int = 0) -> ItemPage:
    """A page of a node's items, up to about `most` bytes of them (0: any). They come from the store some at a time, for
    payloads may be long. Raises StanzaError `item-not-found` where it begins at no item; StoreUnavailable."""
    store = node.service.services.stores.pubsub
    if size < 1:
        one = await store.items(node.number, limit=1)
        return ItemPage([], one.count, None, one.count == 0)
    after, before, index = page.after, page.before, page.index
    found: ItemPage | None = None
    step, room = min(size, _STEP), most
    while True:
        try:
            some = await store.items(node.number, limit=step, after=after, before=before, index=index)
        except LookupError:
            if found is not None:
                return found  # What the page was to go on from was just taken back.
            raise StanzaError("item-not-found", "there is no such item") from None
        except ValueError:
            raise errors.no_node() from None
        if found is None:
            found = some
        elif page.backwards:
            place = None if found.index is None else max(0, found.index - len(some.items))
            found = ItemPage(some.items + found.items, some.count, place, some.complete)
        else:
            found = ItemPage(found.items + some.items, some.count, found.index, some.complete)
        room -= sum(len(item.payload) for item in some.items)
        if len(some.items) < step or len(found.items) >= size or (most and room <= 0):
            return found
        after, before, index = None, None, None
        if page.backwards:
            before = found.items[0].id
        else:
            after = found.items[-1].id
        # As many as are likely to fit, by those that were read.
        mean = max(1, (most - room) // len(found.items))
        step = min(size - len(found.items), max(_STEP, room // mean) if most else size)


async def by_id(node: Node, ids: Sequence[str], most: int = 0) -> list[Item]:
    """The items of these ids that there are, up to about `most` bytes of them. Raises StoreUnavailable."""
    last = node.record.last
    if not node.config.keeps and node.service.publisher is None:
        return [last] if last is not None and last.id in ids else []
    if last is not None and len(ids) == 1 and last.id == ids[0]:
        return [last]
    found: list[Item] = []
    for start in range(0, len(ids), _STEP):
        found += await node.service.services.stores.pubsub.get(node.number, ids[start : start + _STEP])
        if most and sum(len(item.payload) for item in found) > most:
            break
    return found


def listed(node: Node, found: Sequence[Item], most: int, *, from_end: bool = False) -> tuple[Element, list[Item]]:
    """`<items/>` with these items, as many as fit into `most` bytes (0: all; one always does), and those items."""
    shown: list[Item] = []
    size = 0
    for item in reversed(found) if from_end else found:
        size += len(item.payload) + len(item.id) + 100
        if most and size > most and shown:
            break
        shown.append(item)
    if from_end:
        shown.reverse()
    element = Element(ns.PUBSUB, "items", {"node": node.name})
    element.children.extend(notify.item_element(ns.PUBSUB, node, item, element_of(item.payload)) for item in shown)
    return element, shown


async def _of_collection(node: Node, newest: int | None) -> list[Element]:
    """The items of all leaves below a collection, by the access that it gives."""
    service = node.service
    answers: list[Element] = []
    left, room = service.options.page_items, service.options.page_bytes
    seen = {node.name}
    level = list(service.nodes.children.get(node.name, ()))
    while level and left > 0 and room > 0 and len(answers) < _LEAVES:
        below: list[str] = []
        for name in level:
            line = service.nodes.directory.get(name)
            if name in seen or line is None or left <= 0 or room <= 0 or len(answers) >= _LEAVES:
                continue
            seen.add(name)
            if line.kind == "collection":
                below.extend(service.nodes.children.get(name, ()))
                continue
            try:
                leaf = await service.nodes.fetch(name)
            except StanzaError:
                continue
            size = left if newest is None else min(left, newest)
            page = await read(leaf, rsm.PageRequest(before=""), size, room)
            element, shown = listed(leaf, page.items, room, from_end=True)
            left -= len(shown)
            room -= sum(len(item.payload) for item in shown)
            if shown:
                answers.append(element)
        level = below
    return answers


def _check_subid(node: Node, who: Jid, subid: str) -> None:
    """Who has several subscriptions of one address says for which he asks (6.5.9.1, 6.5.9.2). Other resources of the
    account are other subscribers."""
    mine = [entry for entry in node.subscriptions_of(who) if entry.jid in (who.bare, who.full)]
    if subid:
        if mine and not any(entry.subid == subid for entry in mine):
            raise refusal("not-acceptable", "invalid-subid", "there is no such subscription")
    elif len({entry.jid for entry in mine}) < len(mine):
        raise refusal("bad-request", "subid-required", "you have several subscriptions")


def _number(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    text = text.strip()
    if text == "max":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise StanzaError("bad-request", "max_items needs a number")
    return int(text)
