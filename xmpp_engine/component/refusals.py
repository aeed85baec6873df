"""Connections of components that were refused, for people: the last ones with the reason, and one line in the log for
each kind, however many there are."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any, Final

from xmpp_engine.runtime.clock import Clock
from xmpp_engine.sasl.throttle import network

log = logging.getLogger("mlink.components")

#: Kinds of refusal that are kept, and characters of what a stranger wrote.
KEPT: Final = 100
_TEXT: Final = 200


@dataclass(slots=True)
class Refusal:
    """One kind: who wanted what, why not, how often, when first and last."""

    domain: str
    address: str
    reason: str
    count: int
    first: float
    last: float


class Refusals:
    """By domain, network and reason; the oldest kinds are forgotten first."""

    __slots__ = ("_clock", "_kinds")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, str, str], Refusal] = {}

    def add(self, domain: str, peer: str, reason: str) -> None:
        """Note a refusal; said in the log at the first, second, fourth, eighth... of its kind."""
        now = self._clock.time()
        domain, key = domain[:_TEXT], (domain[:_TEXT], network(peer), reason)
        found = self._kinds.pop(key, None)
        if found is None:
            if len(self._kinds) >= KEPT:
                del self._kinds[next(iter(self._kinds))]
            found = Refusal(domain, address_of(peer), reason, 0, now, now)
        self._kinds[key] = found
        found.count += 1
        found.last, found.address = now, address_of(peer)
        if found.count & (found.count - 1) == 0:
            log.warning(
                "a connection from %s as component %s is refused: %s (%d so far)",
                found.address or "?",
                domain or "?",
                reason,
                found.count,
            )

    def rows(self) -> list[dict[str, Any]]:
        """All of them, the newest first."""
        return [asdict(refusal) for refusal in reversed(self._kinds.values())]


def address_of(peer: str) -> str:
    """The address in a peer's address and port."""
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    return peer.partition(":")[0] if peer.count(":") == 1 else peer
