"""How many connections one address may have, in all and before it has authenticated.

A thousand connections that never authenticate cost a thousand sockets and small objects, bounded per address here and
in time by the stream's negotiation limit. IPv6 addresses count by /64, the least a site is given: single addresses
there are free to whoever wants many.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address


def admission_key(address: str) -> str:
    """What an address is counted under."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


class Admission:
    """Counts of open connections by address. Only addresses with open connections take memory."""

    __slots__ = ("_total", "_unauthenticated")

    def __init__(self) -> None:
        self._total: dict[str, int] = {}
        self._unauthenticated: dict[str, int] = {}

    def admit(self, key: str, total: int, unauthenticated: int) -> bool:
        """Count a new connection of `key` unless that would pass either limit."""
        if self._total.get(key, 0) >= total or self._unauthenticated.get(key, 0) >= unauthenticated:
            return False
        self._total[key] = self._total.get(key, 0) + 1
        self._unauthenticated[key] = self._unauthenticated.get(key, 0) + 1
        return True

    def authenticated(self, key: str) -> None:
        """One connection of `key` is no longer unauthenticated; once per connection."""
        _take(self._unauthenticated, key)

    def gone(self, key: str, authenticated: bool) -> None:
        """An admitted connection has closed."""
        _take(self._total, key)
        if not authenticated:
            _take(self._unauthenticated, key)

    def __len__(self) -> int:
        return len(self._total)


def _take(counts: dict[str, int], key: str) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
