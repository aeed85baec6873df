"""Components that are connected to other nodes of a cluster.

Each node tells the others which components it has; what is sent to one goes to the node that has its connection and on
from there, answers come back the way of all answers (`routing/crossing.py`). A component has one connection in the
whole cluster: where two nodes took one at the same time, or each side of a cut took one, the component's own rule
decides when they hear of each other: `refuse` keeps the earlier one, `replace` the later one. All nodes decide by the
same rule and of all that was told, so a third one that hears it in another order comes to the same; what is told of a
component that is not configured yet is kept until it is.

    component         domain, since, address, names    is connected to the node that says so
    component gone    domain                           is not any more
    component stanza  text                             something for it
    component close   domain, condition, text          its connection ends: another has its place, or somebody's wish
    component look    domain                           whether it lives is to be seen
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from xmpp_engine.component.external import External
from xmpp_engine.observe.log import refused
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.ports import Peers, Record
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import STREAM_CONDITIONS, StanzaError, StreamError

if TYPE_CHECKING:
    from xmpp_engine.routing.host import Services

_HERE: Final = "component"
_GONE: Final = "component gone"
_STANZA: Final = "component stanza"
_CLOSE: Final = "component close"
_LOOK: Final = "component look"


class Elsewhere:
    """One object for each engine of a cluster. `named(domain)` finds a configured component, `moved` is told when one
    has come to or gone from another node (True), or uses another name there (False)."""

    def __init__(
        self,
        services: Services,
        peers: Peers,
        named: Callable[[str], External | None],
        all_of: Callable[[], list[External]],
        moved: Callable[[External, bool], None],
    ) -> None:
        self._services = services
        self._peers = peers
        self._named = named
        self._all = all_of
        self._moved = moved
        #: What was told and not taken back: domain to node to since when, from where and with which names.
        self._told: dict[str, dict[str, tuple[float, str, list[str]]]] = {}
        for kind, function in (
            (_HERE, self._came),
            (_GONE, self._went),
            (_STANZA, self._passed_on),
            (_CLOSE, self._closed),
            (_LOOK, self._looked),
        ):
            peers.handle(kind, function)
        peers.on_joined(self._joined)
        peers.on_gone(self._node_gone)

    # From here

    def announce(self, component: External) -> None:
        """A component is connected to this node, or uses another name."""
        self._peers.broadcast(_announcement(component))

    def withdraw(self, component: External) -> None:
        """It is not any more."""
        self._peers.broadcast((_GONE, component.domain))

    def pass_on(self, component: External, stanza: Stanza) -> None:
        """Something for a component that another node has."""
        self._peers.post(component.node, (_STANZA, stanza.text()))

    def close(self, component: External, error: StreamError) -> None:
        """End the connection that another node has."""
        self._peers.post(component.node, (_CLOSE, component.domain, error.condition, error.text))

    def look(self, component: External) -> None:
        """Have the other node see whether the component lives."""
        self._peers.post(component.node, (_LOOK, component.domain))

    # From others

    def _joined(self, node: str, _returned: bool) -> None:
        for component in self._all():
            if component.connected:
                self._peers.post(node, _announcement(component))

    def _came(self, node: str, record: Record) -> None:
        _kind, domain, since, address, names = record[:5]
        told = self._told.setdefault(domain, {})
        told[node] = (float(since), str(address), [str(name) for name in names])
        component = self._named(domain)
        if component is None:
            return  # That node has a newer configuration, or an older one.
        if component.connected:
            theirs_first = (since, node) < (component.since, self._peers.name)
            if theirs_first != (component.config.conflict == "refuse"):
                # It hears of ours as we hear of its.
                self._peers.post(node, _announcement(component))
                return
            component.close(StreamError("conflict", "this component is connected to another node"))
        self.place(component)

    def place(self, component: External) -> None:
        """See which other node has a component that is not connected here, by all that was told."""
        if component.connected:
            return
        told = self._told.get(component.domain, {})
        node, since, address, names = "", 0.0, "", list[str]()
        if told:
            choose = min if component.config.conflict == "refuse" else max
            since, node = choose((told[node][0], node) for node in told)
            _since, address, names = told[node]
        anew = (node, since) != (component.node, component.since if component.node else 0.0)
        if anew or component.names != set(names):
            component.move(node, since, address, names)
            self._moved(component, anew)

    def _went(self, node: str, record: Record) -> None:
        self._take_back(node, record[1])

    def _take_back(self, node: str, domain: str) -> None:
        told = self._told.get(domain, {})
        if told.pop(node, None) is None:
            return
        if not told:
            del self._told[domain]
        component = self._named(domain)
        if component is not None:
            self.place(component)

    def _passed_on(self, node: str, record: Record) -> None:
        stanza = Stanza.restore(record[1])
        assert stanza.to is not None
        component = self._services.router.services.get(stanza.to.domain)
        if isinstance(component, External) and component.connected:
            component.receive(stanza)
            return
        refused.info("%s passed on a stanza for the component %s, which is not here", node, stanza.to.domain)
        self._return(stanza)

    def _closed(self, _node: str, record: Record) -> None:
        _kind, domain, condition, text = record[:4]
        component = self._named(domain)
        if component is not None and condition in STREAM_CONDITIONS:
            component.close(StreamError(condition, text))

    def _looked(self, _node: str, record: Record) -> None:
        component = self._named(record[1])
        if component is not None:
            component.look()

    def _node_gone(self, node: str, unacknowledged: list[Record]) -> None:
        for domain in list(self._told):
            self._take_back(node, domain)
        for record in unacknowledged:
            if record[0] == _STANZA:
                self._return(Stanza.restore(record[1]))

    def _return(self, stanza: Stanza) -> None:
        error = StanzaError("service-unavailable", "this component is not connected", type="wait")
        bounce(self._services.router, stanza, error)


def _announcement(component: External) -> Record:
    peer = component.stream.transport.peer if component.stream is not None else ""
    return (_HERE, component.domain, component.since, peer, sorted(component.names))
