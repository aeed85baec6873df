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
from xmpp_engine.stanza import forms, rsm
from xmpp_engine.stanza.build import message, parse_timestamp, timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.pubsub import Item
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

FIELDS: Final = (
    forms.Field("with", "jid-single"),
    forms.Field("start"),
    forms.Field("end"),
    forms.Field("before-id"),
    forms.Field("after-id"),
    forms.Field("ids", "list-multi", open=True),
)
_PAGE: Final = 50
_MAX_PAGE: Final = 100
_PAGE_BYTES: Final = 524_288
_MAX_IDS: Final = 200
#: Pages of items that one query backwards looks through for dates.
_LOOKED: Final = 20
_FOREVER: Final = float(2**53)


@dataclass(slots=True)
class _Question:
    """What is asked: the times, items that the answer lies between, how many of them and from which end."""

    start: float
    end: float
    limit: int
    after: str = ""
    before: str = ""
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
    query = Element(ns.MAM, "query")
    return query.append(forms.render("form", ns.MAM, FIELDS))


async def query(service: PubSubService, iq: Stanza) -> Element:
    """One page: its items to who asks, then where they stand. Raises StanzaError, StoreUnavailable."""
    payload = iq.element.first()
    assert payload is not None
    node = await _readable(service, payload.get("node") or "", iq.sender)
    request = rsm.parse(payload)
    asked = _question(payload, request)
    count = None
    if asked.limit == 0:
        page = await service.services.stores.pubsub.items(node.number, limit=1)
        count, found = page.count, _Answer()
    else:
        found = _fitting(await _find(node, asked), asked.backwards)
    flip = payload.find(ns.MAM, "flip-page") is not None
    for item in reversed(found.items) if flip else found.items:
        service.services.router.reply(iq, _result(node, item, payload.get("queryid"), iq.sender))
    fin = Element(ns.MAM, "fin", {} if found.more or asked.limit == 0 else {"complete": "true"})
    first, last = (found.items[0].id, found.items[-1].id) if found.items else ("", "")
    return fin.append(rsm.answer(rsm.PageAnswer(first, last, count)))


async def metadata(service: PubSubService, iq: Stanza) -> Element:
    """Where the archive of a node begins and ends (XEP-0313, 5). Raises StanzaError, StoreUnavailable."""
    payload = iq.element.first()
    assert payload is not None
    node = await _readable(service, payload.get("node") or "", iq.sender)
    store = service.services.stores.pubsub
    answer = Element(ns.MAM, "metadata")
    oldest = await store.items(node.number, limit=1)
    newest = await store.items(node.number, limit=1, before="")
    for name, page in (("start", oldest), ("end", newest)):
        for item in page.items:
            answer.add(ns.MAM, name, {"id": item.id, "timestamp": timestamp(item.published)})
    return answer


async def _readable(service: PubSubService, name: str, who: Jid) -> Node:
    if not name:
        raise errors.node_required()
    node = await service.settled(name)
    await access.need_retrieve(node, who)
    if node.kind == "collection":
        raise errors.unsupported("retrieve-items", "a collection holds no items")
    return node


def _question(payload: Element, request: rsm.PageRequest) -> _Question:
    if request.index is not None:
        raise StanzaError("feature-not-implemented", "pages are asked for by the id before or after them")
    submitted = payload.find(ns.DATA_FORMS, "x")
    given = {} if submitted is None else forms.check(forms.read(submitted, ns.MAM), FIELDS)
    ids = given.get("ids", ())
    assert isinstance(ids, tuple)
    if len(ids) > _MAX_IDS:
        raise StanzaError("policy-violation", f"at most {_MAX_IDS} items can be asked for by id")
    limit = _PAGE if request.max is None else min(request.max, _MAX_PAGE)
    return _Question(
        _time(given, "start", 0.0),
        _time(given, "end", _FOREVER),
        limit,
        request.after or _text(given, "after-id"),
        request.before or _text(given, "before-id"),
        request.backwards,
        ids,
        Jid.parse(_text(given, "with")).bare if _text(given, "with") else "",
    )


async def _find(node: Node, asked: _Question) -> _Answer:
    store = node.service.services.stores.pubsub
    if asked.ids:
        found = await store.get(node.number, asked.ids)
        if len(found) < len(set(asked.ids)):
            raise StanzaError("item-not-found", "there is no item with this id")
        found.sort(key=lambda item: item.sequence)
        return _Answer(found[: asked.limit], len(found) > asked.limit)
    bounds = await store.get(node.number, [id for id in (asked.after, asked.before) if id])
    places = {item.id: item.sequence for item in bounds}
    if any(id and id not in places for id in (asked.after, asked.before)):
        raise StanzaError("item-not-found", "there is no item with this id")
    low, high = places.get(asked.after, 0), places.get(asked.before, 2**63)
    if asked.backwards:
        return await _backwards(node, asked, low)
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


async def _backwards(node: Node, asked: _Question, low: int) -> _Answer:
    store = node.service.services.stores.pubsub
    before = asked.before
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
    """The answer without the items at its far end that would make the page too large to send at once; one always
    stays."""
    room = _PAGE_BYTES
    kept: list[Item] = []
    for item in reversed(found.items) if backwards else found.items:
        room -= len(item.payload)
        if room < 0 and kept:
            return _Answer(kept[::-1] if backwards else kept, more=True)
        kept.append(item)
    return found


def _result(node: Node, item: Item, queryid: str | None, to: Jid) -> Stanza:
    service = node.service
    listed = Element(ns.PUBSUB_EVENT, "items", {"node": node.name})
    listed.append(notify.item_element(ns.PUBSUB_EVENT, node, item, element_of(item.payload)))
    inner = Element(ns.CLIENT, "message", {"from": service.jid.full, "type": node.config.notification_type})
    inner.add(ns.PUBSUB_EVENT, "event").append(listed)
    forwarded = Element(ns.FORWARD, "forwarded")
    forwarded.add(ns.DELAY, "delay", {"stamp": timestamp(item.published)})
    forwarded.append(inner)
    attrs = {"id": item.id} if queryid is None else {"queryid": queryid, "id": item.id}
    found = message(service.jid, to, "normal", Element(ns.MAM, "result", attrs, forwarded))
    del found.element.attrs["type"]
    return found


def _text(given: dict[str, forms.Value], name: str) -> str:
    value = given.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _time(given: dict[str, forms.Value], name: str, default: float) -> float:
    value = _text(given, name)
    if not value:
        return default
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", f"the field {name} needs a date and time with its zone") from None
