"""Element: the tree every stanza is made of (hot file).

Names and namespaces are kept apart (`ns`, `name`) so that a test is two identity-cheap string comparisons and the
writer needs no splitting. Children are one list of elements and strings in document order, so mixed content
(XEP-0071, forms with text between fields) survives a round trip.
"""

from __future__ import annotations

from collections.abc import Iterator

XML_LANG = "xml:lang"


class Element:
    """One XML element.

    `attrs` maps attribute names to values; a name in the XML namespace is written `xml:lang`, any other namespaced one
    `"<namespace> <name>"`. `children` holds elements and strings in document order.
    """

    __slots__ = ("attrs", "children", "name", "ns")

    def __init__(
        self,
        ns: str,
        name: str,
        attrs: dict[str, str] | None = None,
        *children: Element | str,
    ) -> None:
        self.ns = ns
        self.name = name
        self.attrs: dict[str, str] = {} if attrs is None else attrs
        self.children: list[Element | str] = list(children)

    @property
    def text(self) -> str:
        """The character data directly inside this element, joined."""
        children = self.children
        if len(children) == 1 and type(children[0]) is str:
            return children[0]
        return "".join([child for child in children if type(child) is str])

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of an attribute, or `default`."""
        return self.attrs.get(name, default)

    def find(self, ns: str, name: str) -> Element | None:
        """The first child element with this namespace and name."""
        for child in self.children:
            if type(child) is Element and child.name == name and child.ns == ns:
                return child
        return None

    def find_all(self, ns: str, name: str) -> list[Element]:
        """All child elements with this namespace and name, in order."""
        return [c for c in self.children if type(c) is Element and c.name == name and c.ns == ns]

    def child_text(self, ns: str, name: str) -> str | None:
        """The text of the first such child, or None where there is none."""
        found = self.find(ns, name)
        return None if found is None else found.text

    def elements(self) -> Iterator[Element]:
        """The child elements, without character data."""
        for child in self.children:
            if type(child) is Element:
                yield child

    def first(self) -> Element | None:
        """The first child element of any name."""
        for child in self.children:
            if type(child) is Element:
                return child
        return None

    def append(self, child: Element | str) -> Element:
        """Add a child at the end and return this element, so calls chain."""
        self.children.append(child)
        return self

    def add(self, ns: str, name: str, attrs: dict[str, str] | None = None, text: str | None = None) -> Element:
        """Make a child element, append it and return the child."""
        child = Element(ns, name, attrs) if text is None else Element(ns, name, attrs, text)
        self.children.append(child)
        return child

    def remove(self, child: Element) -> None:
        """Take out this very child (by identity); no effect when it is not there."""
        self.children = [c for c in self.children if c is not child]

    def copy(self) -> Element:
        """A deep copy: nothing is shared but strings."""
        clone = Element(self.ns, self.name, dict(self.attrs))
        clone.children = [c if type(c) is str else c.copy() for c in self.children]  # type: ignore[union-attr]
        return clone

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.ns == other.ns
            and self.name == other.name
            and self.attrs == other.attrs
            and _joined(self.children) == _joined(other.children)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Element {{{self.ns}}}{self.name} {self.attrs!r} children={len(self.children)}>"


def _joined(children: list[Element | str]) -> list[Element | str]:
    """Children with neighbouring strings merged and empty ones dropped: equal content compares equal."""
    out: list[Element | str] = []
    for child in children:
        if isinstance(child, str):
            if not child:
                continue
            if out and isinstance(out[-1], str):
                out[-1] += child
                continue
        out.append(child)
    return out
