"""Texts of strangers."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlink_web.pdfa.clean import MAX_JOINED, MAX_MARKS, cleaned
from mlink_web.pdfa.shaping import clusters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("e\u0301 e\xad\u0301", "é é"),
        ("\u1112\u1161\u11ab", "한"),
        ("\ufa19 \u2126", "\ufa19 \u2126"),
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("a\tb", "a    b"),
        ("a\x00\x07\x1b\x7f\x85\ud800\udc00\ufeff\u00ad\uffff\U0001fffeb", "a\nb"),
        ("\u202eevil\u202c", "\u2067evil\u2069"),
        ("\u202afine\u202c", "\u2066fine\u2069"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("a\U000e0001\U000e0061b", "ab"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
    ],
)
def test_cleaned(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_towers_are_bounded() -> None:
    assert len(cleaned("Z" + "\u0301\u0489" * 5_000 + "x")) <= MAX_MARKS + 2
    assert max(map(len, clusters(cleaned("👩" + "\u200d👩" * 5_000)))) == 2 * MAX_JOINED + 1
    assert len(cleaned("🏴" + "\U000e0067" * 5_000)) <= MAX_JOINED + 1


@given(st.text(alphabet=st.characters(), max_size=80))
def test_what_is_left_can_be_set(text: str) -> None:
    once = cleaned(text)
    assert cleaned(once) == once
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in once if one != "\n")
    assert not set(once) & set("\u202a\u202b\u202c\u202d\u202e")
