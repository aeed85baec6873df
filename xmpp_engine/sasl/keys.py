"""SCRAM keys from a password (RFC 5802, 3; RFC 7677; RFC 8265 for the preparation)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from xmpp_engine.addressing.prep import password as prepare
from xmpp_engine.storage.types import ScramKeys

#: Mechanism to the name of its hash, strongest first.
HASHES: Final[dict[str, str]] = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
#: Rounds of PBKDF2 for new passwords, and what accounts that do not exist pretend to have.
ITERATIONS: Final = 10_000
SALT_BYTES: Final = 16
#: Characters of a new password.
MAX_LENGTH: Final = 1024


def derive(mechanism: str, password: str, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of a password; milliseconds of work, so not for the loop's thread.

    Raises ValueError with a sentence where the password cannot be one.
    """
    name = HASHES[mechanism]
    salted = hashlib.pbkdf2_hmac(name, prepare(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", name)
    return ScramKeys(
        mechanism, salt, iterations, hashlib.new(name, client_key).digest(), hmac.digest(salted, b"Server Key", name)
    )


def fresh(password: str, iterations: int = ITERATIONS, salt: bytes = b"") -> list[ScramKeys]:
    """Keys of a password for every mechanism, with one salt for all of them, a new one unless it is given.

    Raises ValueError as `derive` does, and for a password that nobody types: hashing it is work anybody could ask for.
    """
    if len(password) > MAX_LENGTH:
        raise ValueError(f"The password is longer than {MAX_LENGTH} characters.")
    salt = salt or secrets.token_bytes(SALT_BYTES)
    return [derive(mechanism, password, salt, iterations) for mechanism in HASHES]


def pretended(secret: bytes, mechanism: str, name: str, iterations: int) -> ScramKeys:
    """Keys for a name without an account, the same each time: nobody can tell from the salt that there is none.

    The salt does not depend on the mechanism, because it does not for real accounts either.
    """
    hash_name = HASHES[mechanism]
    salt = hmac.digest(secret, b"salt " + name.encode(), "sha256")[:SALT_BYTES]
    stored_key = hmac.digest(secret, b"stored " + name.encode(), hash_name)
    server_key = hmac.digest(secret, b"server " + name.encode(), hash_name)
    return ScramKeys(mechanism, salt, iterations, stored_key, server_key)
