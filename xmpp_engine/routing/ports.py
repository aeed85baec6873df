"""What the router, sessions and features need of layers beside them, as protocols: federation and the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from xmpp_engine.stanza.stanza import Stanza

#: What goes from node to node: a kind, and values that msgpack knows (None, bool, int, float, str, bytes, list, dict).
Record = tuple[Any, ...]


class RemoteDomains(Protocol):
    """Everything that is addressed to a domain not served here."""

    def send(self, stanza: Stanza) -> bool:
        """Take the stanza for delivery elsewhere; False when there is no way to that domain. Where the stanza must be
        durable before its sender may be told that it was taken, `stanza.commit` grows."""


class NoRemoteDomains:
    """A server without federation: nothing can be sent elsewhere."""

    def send(self, stanza: Stanza) -> bool:
        """Always False."""
        return False


class Peers(Protocol):
    """The other nodes of the cluster (`cluster.cluster.Cluster`). Everything belongs to the loop's thread.

    A link to a node delivers records in the order in which they were posted, each once, as long as both nodes live. A
    node that is silent for too long, or restarts, is *gone*: `on_gone` functions get what it never acknowledged. When
    it is there again (another start, or a cut that healed), it has *joined* anew, and everybody tells it what it has to
    know: so a state that is replicated is sent whole in an `on_joined` function and followed by its changes.
    """

    @property
    def name(self) -> str:
        """Of this node."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the others that are here now, sorted."""

    @property
    def leader(self) -> str:
        """The node that has been here longest, maybe this one: it alone does what must be done once."""

    def stamp(self) -> int:
        """A stamp of hybrid time: greater than all that this node has given or heard, and no other node's."""

    def heard_stamp(self, stamp: int) -> None:
        """A stamp came in a record: later ones of this node are greater."""

    def post(self, node: str, record: Record) -> None:
        """Send a record; never waits, never raises. What is posted to a node that is not here is dropped."""

    def broadcast(self, record: Record) -> None:
        """Post to all others."""

    async def room(self, node: str) -> None:
        """Give others a turn, and wait while much waits for a node already: who has many records to post asks for it
        now and then, or the node is given up as one that does not keep up."""

    def handle(self, kind: str, function: Callable[[str, Record], Any]) -> None:
        """Call function(node, record) for records whose first value is `kind`; what it raises is logged."""

    def serve(self, name: str, function: Callable[..., Awaitable[Any]]) -> None:
        """Answer what others `ask` by this name: an async function(node, **arguments)."""

    async def ask(self, node: str, name: str, seconds: float = 5.0, **arguments: Any) -> Any:
        """Ask a node and wait for the answer; this node may ask itself. Raises NodeGone, TimeoutError, or Refused
        (`cluster.calls`) with the sentence of the Refused that the other side raised."""

    def publish(self, **facts: Any) -> None:
        """Let the others know something of this node with its next heartbeat (small: load, addresses, draining)."""

    @property
    def facts(self) -> dict[str, Any]:
        """What this node says of itself."""

    def facts_of(self, node: str) -> dict[str, Any]:
        """What a node says of itself; {} where it is not here."""

    def on_joined(self, function: Callable[[str, bool], Any]) -> None:
        """Call function(node, returned) when a node has joined, before anything it sends is handled. `returned` says
        that the same process was here before: a cut has healed, and it went on by itself meanwhile."""

    def on_gone(self, function: Callable[[str, list[Record]], Any]) -> None:
        """Call function(node, unacknowledged) when a node is gone: the records it may not have taken, in order."""


class Whereabout(Protocol):
    """One session of another node, as the directory has it; see `cluster.directory.Entry`."""

    node: str
    resource: str
    since: float
    priority: int
    flags: int
    presence: bytes | None
    device: str
    features: frozenset[str] | None
    claims: tuple[tuple[str, str], ...] | None

    @property
    def order(self) -> tuple[float, str]:
        """The greater one of two with the same full JID wins."""

    @property
    def receptive(self) -> bool:
        """Whether it takes messages to the bare JID."""


class Directory(Protocol):
    """The sessions of all other nodes; see `cluster.directory.Directory`."""

    @property
    def counts(self) -> dict[str, int]:
        """Sessions by node."""

    def of(self, bare: str) -> tuple[Any, ...]:
        """The sessions of an account on other nodes."""

    def find(self, bare: str, resource: str) -> Any:
        """One session, None where there is none."""

    def all(self) -> Iterator[tuple[str, Any]]:
        """Every session with the bare JID of its account."""

    def read(self, node: str, row: Any) -> Any:
        """What a node told of one of its sessions."""

    def put(self, bare: str, entry: Any) -> bool:
        """Enter a session or its changes; False where a later one has its full JID."""

    def remove(self, bare: str, resource: str, node: str, since: float) -> Any:
        """A session has ended; None where another one has its place already."""

    def drop(self, node: str) -> list[tuple[str, Any]]:
        """Forget a node; returns what it had."""
