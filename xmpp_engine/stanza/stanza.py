"""Stanza: one message, presence or iq on its way through the server (hot file).

It carries what routing asks for (kind, type, addresses) beside the element, and encodes itself once: everything but
the value of `to` is the same for every recipient, so a broadcast costs one serialisation and then two joins of bytes
each. Whoever changes the element or an attribute after the first `encode` calls `changed()`.
"""

from __future__ import annotations

from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document
from xmpp_engine.xml.writer import attributes, write_children

#: Flavours of encoding: inside a stream whose default namespace is jabber:client; a frame of its own; jabber:server.
CLIENT: Final = 0
FRAMED: Final = 1
SERVER: Final = 2
_CLOSE: Final = {"message": b"</message>", "presence": b"</presence>", "iq": b"</iq>"}
_XMLNS: Final = (b"", f" xmlns='{ns.CLIENT}'".encode(), b"")

MESSAGE_TYPES: Final = frozenset({"chat", "error", "groupchat", "headline", "normal"})
PRESENCE_TYPES: Final = frozenset(
    {"error", "probe", "subscribe", "subscribed", "unavailable", "unsubscribe", "unsubscribed"}
)
IQ_TYPES: Final = frozenset({"get", "set", "result", "error"})


class Stanza:
    """A stanza and its addressing.

    `kind` is `message`, `presence` or `iq`. `type` is never None: `normal` for messages without one or with an unknown
    one (RFC 6121, 5.2.2), "" for available presence. `to` is None where the sender gave none. `sender` is the full or
    bare JID it is stamped with. `origin` is the local session that sent it, or None. `commit` is the ledger's sequence
    number that must be durable before the stanza may be acknowledged, 0 for none. `notes` is a free dictionary for
    modules, None until first used.
    """

    __slots__ = ("_encoded", "commit", "element", "id", "kind", "notes", "origin", "sender", "to", "type")

    def __init__(self, element: Element, to: Jid | None, sender: Jid, type: str, origin: Any = None) -> None:
        self.element = element
        self.kind = element.name
        self.to = to
        self.sender = sender
        self.type = type
        self.id = element.attrs.get("id")
        self.origin = origin
        self.commit = 0
        self.notes: dict[str, Any] | None = None
        self._encoded: list[tuple[bytes, bytes] | None] | None = None

    @classmethod
    def parse(cls, element: Element, sender: Jid | None = None, origin: Any = None) -> Stanza:
        """A stanza from an element as it came in.

        `sender` replaces whatever `from` said; without it `from` must be there. Raises StanzaError (`jid-malformed`,
        `bad-request`) when an address, the type or the id is not acceptable.
        """
        attrs = element.attrs
        text = attrs.get("to")
        try:
            to = None if text is None else Jid.parse(text)
            if sender is None:
                sender = Jid.parse(attrs.get("from", ""))
        except ValueError as error:
            raise StanzaError("jid-malformed", str(error)) from None
        type = attrs.get("type", "")
        kind = element.name
        if kind == "message":
            if type not in MESSAGE_TYPES:
                type = "normal"
        elif kind == "presence":
            if type and type not in PRESENCE_TYPES:
                raise StanzaError("bad-request", "unknown type of presence")
        else:
            if type not in IQ_TYPES:
                raise StanzaError("bad-request", "an iq needs the type get, set, result or error")
            if not attrs.get("id"):
                raise StanzaError("bad-request", "an iq needs an id")
        return cls(element, to, sender, type, origin)

    @classmethod
    def restore(cls, xml: str | bytes) -> Stanza:
        """A stanza from its stored text (`text()`), with the sender that stands in it."""
        return cls.parse(parse_document(xml.encode() if isinstance(xml, str) else xml, STORED_LIMITS))

    def addressed(self, to: Jid) -> Stanza:
        """The same stanza for another recipient; the encoded form is shared, so a broadcast serialises once."""
        if self._encoded is None:
            self._encoded = [None, None, None]
        other = Stanza.__new__(Stanza)
        other.element = self.element
        other.kind = self.kind
        other.to = to
        other.sender = self.sender
        other.type = self.type
        other.id = self.id
        other.origin = self.origin
        other.commit = 0
        other.notes = None
        other._encoded = self._encoded
        return other

    def extend(self, child: Element, text: bytes) -> None:
        """Add a child at the end and keep the encoded forms: `text` is the child as the writer writes it, with its
        own namespace."""
        self.element.children.append(child)
        pairs = self._encoded
        if pairs is not None:
            close = _CLOSE[self.kind]
            cut = -len(close)
            self._encoded = [
                None if pair is None else (pair[0], (b">" if pair[1] == b"/>" else pair[1][:cut]) + text + close)
                for pair in pairs
            ]

    def changed(self) -> None:
        """Drop the encoded forms after a change of the element."""
        self._encoded = None

    def note(self, key: str, value: Any) -> None:
        """Leave something for a later hook of the same stanza."""
        if self.notes is None:
            self.notes = {key: value}
        else:
            self.notes[key] = value

    def encode(self, to: bytes | None, flavour: int = CLIENT) -> bytes:
        """The stanza as bytes, addressed to `to` (a Jid's `encoded`), or without `to` for None."""
        cache = self._encoded
        if cache is None:
            cache = self._encoded = [None, None, None]
        pair = cache[flavour]
        if pair is None:
            pair = cache[flavour] = self._encode(flavour)
        if to is None:
            return pair[0] + pair[1]
        return b"%b to='%b'%b" % (pair[0], to, pair[1])

    def parts(self) -> tuple[bytes, bytes]:
        """The text of the CLIENT flavour before and after the `to` attribute; for all recipients the same."""
        cache = self._encoded
        if cache is None:
            cache = self._encoded = [None, None, None]
        pair = cache[CLIENT]
        if pair is None:
            pair = cache[CLIENT] = self._encode(CLIENT)
        return pair

    def _encode(self, flavour: int) -> tuple[bytes, bytes]:
        """The text before and after the `to` attribute."""
        element = self.element
        kind = self.kind
        rest = element.attrs.copy()
        rest.pop("to", None)
        rest.pop("from", None)
        head = b"<%b%b from='%b'%b" % (kind.encode(), _XMLNS[flavour], self.sender.encoded, attributes(rest).encode())
        if element.children:
            # Children in jabber:client carry no declaration, so they follow the namespace of the stream.
            return head, f">{write_children(element, ns.CLIENT)}</{kind}>".encode()
        return head, b"/>"

    def text(self) -> str:
        """The stanza as a document of its own, to be stored; `restore` reads it back."""
        return self.encode(self.to.encoded if self.to is not None else None, FRAMED).decode()

    def __repr__(self) -> str:
        return f"<Stanza {self.kind} {self.type!r} {self.sender} -> {self.to}>"
