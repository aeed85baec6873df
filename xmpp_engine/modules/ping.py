"""XEP-0199: pings to the server and to accounts.

The server's own pings towards silent clients come from the sweep (`Session.idle`).
"""

from __future__ import annotations

from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns


class Ping(Module):
    """Answers pings."""

    name = "ping"
    xeps = (Xep("0199", "2.0.1"),)
    features = {Target.HOST: (ns.PING,), Target.ACCOUNT: (ns.PING,)}

    def setup(self, reg: Registrar) -> None:
        reg.iq_get(Target.HOST, ns.PING, "ping", self.pong)
        reg.iq_get(Target.ACCOUNT, ns.PING, "ping", self.pong, own_only=True)

    def pong(self, _iq: Stanza, _context: IqContext) -> None:
        """An empty result."""
