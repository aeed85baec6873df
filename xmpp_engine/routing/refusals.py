"""What services refuse, as those of rooms and of nodes: the error goes to who sent it, and the log says who and why,
but not for each one of a flood."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import BOUNCED, bounce
from xmpp_engine.runtime.buckets import Buckets
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services

#: Seconds between two lines of the log about one account and one condition.
_QUIET_SECONDS: Final = 60.0
#: What clients ask to learn whether it is there: that it is not is no news.
_ORDINARY: Final = frozenset({"service-unavailable", "feature-not-implemented"})


class Refusals:
    """The refusals of one service."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._logged = Buckets(1 / _QUIET_SECONDS, 1)

    def refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer a stanza with an error, and log it."""
        self._log(stanza.kind, stanza.sender, stanza.to, error.condition, str(error))
        bounce(self._services.router, stanza, error)

    def watch(self, iq: Stanza) -> None:
        """Log it if whoever serves this iq refuses it."""
        if iq.type in ("get", "set"):
            iq.notes = {**(iq.notes or {}), BOUNCED: self._bounced}

    def _bounced(self, reply: Stanza) -> None:
        error = reply.element.find(ns.CLIENT, "error")
        told = error.elements() if error is not None else ()
        said = {child.name: child.text for child in told if child.ns == ns.STANZA_ERRORS}
        condition = next((name for name in said if name != "text"), "")
        if reply.to is not None and condition not in _ORDINARY:
            self._log("iq", reply.to, reply.sender, condition, said.get("text") or condition)

    def _log(self, kind: str, sender: Jid, to: Jid | None, condition: str, why: str) -> None:
        """One line in a minute for each account and condition; the others are for debugging."""
        first = self._logged.take(f"{sender.bare} {condition}", self._services.clock.now())
        level = logging.INFO if first else logging.DEBUG
        refused.log(level, "%.200s refused a %s of %s: %s (%s)", to, kind, sender, why, condition)
