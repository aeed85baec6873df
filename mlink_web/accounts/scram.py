"""SCRAM keys of accounts: one salt and iteration count for all hashes of an account.

A common salt lets one challenge serve the password and the one-time tokens alike. PBKDF2 releases the interpreter's
lock, so `derive` runs well in several threads.
"""

from __future__ import annotations

import hmac

from django.conf import settings

from xmpp_engine.sasl import keys as scram_keys
from xmpp_engine.storage.types import ScramKeys


def iterations() -> int:
    """Rounds for new passwords; the setting SCRAM_ITERATIONS is for tests."""
    return int(getattr(settings, "SCRAM_ITERATIONS", scram_keys.ITERATIONS))


def derive(password: str, salt: bytes | None = None, rounds: int | None = None) -> list[ScramKeys]:
    """The keys of a password for every hash; raises ValueError with a sentence for what cannot be a password."""
    if not password:
        raise ValueError("The password is empty.")
    return scram_keys.fresh(password, rounds or iterations(), salt or b"")


def like(password: str, keys: ScramKeys) -> ScramKeys:
    """The keys of another password that one challenge serves together with these; raises ValueError."""
    return scram_keys.derive(keys.mechanism, password, keys.salt, keys.iterations)


def matches(password: str, keys: ScramKeys | None) -> bool:
    """Whether the keys are those of this password; for no keys, False after the same work."""
    known = keys or ScramKeys("SCRAM-SHA-256", b"\0" * scram_keys.SALT_BYTES, iterations(), b"", b"")
    if len(password) > scram_keys.MAX_LENGTH:
        return False
    try:
        found = scram_keys.derive(known.mechanism, password, known.salt, known.iterations)
    except ValueError:
        return False
    return hmac.compare_digest(found.stored_key, known.stored_key)
