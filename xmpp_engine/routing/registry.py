"""The sessions bound on this node, by full JID, and the streams that can be resumed, by their id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmpp_engine.routing.session import Session
    from xmpp_engine.routing.whereabouts import Whereabouts


class Registry:
    """Plain dictionaries: the router looks into them directly."""

    __slots__ = ("full", "resumable", "resume_seconds", "unacked", "unasked", "whereabouts")

    def __init__(self) -> None:
        self.full: dict[str, Session] = {}
        #: XEP-0198 stream id to session, while it lives.
        self.resumable: dict[str, Session] = {}
        #: How long a lost stream can be resumed, from the configuration.
        self.resume_seconds = 300.0
        #: Stanzas that a client may leave unacknowledged.
        self.unacked = 1_000
        #: Managed sessions that were sent something since the last sweep and not asked for an acknowledgement.
        self.unasked: set[Session] = set()
        #: Who tells the other nodes of a cluster.
        self.whereabouts: Whereabouts | None = None

    def add(self, session: Session) -> None:
        """Enter a bound session; its account learns of it too."""
        self.full[session.jid.full] = session
        session.account.sessions[session.jid.resource] = session
        if self.whereabouts is not None:
            self.whereabouts.bound(session)

    def remove(self, session: Session) -> None:
        """Take a session out, unless another one has its place already."""
        if self.full.get(session.jid.full) is session:
            del self.full[session.jid.full]
        if session.account.sessions.get(session.jid.resource) is session:
            del session.account.sessions[session.jid.resource]
        if session.sm is not None and session.sm.id:
            self.resumable.pop(session.sm.id, None)
        if self.whereabouts is not None:
            self.whereabouts.unbound(session)

    def __len__(self) -> int:
        return len(self.full)
