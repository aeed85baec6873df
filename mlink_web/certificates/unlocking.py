"""What is protected by a password, opened in a process of its own with little time and memory (`unlocking_child.py`):
how much work that is, the file itself says."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mlink_web import confined

CHILD: Final = Path(__file__).with_name("unlocking_child.py")
#: The child counts processor seconds itself; this is for a machine that is too busy to give it any.
WALL_SECONDS: Final = 30.0
#: Files that are opened at once, in this process; more wait for their turn.
_turns: Final = threading.BoundedSemaphore(2)


class TooCostly(Exception):
    """Opening takes more time or memory than any file needs."""


def unlocked(kind: str, data: bytes, password: str) -> tuple[Any, list[x509.Certificate]]:
    """The key, if there is one, and the certificates of a PKCS#12 file (`pkcs12`) or an encrypted key (`pem`, `der`).
    Raises ValueError with what the library says, and TooCostly."""
    wish = {"kind": kind, "data": base64.b64encode(data).decode(), "password": password or None}
    if not _turns.acquire(timeout=WALL_SECONDS):
        raise TooCostly
    try:
        out, code = confined.answer_of(CHILD, json.dumps(wish).encode(), WALL_SECONDS)
    except confined.TooLong:
        raise TooCostly from None
    finally:
        _turns.release()
    if code < 0:
        raise TooCostly
    if code:
        raise ValueError("damaged")
    answer = json.loads(out)
    if "error" in answer:
        if answer["error"] == "memory":
            raise TooCostly
        raise ValueError(answer["error"])
    key = load_pem_private_key(answer["key"].encode(), None) if answer["key"] else None
    return key, [x509.load_pem_x509_certificate(one.encode()) for one in answer["certificates"]]
