"""XEP-0012: uptime of the server, and when a contact was last here, told only to those who may see its presence."""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


class LastActivity(Module):
    """Answers jabber:iq:last for the domain and for accounts."""

    name = "lastactivity"
    xeps = (Xep("0012", "2.0"),)
    features = {Target.HOST: (ns.LAST,), Target.ACCOUNT: (ns.LAST,)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.HOST, ns.LAST, "query", self.uptime)
        reg.iq_get(Target.ACCOUNT, ns.LAST, "query", self.last_seen)

    def uptime(self, _iq: Stanza, _context: IqContext) -> Element:
        """Seconds since the engine started."""
        return _seconds(self.services.clock.time() - self.services.counters.started)

    def last_seen(self, iq: Stanza, context: IqContext) -> Element:
        """Seconds since the last resource left, with its status; 0 while one is there."""
        account = context.account
        assert account is not None
        if not context.own and not account.is_subscribed_to_us(iq.sender.bare):
            raise StanzaError("forbidden")
        if account.available():
            return _seconds(0)
        if not account.data.last_logout:
            raise StanzaError("item-not-found", "this account was never here")
        return _seconds(self.services.clock.time() - account.data.last_logout, account.data.last_status)


def _seconds(seconds: float, status: str = "") -> Element:
    query = Element(ns.LAST, "query", {"seconds": str(max(0, int(seconds)))})
    if status:
        query.append(status)
    return query
