"""Elements to text (hot file).

One list of parts, joined once. Escaping is three plain `replace` calls, each a scan in C: faster than a translation
table for text that seldom holds a special character. Namespaces are written as default declarations where they change;
only attributes in a foreign namespace need a prefix, made on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

#: Namespaces written with a prefix that the enclosing stream has declared.
PREFIXED: Final[dict[str, str]] = {ns.STREAM: "stream:"}


def escape(text: str) -> str:
    """Character data, with the three characters replaced that may not stand in it."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text


def escape_attr(text: str) -> str:
    """An attribute value for single quotes; white space other than blanks is kept by character references."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "'" in text:
        text = text.replace("'", "&apos;")
    if "\n" in text:
        text = text.replace("\n", "&#10;")
    if "\t" in text:
        text = text.replace("\t", "&#9;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text


def write(element: Element, default_ns: str = "") -> str:
    """The element as text, for a place where `default_ns` is the default namespace in force."""
    parts: list[str] = []
    _write(element, default_ns, parts.append)
    return "".join(parts)


def encode(element: Element, default_ns: str = "") -> bytes:
    """The element as UTF-8 bytes, see `write`."""
    return write(element, default_ns).encode()


def attributes(attrs: dict[str, str]) -> str:
    """A start tag's attributes, each with a leading blank."""
    parts: list[str] = []
    _write_attrs(attrs, parts.append)
    return "".join(parts)


def write_children(element: Element, default_ns: str) -> str:
    """The element's content only."""
    parts: list[str] = []
    out = parts.append
    for child in element.children:
        if type(child) is str:
            out(escape(child))
        else:
            _write(child, default_ns, out)  # type: ignore[arg-type]
    return "".join(parts)


def _write_attrs(attrs: dict[str, str], out: Callable[[str], None]) -> None:
    foreign = 0
    for name, value in attrs.items():
        if " " in name:
            space, _, local = name.rpartition(" ")
            foreign += 1
            out(f" xmlns:a{foreign}='{escape_attr(space)}' a{foreign}:{local}='{escape_attr(value)}'")
        else:
            out(f" {name}='{escape_attr(value)}'")


def _write(element: Element, default_ns: str, out: Callable[[str], None]) -> None:
    space = element.ns
    name = element.name
    if space == default_ns:
        out("<" + name)
    elif space in PREFIXED:
        name = PREFIXED[space] + name
        out("<" + name)
        # Children of a prefixed element still live under the stream's default namespace.
        space = default_ns
    else:
        out(f"<{name} xmlns='{escape_attr(space)}'")
    if element.attrs:
        _write_attrs(element.attrs, out)
    children = element.children
    if not children:
        out("/>")
        return
    out(">")
    for child in children:
        if type(child) is str:
            out(escape(child))
        else:
            _write(child, space, out)  # type: ignore[arg-type]
    out(f"</{name}>")
