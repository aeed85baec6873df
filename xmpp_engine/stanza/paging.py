"""Pages of a sorted list (XEP-0059), for lists and searches that are in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from xmpp_engine.stanza import rsm
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


def answer(parent: Element, rows: Sequence[tuple[str, Element]], page: rsm.PageRequest, most: int) -> Element:
    """Add the asked-for rows and the `<set/>` to `parent`. `rows` are (key, item), sorted by key; `most` is the size of
    a page at most. Keys need not exist any more: a page begins where they would stand. Returns `parent`."""
    keys = [key for key, _item in rows]
    size = most if page.max is None else min(page.max, most)
    if page.backwards:
        end = bisect_left(keys, page.before) if page.before else len(rows)
        start = max(0, end - size)
    else:
        start = bisect_right(keys, page.after) if page.after is not None else page.index or 0
        end = start + size
    chosen = rows[start:end]
    if page.index is not None and page.index > len(rows):
        raise StanzaError("item-not-found", "the list is not that long")
    parent.children.extend(item for _key, item in chosen)
    first, last = (chosen[0][0], chosen[-1][0]) if chosen else ("", "")
    return parent.append(rsm.answer(rsm.PageAnswer(first, last, len(rows), start if chosen else None)))
