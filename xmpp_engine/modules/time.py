"""XEP-0202: the server's time, always in UTC."""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element


class Time(Module):
    """Answers urn:xmpp:time."""

    name = "time"
    xeps = (Xep("0202", "2.0"), Xep("0082", "1.1.1"), Xep("0203", "2.0"))
    features = {Target.HOST: (ns.TIME,)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.HOST, ns.TIME, "time", self.answer)

    def answer(self, _iq: Stanza, _context: IqContext) -> Element:
        """UTC and the offset of zero."""
        answer = Element(ns.TIME, "time")
        answer.add(ns.TIME, "tzo", text="+00:00")
        answer.add(ns.TIME, "utc", text=timestamp(self.services.clock.time()))
        return answer
