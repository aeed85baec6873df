"""Where lines end: every character counts one point wide here, so that widths are lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlink_web.pdfa.bidi import without_controls
from mlink_web.pdfa.breaking import LONGEST, Line, Look, Setter
from mlink_web.pdfa.clean import cleaned

PLAIN = Look()


def setter() -> Setter:
    """Measures by counting."""
    return Setter(lambda text, _way, _look: (text, float(len(without_controls(text)))), lambda _drawn: None)


def seen(line: Line) -> str:
    """A line's pieces from left to right."""
    return "|".join(piece.text for piece in line.pieces)


def broken(text: str, width: float) -> list[str]:
    """The lines, each as read."""
    return ["".join(piece.text for piece in line.pieces) for line in setter().lines([(text, PLAIN)], width)]


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one  two", 4, ["one", "two"]),
        ("  indented", 20, ["  indented"]),
        ("a\n\nb", 9, ["a", "", "b"]),
        ("", 9, [""]),
        ("well-known", 6, ["well-", "known"]),
        ("2026-11-29 -5 a-1", 6, ["2026-1", "1-29", "-5 a-1"]),
        ("https://a/bcd/efg", 10, ["https://a/", "bcd/efg"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("ab\u200bcd", 3, ["ab", "cd"]),
        ("a\u00a0b c", 3, ["a\u00a0b", "c"]),
        ("中文字。中文", 3, ["中文", "字。中", "文"]),
        ("中文「字」", 3, ["中文", "「字」"]),
        ("アカット", 2, ["ア", "カッ", "ト"]),
        ("ok。好", 3, ["ok。", "好"]),
        ("ภาษาไทย", 4, ["ภาษา", "ไทย"]),
        ("한국어 텍스트", 5, ["한국어", "텍스트"]),
        ("👩\u200d🚀👩\u200d🚀", 3, ["👩\u200d🚀", "👩\u200d🚀"]),
    ],
)
def test_lines_end_where_they_may(text: str, width: float, expected: list[str]) -> None:
    assert broken(text, width) == expected


def test_lines_are_broken_as_read_and_ordered_as_seen() -> None:
    lines = list(setter().lines([("אבג דהו זחט abc", PLAIN)], 8))
    assert [seen(line) for line in lines] == ["דהו| |אבג", "abc| |זחט"]
    assert all(line.right for line in lines)
    (line,) = setter().lines([("abc (אב)", PLAIN)], 20)
    assert seen(line) == "abc| |(|אב|)"
    assert not line.right


def test_looks_do_not_tear_words() -> None:
    bold = Look(bold=True)
    lines = list(setter().lines([("one tw", PLAIN), ("o three", bold)], 7))
    assert [seen(line) for line in lines] == ["one| |tw|o", "three"]
    assert [piece.look.bold for piece in lines[0].pieces] == [False, False, False, True]


def test_a_long_line_is_set_in_parts() -> None:
    lines = list(setter().lines([("ab " * LONGEST, PLAIN)], 90))
    assert "".join(seen(line).replace("|", "") for line in lines).replace(" ", "") == "ab" * LONGEST
    assert all(line.width <= 90 for line in lines)


@given(
    st.text(alphabet=st.sampled_from("ab אב-/ 中。「ไท\n👩\u200d🚀é\u0301(\u2067\u2069\u200b"), max_size=60),
    st.integers(6, 20),
)
def test_nothing_is_lost_and_nothing_too_wide(text: str, width: int) -> None:
    text = cleaned(text)
    lines = list(setter().lines([(text, PLAIN)], width))
    drawn = sorted("".join(piece.text for line in lines for piece in line.pieces))
    assert [one for one in drawn if one not in " \u200b"] == sorted(one for one in text if one not in " \n\u200b")
    assert all(sum(piece.width for piece in line.pieces) <= width or len(line.pieces) == 1 for line in lines)
