"""XEP-0442: the items of a node as an archive (XEP-0313). What is kept of a node is what its archive holds.

Each item stands in a message as subscribers got it, and the id of a result is that of the item. Pages go by items, the
dates of a query narrow them; so a query backwards may look at more items than it shows, within a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, errors, notify
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.payload import element_of
from xmpp_engine.stanza import mam, rsm
from xmpp_engine.stanza.build import message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import Item
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Pages of items that one query backwards looks through for dates.
_LOOKED: Final = 20
_FOREVER: Final = float(2**53)


@dataclass(slots=True)
class _Question:
    """What is asked: the times, items that the answer lies after and before, how many of them and from which end."""

    start: float
    end: float
    limit: int
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    backwards: bool = False
    ids: tuple[str, ...] = ()
    publisher: str = ""


@dataclass(slots=True)
class _Answer:
    """Items, the oldest first, and whether more lie beyond them in the direction of paging."""

    items: list[Item] = field(default_factory=list)
    more: bool = False


def form() -> Element:
    """Which fields a query may have."""
    return mam.form()


async def query(service: PubSubService, iq: Stanza) -> Element:
    """One page: its items to who asks, then where they stand. Raises StanzaError, StoreUnavailable."""
    payload = iq.element.first()
    assert payload is not None
    node = await _readable(service, payload.get("node") or "", iq.sender)
    wanted = mam.parse(payload)
    asked = _question(wanted)
    count = None
    if asked.limit == 0:
        page = await service.services.stores.pubsub.items(node.number, limit=1)
        count, found = page.count, _Answer()
    else:
        found = _fitting(await _find(node, asked), asked.backwards)
    for item in reversed(found.items) if wanted.flip else found.items:
        service.services.router.reply(iq, _result(node, item, wanted.queryid, iq.sender))
    first, last = (found.items[0].id, found.items[-1].id) if found.items else ("", "")
    return mam.fin(rsm.PageAnswer(first, last, count), complete=not (found.more or asked.limit == 0))


async def metadata(service: PubSubService, iq: Stanza) -> Element:
    """Where the archive of a node begins and ends (XEP-0313, 5). Raises StanzaError, StoreUnavailable."""
    payload = iq.element.first()
    assert payload is not None
    node = await _readable(service, payload.get("node") or "", iq.sender)
    store = service.services.stores.pubsub
    oldest = await store.items(node.number, limit=1)
    newest = await store.items(node.number, limit=1, before="")
    return mam.metadata([(item.id, item.published) for page in (oldest, newest) for item in page.items])


async def _readable(service: PubSubService, name: str, who: Jid) -> Node:
    if not name:
        raise errors.node_required()
    node = await service.settled(name)
    await access.need_retrieve(node, who)
    if node.kind == "collection":
        raise errors.unsupported("retrieve-items", "a collection holds no items")
    return node


def _question(wanted: mam.Query) -> _Question:
    return _Question(
        0.0 if wanted.start is None else wanted.start,
        _FOREVER if wanted.end is None else wanted.end,
        wanted.limit,
        tuple(id for id in (wanted.page.after, wanted.after) if id),
        tuple(id for id in (wanted.page.before, wanted.before) if id),
        wanted.page.backwards,
        wanted.ids,
        wanted.with_.bare if wanted.with_ is not None else "",
    )


async def _find(node: Node, asked: _Question) -> _Answer:
    store = node.service.services.stores.pubsub
    if asked.ids:
        found = await store.get(node.number, asked.ids)
        if len(found) < len(set(asked.ids)):
            raise StanzaError("item-not-found", "there is no item with this id")
        found.sort(key=lambda item: item.sequence)
        return _Answer(found[: asked.limit], len(found) > asked.limit)
    ends = (*asked.after, *asked.before)
    places = {item.id: item.sequence for item in await store.get(node.number, ends)} if ends else {}
    if any(id not in places for id in ends):
        raise StanzaError("item-not-found", "there is no item with this id")
    low = max((places[id] for id in asked.after), default=0)
    high = min((places[id] for id in asked.before), default=2**63)
    if asked.backwards:
        return await _backwards(node, asked, low, min(asked.before, key=lambda id: places[id], default=""))
    return await _forwards(node, asked, low, high)


async def _forwards(node: Node, asked: _Question, low: int, high: int) -> _Answer:
    store = node.service.services.stores.pubsub
    answer = _Answer()
    for _ in range(_LOOKED):
        rows = await store.since(node.number, low, asked.start, asked.end, asked.limit + 1)
        for item in rows:
            if item.sequence >= high:
                return answer
            if len(answer.items) == asked.limit:
                answer.more = True
                return answer
            if _by(item, asked):
                answer.items.append(item)
        if len(rows) <= asked.limit:
            return answer
        low = rows[-1].sequence
    answer.more = True
    return answer


async def _backwards(node: Node, asked: _Question, low: int, before: str) -> _Answer:
    store = node.service.services.stores.pubsub
    answer = _Answer()
    for _ in range(_LOOKED):
        try:
            page = await store.items(node.number, limit=asked.limit + 1, before=before)
        except LookupError:
            break
        for item in reversed(page.items):
            if item.sequence <= low or item.published < asked.start:
                answer.items.reverse()
                return answer
            if item.published < asked.end and _by(item, asked):
                if len(answer.items) == asked.limit:
                    answer.items.reverse()
                    answer.more = True
                    return answer
                answer.items.append(item)
        if len(page.items) <= asked.limit:
            answer.items.reverse()
            return answer
        before = page.items[0].id
    answer.items.reverse()
    answer.more = True
    return answer


def _by(item: Item, asked: _Question) -> bool:
    return not asked.publisher or item.publisher.partition("/")[0] == asked.publisher


def _fitting(found: _Answer, backwards: bool) -> _Answer:
    """The answer without what would make the page too large to send at once."""
    kept = mam.fitting(found.items, lambda item: len(item.payload), backwards)
    return found if len(kept) == len(found.items) else _Answer(list(kept), more=True)


def _result(node: Node, item: Item, queryid: str | None, to: Jid) -> Stanza:
    service = node.service
    listed = Element(ns.PUBSUB_EVENT, "items", {"node": node.name})
    listed.append(notify.item_element(ns.PUBSUB_EVENT, node, item, element_of(item.payload)))
    inner = Element(ns.CLIENT, "message", {"from": service.jid.full, "type": node.config.notification_type})
    inner.add(ns.PUBSUB_EVENT, "event").append(listed)
    found = message(service.jid, to, "normal", mam.result(item.id, queryid, item.published, inner))
    del found.element.attrs["type"]
    return found
