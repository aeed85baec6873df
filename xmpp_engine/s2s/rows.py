"""What lists and the console show of streams with other servers and of queues, a dictionary a line: see
`Federation.rows` for what its fields mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from xmpp_engine.s2s.destination import Destination
    from xmpp_engine.s2s.peer_stream import PeerStream

#: What of a `trust.Judgement` is shown.
_JUDGED: Final = (
    "accepted",
    "reason",
    "code",
    "subject",
    "issuer",
    "names",
    "expires",
    "fingerprint",
    "pinned",
    "chain_length",
    "revocation",
    "tlsa",
)


def of_stream(peer: PeerStream) -> dict[str, Any]:
    """The line of a stream."""
    stream = peer.stream
    facts = stream.transport.tls_facts()
    judgement = peer.judgement
    local, remote = peer.known_as()
    pairs = {*peer.sends, *((ours, theirs) for theirs, ours in peer.receives)} - {(local, remote)}
    return {
        "kind": "stream",
        "id": peer.federation.stream_id(peer.number),
        "state": "ready" if peer.authentication else "negotiating",
        "direction": "both" if peer.receives and (peer.sends or peer.bidi) else peer.direction,
        "local": local,
        "remote": remote,
        "pairs": sorted(list(pair) for pair in pairs),
        "authentication": peer.authentication,
        "address": stream.transport.peer,
        "tls": " ".join(filter(None, (facts.get("version", ""), facts.get("cipher", "")))),
        "certificate": {name: getattr(judgement, name) for name in _JUDGED} if judgement is not None else {},
        "since": stream.since,
        "stanzas_in": peer.stanzas_in,
        "stanzas_out": peer.stanzas_out,
        "bytes_in": stream.bytes_in,
        "bytes_out": stream.bytes_out,
        "unacked": len(peer.acks.queue) if peer.acks is not None else -1,
        "latency": peer.acks.latency if peer.acks is not None else -1.0,
        "queued": 0,
        "queued_bytes": stream.transport.idle_bytes(),
        "oldest": 0.0,
        "next_try": 0.0,
        "error": "",
    }


def of_queue(destination: Destination) -> dict[str, Any]:
    """The line of a queue."""
    oldest = next((waiting.came for waiting in destination.queue), 0.0)
    state = "waiting" if destination.next_try else "connecting" if destination.connecting else "ready"
    return {
        "kind": "queue",
        "id": "",
        "state": state,
        "direction": "out",
        "local": destination.local,
        "remote": destination.remote,
        "pairs": [],
        "authentication": "",
        "address": "",
        "tls": "",
        "certificate": {},
        "since": oldest,
        "stanzas_in": 0,
        "stanzas_out": 0,
        "bytes_in": 0,
        "bytes_out": 0,
        "unacked": -1,
        "latency": -1.0,
        "queued": len(destination.queue),
        "queued_bytes": destination.queue.bytes,
        "oldest": oldest,
        "next_try": destination.next_try,
        "error": destination.failure.text if destination.failure is not None else "",
    }
