"""Server dialback: its keys (XEP-0185) and its elements (XEP-0220). No I/O, no state.

    originating server                receiving server                     authoritative server of that domain
        <db:result>key            -->      who is it?   <db:verify id=>key  -->   made with our secret for that stream?
        <db:result type='valid'/> <--                   <db:verify type='valid'/> <--

The key is made of the secret, both domains and the id of the stream that the receiving server gave. So whoever answers
for the originating domain can say whether a key is good without remembering anything, on every node, and a key is worth
nothing on another stream.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import STANZA_CONDITIONS, StanzaError, StreamError
from xmpp_engine.xml.writer import encode, escape, escape_attr

#: Conditions of errors in dialback (XEP-0220, 2.5) and what they mean for who wants to send: (condition for its
#: stanzas, whether trying again is of no use).
FAILURES: Final[dict[str, tuple[str, bool]]] = {
    "internal-server-error": ("remote-server-timeout", False),
    "item-not-found": ("remote-server-not-found", True),
    "not-allowed": ("remote-server-timeout", True),
    "not-authorized": ("remote-server-timeout", True),
    "policy-violation": ("remote-server-timeout", True),
    "remote-connection-failed": ("remote-server-timeout", False),
    "remote-server-not-found": ("remote-server-timeout", False),
    "remote-server-timeout": ("remote-server-timeout", False),
    "resource-constraint": ("remote-server-timeout", False),
}
_LONGEST_KEY: Final = 1_024


class Keys:
    """Makes and checks keys with the secret that all nodes of one server share."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.sha256(secret.encode()).hexdigest().encode()

    def make(self, receiving: str, originating: str, stream_id: str) -> str:
        """The key for a stream with this id, which the receiving server gave it."""
        text = f"{receiving} {originating} {stream_id}"
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def check(self, key: str, receiving: str, originating: str, stream_id: str) -> bool:
        """Whether a key is one that we made for this stream."""
        return hmac.compare_digest(self.make(receiving, originating, stream_id).encode(), key.encode())


@dataclass(frozen=True, slots=True)
class Dialback:
    """A `<db:result/>` or `<db:verify/>`. `type` is "" for a request, else `valid`, `invalid` or `error` with its
    `condition`. `source` and `to` are prepared domains."""

    name: str
    source: str
    to: str
    type: str = ""
    id: str = ""
    key: str = ""
    condition: str = ""
    text: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """The two domains, the one that speaks first."""
        return self.source, self.to


def read(element: Element) -> Dialback:
    """The content of an element of the dialback namespace; raises StreamError where it makes no sense."""
    if element.name not in ("result", "verify"):
        raise StreamError("unsupported-stanza-type", "dialback has results and verifications")
    attrs = element.attrs
    if not attrs.get("from") or not attrs.get("to"):
        raise StreamError("improper-addressing", "dialback needs both addresses")
    try:
        source = domainpart(attrs["from"])
    except ValueError:
        raise StreamError("invalid-from", "dialback from an address that is no domain") from None
    try:
        to = domainpart(attrs["to"])
    except ValueError:
        raise StreamError("host-unknown", "dialback to an address that is no domain") from None
    key = element.text.strip()
    if len(key) > _LONGEST_KEY or not key.isascii():
        raise StreamError("policy-violation", "this is no dialback key")
    condition, text = _error(element) if attrs.get("type") == "error" else ("", "")
    return Dialback(element.name, source, to, attrs.get("type", ""), attrs.get("id", ""), key, condition, text)


def _error(element: Element) -> tuple[str, str]:
    error = next((child for child in element.elements() if child.name == "error"), None)
    condition, text = "", ""
    for child in error.elements() if error is not None else ():
        if child.ns == ns.STANZA_ERRORS and child.name == "text":
            text = child.text[:200]
        elif child.ns == ns.STANZA_ERRORS and child.name in STANZA_CONDITIONS | FAILURES:
            condition = child.name
    return condition or "undefined-condition", text


def request(name: str, source: str, to: str, key: str, id: str = "") -> bytes:
    """`<db:result>key</db:result>`, or `<db:verify id=''>`."""
    return _head(name, source, to, id) + f">{escape(key)}</db:{name}>".encode()


def answer(name: str, source: str, to: str, valid: bool, id: str = "") -> bytes:
    """What the receiving or the authoritative server has found out."""
    return _head(name, source, to, id) + (b" type='valid'/>" if valid else b" type='invalid'/>")


def refuse(name: str, source: str, to: str, condition: str, text: str = "", id: str = "") -> bytes:
    """The request cannot be dealt with; the stream goes on (XEP-0220, 2.5)."""
    known = condition if condition in STANZA_CONDITIONS else "remote-server-timeout"
    error = encode(StanzaError(known, text).element(), ns.CLIENT)
    if condition != known:
        error = error.replace(known.encode(), condition.encode())
    return _head(name, source, to, id) + b" type='error'>" + error + f"</db:{name}>".encode()


def _head(name: str, source: str, to: str, id: str) -> bytes:
    given = f" id='{escape_attr(id)}'" if id else ""
    return f"<db:{name} from='{escape_attr(source)}' to='{escape_attr(to)}'{given}".encode()
