"""How many wrong passwords the sign-in page takes before it asks to wait (AUTH-07).

Counted in the cache, in windows of WINDOW seconds from the first failure: per address and account together (the usual
mistyping), per account (many machines trying one account), per address (one machine trying many accounts). While a
limit is reached no password is looked at, so that guessing right does not help either.
"""

from __future__ import annotations

import hashlib

from django.core.cache import cache

WINDOW = 300
PAIR_LIMIT = 5
ACCOUNT_LIMIT = 40
ADDRESS_LIMIT = 30


def _counters(account: str, address: str) -> tuple[tuple[str, int], ...]:
    """Cache keys and limits. Hashed: what people type has any length and any character."""
    names = (f"pair:{address}:{account}", f"account:{account}", f"address:{address}")
    keys = (f"mlink:signin:{hashlib.sha256(name.encode()).hexdigest()}" for name in names)
    return tuple(zip(keys, (PAIR_LIMIT, ACCOUNT_LIMIT, ADDRESS_LIMIT), strict=True))


def is_closed(account: str, address: str) -> bool:
    """True while this account may not be tried from this address."""
    counters = _counters(account, address)
    found = cache.get_many([key for key, _ in counters])
    return any(found.get(key, 0) >= limit for key, limit in counters)


def count_failure(account: str, address: str) -> None:
    """Remember one wrong password."""
    for key, _ in _counters(account, address):
        if not cache.add(key, 1, WINDOW):
            try:
                cache.incr(key)
            except ValueError:  # the window ended between the two calls
                cache.add(key, 1, WINDOW)


def forget(account: str, address: str) -> None:
    """A right password clears what was counted for this pair; the wider counters go on."""
    cache.delete(_counters(account, address)[0][0])
