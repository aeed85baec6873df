"""Words for the full-text index: the same on SQLite and PostgreSQL.

Neither database's own analysis finds Chinese words, and they disagree about accents. So texts are normalised here and
the databases only split at blanks: NFKC, case folded, marks stripped ("façade" is "facade"), everything but letters
and digits a blank. Runs of scripts written without blanks become overlapping pairs ("東京都" is "東京 京都 都"),
and a search for such a run is a search for the pairs side by side. Rows pass through `index_text` when they are
written; users' words through `parse`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

#: Longest word that is indexed; more is noise (keys, base64) and would swell the index.
_MAX_WORD: Final = 64
_MAX_TERMS: Final = 16
#: Characters whose folding is remembered.
_FOLDS: Final = 16_384
_ASCII: Final = bytes(code if chr(code).isalnum() else 32 for code in range(128)) + bytes([32]) * 128
#: Scripts written without blanks between words: Thai to Myanmar, Khmer, kana, bopomofo, Han, Hangul.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3040-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff]+"
)

_EXPONENT: Final = re.compile(r"(?<![^ ])([0-9]+e[0-9])")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing searched for: words that stand side by side, the last of which may be only the beginning of one."""

    words: tuple[str, ...]
    prefix: bool = False


def fold_character(character: str) -> str:
    """What one character counts as: folded letters and digits, "" for a mark, a blank for anything else."""
    if unicodedata.category(character)[0] == "M":
        return ""
    out = []
    for part in unicodedata.normalize("NFD", unicodedata.normalize("NFKC", character).casefold()):
        if part.isalnum():
            out.append(part)
        elif unicodedata.category(part)[0] != "M":
            out.append(" ")
    return unicodedata.normalize("NFC", "".join(out))


class _Folds(dict[int, str]):
    """What characters count as, by their codes, as `str.translate` asks for it; bounded by starting anew."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _FOLDS:
            self.clear()
        found = self[code] = fold_character(chr(code))
        return found


_folds: Final = _Folds()


def fold(text: str) -> str:
    """The text with letters and digits folded and everything else turned to blanks."""
    if text.isascii():
        return text.encode().lower().translate(_ASCII).decode()
    # Composed first, so that a letter and its mark written apart fold like the one character.
    return unicodedata.normalize("NFKC", text).translate(_folds)


def index_text(text: str) -> str:
    """The words of a message as the index takes them, parted by single blanks; "" where there are none."""
    folded = fold(text)
    if not folded.isascii():
        folded = _UNSPACED.sub(_pairs, folded)
    if len(folded) <= _MAX_WORD:
        return " ".join(folded.split())
    return " ".join([word[:_MAX_WORD] for word in folded.split()])


def parse(text: str) -> list[Term]:
    """What a user's words ask for: all of them, in any order; "in quotes" side by side; `begin*` the beginning of a
    word.

    Characters that are no letters or digits only part words; at most 16 terms count.
    """
    terms: list[Term] = []
    for index, part in enumerate(text.split('"')):
        if index % 2:
            words = tuple(fold(part).split())
            if words:
                terms.append(Term(words))
        else:
            for word in part.split():
                words = tuple(fold(word).split())
                if words:
                    terms.append(Term(words, word.endswith("*")))
    return terms[:_MAX_TERMS]


def tokens(term: Term) -> tuple[list[str], bool]:
    """The term as tokens of the index that stand side by side, and whether the last is only a beginning."""
    out: list[str] = []
    prefix = term.prefix
    for number, word in enumerate(term.words):
        last = number == len(term.words) - 1
        if word.isascii():
            out.append(word[:_MAX_WORD])
            continue
        position = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > position:
                out.append(word[position : run.start()][:_MAX_WORD])
            pairs = _pair_list(run.group())
            position = run.end()
            if last and position == len(word):
                # The indexed run may go on: without the single character that marks its end, or as the beginning of a
                # pair.
                prefix = prefix or len(pairs) == 1
                pairs = pairs[:-1] or pairs
            out.extend(pairs)
        if position < len(word):
            out.append(word[position:][:_MAX_WORD])
    return out, prefix


def for_postgres(words: str) -> str:
    """Words as PostgreSQL's parser leaves them whole: it would cut `8e10a1` behind what looks like a number."""
    return _EXPONENT.sub(r"n\1", words)


def highlight(text: str, terms: list[Term]) -> list[tuple[str, bool]]:
    """The text cut into pieces, each with whether it is one of the terms; joined they are the text again."""
    folded, places = _placed(text)
    marked = bytearray(len(text))
    for term in terms:
        for start, end in _hits(folded, term):
            for place in range(places[start], places[end - 1] + 1):
                marked[place] = 1
    pieces: list[tuple[str, bool]] = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or marked[index] != marked[start]:
            pieces.append((text[start:index], bool(marked[start])))
            start = index
    return pieces


def _pair_list(run: str) -> list[str]:
    return [run[index : index + 2] for index in range(len(run))]


def _pairs(match: re.Match[str]) -> str:
    return f" {' '.join(_pair_list(match.group()))} "


def _placed(text: str) -> tuple[str, list[int]]:
    """The folded text with single blanks, and for each of its characters the place it came from."""
    out: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for part in _folds[ord(character)]:
            if part == " " and (not out or out[-1] == " "):
                continue
            out.append(part)
            places.append(place)
    return "".join(out), places


def _hits(folded: str, term: Term) -> list[tuple[int, int]]:
    """Where a term stands in a folded text: whole words, but anything inside a run without blanks."""
    wanted = " ".join(term.words)
    found = []
    start = folded.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if (_open(folded, start - 1, wanted[0])) and (term.prefix or _open(folded, end, wanted[-1])):
            found.append((start, end))
        start = folded.find(wanted, start + 1)
    return found


def _open(folded: str, neighbour: int, own: str) -> bool:
    """Whether a word may begin or end beside this neighbour."""
    if not 0 <= neighbour < len(folded) or folded[neighbour] == " ":
        return True
    return _UNSPACED.match(own) is not None or _UNSPACED.match(folded[neighbour]) is not None
