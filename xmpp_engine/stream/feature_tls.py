"""STARTTLS (RFC 6120, 5)."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.stream.negotiate import Feature, Negotiation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.stream.role_c2s import C2SRole

log = logging.getLogger("mlink.stream")

_PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()
_FAILURE: Final = f"<failure xmlns='{ns.TLS}'/>".encode()


class StartTls(Feature):
    """The first feature. `contexts` is what the transport needs to begin a handshake, false while there is no
    certificate; `required` lets nothing else be offered before it is done."""

    __slots__ = ("_contexts", "_negotiation", "_required", "_role")
    names = frozenset({(ns.TLS, "starttls")})

    def __init__(self, role: C2SRole, negotiation: Negotiation, contexts: Any, required: bool) -> None:
        self._role = role
        self._negotiation = negotiation
        self._contexts = contexts
        self._required = required

    def wanted(self) -> bool:
        """See Feature."""
        if not self._contexts or self._role.account is not None:
            return False
        transport = self._role.stream.transport
        return not transport.secure and transport.can_start_tls

    def alone(self) -> bool:
        """See Feature."""
        return self._required

    def key(self) -> Hashable:
        """See Feature."""
        return self._required

    def offer(self) -> Iterable[Element]:
        """See Feature."""
        element = Element(ns.TLS, "starttls")
        if self._required:
            element.add(ns.TLS, "required")
        return (element,)

    def handle(self, element: Element) -> None:
        """Begin the handshake; where that cannot be, RFC 6120, 5.4.2.2 ends the stream."""
        stream = self._role.stream
        if not self.wanted():
            log.info("%s asked for TLS that is not to be had", stream.transport.peer or "?")
            stream.write(_FAILURE)
            stream.close()
            return
        stream.write(_PROCEED)
        # Whatever came behind the request came in clear and must not count as protected.
        self._negotiation.restart()
        host = stream.host
        stream.transport.start_tls(self._contexts, host.domain if host is not None else "")
