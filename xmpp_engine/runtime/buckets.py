"""Token buckets per account: how often somebody may do what costs others."""

from __future__ import annotations

from typing import Final

_SIZE: Final = 20_000


class Buckets:
    """One bucket per key: `burst` tokens at most, `rate` more each second. The number of keys is bounded: full buckets
    go first, they say nothing."""

    __slots__ = ("_buckets", "burst", "rate")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, now: float) -> bool:
        """Take a token; False where there is none. `now` is in monotonic seconds."""
        tokens, last = self._buckets.get(key, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - last) * self.rate)
        if tokens < 1.0:
            self._buckets[key] = (tokens, now)
            return False
        if key not in self._buckets and len(self._buckets) >= _SIZE:
            self._shrink(now)
        self._buckets[key] = (tokens - 1.0, now)
        return True

    def _shrink(self, now: float) -> None:
        """Drop what is full again, and the oldest if that is not enough."""
        full = [key for key, (tokens, last) in self._buckets.items() if tokens + (now - last) * self.rate >= self.burst]
        for key in full or list(self._buckets)[: _SIZE // 10]:
            del self._buckets[key]

    def __len__(self) -> int:
        return len(self._buckets)
