"""What the router needs of layers beside it, as protocols: federation and the cluster fill these later."""

from __future__ import annotations

from typing import Protocol

from xmpp_engine.stanza.stanza import Stanza


class RemoteDomains(Protocol):
    """Everything that is addressed to a domain not served here."""

    def send(self, stanza: Stanza) -> bool:
        """Take the stanza for delivery elsewhere; False when there is no way to that domain."""


class NoRemoteDomains:
    """A server without federation: nothing can be sent elsewhere."""

    def send(self, stanza: Stanza) -> bool:
        """Always False."""
        return False
