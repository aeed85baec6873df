"""Strangers: presence that somebody shows to who is no contact (RFC 6121, 4.6), in a cluster.

To whom a session has sent directed presence it knows alone, and says that it is gone. Where its node is gone nobody
can, for no roster says so. So a session remembers, in a note that goes along when it moves, which strangers of this
server it sees: when their node is gone, its own tells it. A node that is back after a cut shows those
of its people again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.routing.ports import Directory
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.session import Session

#: The note of a session: full JIDs.
SEEN: Final = "strangers"
#: Strangers that one session sees, of whom that is remembered.
_MOST: Final = 1_000


class Strangers:
    """Those whom sessions of one node see, and its own who are seen by others."""

    def __init__(self, services: Services, directory: Directory) -> None:
        self._services = services
        self._directory = directory

    def shown(self, session: Session, stanza: Stanza) -> None:
        """A presence is about to be delivered to a session of this node."""
        sender = stanza.sender
        if not sender.resource or stanza.type not in ("", "unavailable") or session.account.sees(sender.bare):
            return
        seen: set[str] = (session.notes or {}).get(SEEN) or set()
        if stanza.type:
            seen.discard(sender.full)
        elif len(seen) < _MOST and sender.domain in self._services.router.hosts:
            seen.add(sender.full)
            if session.notes is None:
                session.notes = {}
            session.notes[SEEN] = seen

    def gone(self, lost: Collection[str]) -> None:
        """A node is gone, and had these full JIDs: sessions here do not see them any more, nor any who are nowhere."""
        here = self._services.registry.full
        for session in list(here.values()):
            seen: set[str] = (session.notes or {}).get(SEEN) or set()
            for full in [full for full in seen if full not in here]:
                jid = Jid.parse(full)
                if full in lost or self._directory.find(jid.bare, jid.resource) is None:
                    seen.discard(full)
                    session.deliver(presence(jid, session.jid, "unavailable"))

    def of(self, session: Session, node: str) -> list[str]:
        """Those on a node to whom a session of this one has shown itself, beside its contacts: these see what it shows
        to all."""
        account = session.account
        blocked = account.data.blocked
        found = []
        for jid in (session.directed or {}).values():
            if jid.bare in blocked or jid.domain in blocked or account.is_subscribed_to_us(jid.bare):
                continue
            entries = self._directory.of(jid.bare)
            if any(entry.node == node and jid.resource in ("", entry.resource) for entry in entries):
                found.append(jid.full)
        return found
