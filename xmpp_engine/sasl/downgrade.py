"""Downgrade protection (XEP-0474): what was offered, as the proof of SCRAM covers it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import lru_cache


@lru_cache(256)
def hashed(hash: str, mechanisms: tuple[str, ...], bindings: tuple[str, ...]) -> str:
    """XEP-0474, 5.1: the offered mechanisms and, where they were announced, channel bindings."""
    text = "\x1e".join(sorted(mechanisms))
    if bindings:
        text += "\x1f" + "\x1e".join(sorted(bindings))
    return b64encode(hashlib.new(hash, text.encode()).digest()).decode()
