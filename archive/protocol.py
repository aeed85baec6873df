"""XEP-0313 on the wire: queries, results and preferences (XEP-0441) as elements. Reads and writes elements only;
`engine.py` acts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from archive import ids, text
from archive.document import element_of
from archive.filters import Answer, Filter, Question, Row
from xmpp_engine.api import Element, Jid, JidError, StanzaError, build, forms, ns, rsm

FULLTEXT_FIELD: Final = "{urn:xmpp:fulltext:0}fulltext"
FIELDS: Final = (
    forms.Field("with", "jid-single"),
    forms.Field("start"),
    forms.Field("end"),
    forms.Field("before-id"),
    forms.Field("after-id"),
    forms.Field("ids", "list-multi", open=True),
    forms.Field(FULLTEXT_FIELD),
    # COMPAT(clients of the form before XEP-0431, 2019): the same under its older name.
    forms.Field("withtext"),
)
_PAGE: Final = 50
_MAX_PAGE: Final = 100
#: Characters of messages in one page: a page is sent in one go, and must not look like a reader who is too slow.
_PAGE_BYTES: Final = 524_288
_MAX_IDS: Final = 200
_MAX_LISTED: Final = 1_000
_DEFAULTS: Final = ("always", "never", "roster")


@dataclass(frozen=True, slots=True)
class Query:
    """A `<query/>`: what to read, and how the answer is to look."""

    question: Question
    queryid: str | None
    flip: bool


@dataclass(frozen=True, slots=True)
class Preferences:
    """What an account wants archived by default ("" as the domain says), and the addresses that are exceptions."""

    default: str
    always: tuple[str, ...]
    never: tuple[str, ...]


def form() -> Element:
    """The answer to a query of type get: which fields a client may use."""
    query = Element(ns.MAM, "query")
    return query.append(forms.render("form", ns.MAM, FIELDS))


def parse_query(query: Element, account: int) -> Query:
    """What a client asks of the account's archive; raises StanzaError."""
    form = query.find(ns.DATA_FORMS, "x")
    given = {} if form is None else forms.check(forms.read(form, ns.MAM), FIELDS)
    request = rsm.parse(query)
    if request.index is not None:
        raise StanzaError("feature-not-implemented", "pages are asked for by the id before or after them")
    known: list[int] = []
    after, before = _id(given, "after-id", known), _id(given, "before-id", known)
    if request.after is not None:
        after = max(after, _known(request.after, known))
    if request.before:
        upper = _known(request.before, known)
        before = min(before, upper) if before else upper
    peer, full = _with(given)
    limit = _PAGE if request.max is None else min(request.max, _MAX_PAGE)
    wanted = Filter(
        account,
        _time(given, "start"),
        _time(given, "end"),
        peer,
        full,
        after,
        before or ids.MAX_ID,
        _terms(given),
    )
    question = Question(wanted, limit, request.backwards, tuple(known), _ids(given), request.max == 0)
    return Query(question, query.get("queryid"), query.find(ns.MAM, "flip-page") is not None)


def result(row: Row, queryid: str | None) -> Element:
    """One message of an answer."""
    attrs = {"id": ids.text_of(row.id)}
    if queryid is not None:
        attrs["queryid"] = queryid
    forwarded = Element(ns.FORWARD, "forwarded")
    forwarded.add(ns.DELAY, "delay", {"stamp": build.timestamp(row.stamp)})
    forwarded.append(element_of(row.xml))
    return Element(ns.MAM, "result", attrs, forwarded)


def fitting(answer: Answer, backwards: bool) -> Answer:
    """The answer without the messages at its far end that would make the page too large to send at once; one always
    stays."""
    room = _PAGE_BYTES
    kept: list[Row] = []
    for row in reversed(answer.rows) if backwards else answer.rows:
        room -= len(row.xml)
        if room < 0 and kept:
            break
        kept.append(row)
    if len(kept) == len(answer.rows):
        return answer
    return replace(answer, rows=kept[::-1] if backwards else kept, more=True)


