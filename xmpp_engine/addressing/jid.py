"""Jid: a prepared XMPP address with everything the message path asks of it made once (hot file; RFC 7622).

`Jid.parse` goes through a bounded cache keyed by the text as it came: the same few hundred addresses make up nearly all
traffic. The cache is emptied in halves when it is full, so strings of an attacker do not stay.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from xmpp_engine.addressing.prep import domainpart, localpart, resourcepart
from xmpp_engine.xml.writer import escape_attr

_CACHE_SIZE: Final = 16_384
#: Longer texts are parsed each time: caching them would let a few clients fill the memory.
_CACHE_TEXT: Final = 256
_cache: dict[str, Jid] = {}


class JidError(ValueError):
    """The text is no valid JID; becomes `jid-malformed`."""


class Jid:
    """An address in canonical form.

    `local` and `resource` are "" where the part is absent. `bare` and `full` are strings (equal for a bare JID) and
    serve as dictionary keys; `encoded` is `full` as escaped bytes, ready for an attribute value.
    """

    __slots__ = ("bare", "domain", "encoded", "full", "local", "resource")

    def __init__(self, local: str, domain: str, resource: str = "") -> None:
        """Takes prepared parts; use `parse` or `make` for text from outside."""
        self.local = local
        self.domain = domain
        self.resource = resource
        self.bare = f"{local}@{domain}" if local else domain
        self.full = f"{self.bare}/{resource}" if resource else self.bare
        self.encoded = escape_attr(self.full).encode()

    @classmethod
    def parse(cls, text: str) -> Jid:
        """The JID that this text stands for; raises JidError with a sentence."""
        found = _cache.get(text)
        if found is not None:
            return found
        rest, slash, resource = text.partition("/")
        local, at, domain = rest.partition("@")
        if not at:
            local, domain = "", rest
        if (slash and not resource) or (at and not local):
            raise JidError("a part of the address is empty")
        jid = cls.make(local, domain, resource)
        if len(text) <= _CACHE_TEXT:
            if len(_cache) >= _CACHE_SIZE:
                for key in list(islice(_cache, _CACHE_SIZE // 2)):
                    del _cache[key]
            _cache[text] = jid
        return jid

    @classmethod
    def make(cls, local: str, domain: str, resource: str = "") -> Jid:
        """A JID from unprepared parts; raises JidError with a sentence."""
        try:
            return cls(
                localpart(local) if local else "", domainpart(domain), resourcepart(resource) if resource else ""
            )
        except ValueError as error:
            raise JidError(str(error)) from None

    def with_resource(self, resource: str) -> Jid:
        """The same account with a prepared resource."""
        return Jid(self.local, self.domain, resource)

    def to_bare(self) -> Jid:
        """This address without its resource."""
        return self if not self.resource else Jid(self.local, self.domain)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jid) and self.full == other.full

    def __hash__(self) -> int:
        return hash(self.full)

    def __str__(self) -> str:
        return self.full

    def __repr__(self) -> str:
        return f"Jid({self.full!r})"
