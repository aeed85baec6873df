"""One writer for the services with a domain of their own, in a cluster.

A node's items, subscriptions and the tree of collections are kept in memory and changed in turns; two nodes of the
cluster with the same service in memory would not know of each other's changes. So the leader of the cluster (the node
that has been there longest) serves, and the others pass on to it, whole, what is sent to the service and who comes
online and goes. What the service sends goes the ordinary way, so subscribers may be signed in anywhere.

When the leader goes, the next one reads from the store what there is, as after a restart; everything that was answered
is there. A request that the old one had not answered comes back to its sender as an error that says to try again. When
a cut heals there are two leaders for a moment: the older one stays, and it too reads everything anew, for the other may
have written meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.ports import Record
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.shared import Shared
    from xmpp_engine.routing.host import Services

_STANZA: Final = "pubsub"
_PRESENCE: Final = "pubsub presence"


class Leading:
    """Which node serves; one object for each engine."""

    def __init__(self, services: Services, shared: Shared) -> None:
        self._services = services
        self._shared = shared
        self._cluster = services.cluster
        #: Whether this node served when it was last looked at, None until another one came.
        self._led: bool | None = None
        if self._cluster is not None:
            self._cluster.handle(_STANZA, self._passed_on)
            self._cluster.handle(_PRESENCE, self._presence)
            self._cluster.on_joined(self._joined)
            self._cluster.on_gone(self._gone)

    @property
    def leads(self) -> bool:
        """Whether this node serves; looked at for each stanza to a service."""
        return self._cluster is None or self._cluster.leader == self._cluster.name

    def pass_on(self, stanza: Stanza) -> None:
        """Something for a service that another node serves."""
        assert self._cluster is not None
        self._cluster.post(self._cluster.leader, (_STANZA, stanza.text()))

    def presence(self, jid: Jid, came: bool) -> None:
        """A client has come online or gone: whoever serves hears of it."""
        if self.leads:
            self._tell(jid, came)
        elif self._cluster is not None:
            self._cluster.post(self._cluster.leader, (_PRESENCE, jid.full, came))

    def _passed_on(self, node: str, record: Record) -> None:
        stanza = Stanza.restore(record[1])
        assert stanza.to is not None
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

    def _gone(self, _node: str, unacknowledged: list[Record]) -> None:
        self._look()
        for record in unacknowledged:
            if record[0] == _STANZA:
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
    return StanzaError("remote-server-timeout", "the node that serves this has gone; try again", type="wait")
