"""Opens one PKCS#12 file or one encrypted key; the program that `unlocking.py` starts for each.

Reads `{"kind": "pkcs12" | "pem" | "der", "data": Base64, "password": text or null}` from its input and writes
`{"key": PEM or "", "certificates": [PEM, ...]}` or `{"error": what the library says}`.

Such a file says itself how many rounds its password is worked in (PBKDF2, scrypt) and how much memory that takes: up to
2^31 rounds, during which OpenSSL lets no other thread run. So before it looks at what it was given this process gives
up what it does not need, and has bounded processor time and memory.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

#: Ten times what the most careful programs ask for: a million rounds of PBKDF2 take 0.2 s.
CPU_SECONDS: Final = 3
MEMORY: Final = 512 * 1024 * 1024


def confine() -> None:
    """Give up what is not needed. A limit that cannot be set ends the program: it fails closed."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def opened(kind: str, data: bytes, password: bytes | None) -> dict[str, Any]:
    """What is in a file, not encrypted any more, or what is wrong with it."""
    certificates: list[Any] = []
    try:
        if kind == "pkcs12":
            key, leaf, others = pkcs12.load_key_and_certificates(data, password)
            certificates = [one for one in (leaf, *others) if one is not None]
        else:
            key = (load_pem_private_key if kind == "pem" else load_der_private_key)(data, password)  # type: ignore[assignment]
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() if key is not None else ""
        return {"key": text, "certificates": [one.public_bytes(Encoding.PEM).decode() for one in certificates]}
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "memory"}


if __name__ == "__main__":
    confine()
    wish = json.loads(sys.stdin.buffer.read())
    word = None if wish["password"] is None else wish["password"].encode()
    sys.stdout.write(json.dumps(opened(wish["kind"], base64.b64decode(wish["data"]), word)))
    sys.stdout.flush()
