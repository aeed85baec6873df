"""Addresses: canonical form, refusals, the bounded cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmpp_engine.addressing import jid as module
from xmpp_engine.addressing.jid import Jid, JidError


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("juliet@example.org", "juliet@example.org"),
        ("Juliet@EXAMPLE.org/Balcony 1", "juliet@example.org/Balcony 1"),
        ("example.org.", "example.org"),
        ("FU\u00dfBALL@example.org", "fu\u00dfball@example.org"),
        ("\uff21dmin@example.org", "admin@example.org"),
        ("a@xn--bcher-kva.example", "a@b\u00fccher.example"),
        ("a@B\u00dcCHER.example", "a@b\u00fccher.example"),
        ("a@[::1]/x", "a@[::1]/x"),
        ("a@b/c/d@e", "a@b/c/d@e"),
        ("a@b/\u2003x", "a@b/ x"),
    ],
)
def test_canonical_forms(text: str, full: str) -> None:
    assert Jid.parse(text).full == full


@pytest.mark.parametrize(
    "text",
    ["", "@b", "a@", "a@b/", "/x", "a b@c", "a&b@c", "a'b@c", "a:b@c", "a@b@c", "\u265a@b", "a@-b", "a@b..c",
    "a@b_\u0000",
     "a@b/\u0000", "a" * 1024 + "@b", "a@" + "b" * 64 + ".org", "a@b/" + "\u00e9" * 600, "a\u200db@c", "a@\u2713.org"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(JidError):
        Jid.parse(text)


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_preparation_is_idempotent(local: str, domain: str, resource: str) -> None:
    try:
        jid = Jid.make(local, domain, resource)
    except JidError:
        return
    assert Jid.make(jid.local, jid.domain, jid.resource) == jid


def test_encoded_is_ready_for_an_attribute() -> None:
    assert Jid.parse("a@b/it's <x>").encoded == b"a@b/it&apos;s &lt;x&gt;"


def test_the_cache_is_bounded_and_keeps_no_long_texts() -> None:
    for number in range(3 * module._CACHE_SIZE):
        Jid.parse(f"user{number}@example.org")
    assert len(module._cache) <= module._CACHE_SIZE
    long = "a@b/" + "x" * 500
    Jid.parse(long)
    assert long not in module._cache
