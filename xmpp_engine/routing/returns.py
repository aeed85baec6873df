"""Returns: messages that did not get where they were sent, between nodes.

The session had ended when a message came for it, or the node that should take it is gone. Such a message is brought
home: it goes the way of what a session leaves unacknowledged (`rescue.py`), on the node that has it. Those who have got
it or a copy, and would rely on somebody who has not, are told.

    s   full JID, carried, to          a copy of this message is the only one
    l   full JID, known by, doubt      of a message that it has another resource may have got nothing
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.copies import SOLE, KnownBy, is_copy, known_by, original, rely, waiting
from xmpp_engine.routing.doubts import DELIVER, DOUBT, Doubts
from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.routing.rescue import OTHERS, Rescue, is_among
from xmpp_engine.stanza.carried import CarriedStanza, carry
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.host import Services
    from xmpp_engine.routing.remote_session import RemoteSession
    from xmpp_engine.routing.session import Session

LACKS: Final = "l"
RELIES: Final = "s"
_RELIED: Final = 2_000


class Returns:
    """Those of one node. `moved` says of sessions that were here to which nodes they went."""

    def __init__(self, services: Services, peers: Peers, doubts: Doubts, moved: Mapping[str, str]) -> None:
        self._services = services
        self._post = peers.post
        self._full = services.registry.full
        self._doubts = doubts
        self._moved = moved
        self._name = peers.name
        #: Messages that were left to sessions elsewhere, the last ones.
        self._relied: OrderedDict[KnownBy, None] = OrderedDict()
        peers.handle(LACKS, self._lacks)
        peers.handle(RELIES, self._relies)

    def bring_home(self, jid: Jid, stanza: Stanza, *, again: bool = False) -> None:
        """What was for a session that is gone: by the rules for what a session leaves. `again`: the same message was
        for another session there and is brought home already."""
        if stanza.kind == "presence" or stanza.type in ("error", "result"):
            return
        host = self._services.router.hosts.get(jid.domain)
        if host is None:
            return
        now = self._services.clock.time()

        def loaded(account: Account | None, error: Exception | None) -> None:
            if account is not None:
                self._tell_holders(account, stanza)
                if again:
                    return
                # A later session of that name has not got it either.
                without(stanza, jid.resource)
                rescue = account.rescue or Rescue(self._services.router, account)
                rescue.add(deque([(stanza, now)]), "")
                rescue.begin(self._services.tasks)
            elif error is not None:
                refused.error("a message of %s to %s has no way: %s", stanza.sender, jid, error)
                bounce(self._services.router, stanza, StanzaError("internal-server-error", type="wait"))

        self._services.accounts.fetch(jid.bare, host, loaded)

    def _tell_holders(self, account: Account, stanza: Stanza) -> None:
        """The other resources that have got a message which is in doubt must not rely on that one, or each of two would
        be left out because the other one has it. Nor must they where it was to get a copy."""
        notes = stanza.notes or {}
        doubt = notes.get(DOUBT)
        if doubt is None:
            return
        message: Stanza | None = stanza
        if is_copy(stanza, account):
            message = original(stanza)
        if message is None:
            return
        wanted = known_by(message)
        for session in account.sessions.values():
            if message is not stanza or is_among(notes.get(OTHERS) or (), session):
                if session.remote:
                    node: str = session.node  # type: ignore[attr-defined]
                    self._post(node, (LACKS, session.jid.full, wanted, doubt))
                else:
                    note_lacking(session, wanted, doubt)

    def _lacks(self, _node: str, record: Record) -> None:
        full = record[1]
        session = self._full.get(full)
        if session is not None:
            note_lacking(session, tuple(record[2]), record[3])
        elif full in self._moved:
            self._post(self._moved[full], record)

    def _relies(self, node: str, record: Record) -> None:
        full = record[1]
        session = self._full.get(full)
        if session is not None:
            rely(session, CarriedStanza(record[2:8], Jid.parse(record[8])))
        elif full in self._moved:
            self._post(self._moved[full], record)
        else:
            message = CarriedStanza(record[2:8], Jid.parse(record[8]))
            both = known_by(message) in self._relied
            # It left a message of its own to nobody, or to somebody of that node, who left it to this one: one of the
            # two nodes brings it home. A copy it left to nobody.
            if node < self._name if both else not record[8].count("/"):
                return
            self.bring_home(Jid.parse(full), message)

    def rely(self, session: RemoteSession, stanza: Stanza) -> None:
        """A session elsewhere has a copy of this message, and nobody else has it."""
        to = stanza.to
        assert to is not None
        self._relied[known_by(stanza)] = None
        if len(self._relied) > _RELIED:
            self._relied.popitem(last=False)
        self._post(session.node, (RELIES, session.jid.full, *carry(stanza), to.full))

    def in_doubt(self, node: str, records: Iterable[Record]) -> list[tuple[Jid, Stanza, bool]]:
        """The deliveries among what a node that is gone never acknowledged, each noted as in doubt, and whether the
        same message was for another session of the account before; asked before the numbers of its link are forgotten.
        Of presence and headlines nobody has to hear later."""
        out = self._doubts.out.get(node)
        found: list[tuple[Jid, Stanza, bool]] = []
        #: A message to several sessions is sent to all of them in one go.
        last: tuple[Any, ...] = ()
        done: set[str] = set()
        first: Stanza
        for record in records:
            if record[0] == RELIES:
                message_itself = CarriedStanza(tuple(record[2:8]), Jid.parse(record[8]))
                if "/" in record[8]:
                    # The copy on which somebody relied is on its way as well, or has come to a node that does not know.
                    # Who has the message itself sees to it.
                    found.append((Jid.parse(record[1]), message_itself, False))
                else:
                    _rely_on_copy(found, record[1], known_by(message_itself))
            if record[0] == LACKS:
                # It was to say that somebody else has not got a message that is on its way as well.
                for other, stanza, _again in found:
                    if other.full == record[1] and known_by(stanza) == tuple(record[2]):
                        without(stanza, record[3][2].partition("/")[2])
            if record[0] != DELIVER:
                continue
            jid = Jid.parse(record[2])
            to = Jid.parse(record[3]) if record[3] else jid
            stanza = CarriedStanza(tuple(record[4:10]), to)
            stanza.notes = record[10] or None
            if out is not None:
                stanza.note(DOUBT, (out.token, record[1], record[2]))
            message = (jid.bare, stanza.sender.full, stanza.id, stanza.parts()[1])
            if message != last or jid.full in done:
                last, done, first = message, set(), stanza
            else:
                without(first, jid.resource)
            found.append((jid, stanza, bool(done)))
            done.add(jid.full)
        return found


def _rely_on_copy(found: Iterable[tuple[Jid, Stanza, bool]], full: str, wanted: KnownBy) -> None:
    """Somebody who had a message to a bare address relied on another resource, which was to get a copy of it: where
    that is on its way as well, nobody else has the message."""
    for jid, stanza, _again in found:
        if jid.full == full and stanza.sender.full == jid.bare:
            message = original(stanza)
            if message is not None and known_by(message) == wanted:
                stanza.note(SOLE, True)


def without(message: Stanza, resource: str) -> None:
    """Note that this resource has not got a message."""
    others = (message.notes or {}).get(OTHERS)
    if others:
        message.note(OTHERS, [other for other in others if other[0] != resource])


def note_lacking(session: Session, wanted: KnownBy, doubt: tuple[str, int, str]) -> None:
    """Let a message that waits for its acknowledgement know that another resource may not have got it."""
    resource = doubt[2].partition("/")[2]
    for stanza in waiting(session, wanted):
        without(stanza, resource)
        if DOUBT not in (stanza.notes or {}):
            # Of several the first one: where that has not arrived none has.
            stanza.note(DOUBT, tuple(doubt))
