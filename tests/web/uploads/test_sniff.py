"""What files are by their first bytes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlink_web.uploads.files import disposition, is_token, key_of
from mlink_web.uploads.sniff import INLINE, OCTETS, Lie, recognise, served_type


@given(st.text(max_size=40), st.binary(max_size=200))
def test_nothing_unsafe_is_ever_answered(claimed: str, head: bytes) -> None:
    try:
        served = served_type(claimed, head)
    except Lie:
        return
    assert served == OCTETS or served in INLINE
    # What is shown has been recognised as something of that family, or confirmed as sound.
    if served in INLINE:
        assert recognise(head).partition("/")[0] in ("image", "audio", "video") or served.startswith("audio/")


@given(st.text(min_size=16, max_size=200).filter(lambda text: text.isprintable()))
def test_text_is_no_picture(text: str) -> None:
    with pytest.raises(Lie):
        served_type("image/png", ("<" + text).encode())


def test_what_is_encrypted_is_no_lie() -> None:
    for number in range(3_000):
        noise = hashlib.shake_128(str(number).encode()).digest(64)
        assert served_type("image/jpeg", noise) == OCTETS
        assert served_type("video/mp4", noise) == OCTETS


@given(st.text(min_size=1, max_size=60))
def test_a_header_holds_any_name(name: str) -> None:
    try:
        header = disposition("attachment", name)
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in name)
        return
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@pytest.mark.parametrize("text", ["", "a", "../../../../etc/passwd", "a" * 65, "a" * 15 + "/", "ä" * 20])
def test_what_is_no_token(text: str) -> None:
    assert not is_token(text)
    with pytest.raises(ValueError, match="token"):
        key_of(text)
