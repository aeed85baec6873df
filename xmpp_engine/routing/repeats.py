"""Messages that two nodes bring home.

A node whose link is struck does not know what the other side has taken, and brings it home; the other side has it in
the queue of a session that is given up in the same moment, and brings that home when it comes to know of it. Marks of
links (`doubts.py`) are exchanged when nodes meet again, which may be later. Both copies have the archive's id. So a
session remembers the ids of what came to it late, and what has one of them is not brought to it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns

if TYPE_CHECKING:
    from xmpp_engine.routing.session import Session

#: Note of a message that a session left and that goes to another one.
LATE: Final = "late"
#: Note of a session: the ids, which go along to another node.
_HAD: Final = "came late"
#: Ids of one session. What comes twice comes soon, so they may all be forgotten.
_MOST: Final = 1_000


def is_repeat(session: Session, stanza: Stanza) -> bool:
    """Whether a late message has come to a session as such before; if not it is remembered. Without the archive's
    module nobody takes forged ids out, so they mean nothing then."""
    had: set[str] | None = (session.notes or {}).get(_HAD)
    if stanza.kind != "message" or "archive" not in session.host.modules:
        return False
    bare = session.account.bare
    found = (element for element in stanza.element.find_all(ns.STANZA_ID, "stanza-id") if element.get("by") == bare)
    id = next((element.get("id") or "" for element in found), "")
    if not id:
        return False
    if had is not None and id in had:
        return True
    if had is None or len(had) >= _MOST:
        had = set()
        # Others hold on to the notes.
        if session.notes is None:
            session.notes = {}
        session.notes[_HAD] = had
    had.add(id)
    return False
