"""What rooms tell each other from node to node, as values that msgpack knows: entries of clients, and why they change.

Elements travel as the text of XML that they are stored as, everything else as plain values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.muc.views import Change
from xmpp_engine.stanza.stanza import FRAMED, Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document
from xmpp_engine.xml.writer import write_children

if TYPE_CHECKING:
    from xmpp_engine.muc.occupant import Client, Occupant
    from xmpp_engine.storage.rooms import Affiliation, Role

_OPEN: Final = f"<presence xmlns='{ns.CLIENT}'>".encode()
_CLOSE: Final = b"</presence>"
#: Bytes of a piece, about; one that is longer by itself goes alone.
_PIECE: Final = 200_000


class Entry:
    """One client in a room as the node that serves it tells of it. `stamp` is when it took its nickname, `served` when
    this node began to serve it, `since` when its occupant came."""

    __slots__ = ("affiliation", "children", "full", "lang", "nick", "role", "served", "since", "stamp")

    def __init__(self, values: Sequence[Any]) -> None:
        self.full: str = values[0]
        self.nick: str = values[1]
        self.role: Role = values[2]
        self.affiliation: Affiliation = values[3]
        self.stamp: int = values[4]
        self.served: int = values[5]
        self.since: float = values[6]
        self.lang: str = values[7]
        self.children: bytes = values[8]


def entry(occupant: Occupant, client: Client) -> list[Any]:
    """A client as `Entry` reads it."""
    return [
        client.jid.full,
        occupant.nick,
        occupant.role,
        occupant.affiliation,
        client.stamp,
        client.served,
        occupant.since,
        client.lang,
        packed(client.children),
    ]


def packed(children: Iterable[Element]) -> bytes:
    """Children of a stanza as text, empty for none."""
    element = Element(ns.CLIENT, "presence", None, *children)
    return write_children(element, ns.CLIENT).encode() if element.children else b""


def unpacked(text: bytes) -> tuple[Element, ...]:
    """The children again."""
    return tuple(parse_document(_OPEN + text + _CLOSE, STORED_LIMITS).elements()) if text else ()


def change(why: Change | None) -> list[Any] | None:
    """Why something happens to an occupant."""
    return None if why is None else [why.nick, why.reason, packed(why.marks)]


def read_change(values: Sequence[Any] | None) -> Change | None:
    """The same, read."""
    return None if values is None else Change(values[0], values[1], unpacked(values[2]))


def stanza(sent: Stanza) -> bytes:
    """A stanza without an address, or with the one it has; `Stanza.restore` reads it."""
    return sent.encode(sent.to.encoded if sent.to is not None else None, FRAMED)


def plain(value: Any) -> Any:
    """A value as it was before it travelled: lists come as tuples."""
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def pieces(values: Sequence[Any]) -> Iterable[list[Any]]:
    """Long lists go in pieces: a record has a bound. None for an empty list."""
    piece: list[Any] = []
    size = 0
    for value in values:
        own = weight(value)
        if piece and size + own > _PIECE:
            yield piece
            piece, size = [], 0
        piece.append(value)
        size += own
    if piece:
        yield piece


def weight(value: Any) -> int:
    """About how many bytes a value has on its way, rather too many."""
    if isinstance(value, str):
        return 5 + (len(value) if value.isascii() else 4 * len(value))
    if isinstance(value, bytes):
        return 5 + len(value)
    if isinstance(value, list | tuple):
        return 5 + sum(map(weight, value))
    if isinstance(value, dict):
        return 5 + sum(map(weight, value.items()))
    return 9
