"""Words of the index, searches for them, and marking hits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.text import Term, fold, highlight, index_text, parse, tokens

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40) | st.text(
    st.sampled_from("aB1 é東京都한글ไทย.-'\"*ßİ\u0301\u200d😀ﬁ"), max_size=20
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("Façade", ["facade"]),
        ("Fac\u0327ade", ["facade"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("東京都", ["東京", "京都", "都"]),
        ("in 東京 now", ["in", "東京", "京", "now"]),
        ("안녕", ["안녕", "녕"]),
        ("ﬁne ①", ["fine", "1"]),
        ("x_y-z", ["x", "y", "z"]),
        ("😀", []),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert index_text(text).split() == words


def test_long_words_are_cut() -> None:
    assert index_text("a" * 500) == "a" * 64
    assert tokens(parse("a" * 500)[0]) == (["a" * 64], False)


@given(texts)
def test_the_index_holds_only_letters_digits_and_blanks(text: str) -> None:
    assert all(word.isalnum() for word in index_text(text).split())


@given(texts)
def test_folding_once_is_enough(text: str) -> None:
    assert fold(fold(text)).split() == fold(text).split()


@given(texts, st.text(max_size=5), st.text(max_size=5))
def test_a_text_is_found_by_itself(text: str, before: str, after: str) -> None:
    words = index_text(f"{before} {text} {after}").split()
    for term in parse(f'"{text.replace(chr(34), " ")}"'):
        wanted, prefix = tokens(term)
        assert any(
            words[i : i + len(wanted)] == wanted
            or (
                prefix
                and words[i : i + len(wanted) - 1] == wanted[:-1]
                and words[i + len(wanted) - 1 : i + len(wanted)][0:1]
                and words[i + len(wanted) - 1].startswith(wanted[-1])
            )
            for i in range(len(words) - len(wanted) + 1)
        ), (words, wanted)


def test_what_a_user_may_type() -> None:
    assert parse('one "two three" fou* x-y') == [
        Term(("one",)),
        Term(("two", "three")),
        Term(("fou",), True),
        Term(("x", "y")),
    ]
    assert parse('!!! "" \'') == []
    assert len(parse(" ".join("abcdefghijklmnopqrstuvwxyz"))) == 16


@pytest.mark.parametrize(
    ("text", "search", "marked"),
    [
        ("The Façade falls", "facade", ["Façade"]),
        ("facades", "facade", []),
        ("facades", "facade*", ["facade"]),
        ("a b, c", '"b c"', ["b, c"]),
        ("東京都", "京都", ["京都"]),
        ("one two one", "one", ["one", "one"]),
        ("Straße", "strasse", ["Straße"]),
        ("x", "nothing", []),
    ],
)
def test_hits_are_marked(text: str, search: str, marked: list[str]) -> None:
    pieces = highlight(text, parse(search))
    assert [piece for piece, hit in pieces if hit] == marked


@given(texts, texts)
def test_marking_keeps_the_text(text: str, search: str) -> None:
    assert "".join(piece for piece, _hit in highlight(text, parse(search))) == text
