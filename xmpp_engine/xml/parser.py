"""StreamParser: bytes of one XML stream in, elements at depth 1 out (hot file; RFC 6120, 4 and 11).

How it works. Expat calls the handlers below while it reads; they build `Element` trees and hand each finished child of
the stream root to `on_element`. Three things deserve a word.

*At once.* A stanza must come out when its last byte has come in, however the bytes were cut. Newer expat builds hold
back the end of a token that arrived in pieces, and not every Python offers the switch for it. So bytes are fed only up
to the last `>` seen; what follows waits in `_rest`. A stanza always ends in `>`, so nothing is ever late, and a token
is never scanned twice, which bounds the cost of hostile slicing.

*Bounded.* Bytes of one stanza, depth, attributes of one element and the unfinished rest are all limited; a breach
raises `StreamError("policy-violation")`. The size is counted by expat's own byte index, so white space between stanzas
is free.

*Parked.* An idle connection between two stanzas needs no expat parser (11 KB): `park()` drops it and keeps only the
namespace declarations of the stream header, from which the next byte makes a new one.

        bytes --> _rest --> expat --> start/data/end --> tree --> on_element(Element)
                                 \\-> root start --> on_open(Element)     root end --> on_close()
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final
from xml.parsers import expat

from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError
from xmpp_engine.xml.writer import escape_attr

_SEPARATOR: Final = " "
_XML_SPACE: Final = "http://www.w3.org/XML/1998/namespace "
#: Names repeat across all streams; sharing them saves half of an idle parser's memory. Bounded by `_MAX_INTERNED`.
_interned: dict[str, str] = {}
_MAX_INTERNED: Final = 20_000
_UNDEFINED_ENTITY: Final = expat.errors.codes[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
_UNKNOWN_ENCODING: Final = expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING]
_INCORRECT_ENCODING: Final = expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING]
_SPACE: Final = b" \t\r\n"
#: What a document may begin with: `<`, or the byte order mark of UTF-8.
_FIRST: Final = b"<\xef"


class XmlLimits:
    """What one stream may make us hold: bytes of a stanza, depth below the root, attributes of an element."""

    __slots__ = ("attributes", "depth", "stanza_bytes")

    def __init__(self, stanza_bytes: int = 262_144, depth: int = 64, attributes: int = 64) -> None:
        self.stanza_bytes = stanza_bytes
        self.depth = depth
        self.attributes = attributes


class TagNames(dict[str, tuple[str, str]]):
    """Tags as expat writes them to (namespace, name): shared strings compare by identity. Bounded like `_interned`.

    `alias` names a namespace that is read as another one: what other servers send in jabber:server is jabber:client
    inside (RFC 6120, 4.8.3), at no cost for a stanza.
    """

    __slots__ = ("_alias",)

    def __init__(self, alias: dict[str, str] | None = None) -> None:
        super().__init__()
        self._alias = alias or {}

    def __missing__(self, tag: str) -> tuple[str, str]:
        space, _, name = tag.rpartition(_SEPARATOR)
        pair = (sys.intern(self._alias.get(space, space)), sys.intern(name))
        if len(self) >= _MAX_INTERNED:
            self.clear()
        self[tag] = pair
        return pair


CLIENT_NAMES: Final = TagNames()
SERVER_NAMES: Final = TagNames({ns.SERVER: ns.CLIENT})
DEFAULT_LIMITS: Final = XmlLimits()
#: For what this server has written itself: escaping may have made a stanza longer than it was allowed to come.
STORED_LIMITS: Final = XmlLimits(67_108_864, 256, 1_024)


class StreamParser:
    """An incremental parser of one stream.

    `on_open` gets the root element without children, `on_element` each finished child of it, `on_close` is called at
    the root's end tag. `feed` raises StreamError for everything that RFC 6120 forbids; afterwards the parser is dead.
    """

    __slots__ = (
        "_depth",
        "_expat",
        "_fed",
        "_header",
        "_limits",
        "_names",
        "_namespaces",
        "_rest",
        "_stack",
        "_start",
        "_top",
        "on_close",
        "on_element",
        "on_open",
    )

    def __init__(
        self,
        on_open: Callable[[Element], Any],
        on_element: Callable[[Element], Any],
        on_close: Callable[[], Any],
        limits: XmlLimits = DEFAULT_LIMITS,
        names: TagNames = CLIENT_NAMES,
    ) -> None:
        self.on_open = on_open
        self.on_element = on_element
        self.on_close = on_close
        self._limits = limits
        self._names = names
        self._expat: Any = None
        self._header: bytes | None = None
        self._rest: bytes = b""
        self._reset()

    def _reset(self) -> None:
        self._depth = 0
        self._top: Element | None = None
        self._stack: list[Element] | None = None
        self._start = 0
        self._fed = 0
        self._namespaces: list[tuple[str | None, str]] | None = []

    @classmethod
    def framed(cls, on_element: Callable[[Element], Any], limits: XmlLimits = DEFAULT_LIMITS) -> StreamParser:
        """A parser for transports whose frames are whole elements (RFC 7395): it behaves as if inside a root."""
        parser = cls(_ignore, on_element, _nothing, limits)
        parser._header = b"<framed>"
        return parser

    @property
    def between(self) -> bool:
        """Whether the last byte read ended a child of the root: a frame is complete."""
        return self._depth <= 1 and not self._rest.strip(_SPACE)

    def restart(self) -> None:
        """Forget everything: the next bytes begin a new stream (RFC 6120, 4.3.3).

        Safe inside a callback: what the same read still holds is dropped unread, as STARTTLS demands.
        """
        parser, self._expat = self._expat, None
        if parser is not None:
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
            parser.StartNamespaceDeclHandler = None
        self._header = None
        self._rest = b""
        self._reset()

    def limit(self, limits: XmlLimits) -> None:
        """Apply other limits from now on: a stream may send more once it is authenticated."""
        self._limits = limits

    def declares(self, uri: str, *, default: bool = False) -> bool:
        """Whether the stream header declared this namespace; for `default` only a declaration without prefix counts."""
        name = " xmlns=" if default else "="
        return self._header is not None and f"{name}'{escape_attr(uri)}'".encode() in self._header

    def park(self) -> None:
        """Free the expat parser when the stream is idle between two stanzas; the next bytes bring it back."""
        if self._expat is not None and self._depth == 1 and not self._rest and self._header is not None:
            self._expat = None

    def feed(self, data: bytes) -> None:
        """Read bytes; calls the three callbacks for all that they complete."""
        cut = data.rfind(b">") + 1
        if self._expat is None:
            if self._header is None and not self._first_bytes(data):
                self._rest += data
                return
            if not cut and self._header is not None and not self._rest and not data.strip(_SPACE):
                return  # a keep-alive does not wake a parked parser
            self._wake()
        if not cut:
            self._keep(data)
            return
        if self._rest:
            chunk = self._rest + data[:cut]
        else:
            chunk = data if cut == len(data) else data[:cut]
        self._rest = b""
        parser = self._expat
        try:
            parser.Parse(chunk, False)
        except expat.ExpatError as error:
            if self._expat is not parser:
                return
            raise _stream_error(error) from None
        if self._expat is not parser:
            return
        # Expat holds back a tag that goes on after a `>` in an attribute: what was fed counts, not what was reported.
        self._fed += len(chunk)
        start = self._start if self._depth > 1 else parser.CurrentByteIndex
        if self._fed - start > self._limits.stanza_bytes:
            raise StreamError("policy-violation", "the stanza is larger than this server accepts")
        if cut != len(data):
            self._keep(data[cut:])

    def _keep(self, data: bytes) -> None:
        """Hold back bytes after the last `>`; white space between stanzas is dropped at once."""
        rest = self._rest + data if self._rest else data
        if self._depth <= 1 and not rest.strip(_SPACE):
            return
        if len(rest) > self._limits.stanza_bytes:
            raise StreamError("policy-violation", "the stanza is larger than this server accepts")
        self._rest = rest

    def _first_bytes(self, data: bytes) -> bool:
        """Refuse anything but UTF-8 by its first bytes; False while there are too few to tell."""
        start = self._rest + data
        if start[:2] in (b"\xfe\xff", b"\xff\xfe") or b"\x00" in start[:4]:
            raise StreamError("unsupported-encoding", "streams are UTF-8")
        begin = start.lstrip(_SPACE)
        if not begin:
            if len(start) > 1024:
                raise StreamError("not-well-formed", "white space instead of a stream header")
            return False
        # Without this, a request of another protocol would wait for its first `>` until the negotiation times out.
        if begin[0] not in _FIRST:
            raise StreamError("not-well-formed", "this is no XML")
        return True

    def _wake(self) -> None:
        if len(_interned) > _MAX_INTERNED:
            _interned.clear()
        parser = expat.ParserCreate("UTF-8", _SEPARATOR, _interned)
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_size = 1024
        parser.buffer_text = True
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_data
        parser.XmlDeclHandler = _on_declaration
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        parser.CommentHandler = _refuse_comment
        parser.ProcessingInstructionHandler = _refuse_instruction
        if self._header is not None:
            parser.StartElementHandler = None
            parser.EndElementHandler = self._on_end
            parser.Parse(self._header, False)
            parser.StartElementHandler = self._on_start
            self._depth = 1
            self._fed = len(self._header)
            self._namespaces = None
        else:
            self._fed = 0
            parser.StartNamespaceDeclHandler = self._on_namespace
        self._expat = parser

    def _on_namespace(self, prefix: str | None, uri: str | None) -> None:
        if self._namespaces is not None:
            if len(self._namespaces) >= 16:
                raise StreamError("policy-violation", "too many namespace declarations in the stream header")
            self._namespaces.append((prefix, uri or ""))

    def _on_start(self, tag: str, attrs: dict[str, str]) -> None:
        if attrs:
            if len(attrs) > self._limits.attributes:
                raise StreamError("policy-violation", "too many attributes")
            for key in attrs:
                if _SEPARATOR in key:
                    attrs = _named(attrs)
                    break
        element = Element.__new__(Element)
        element.ns, element.name = self._names[tag]
        element.attrs = attrs
        element.children = []
        depth = self._depth
        self._depth = depth + 1
        if depth > 1:
            if depth > self._limits.depth:
                raise StreamError("policy-violation", "elements are nested too deep")
            top = self._top
            top.children.append(element)  # type: ignore[union-attr]
            self._stack.append(top)  # type: ignore[union-attr, arg-type]
            self._top = element
        elif depth == 1:
            self._start = self._expat.CurrentByteIndex
            self._stack = []
            self._top = element
        else:
            self._opened(element)

    def _on_end(self, tag: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > 1:
            self._top = self._stack.pop()  # type: ignore[union-attr]
        elif depth == 1:
            element = self._top
            self._top = self._stack = None
            if self._expat.CurrentByteIndex - self._start > self._limits.stanza_bytes:
                raise StreamError("policy-violation", "the stanza is larger than this server accepts")
            self.on_element(element)  # type: ignore[arg-type]
        else:
            self.on_close()

    def _on_data(self, text: str) -> None:
        top = self._top
        if top is not None:
            top.children.append(text)
        elif self._depth == 1 and text.strip():
            raise StreamError("bad-format", "text between stanzas")

    def _opened(self, root: Element) -> None:
        """Keep what a later parser must know of the header, in one string shared by all streams with the same one."""
        declarations = self._namespaces or []
        self._namespaces = None
        self._expat.StartNamespaceDeclHandler = None
        prefix = next((p for p, uri in declarations if uri == root.ns and p), None)
        parts = [f"<{prefix}:{root.name}" if prefix else f"<{root.name}"]
        for declared, uri in declarations:
            parts.append(f" xmlns:{declared}='{escape_attr(uri)}'" if declared else f" xmlns='{escape_attr(uri)}'")
        header = "".join(parts) + ">"
        self._header = _shared_headers.get(header)
        if self._header is None:
            self._header = header.encode()
            if len(_shared_headers) < 256:
                _shared_headers[header] = self._header
        self.on_open(root)


_shared_headers: dict[str, bytes] = {}


def _named(attrs: dict[str, str]) -> dict[str, str]:
    """Attributes with the XML namespace written as its prefix."""
    return {
        "xml:" + key[len(_XML_SPACE) :] if key.startswith(_XML_SPACE) else key: value for key, value in attrs.items()
    }


def parse_document(data: bytes, limits: XmlLimits = DEFAULT_LIMITS) -> Element:
    """One whole document (a BOSH body, a stored stanza) as a tree; raises StreamError as `StreamParser.feed` does."""
    found: list[Element] = []
    parser = StreamParser.framed(found.append, limits)
    parser.feed(strip_declaration(data))
    if len(found) != 1 or not parser.between:
        raise StreamError("not-well-formed", "not exactly one element")
    return found[0]


def strip_declaration(data: bytes) -> bytes:
    """A frame without its XML declaration; raises StreamError where that names another encoding than UTF-8."""
    data = data.lstrip(_SPACE)
    if data[:2] in (b"\xfe\xff", b"\xff\xfe") or b"\x00" in data[:4]:
        raise StreamError("unsupported-encoding", "streams are UTF-8")
    if not data.startswith(b"<?xml"):
        return data
    declaration, end, rest = data.partition(b"?>")
    lowered = declaration.lower()
    if not end or (b"encoding" in lowered and b"utf-8" not in lowered):
        raise StreamError("unsupported-encoding", "streams are UTF-8")
    return rest.lstrip(_SPACE)


def _ignore(_root: Element) -> None:
    """The synthetic root of a framed parser is nobody's business."""


def _nothing() -> None:
    raise StreamError("not-well-formed", "an end tag without its start")


def _stream_error(error: expat.ExpatError) -> StreamError:
    if error.code == _UNDEFINED_ENTITY:
        return StreamError("restricted-xml", "entity references are not allowed")
    if error.code in (_UNKNOWN_ENCODING, _INCORRECT_ENCODING):
        return StreamError("unsupported-encoding", "streams are UTF-8")
    return StreamError("not-well-formed", expat.ErrorString(error.code) or "")


def _on_declaration(version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ("UTF-8", "UTF8"):
        raise StreamError("unsupported-encoding", "streams are UTF-8")


def _refuse_doctype(*_args: object) -> None:
    raise StreamError("restricted-xml", "document type declarations are not allowed")


def _refuse_comment(_text: str) -> None:
    raise StreamError("restricted-xml", "comments are not allowed")


def _refuse_instruction(_target: str, _data: str) -> None:
    raise StreamError("restricted-xml", "processing instructions are not allowed")
