"""One writer for the services with a domain of their own, in a cluster.

A node's items, subscriptions and the tree of collections are kept in memory and changed in turns; two nodes of the
cluster with the same service in memory would not know of each other's changes. So the leader of the cluster (the node
that has been there longest) serves, and the others pass on to it, whole, what is sent to the service and who comes
online and goes. What the service sends goes the ordinary way, so subscribers may be signed in anywhere.

When the leader goes, the next one reads from the store what there is, as after a restart; everything that was answered
is there. An iq is passed on with a number under which its answer comes back: so the node of whoever asked knows what
the leader had taken and not answered when it went, and says so to who waits (whether it was done is then to be seen).
When a cut heals there are two leaders for a moment: the older one stays, and it too reads everything anew, for the
other may have written meanwhile.

    pubsub           text, number     a stanza for a service; 0 for one that nobody answers
    pubsub answer    number, carried  the answer, or a message that goes before it
    pubsub presence  full JID, came   a client has come online or gone
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.cluster.envelope import MAX_RECORD
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.stanza.build import error_reply
from xmpp_engine.stanza.carried import CarriedStanza, carry
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.shared import Shared
    from xmpp_engine.routing.host import Services
    from xmpp_engine.runtime.clock import Timer

_STANZA: Final = "pubsub"
_ANSWER: Final = "pubsub answer"
_PRESENCE: Final = "pubsub presence"


#: Iqs of one node that wait for the leader's answer, and for how long (seconds).
_WAITING: Final = 20_000
_SECONDS: Final = 120.0
#: Bytes of an answer, with room for what else is in a record.
_LONGEST: Final = MAX_RECORD - 8_192


class Asker:
    """Stands on the leader where the session stands of somebody who asks: what answers him goes to his node."""

    __slots__ = ("_iq", "_node", "_number", "_peers", "ended")

    def __init__(self, peers: Peers, node: str, number: int, iq: Stanza) -> None:
        self._peers = peers
        self._node = node
        self._number = number
        self._iq = iq
        self.ended = False

    def deliver(self, stanza: Stanza) -> None:
        """See Session. What is too long for a record is not answered otherwise: there are pages (XEP-0059)."""
        carried = carry(stanza)
        if len(carried[4]) + len(carried[5]) > _LONGEST:
            error = StanzaError("resource-constraint", "the answer is too long; ask for it in pages", type="modify")
            told = error_reply(self._iq, error)
            assert told is not None
            carried = carry(told)
        self._peers.post(self._node, (_ANSWER, self._number, *carried))


class Leading:
    """Which node serves; one object for each engine."""

    def __init__(self, services: Services, shared: Shared) -> None:
        self._services = services
        self._shared = shared
        self._cluster = services.cluster
        #: Whether this node served when it was last looked at, None until another one came.
        self._led: bool | None = None
        self._count = count(1).__next__
        #: Iqs that were passed on, by number: to whom, and until when an answer is waited for.
        self._asked: dict[int, tuple[str, Stanza, Timer]] = {}
        if self._cluster is not None:
            self._cluster.handle(_STANZA, self._passed_on)
            self._cluster.handle(_ANSWER, self._answered)
            self._cluster.handle(_PRESENCE, self._presence)
            self._cluster.on_joined(self._joined)
            self._cluster.on_gone(self._gone)

    @property
    def leads(self) -> bool:
        """Whether this node serves; looked at for each stanza to a service."""
        return self._cluster is None or self._cluster.leader == self._cluster.name

    def pass_on(self, stanza: Stanza) -> None:
        """Something for a service that another node serves. Raises StanzaError where that cannot be reached now."""
        assert self._cluster is not None
        leader = self._cluster.leader
        if leader not in self._cluster.nodes:
            raise _again()  # It has just come or is about to be gone: what is posted to it would be lost.
        number = 0
        if stanza.kind == "iq" and stanza.type in ("get", "set"):
            if len(self._asked) >= _WAITING:
                raise StanzaError("resource-constraint", "too many requests wait for an answer")
            number = self._count()
            timer = self._services.clock.call_later(_SECONDS, self._unanswered, number)
            self._asked[number] = (leader, stanza, timer)
        self._cluster.post(leader, (_STANZA, stanza.text(), number))

    def _answered(self, node: str, record: Record) -> None:
        number: int = record[1]
        asked = self._asked.get(number)
        if asked is None or asked[0] != node:
            return  # The time was over, or the link to that node had begun anew.
        answer = CarriedStanza(record[2:8], asked[1].sender)
        if answer.kind == "iq":
            del self._asked[number]
            asked[2].cancel()
        self._services.router.reply(asked[1], answer)

    def _unanswered(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked[2].cancel()
            bounce(self._services.router, asked[1], _again())

    def presence(self, jid: Jid, came: bool) -> None:
        """A client has come online or gone: whoever serves hears of it."""
        if self.leads:
            self._tell(jid, came)
        elif self._cluster is not None:
            self._cluster.post(self._cluster.leader, (_PRESENCE, jid.full, came))

    def _passed_on(self, node: str, record: Record) -> None:
        stanza = Stanza.restore(record[1])
        assert stanza.to is not None
        assert self._cluster is not None
        if len(record) > 2 and record[2]:
            stanza.origin = Asker(self._cluster, node, record[2], stanza)
        if not self.leads:
            # Both were wrong about who leads; a second try finds the right one.
            bounce(self._services.router, stanza, _again())
            return
        service = self._services.router.services.get(stanza.to.domain)
        if service is None:
            refused.info("%s passed on a stanza for %s, which is not served", node, stanza.to.domain)
            bounce(self._services.router, stanza, StanzaError("item-not-found", "this service is not served any more"))
            return
        service.receive(stanza)

    def _presence(self, _node: str, record: Record) -> None:
        if self.leads:
            self._tell(Jid.parse(record[1]), bool(record[2]))

    def _tell(self, jid: Jid, came: bool) -> None:
        for service in self._shared.services():
            if came:
                service.came(jid)
            else:
                service.went(jid)

    def _joined(self, _node: str, returned: bool) -> None:
        self._look(wrote_too=returned)

    def _gone(self, node: str, unacknowledged: list[Record]) -> None:
        self._look()
        for number in [number for number, asked in self._asked.items() if asked[0] == node]:
            self._unanswered(number)
        for record in unacknowledged:
            if record[0] == _STANZA and not record[2]:
                bounce(self._services.router, Stanza.restore(record[1]), _again())

    def _look(self, wrote_too: bool = False) -> None:
        """Nodes have come or gone. `wrote_too` says that another one may have served meanwhile."""
        led, self._led = self._led, self.leads
        if self._led and (led is False or wrote_too):
            self._read_anew()

    def _read_anew(self) -> None:
        for service in self._shared.services():
            service.read_anew()


def _again() -> StanzaError:
    return StanzaError("remote-server-timeout", "the node that serves this cannot be reached; try again", type="wait")
