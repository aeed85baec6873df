"""Files that are protected by a password, and say themselves how much work opening them is."""

from __future__ import annotations

import time

import pytest
from asn1crypto import keys, pem, pkcs12
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from mlink_web.certificates import unlocking
from mlink_web.certificates.bundle import Unusable, read
from mlink_web.certificates.unlocking import TooCostly, unlocked
from tests.kits.authority import Authority

SERVER = Authority("Root").issue("chat.example")
MOST_ROUNDS = 2**31 - 1


def _costly_pkcs12() -> bytes:
    found = pkcs12.Pfx.load(SERVER.pkcs12("word"))
    found["mac_data"]["iterations"] = MOST_ROUNDS
    return bytes(found.dump(force=True))


def _costly_key(*, memory: bool = False) -> bytes:
    text = SERVER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    found = keys.EncryptedPrivateKeyInfo.load(pem.unarmor(text)[2])
    parameters = found["encryption_algorithm"]["parameters"]
    if memory:
        parameters["key_derivation_func"] = {
            "algorithm": "scrypt",
            "parameters": {
                "salt": b"12345678",
                "cost_parameter": 2**24,
                "block_size": 8,
                "parallelization_parameter": 1,
            },
        }
    else:
        parameters["key_derivation_func"]["parameters"]["iteration_count"] = MOST_ROUNDS
    return bytes(pem.armor("ENCRYPTED PRIVATE KEY", found.dump(force=True)))


def test_what_is_in_them() -> None:
    key, certificates = unlocked("pkcs12", SERVER.pkcs12("word"), "word")
    assert key.private_numbers() == SERVER.key.private_numbers()
    assert certificates[0] == SERVER.certificate
    with pytest.raises(ValueError, match="password"):
        unlocked("pkcs12", SERVER.pkcs12("word"), "other")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "key"])
def test_endless_work_ends(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [_costly_pkcs12()] if kind == "file" else [SERVER.chain_pem, _costly_key()]
    # The processor seconds of the child end it: a busy machine takes longer to give it these.
    monkeypatch.setattr(unlocking, "WALL_SECONDS", 110.0)
    begun = time.monotonic()
    with pytest.raises(Unusable, match="asks for more work to be opened than any needs"):
        read(files, "word")
    assert time.monotonic() - begun < unlocking.WALL_SECONDS


def test_memory_is_bounded() -> None:
    with pytest.raises((TooCostly, ValueError)):
        unlocked("pem", _costly_key(memory=True), "word")


def test_a_child_that_gets_no_time_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlocking, "WALL_SECONDS", 0.01)
    with pytest.raises(TooCostly):
        unlocked("pkcs12", SERVER.pkcs12("word"), "word")
