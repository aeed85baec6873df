"""Result set management (XEP-0059): the page a client asks for, and what it is told of the page it gets."""

from __future__ import annotations

from dataclasses import dataclass

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is wanted.

    `max` is the number of items, None where the client leaves it to the server; 0 asks for the count only (2.7).
    `after` is the item before the page. `before` is the item behind it, "" for the last page, None when not paging
    backwards. `index` is the number of the first item wanted (2.5), None where not given.
    """

    max: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None

    @property
    def backwards(self) -> bool:
        """Whether the page ends at a given place rather than begins there."""
        return self.before is not None


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What stands in the answer: the first and last item of the page ("" for an empty one), the number of all items
    and of those before the page where they are known."""

    first: str = ""
    last: str = ""
    count: int | None = None
    index: int | None = None


def parse(parent: Element) -> PageRequest:
    """The page that a request's `<set/>` asks for; a request without one gets the defaults. Raises StanzaError
    (`bad-request`)."""
    element = parent.find(ns.RSM, "set")
    if element is None:
        return PageRequest()
    after = element.child_text(ns.RSM, "after")
    before = element.child_text(ns.RSM, "before")
    if after is not None and before:
        raise StanzaError("bad-request", "a page is either after an item or before one")
    if after == "":
        raise StanzaError("bad-request", "<after/> needs the id of an item")
    return PageRequest(_number(element, "max"), after, before, _number(element, "index"))


def answer(page: PageAnswer) -> Element:
    """The `<set/>` that describes a page."""
    element = Element(ns.RSM, "set")
    if page.first:
        attrs = {} if page.index is None else {"index": str(page.index)}
        element.add(ns.RSM, "first", attrs, page.first)
        element.add(ns.RSM, "last", text=page.last)
    if page.count is not None:
        element.add(ns.RSM, "count", text=str(page.count))
    return element


def _number(element: Element, name: str) -> int | None:
    text = element.child_text(ns.RSM, name)
    if text is None:
        return None
    text = text.strip()
    # int() alone would take signs, underscores and other scripts' digits, and long texts cost it quadratic time.
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise StanzaError("bad-request", f"<{name}/> needs a number")
    return int(text)
