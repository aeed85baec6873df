"""Keys from passwords: the published examples, preparation, and pretended keys."""

from __future__ import annotations

import base64

import pytest

from xmpp_engine.sasl.keys import HASHES, derive, fresh, pretended


def test_the_stored_key_verifies_the_client_key_of_rfc_5802() -> None:
    keys = derive("SCRAM-SHA-1", "pencil", base64.b64decode("QSXCR+Q6sek8bf92"), 4096)
    assert base64.b64encode(keys.stored_key) == b"6dlGYMOdZcOPutkcNY8U2g7vK9Y="
    assert base64.b64encode(keys.server_key) == b"D+CSWLOshSulAsxiupA+qs2/fTE="


def test_passwords_are_prepared() -> None:
    """OpaqueString: composed and decomposed forms are one password, a wide blank is a blank (RFC 8265, 4.2)."""
    composed = derive("SCRAM-SHA-1", "caf\u00e9\u3000x", b"salt", 2)
    assert composed.stored_key == derive("SCRAM-SHA-1", "cafe\u0301 x", b"salt", 2).stored_key


@pytest.mark.parametrize("password", ["", "tab\there", "\ud800", "x" * 1025])
def test_what_cannot_be_a_password_is_refused(password: str) -> None:
    with pytest.raises(ValueError):
        derive("SCRAM-SHA-256", password, b"salt", 2)


def test_fresh_keys_share_salt_and_rounds_and_differ_each_time() -> None:
    first, second = fresh("pencil", 2), fresh("pencil", 2)
    assert {keys.mechanism for keys in first} == set(HASHES)
    assert len({(keys.salt, keys.iterations) for keys in first}) == 1
    assert first[0].salt != second[0].salt


def test_pretended_keys_are_stable_and_look_real() -> None:
    one = pretended(b"secret", "SCRAM-SHA-1", "nobody@localhost", 10_000)
    again = pretended(b"secret", "SCRAM-SHA-256", "nobody@localhost", 10_000)
    other = pretended(b"secret", "SCRAM-SHA-1", "somebody@localhost", 10_000)
    assert one.salt == again.salt
    assert one.salt != other.salt
    assert len(one.salt) == len(fresh("x", 2)[0].salt)
    assert (len(one.stored_key), len(again.stored_key)) == (20, 32)
