"""Regular expressions of templates (XEP-0122, 3.2.4): written by administrators, matched against what anybody submits.

They are compiled by RE2, which takes time in proportion to the text whatever the pattern is. A pattern must match the
whole value, as in XML Schema; `^` at its start and `$` at its end, which POSIX wants, are welcome. What RE2 cannot do
(references to groups, look-around), and what XML Schema, POSIX and browsers understand in different ways (subtraction
of classes, Unicode blocks, flags), is refused when a template is saved, with a sentence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

#: Characters of a pattern, and of a value that is held against one.
MAX_PATTERN: Final = 1_000
MAX_VALUE: Final = 4_096
#: Instructions of the compiled program. Time is at most this times the length of the value: 4,096 characters against
#: the worst pattern take less than a tenth of a second.
MAX_PROGRAM: Final = 5_000
MEMORY: Final = 1 << 20

_CLASSES: Final = frozenset("dDwWsS")
_CONTROLS: Final = frozenset("nrt")
#: XML's names (XML 1.0, 2.3): what `\\i` and `\\c` stand for.
_START: Final = (
    r"_:A-Za-z\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{2FF}\x{370}-\x{37D}\x{37F}-\x{1FFF}\x{200C}-\x{200D}"
    r"\x{2070}-\x{218F}\x{2C00}-\x{2FEF}\x{3001}-\x{D7FF}\x{F900}-\x{FDCF}\x{FDF0}-\x{FFFD}\x{10000}-\x{EFFFF}"
)
_NAMES: Final = {"i": _START, "c": _START + r"\-.0-9\x{B7}\x{300}-\x{36F}\x{203F}-\x{2040}"}


def matches(pattern: str, value: str) -> bool:
    """Whether the whole value matches; raises ValueError for a pattern that `compiled` refuses."""
    return compiled(pattern).fullmatch(value) is not None


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The compiled pattern; raises ValueError with a sentence for people."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY
    try:
        program = re2.compile(_translated(pattern), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"this pattern cannot be used: {words}") from None
    if program.programsize > MAX_PROGRAM:
        raise ValueError("this pattern is too large: repeat less")
    return program


def _translated(pattern: str) -> str:
    """The pattern in RE2's words; raises ValueError for what it has no words for."""
    out: list[str] = []
    place, inside, opened = 0, False, 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            text, place = _escape(pattern, place, inside)
            out.append(text)
            continue
        if inside:
            if pattern.startswith("-[", place):
                raise ValueError("classes cannot be subtracted ([a-z-[aeiou]]): write what remains")
            named = pattern.find(":]", place) if pattern.startswith("[:", place) else -1
            if named > 0:
                out.append(pattern[place : named + 2])
                place = named + 2
                continue
            if character == "[":
                out.append("\\[")
                place += 1
                continue
            # A bracket right behind the opening one, or behind its ^, is a character (POSIX).
            if character == "]" and place > opened + (pattern[opened + 1 : opened + 2] == "^") + 1:
                inside = False
        elif character == "[":
            inside, opened = True, place
        elif pattern.startswith("(?", place) and not pattern.startswith("(?:", place):
            raise ValueError("flags, named groups and look-around ((?...) cannot be used")
        out.append(character)
        place += 1
    return "".join(out)


def _escape(pattern: str, place: int, inside: bool) -> tuple[str, int]:
    """What an escape at this place stands for, and the place behind it."""
    letter = pattern[place + 1 : place + 2]
    if letter in ("p", "P") and letter:
        end = pattern.find("}", place)
        category = pattern[place + 3 : end] if pattern.startswith("{", place + 2) and end > 0 else ""
        if not 1 <= len(category) <= 2 or not category.isascii() or not category.isalpha():
            raise ValueError(r"\p takes a category of characters such as \p{L}; blocks cannot be used, write a range")
        return pattern[place : end + 1], end + 1
    if letter and letter in "ic":
        return (_NAMES[letter] if inside else f"[{_NAMES[letter]}]"), place + 2
    if letter and letter in "IC":
        if inside:
            raise ValueError(rf"\{letter} cannot stand inside brackets")
        return f"[^{_NAMES[letter.lower()]}]", place + 2
    if letter in _CLASSES or letter in _CONTROLS or (letter and letter.isascii() and not letter.isalnum()):
        return pattern[place : place + 2], place + 2
    raise ValueError(rf"\{letter} means nothing here" if letter else "a pattern cannot end with a single \\")
