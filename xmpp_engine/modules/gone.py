"""Accounts that have moved: whoever turns to one is told where it is now (RFC 6120, 8.3.3.5).

An account is marked in the database (`AccountData.moved_to`); its owner may go on to sign in. Messages of types chat
and normal, requests to see its presence and iqs that ask something are answered with `<gone/>` and the new address,
whether they are sent to the account or to one of its resources. What lets contact lists come to rest passes: all other
presence, answers, errors, and events (headlines). So does what the account itself sends, what this server and its
services send, and what comes to a resource from a room that it has entered.

Servers of contacts read the same answer when they verify that the account has moved (XEP-0283, 4.3): `moved.py`.

The hooks cost an account that has not moved one look at an attribute. They stand behind the check of block lists: who
is blocked learns nothing.
"""

from __future__ import annotations

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.plugin.verdict import Reject, Verdict
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.bounce import gone
from xmpp_engine.routing.crossing import is_in
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.stanza import Stanza


class Gone(Module):
    """Answers for the moved accounts of one domain."""

    name = "gone"
    requires = ("blocking",)

    def setup(self, reg: Registrar) -> None:
        reg.message_in(Phase.POLICY, self.message)
        reg.presence_in(Phase.POLICY, self.presence)
        reg.iq_in(Phase.POLICY, self.iq)

    def message(self, stanza: Stanza, account: Account, _targets: list[Session]) -> Verdict:
        """A message to an account."""
        if not account.data.moved_to:
            return None
        return self._refused(stanza, account) if stanza.type in ("chat", "normal") else None

    def presence(self, stanza: Stanza, account: Account) -> Verdict:
        """A presence of any type to an account."""
        if not account.data.moved_to:
            return None
        return self._refused(stanza, account) if stanza.type == "subscribe" else None

    def iq(self, stanza: Stanza, account: Account) -> Verdict:
        """A request to an account, or an answer."""
        if not account.data.moved_to:
            return None
        return self._refused(stanza, account) if stanza.type in ("get", "set") else None

    def _refused(self, stanza: Stanza, account: Account) -> Verdict:
        sender, router = stanza.sender, self.services.router
        if sender.bare == account.bare or sender.domain in router.services:
            return None
        if not sender.local and sender.domain in router.hosts:
            return None
        resource = stanza.to.resource if stanza.to is not None else ""
        session = account.sessions.get(resource) if resource else None
        if session is not None and is_in(session, sender.bare):
            return None
        return Reject("gone", error=gone(Jid.parse(account.data.moved_to)))
