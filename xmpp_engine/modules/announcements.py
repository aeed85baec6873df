"""What the server itself tells people: a message of the day, once to everybody, and a welcome to new accounts
(XEP-0133, 4.24 to 4.28).

Each account remembers which message of the day it was told last, by the time at which that was set. Who is online when
a message is set gets it at once; others when their first resource comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import message
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

_TOLD: Final = "announcements"
#: What nodes of a cluster tell each other.
_MOTD: Final = "motd"


@dataclass(frozen=True, slots=True)
class AnnouncementOptions:
    """`motd`: the message of the day, set at `motd_since` (seconds since the epoch). `welcome`: what new accounts get.
    "" is none."""

    motd: str = ""
    motd_since: float = 0.0
    welcome: str = ""


class Announcements(Module):
    """Message of the day and welcome."""

    name = "announcements"
    Config = AnnouncementOptions

    def setup(self, reg: Registrar) -> None:
        reg.presence_changed(self.came)
        self.services.hear(self.host.domain, _MOTD, self.heard)

    def heard(self, account: Account | None, _bare: str, values: list[Any]) -> None:
        """Another node of a cluster has told an account the message of the day."""
        if account is not None:
            account.data.motd_seen = max(account.data.motd_seen, values[0])

    def reconfigured(self, config: Any) -> None:
        """A message of the day that is newer than the old one goes to everybody who is here."""
        old, self.config = self.config, config
        if not config.motd or config.motd_since <= old.motd_since:
            return
        for session in list(self.services.registry.full.values()):
            if session.host is self.host and session.presence is not None:
                self._note_motd(session.account)
                self._tell(session, config.motd)

    def came(self, session: Session, old: Stanza | None, new: Stanza | None) -> None:
        """The first resource of somebody has come."""
        config = self.config
        if old is not None or new is None or not (config.motd or config.welcome):
            return
        account = session.account
        if len(account.available()) > 1:
            return
        told: dict[str, float] = account.note(_TOLD, dict)
        last = account.data.last_logout
        if config.welcome and not last and "welcome" not in told:
            told["welcome"] = 1.0
            self._tell(session, config.welcome)
        if config.motd and account.data.motd_seen < config.motd_since:
            self._note_motd(account)
            self._tell(session, config.motd)

    def _note_motd(self, account: Account) -> None:
        if account.data.motd_seen < self.config.motd_since:
            account.data.motd_seen = self.config.motd_since
            self.services.tell(account.bare, _MOTD, self.config.motd_since)
            self.services.tasks.spawn("message of the day was told", self._record(account.bare, self.config.motd_since))

    async def _record(self, bare: str, since: float) -> None:
        try:
            await self.services.stores.accounts.record_motd(bare, since)
        except StoreUnavailable as error:
            refused.error("%s may be told the message of the day again: %s", bare, error)

    def _tell(self, session: Session, text: str) -> None:
        body = Element(ns.CLIENT, "body", None, text)
        session.deliver(message(self.host.jid, session.jid, "headline", body))
