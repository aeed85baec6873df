"""What may or may not have arrived (pure data).

A link to a node that is gone leaves deliveries in doubt: the other side may have taken them without its acknowledgement
coming back. They go another way then, mostly to offline storage; and if that node was only cut off, its client may have
them already. So each delivery on a link has a number, and each link a token that nobody can guess. The sending side
writes both into what it stores; the receiving side remembers up to which number it has taken. When the two meet again
every node learns that mark, and what stands below it is not replayed.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

from xmpp_engine.xml.element import Element

#: The kind of records that have numbers: deliveries to a session (`crossing.py`).
DELIVER: Final = "d"
#: Note of a stanza that is in doubt: its link's token, its number, and the full JID for which it was.
DOUBT: Final = "in doubt"
NS_DOUBT: Final = "urn:mlink:cluster:doubt"
#: Links that are remembered.
_LINKS: Final = 1_000


class Outbound:
    """The deliveries to one node since it joined."""

    __slots__ = ("number", "token")

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(9)
        self.number = 0


class Doubts:
    """Both sides of all links of one node."""

    def __init__(self) -> None:
        self.out: dict[str, Outbound] = {}
        #: The token of each node's link to us, and up to which number of it we have taken deliveries.
        self._tokens: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        #: Of links that are no more: token to the last number that was taken.
        self._marks: OrderedDict[str, int] = OrderedDict()

    def begin(self, node: str) -> str:
        """A node has joined; returns the token of the link to it."""
        out = self.out[node] = Outbound()
        return out.token

    def greeted(self, node: str, token: str) -> None:
        """Its own token, the first that it says."""
        self._tokens[node] = token
        self._taken[node] = 0

    def took(self, node: str, number: int) -> None:
        """A delivery was taken."""
        self._taken[node] = number

    def ended(self, node: str) -> tuple[str, int] | None:
        """A node is gone: what the link to us came to, for the others, None where it never spoke."""
        self.out.pop(node, None)
        token = self._tokens.pop(node, None)
        if token is None:
            return None
        mark = (token, self._taken.pop(node, 0))
        self.marked(*mark)
        return mark

    def marked(self, token: str, number: int) -> None:
        """What a node has taken of a link that is no more."""
        self._marks[token] = number
        if len(self._marks) > _LINKS:
            self._marks.popitem(last=False)

    def marks(self) -> list[tuple[str, int]]:
        """All that is known of such links."""
        return list(self._marks.items())

    def arrived(self, token: str, number: int) -> bool:
        """Whether a delivery that was in doubt is known to have been taken."""
        for node, known in self._tokens.items():
            if known == token:
                return number <= self._taken.get(node, 0)
        return number <= self._marks.get(token, -1)


def marker(token: str, number: int) -> Element:
    """What stands in a stored message that is in doubt."""
    return Element(NS_DOUBT, "doubt", {"link": token, "number": str(number)})


def take_marker(message: Element) -> tuple[str, int] | None:
    """Take it out again; None where there is none."""
    found = message.find(NS_DOUBT, "doubt")
    if found is None:
        return None
    message.remove(found)
    token, number = found.get("link") or "", found.get("number") or ""
    return (token, int(number)) if number.isascii() and number.isdigit() and len(number) < 16 else None
