"""Back-off after failed sign-ins, per address and per account (AUTH-07).

Three counts, each in a window that begins with its first failure:

* of one address for one account: the usual guesser. Few are free, then nothing is checked until the window ends;
* of one address for all accounts: somebody who tries many names. The limit is high, many people may share an address;
* of one account from all addresses: a guesser with many machines. Over the limit, an address that has failed for this
  account already must wait; one that has not still gets its try, so the owner is never locked out by others.

Below the limits each failure is answered later than the one before. A success forgets what this address did to this
account. All tables are bounded; the oldest entries go first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from itertools import islice
from typing import Final

from xmpp_engine.runtime.clock import Clock

_FREE: Final = 2
_FIRST_DELAY: Final = 0.25
_LONGEST_DELAY: Final = 4.0


class _Window:
    """Counts of keys since their first failure. Entries leave when they are over, or when there are too many."""

    __slots__ = ("_counts", "_seconds", "_size", "limit")

    def __init__(self, limit: int, seconds: float, size: int) -> None:
        self.limit = limit
        self._seconds = seconds
        self._size = size
        self._counts: dict[Hashable, tuple[int, float]] = {}

    def count(self, key: Hashable, now: float) -> int:
        found = self._counts.get(key)
        if found is None:
            return 0
        if now >= found[1]:
            del self._counts[key]
            return 0
        return found[0]

    def add(self, key: Hashable, now: float) -> int:
        count = self.count(key, now)
        if not count and len(self._counts) >= self._size:
            for oldest in list(islice(self._counts, max(1, self._size // 10))):
                del self._counts[oldest]
        ends = self._counts[key][1] if count else now + self._seconds
        self._counts[key] = (count + 1, ends)
        return count + 1

    def forget(self, key: Hashable) -> None:
        self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


class Throttle:
    """Failed sign-ins of one engine. Addresses are texts with or without a port ("" is nobody's and not counted),
    accounts bare JIDs or "" ."""

    __slots__ = ("_accounts", "_addresses", "_clock", "_pairs")

    def __init__(
        self,
        clock: Clock,
        *,
        per_pair: int = 10,
        per_address: int = 200,
        per_account: int = 50,
        seconds: float = 300.0,
        size: int = 20_000,
    ) -> None:
        self._clock = clock
        self._pairs = _Window(per_pair, seconds, size)
        self._addresses = _Window(per_address, seconds, size)
        self._accounts = _Window(per_account, seconds, size)

    def refuses(self, address: str, account: str = "") -> bool:
        """Whether an attempt is not even looked at. Refused attempts do not prolong the window."""
        now = self._clock.now()
        source = network(address)
        if source and self._addresses.count(source, now) >= self._addresses.limit:
            return True
        if not account:
            return False
        failures = self._pairs.count((source, account), now)
        if failures >= self._pairs.limit:
            return True
        return bool(failures) and self._accounts.count(account, now) >= self._accounts.limit

    def failed(self, address: str, account: str = "") -> float:
        """Count a failure; returns the seconds to wait before it is answered."""
        now = self._clock.now()
        source = network(address)
        if source:
            self._addresses.add(source, now)
        if account:
            self._accounts.add(account, now)
        count = self._pairs.add((source, account), now)
        if count <= _FREE:
            return 0.0
        return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(count - _FREE - 1, 8))

    def succeeded(self, address: str, account: str) -> None:
        """A right password: what failed before from this address for this account was a slip."""
        if len(self._pairs):
            self._pairs.forget((network(address), account))

    def __len__(self) -> int:
        """Entries held, for tests of the bound."""
        return len(self._pairs) + len(self._addresses) + len(self._accounts)


def network(peer: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 that an IPv6 host can choose its address from; never the
    port."""
    if peer.startswith("["):
        address = peer[1:].partition("]")[0]
    elif peer.count(":") == 1:
        return peer.partition(":")[0]
    else:
        address = peer
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)).network_address)
