"""What follows on this node when another one has changed who sees whom (RFC 6121, 3).

The node that takes a subscription stanza shows every resource of the account to the contact, or withdraws it, as far as
it knows of them. Other nodes hear of the change a moment later, or after a cut, and go by the old one until then. So
each node has the last word on its own resources: on its way to any other node that comes behind all it said before.
"""

from __future__ import annotations

from typing import Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.account import Account
from xmpp_engine.routing.crossing import withdrawn
from xmpp_engine.routing.host import Services
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem


class Says(Protocol):
    """What is asked of the module of presence."""

    def say(self, stanza: Stanza) -> None:
        """Send a presence to a contact; where it cannot go it is dropped."""

    def ask(self, probe: Stanza) -> None:
        """Send a session's probe to a contact of this server."""


class Sight:
    """That of one host's accounts."""

    def __init__(self, services: Services, shows: Says) -> None:
        self._services = services
        self._shows = shows

    def changed(
        self, account: Account, old: RosterItem | None, new: RosterItem | None, heard: dict[str, int] | None
    ) -> None:
        """Another node has changed a contact, which had heard of so many changes of what sessions show (`Sightings`);
        None where it is not known what it had heard."""
        item = new or old
        if item is None:
            return
        contact = Jid.parse(item.jid)
        shown, was_shown = _shown(new), _shown(old)
        if was_shown and not shown:
            self._withdraw(account, contact)
        elif shown and not was_shown:
            for session in account.available():
                if not session.remote and session.presence is not None:
                    self._shows.say(session.presence.addressed(contact))
        if _sees(new) and not _sees(old):
            self._look(account, contact, heard)
        elif _sees(old) and not _sees(new):
            self._lose(account, contact)

    def _withdraw(self, account: Account, contact: Jid) -> None:
        """Sessions of this node are withdrawn from the contact wherever he is; those of others from his sessions here,
        which may have come without the word of the other node."""
        resident = self._services.accounts.get(contact.bare)
        for session in account.available():
            gone = withdrawn(session, contact)
            if not session.remote:
                self._shows.say(gone)
            elif resident is not None:
                self._services.router.local.presence_here(gone, resident)

    def unknown(self, account: Account, heard: dict[str, int] | None) -> list[Session]:
        """The available sessions of this node of which the other one may not have heard."""
        whereabouts = self._services.whereabouts
        if whereabouts is None:
            return []
        new = whereabouts.sightings.unheard(account.bare, heard or {})
        here = (session for session in account.available() if not session.remote)
        return [session for session in here if heard is None or session.jid.full in new]

    def _look(self, account: Account, contact: Jid, heard: dict[str, int] | None) -> None:
        """Sessions of this node of which the other one had not heard ask for the presence of the contact."""
        if contact.domain in self._services.router.hosts:
            for session in self.unknown(account, heard):
                self._shows.ask(presence(session.jid, contact, "probe"))

    def _lose(self, account: Account, contact: Jid) -> None:
        """The account does not see the contact any more: to sessions of this node none of the contact's resources is
        there. What other nodes say of that may never come, and the roster does not say whom to tell when they are gone.
        """
        whereabouts = self._services.whereabouts
        if whereabouts is None:
            return
        for jid in whereabouts.resources(contact):
            self._services.router.local.presence_here(presence(jid, account.jid, "unavailable"), account)


def _shown(item: RosterItem | None) -> bool:
    return item is not None and item.subscription in ("from", "both")


def _sees(item: RosterItem | None) -> bool:
    return item is not None and item.subscription in ("to", "both")
