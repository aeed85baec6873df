"""Texts of strangers, made fit to be set: what no page can show goes, what misleads is tamed, what grows is bounded."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

#: Marks on one character, from which on the rest is left out: no language of today needs more.
MAX_MARKS: Final = 6
#: Characters that joiners glue into one picture; the longest of the standard have ten.
MAX_JOINED: Final = 12
#: An embedding or an override of direction becomes an isolate: it can no longer reach out of itself, nor turn letters.
_TAMED: Final = {0x202A: 0x2066, 0x202D: 0x2066, 0x202B: 0x2067, 0x202E: 0x2067, 0x202C: 0x2069}
_LINE_ENDS: Final = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
#: Invisible ones that change nothing on paper; the zero width space and joiners stay, they steer breaks and shapes.
_USELESS: Final = frozenset((0x00AD, 0x034F, 0x180E, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064, 0xFEFF))
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f]")
_ZWJ: Final = 0x200D
_FLAG: Final = "🏴"  # what letters of E0020 and above belong to


@lru_cache(maxsize=1)
def _marks() -> str:
    """All marks, as a class of a pattern."""
    return re.escape("".join(one for one in map(chr, range(0x300, 0x1F000)) if is_mark(one)))


@lru_cache(maxsize=1)
def _composable() -> re.Pattern[str]:
    """A letter with its marks, or the parts of a syllable of Hangul."""
    return re.compile(f".[{_marks()}]+|[\u1100-\u11ff]+", re.DOTALL)


def _composed(text: str) -> str:
    """Letters and marks as one character where there is one (NFC); single characters stay what they are, for NFC takes
    some for others that look different, such as Chinese characters of names."""
    if unicodedata.is_normalized("NFC", text):
        return text
    return _composable().sub(lambda match: unicodedata.normalize("NFC", match[0]), text)


@lru_cache(maxsize=1)
def _suspect() -> re.Pattern[str]:
    """What only the long way can clean; most texts hold none of it. Marks are those of all characters in use."""
    return re.compile(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u180e\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff"
        "\ud800-\udfff\U000e0000-\U0010ffff]"
        f"|[{_marks()}]{{{MAX_MARKS + 1}}}"
        f"|(?:\u200d[^\u200d]{{0,3}}){{{MAX_JOINED}}}"
    )


@lru_cache(maxsize=65536)
def is_mark(one: str) -> bool:
    """True for what stands above, below or around the character before it."""
    return unicodedata.category(one) in ("Mn", "Me", "Mc")


def _is_dropped(code: int) -> bool:
    if code in _USELESS or 0xFFF9 <= code <= 0xFFFB or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return True
    return unicodedata.category(chr(code)) in ("Cc", "Cs")


def _is_of_flag(code: int, out: list[str]) -> bool:
    """Whether one of the invisible letters goes on with a flag; elsewhere they mean nothing any more."""
    return code >= 0xE0020 and bool(out) and (out[-1] == _FLAG or 0xE0020 <= ord(out[-1]) <= 0xE007F)


def cleaned(text: str) -> str:
    """The text to set: letters composed with their marks, lines ended by \\n, without control characters, lone
    surrogates and such."""
    if text.isascii() and not _CONTROL.search(text):
        return text
    if not _suspect().search(text):
        return _composed(text)
    text = _LINE_ENDS.sub("\n", text).replace("\t", "    ")
    out: list[str] = []
    marks = joined = 0
    for one in text:
        code = ord(one)
        if code < 0x300:
            marks = joined = 0
            if one == "\n" or (code >= 0x20 and not 0x7F <= code < 0xA0 and code != 0xAD):
                out.append(one)
            continue
        code = _TAMED.get(code, code)
        if _is_dropped(code):
            continue
        if is_mark(one) and not 0xFE00 <= code <= 0xFE0F:
            marks += 1
            if marks > MAX_MARKS:
                continue
        elif code == _ZWJ or 0xE0000 <= code <= 0xE007F:
            joined += 1
            if joined > MAX_JOINED or (code != _ZWJ and not _is_of_flag(code, out)):
                continue
        else:
            if not (out and out[-1] == "\u200d"):
                joined = 0
            marks = 0
        out.append(chr(code))
    return _composed("".join(out))
