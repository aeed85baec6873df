"""RemoteSession: a session of a resident account that another node of the cluster has.

It has the face of `Session`, so whoever goes through `account.sessions` (delivery rules, carbons, pushes of rosters,
presence) need not know where a client is connected. What it shows is what its node has told (`whereabouts.py`); what
is delivered to it goes there (`crossing.py`), where the hooks on deliveries run and stream management counts.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from xmpp_engine.stanza.carried import CarriedStanza
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.addressing.jid import Jid
    from xmpp_engine.routing.account import Account
    from xmpp_engine.routing.crossing import Crossing
    from xmpp_engine.routing.host import Host
    from xmpp_engine.routing.ports import Whereabout

#: Bits of `Whereabout.flags`, see `cluster.directory`.
INTERESTED: Final = 1
CARBONS: Final = 2
BLOCKING: Final = 4
#: Notes of sessions that other nodes know of: what the client wants to hear of, its push registrations, whether it
#: asked for the block list.
FEATURES_NOTE: Final = "caps features"
CLAIMS_NOTE: Final = "push"
BLOCKING_NOTE: Final = "blocking"
_BETWEEN: Final = b"\0"


def presence_bytes(stanza: Stanza) -> bytes:
    """A presence as the directory keeps it."""
    head, tail = stanza.parts()
    return head + _BETWEEN + tail


def shown_presence(full: str, kept: bytes) -> Stanza:
    """The presence of this full JID that the directory has kept."""
    head, _, tail = kept.partition(_BETWEEN)
    return CarriedStanza(("presence", "", None, full, head, tail), None)


class RemoteSession:
    """One resource that is bound elsewhere. Attributes are those of `Session`; changing them changes nothing there."""

    __slots__ = (
        "_crossing",
        "account",
        "carbons",
        "device",
        "ended",
        "host",
        "inactive",
        "interested",
        "jid",
        "node",
        "notes",
        "presence",
        "priority",
        "since",
    )

    #: What local sessions say False to.
    remote: ClassVar[bool] = True
    # Nothing of these is here: the connection, its queue, and where directed presence went.
    stream: Any = None
    sm: Any = None
    directed: dict[str, Jid] | None = None
    held: str = ""

    def __init__(self, crossing: Crossing, account: Account, entry: Whereabout) -> None:
        self._crossing = crossing
        self.account = account
        self.jid = account.jid.with_resource(entry.resource)
        self.ended = False
        self.inactive = False
        self.take(entry)

    def take(self, entry: Whereabout) -> None:
        """What its node has told of it."""
        self.node = entry.node
        self.since = entry.since
        self.host: Host = self.account.host
        self.priority = entry.priority
        self.interested = bool(entry.flags & INTERESTED)
        self.carbons = bool(entry.flags & CARBONS)
        self.device = entry.device
        notes: dict[str, Any] | None = None
        if entry.features is not None:
            notes = {FEATURES_NOTE: entry.features}
        if entry.claims:
            notes = {**(notes or {}), CLAIMS_NOTE: set(entry.claims)}
        if entry.flags & BLOCKING:
            notes = {**(notes or {}), BLOCKING_NOTE: True}
        self.notes = notes
        self.presence: Stanza | None = None
        if entry.presence is not None:
            self.presence = shown_presence(self.jid.full, entry.presence)

    @property
    def facts(self) -> SimpleNamespace:
        """What is known of how it signed in."""
        return SimpleNamespace(device=self.device, mechanism="")

    @property
    def table(self) -> Any:
        """The hooks of its host."""
        return self.host.table

    def deliver(self, stanza: Stanza) -> None:
        """Send a stanza to this resource; after the end a no-op."""
        if not self.ended:
            self._crossing.deliver(self, stanza)

    def transmit(self, stanza: Stanza) -> None:
        """Its hooks run where it is, so this is the same."""
        self.deliver(stanza)

    def deliver_in_room(self, stanza: Stanza, room: str) -> None:
        """Deliver it only if this resource is in that room (a bare JID), which its node knows."""
        if not self.ended:
            self._crossing.deliver(self, stanza, room)

    def deliver_probe(self, probe: Stanza) -> None:
        """Let its node answer a probe by whom this resource has sent directed presence to."""
        if not self.ended:
            self._crossing.route_at(self.node, probe)

    def renew(self, stanza: Stanza) -> None:
        """Let its node show this presence in place of the last one."""
        if not self.ended:
            self._crossing.renew(self, stanza)

    def hold(self, _why: str) -> bool:
        """Only its own node can slow it down."""
        return False

    def awake(self) -> None:
        """Its node knows."""

    def flagged(self) -> None:
        """Its node tells what has changed."""

    def kick(self, error: StreamError) -> None:
        """End the session where it is; here it has ended when this returns."""
        if not self.ended:
            self._crossing.kick(self, error)

    def describe(self) -> dict[str, Any]:
        """What lists show of it; its node knows more."""
        return {
            "jid": self.jid.full,
            "node": self.node,
            "since": self.since,
            "available": self.presence is not None,
            "priority": self.priority,
            "device": self.device,
        }
