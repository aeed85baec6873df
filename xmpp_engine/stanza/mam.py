"""XEP-0313 on the wire, for every kind of archive (users, rooms, nodes): what a query asks, and the parts of an answer.

Archives differ in how they find messages and in the fields that they have beside these; what stands here is the same
for all, with the bounds of one query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza import forms, rsm
from xmpp_engine.stanza.build import parse_timestamp, timestamp
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: The fields that every archive has (XEP-0313, 4.1).
FIELDS: Final = (
    forms.Field("with", "jid-single"),
    forms.Field("start"),
    forms.Field("end"),
    forms.Field("before-id"),
    forms.Field("after-id"),
    forms.Field("ids", "list-multi", open=True),
)
#: Messages of a page unless the client says, and at most.
PAGE: Final = 50
MAX_PAGE: Final = 100
#: Characters of messages in one page: a page is sent in one go, and must not look like a reader who is too slow.
PAGE_BYTES: Final = 524_288
#: Messages asked for by their ids in one query, and characters of an id.
MAX_IDS: Final = 200
MAX_ID: Final = 1_023
_SHOWN: Final = 60
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """A `<query/>`: times are seconds since the epoch, None where none is given; `with_` None for everybody. `after`
    and `before` are ids of fields, "" for none, `page` what is asked for by XEP-0059, `limit` how many messages the
    page has at most (0: only their number is wanted). `more` holds the fields that this archive has beside FIELDS."""

    start: float | None
    end: float | None
    with_: Jid | None
    after: str
    before: str
    ids: tuple[str, ...]
    page: rsm.PageRequest
    limit: int
    queryid: str | None
    flip: bool
    more: dict[str, forms.Value]


def form(more: Sequence[forms.Field] = ()) -> Element:
    """The answer to a query of type get: which fields a client may use (4.1.5)."""
    query = Element(ns.MAM, "query")
    return query.append(forms.render("form", ns.MAM, (*FIELDS, *more)))


def parse(query: Element, more: Sequence[forms.Field] = ()) -> Query:
    """What a client asks of an archive that has the fields `more` too. Raises StanzaError: `feature-not-implemented`
    for a field that it does not have and for pages by number, `bad-request` for what cannot be read."""
    submitted = query.find(ns.DATA_FORMS, "x")
    given: dict[str, forms.Value] = {}
    if submitted is not None:
        raw = forms.read(submitted, ns.MAM)
        fields = (*FIELDS, *more)
        known = {field.var for field in fields}
        for var in raw:
            if var not in known:
                raise StanzaError("feature-not-implemented", f"this archive has no field {var[:_SHOWN]}")
        given = forms.check(raw, fields)
    page = rsm.parse(query)
    if page.index is not None:
        raise StanzaError("feature-not-implemented", "pages are asked for by the id before or after them")
    ids = given.pop("ids", ())
    assert isinstance(ids, tuple)
    if len(ids) > MAX_IDS:
        raise StanzaError("policy-violation", f"at most {MAX_IDS} messages can be asked for by id")
    found = Query(
        _time(given, "start"),
        _time(given, "end"),
        _with(given),
        _text(given, "after-id"),
        _text(given, "before-id"),
        ids,
        page,
        PAGE if page.max is None else min(page.max, MAX_PAGE),
        query.get("queryid"),
        query.find(ns.MAM, "flip-page") is not None,
        given,
    )
    if any(len(id) > MAX_ID for id in (found.after, found.before, page.after or "", page.before or "", *ids)):
        raise StanzaError("item-not-found", "there is nothing with this id in the archive")
    return found


def fitting(items: Sequence[T], size: Callable[[T], int], backwards: bool) -> Sequence[T]:
    """The items, oldest first, without those at the far end that would make the page too large to send at once; one
    always stays."""
    left = PAGE_BYTES
    kept: list[T] = []
    for item in reversed(items) if backwards else items:
        left -= size(item)
        if left < 0 and kept:
            return kept[::-1] if backwards else kept
        kept.append(item)
    return items


def result(id: str, queryid: str | None, stamp: float, message: Element) -> Element:
    """One message of an answer (4.2)."""
    forwarded = Element(ns.FORWARD, "forwarded")
    forwarded.add(ns.DELAY, "delay", {"stamp": timestamp(stamp)})
    forwarded.append(message)
    return Element(ns.MAM, "result", {"id": id} if queryid is None else {"queryid": queryid, "id": id}, forwarded)


def fin(page: rsm.PageAnswer, *, complete: bool) -> Element:
    """The end of an answer; `complete` when nothing lies beyond the page in the direction of paging (4.3.2)."""
    element = Element(ns.MAM, "fin", {"complete": "true"} if complete else {})
    return element.append(rsm.answer(page))


def metadata(bounds: Sequence[tuple[str, float]]) -> Element:
    """Where the archive begins and ends (5): the ids and times of its first and last message; nothing for an empty
    one."""
    element = Element(ns.MAM, "metadata")
    for name, (id, stamp) in zip(("start", "end"), bounds, strict=False):
        element.add(ns.MAM, name, {"id": id, "timestamp": timestamp(stamp)})
    return element


def text_of(given: dict[str, forms.Value], name: str) -> str:
    """A field of one value, "" where it was left out."""
    value = given.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _text(given: dict[str, forms.Value], name: str) -> str:
    text = text_of(given, name)
    given.pop(name, None)
    return text


def _time(given: dict[str, forms.Value], name: str) -> float | None:
    value = _text(given, name)
    if not value:
        return None
    try:
        return parse_timestamp(value)
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", f"the field {name} needs a date and time with its zone") from None


def _with(given: dict[str, forms.Value]) -> Jid | None:
    value = _text(given, "with")
    return Jid.parse(value) if value else None