def fin(answer: Answer) -> Element:
    """The end of an answer: `complete` when nothing lies beyond the page in the direction of paging."""
    rows = answer.rows
    element = Element(ns.MAM, "fin", {} if answer.more or answer.count else {"complete": "true"})
    page = rsm.PageAnswer(
        ids.text_of(rows[0].id) if rows else "", ids.text_of(rows[-1].id) if rows else "", answer.count
    )
    return element.append(rsm.answer(page))


def metadata(bounds: tuple[int, int] | None) -> Element:
    """Where the archive begins and ends; empty for an empty one."""
    element = Element(ns.MAM, "metadata")
    for name, id in zip(("start", "end"), bounds or (), strict=False):
        element.add(ns.MAM, name, {"id": ids.text_of(id), "timestamp": build.timestamp(ids.time_of(id))})
    return element


def parse_preferences(element: Element) -> Preferences:
    """The preferences that a client sets; raises StanzaError."""
    default = element.get("default")
    if default not in _DEFAULTS:
        raise StanzaError("bad-request", f"the default is one of {', '.join(_DEFAULTS)}")
    return Preferences(default, _addresses(element, "always"), _addresses(element, "never"))


def preferences(wanted: Preferences) -> Element:
    """The preferences in force."""
    element = Element(ns.MAM, "prefs", {"default": wanted.default})
    for name, addresses in (("always", wanted.always), ("never", wanted.never)):
        listed = element.add(ns.MAM, name)
        for address in addresses:
            listed.add(ns.MAM, "jid", text=address)
    return element


def _addresses(element: Element, name: str) -> tuple[str, ...]:
    listed = element.find(ns.MAM, name)
    found: dict[str, None] = {}
    for child in listed.find_all(ns.MAM, "jid") if listed is not None else ():
        try:
            found[Jid.parse(child.text.strip()).full] = None
        except JidError as error:
            raise StanzaError("jid-malformed", f"<{name}/> has something that is no address: {error}") from None
    if len(found) > _MAX_LISTED:
        raise StanzaError("policy-violation", f"<{name}/> takes at most {_MAX_LISTED} addresses")
    return tuple(sorted(found))


def _single(given: dict[str, forms.Value], name: str) -> str:
    value = given.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _known(value: str, known: list[int]) -> int:
    """The number of an id that a client was given before; it is looked up when the query runs."""
    id = ids.from_text(value)
    if id is None:
        raise StanzaError("item-not-found", "there is no message with this id")
    known.append(id)
    return id


def _id(given: dict[str, forms.Value], name: str, known: list[int]) -> int:
    value = _single(given, name)
    return _known(value, known) if value else 0


def _ids(given: dict[str, forms.Value]) -> tuple[int, ...]:
    values = given.get("ids", ())
    assert isinstance(values, tuple)
    if len(values) > _MAX_IDS:
        raise StanzaError("policy-violation", f"at most {_MAX_IDS} messages can be asked for by id")
    return tuple(_known(value, []) for value in values)


def _time(given: dict[str, forms.Value], name: str) -> float | None:
    value = _single(given, name)
    if not value:
        return None
    try:
        return build.parse_timestamp(value)
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", f"the field {name} needs a date and time with its zone") from None


def _with(given: dict[str, forms.Value]) -> tuple[str, str]:
    """The bare address of the other side, and the full one where a resource was given."""
    value = _single(given, "with")
    if not value:
        return "", ""
    jid = Jid.parse(value)
    return jid.bare, jid.full if jid.resource else ""


def _terms(given: dict[str, forms.Value]) -> tuple[text.Term, ...]:
    words = _single(given, FULLTEXT_FIELD) or _single(given, "withtext")
    if not words:
        return ()
    terms = text.parse(words)
    if not terms:
        raise StanzaError("bad-request", "the search has no word")
    return tuple(terms)
