"""The session request of RFC 3921, which old clients still send: advertised as optional and answered with nothing to do
(FEATURES, CORE-07)."""

from __future__ import annotations

from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.table import Target
from xmpp_engine.routing.iq import IqContext
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns


class LegacySession(Module):
    """Answers the request; the feature is shown by the stream layer."""

    name = "legacy_session"

    def setup(self, reg: Registrar) -> None:
        reg.iq_set(Target.HOST, ns.SESSION, "session", self.answer)
        reg.iq_set(Target.ACCOUNT, ns.SESSION, "session", self.answer, own_only=True)

    def answer(self, _iq: Stanza, _context: IqContext) -> None:
        """An empty result."""
