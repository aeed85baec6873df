"""Addresses as xmpp: URIs (RFC 5122)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

from xmpp_engine.addressing.jid import Jid, JidError

_SCHEME: Final = "xmpp:"


def uri_of(jid: Jid) -> str:
    """The URI of a bare JID; letters outside ASCII and what URIs reserve are escaped (section 2.2)."""
    local = quote(jid.local, safe="-._~!$'()*+,=")
    return f"{_SCHEME}{local}{'@' if local else ''}{quote(jid.domain, safe='-._~[]:')}"


def jid_of(uri: str) -> Jid:
    """The JID that a URI names, without regard to what is to be done there (`?message`). Raises JidError with a
    sentence for what is no such URI, and for one that says as whom to act (`xmpp://`)."""
    text = uri.strip()
    if text[: len(_SCHEME)].lower() != _SCHEME or text[len(_SCHEME) :].startswith("//"):
        raise JidError("this is no URI of an XMPP address")
    path = text[len(_SCHEME) :].partition("#")[0].partition("?")[0]
    try:
        return Jid.parse(unquote(path, errors="strict"))
    except UnicodeDecodeError:
        raise JidError("the URI is not UTF-8") from None
