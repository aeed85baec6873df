"""The order of letters that run in both directions: against another implementation, and the cases that matter."""

from __future__ import annotations

import pytest
from bidi import get_display
from fontTools.unicodedata import Mirrored
from hypothesis import given
from hypothesis import strategies as st

from mlink_web.pdfa import bidi

LETTERS = "abZ éאבגשםعربيةه٠١٢09 7.,:;-+%$€()[]{}<>!?\"'/ \u0301\u05b8\u064e&*"
SAME = {chr(code): chr(min(code, other)) for code, other in Mirrored.MIRRORED.items()}


def seen(text: str) -> str:
    """The characters from left to right."""
    base = bidi.base_level(text)
    levels = bidi.levels(text, base)
    # Rule L1: blanks at the end have the paragraph's level.
    end = len(text.rstrip())
    levels[end:] = [base] * (len(text) - end)
    return "".join(
        chr(Mirrored.MIRRORED.get(ord(text[at]), ord(text[at]))) if levels[at] % 2 else text[at]
        for at in bidi.visual(levels)
    )


@given(st.text(alphabet=LETTERS, min_size=1, max_size=30))
def test_the_order_is_that_of_another_implementation(text: str) -> None:
    # It mirrors fewer characters.
    assert [SAME.get(one, one) for one in seen(text)] == [SAME.get(one, one) for one in get_display(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", "abc"),
        ("אבג", "גבא"),
        ("abc אבג def", "abc גבא def"),
        ("אבג abc דהו", "והד abc גבא"),
        ("אבג 123", "123 גבא"),
        ("אבג (דה)", "(הד) גבא"),
        # An isolate is one neutral sign for what is around it.
        ("abc \u2067אב 12\u2069 34", "abc \u206712 בא\u2069 34"),
        ("\u2068abc\u2069: אב", "בא :\u2069abc\u2068"),
    ],
)
def test_lines(text: str, expected: str) -> None:
    assert seen(text) == expected


def test_isolates_without_end_and_without_bound() -> None:
    assert seen("a\u2067b\u2069\u2069c") == "a\u2067b\u2069\u2069c"
    deep = "\u2067a" * 500 + "א"
    assert sorted(seen(deep)) == sorted(deep)
