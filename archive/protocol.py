"""XEP-0313 on the wire as the archives of users and rooms speak it, and preferences (XEP-0441), as elements. What is
the same for every kind of archive stands in `xmpp_engine.api.mam`; `answering.py` acts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from archive import ids, text
from archive.document import element_of
from archive.filters import Answer, Filter, Question, Row
from xmpp_engine.api import Element, Jid, JidError, StanzaError, forms, mam, ns, rsm

FULLTEXT_FIELD: Final = "{urn:xmpp:fulltext:0}fulltext"
GROUPCHAT_FIELD: Final = "include-groupchat"
#: The fields of a room's archive beside those of every archive.
ROOM_FIELDS: Final = (
    forms.Field(FULLTEXT_FIELD),
    # COMPAT(clients of the form before XEP-0431, 2019): the same under its older name.
    forms.Field("withtext"),
)
USER_FIELDS: Final = (*ROOM_FIELDS, forms.Field(GROUPCHAT_FIELD, "boolean"))
#: Characters that are searched for.
MAX_WORDS: Final = 1_000
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


def form(*, room: bool = False) -> Element:
    """Which fields a query may have."""
    return mam.form(ROOM_FIELDS if room else USER_FIELDS)


def parse_query(query: Element, account: int, own: str = "") -> Query:
    """What a client asks of an archive, a user's with the bare address `own` or (see `filters.owner_of`) a room's;
    raises StanzaError."""
    asked = mam.parse(query, USER_FIELDS if account > 0 else ROOM_FIELDS)
    known: list[int] = []
    after, before = _known(asked.after, known) or 0, _known(asked.before, known) or ids.MAX_ID
    peer = asked.with_
    whole = Filter(
        account,
        asked.start,
        asked.end,
        peer.bare if peer is not None else "",
        # What somebody sent to himself is asked for by any of his addresses (4.1.1).
        peer.full if peer is not None and peer.resource and peer.bare != own else "",
        after,
        before,
        _terms(asked.more),
    )
    wanted = whole
    if asked.page.after:
        wanted = replace(wanted, after=max(after, _known(asked.page.after, known)))
    if asked.page.before:
        wanted = replace(wanted, before=min(before, _known(asked.page.before, known)))
    question = Question(
        wanted,
        asked.limit,
        asked.page.backwards,
        tuple(known),
        tuple(_known(id, []) for id in dict.fromkeys(asked.ids)),
        asked.limit == 0,
        whole,
        asked.more.get(GROUPCHAT_FIELD) is True,
    )
    return Query(question, asked.queryid, asked.flip)


def result(row: Row, queryid: str | None, reader: str = "") -> Element:
    """One message of an answer. A room's message in the archive of a user, `reader`, is addressed to him, and says its
    id, by which a client knows it from what it read in the room. Raises StreamError for one that cannot be read."""
    message = element_of(row.xml)
    if row.room and reader:
        message.attrs["to"] = reader
        message.add(ns.STANZA_ID, "stanza-id", {"id": ids.text_of(row.id), "by": row.recipient})
    return mam.result(ids.text_of(row.id), queryid, row.stamp, message)


def fitting(answer: Answer, backwards: bool) -> Answer:
    """The answer without what would make the page too large to send at once."""
    kept = mam.fitting(answer.rows, lambda row: len(row.xml), backwards)
    return answer if len(kept) == len(answer.rows) else replace(answer, rows=list(kept), more=True)


def fin(answer: Answer, question: Question) -> Element:
    """The end of an answer, with the place of the page where that is known: it lies at one end of all."""
    rows = answer.rows
    index = None
    if rows and answer.count is not None and question.whole is not None:
        if not question.backwards and question.filter.after == question.whole.after:
            index = 0
        elif question.backwards and question.filter.before == question.whole.before:
            index = max(answer.count - len(rows), 0)
    first, last = (ids.text_of(rows[0].id), ids.text_of(rows[-1].id)) if rows else ("", "")
    complete = not (answer.more or question.count)
    return mam.fin(rsm.PageAnswer(first, last, answer.count, index), complete=complete)


def metadata(bounds: tuple[int, int] | None) -> Element:
    """Where the archive begins and ends; empty for an empty one."""
    return mam.metadata([(ids.text_of(id), ids.time_of(id)) for id in bounds or ()])


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


def _known(value: str, known: list[int]) -> int:
    """The number of an id that a client was given before, 0 for none; it is looked up when the query runs."""
    if not value:
        return 0
    id = ids.from_text(value)
    if id is None:
        raise StanzaError("item-not-found", "there is no message with this id in the archive")
    known.append(id)
    return id


def _terms(given: dict[str, forms.Value]) -> tuple[text.Term, ...]:
    words = mam.text_of(given, FULLTEXT_FIELD) or mam.text_of(given, "withtext")
    if not words:
        return ()
    if len(words) > MAX_WORDS:
        raise StanzaError("policy-violation", f"at most {MAX_WORDS} characters can be searched for")
    terms = text.parse(words)
    if not terms:
        raise StanzaError("bad-request", "the search has no word")
    return tuple(terms)
