"""Whether a message that is at hand passes a filter: for the few that were asked for by id, and for the reference of
the tests. What the databases find by their indexes must be the same."""

from __future__ import annotations

from archive.document import element_of, spoken
from archive.filters import Filter, Row
from archive.text import Term, index_text, tokens
from xmpp_engine.api import StreamError, escape_attr


def passes(row: Row, wanted: Filter) -> bool:
    """Whether a row of the filter's archive passes it."""
    if not wanted.after < row.id < wanted.before:
        return False
    if wanted.start is not None and row.stamp < wanted.start:
        return False
    if wanted.end is not None and row.stamp > wanted.end:
        return False
    if wanted.peer and wanted.peer != (row.sender if row.room else row.peer):
        return False
    if wanted.full and not names(row.xml, "to" if row.sent else "from", wanted.full):
        return False
    return not wanted.terms or all(occurs(_words(row.xml), term) for term in wanted.terms)


def names(xml: str, attribute: str, address: str) -> bool:
    """Whether a stored stanza has this address in an attribute of its start tag."""
    return f" {attribute}='{escape_attr(address)}'" in xml.partition(">")[0]


def occurs(words: list[str], term: Term) -> bool:
    """Whether a term is among the words of a message."""
    wanted, prefix = tokens(term)
    head, last = wanted[:-1], wanted[-1]
    for start in range(len(words) - len(head)):
        end = words[start + len(head)]
        if words[start : start + len(head)] == head and (end.startswith(last) if prefix else end == last):
            return True
    return False


def _words(xml: str) -> list[str]:
    try:
        return index_text(spoken(element_of(xml))).split()
    except StreamError:
        return []
