"""Stanzas that come from another node of the cluster (hot file).

The node that took a stanza from its sender has encoded it already. What crosses is that text in two parts, before and
after the `to` attribute, and what routing asks for; the node that writes it to a client joins the parts again and
parses nothing. Whoever asks for `element` all the same (a hook, a queue that is looked through) gets it, parsed then.
"""

from __future__ import annotations

from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.stanza import FRAMED, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document

#: What a stanza is between nodes: kind, type, id, sender, and the two parts of its text.
Carried = tuple[str, str, str | None, str, bytes, bytes]

_DECLARED: Final = f" xmlns='{ns.CLIENT}'".encode()


def carry(stanza: Stanza) -> Carried:
    """A stanza as it goes to another node; its addressee goes beside it."""
    head, tail = stanza.parts()
    return (stanza.kind, stanza.type, stanza.id, stanza.sender.full, head, tail)


class CarriedStanza(Stanza):
    """A stanza made by `carry` on another node. `origin` is None: its sender's session is not here."""

    __slots__ = ("_pair", "_parsed")

    def __init__(self, carried: Carried, to: Jid | None) -> None:
        self.kind, self.type, self.id, sender, head, tail = carried
        self.to = to
        self.sender = Jid.parse(sender)
        self.origin = None
        self.commit = 0
        self.notes: dict[str, Any] | None = None
        pair = (head, tail)
        self._pair: tuple[bytes, bytes] | None = pair
        self._encoded = [pair, None, None]
        self._parsed: Element | None = None

    @property
    def element(self) -> Element:  # type: ignore[override]
        """The element, parsed when it is first asked for; without `to`, which is beside it."""
        found = self._parsed
        if found is None:
            assert self._pair is not None
            head, tail = self._framed(self._pair)
            found = self._parsed = parse_document(head + tail, STORED_LIMITS)
            found.attrs.pop("from", None)
        return found

    def addressed(self, to: Jid) -> Stanza:
        """The same for another recipient; still not parsed."""
        other = CarriedStanza.__new__(CarriedStanza)
        other.kind, other.type, other.id, other.sender = self.kind, self.type, self.id, self.sender
        other.to = to
        other.origin = self.origin
        other.commit = 0
        other.notes = None
        if self._encoded is None:
            self._encoded = [None, None, None]
        other._encoded = self._encoded
        other._parsed, other._pair = self._parsed, self._pair
        return other

    def extend(self, child: Element, text: bytes) -> None:
        """See Stanza; what is not encoded yet is made of the element from now on."""
        super().extend(child, text)
        self._pair = None

    def changed(self) -> None:
        """The element says more than the text by now."""
        assert self.element is not None
        self._pair = None
        self._encoded = None

    def _encode(self, flavour: int) -> tuple[bytes, bytes]:
        if self._pair is None:
            return super()._encode(flavour)
        return self._framed(self._pair) if flavour == FRAMED else self._pair

    def _framed(self, pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """As a document of its own: the children are written alike in every flavour, the start says its namespace."""
        end = 1 + len(self.kind)
        return pair[0][:end] + _DECLARED + pair[0][end:], pair[1]
