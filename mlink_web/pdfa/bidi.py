"""The order of text that runs in both directions (Unicode Standard Annex 9).

Of the explicit characters only isolates are known here; `clean` has turned embeddings and overrides into isolates. What
an isolate holds is resolved like a paragraph of its own and is one neutral character for what is around it, so rules X1
to X8 become a recursion of bounded depth.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

#: Without one of these a text runs from left to right and needs none of this.
RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u08ff\u200f\u2067\u2068\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
MAX_DEPTH: Final = 12
_ISOLATES: Final = {"\u2066": 0, "\u2067": 1, "\u2068": None}
_POP: Final = "\u2069"
_INVISIBLE: Final = re.compile("[\u061c\u200b\u200e\u200f\u2066-\u2069]")


@lru_cache(maxsize=65536)
def _kind(one: str) -> str:
    """The character's bidirectional class; unassigned ones by rule of thumb L, and BN as neutral."""
    return unicodedata.bidirectional(one) or "L"


@lru_cache(maxsize=1)
def _brackets() -> tuple[dict[str, str], frozenset[str]]:
    """Closing bracket of each opening one, and all closing ones: of Ps and Pe those that mirror."""
    from fontTools.unicodedata import Mirrored

    opening = {
        chr(code): chr(other)
        for code, other in Mirrored.MIRRORED.items()
        if unicodedata.category(chr(code)) == "Ps" and unicodedata.category(chr(other)) == "Pe"
    }
    return opening, frozenset(opening.values())


def base_level(text: str) -> int:
    """0 for a text that begins from left to right, 1 for the other (P2, P3)."""
    depth = 0
    for one in text:
        if one in _ISOLATES:
            depth += 1
        elif one == _POP:
            depth = max(0, depth - 1)
        elif not depth:
            kind = _kind(one)
            if kind == "L":
                return 0
            if kind in ("R", "AL"):
                return 1
    return 0


def levels(text: str, base: int) -> list[int]:
    """The level of each character of one line of text; `base` is the paragraph's."""
    found = [base] * len(text)
    _resolve(text, range(len(text)), base, found, 0)
    return found


def _resolve(text: str, where: range | list[int], level: int, found: list[int], depth: int) -> None:
    outer: list[int] = []
    kinds: list[str] = []
    at, places = 0, list(where)
    while at < len(places):
        one = text[places[at]]
        if one in _ISOLATES:
            end, open_ = at + 1, 1
            while end < len(places):
                open_ += (text[places[end]] in _ISOLATES) - (text[places[end]] == _POP)
                if not open_:
                    break
                end += 1
            inner = places[at + 1 : end]
            outer.append(places[at])
            kinds.append("ON")
            if inner and depth < MAX_DEPTH:
                direction = _ISOLATES[one]
                if direction is None:
                    direction = base_level("".join(text[place] for place in inner))
                _resolve(text, inner, level + 1 + ((level + 1) % 2 != direction), found, depth + 1)
            elif inner:
                for place in inner:
                    found[place] = level
            if end < len(places):
                outer.append(places[end])
                kinds.append("ON")
            at = end + 1
            continue
        outer.append(places[at])
        kinds.append(_kind(one))
        at += 1
    if outer:
        _weak(kinds, level)
        _paired(text, outer, kinds, level)
        _neutral(kinds, level)
        for place, kind in zip(outer, kinds, strict=True):
            if level % 2:
                found[place] = level + (kind in ("L", "EN", "AN"))
            else:
                found[place] = level + (1 if kind == "R" else 2 if kind in ("AN", "EN") else 0)


def _weak(kinds: list[str], level: int) -> None:
    """Rules W1 to W7."""
    edge = "R" if level % 2 else "L"
    before, strong = edge, edge
    for at, kind in enumerate(kinds):
        if kind in ("NSM", "BN"):
            kinds[at] = kind = before
        elif kind in ("L", "R", "AL"):
            strong = kind
        if kind == "EN" and strong == "AL":
            kinds[at] = kind = "AN"
        before = kind
    kinds[:] = ["R" if kind == "AL" else kind for kind in kinds]
    for at in range(1, len(kinds) - 1):
        left, right = kinds[at - 1], kinds[at + 1]
        if left == right and ((kinds[at] == "ES" and left == "EN") or (kinds[at] == "CS" and left in ("EN", "AN"))):
            kinds[at] = left
    at = 0
    while at < len(kinds):
        if kinds[at] != "ET":
            at += 1
            continue
        end = at
        while end < len(kinds) and kinds[end] == "ET":
            end += 1
        number = (at and kinds[at - 1] == "EN") or (end < len(kinds) and kinds[end] == "EN")
        kinds[at:end] = ["EN" if number else "ON"] * (end - at)
        at = end
    strong = edge
    for at, kind in enumerate(kinds):
        if kind in ("ES", "CS"):
            kinds[at] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[at] = "L"


def _direction(kind: str) -> str:
    return "R" if kind in ("R", "EN", "AN") else "L" if kind == "L" else ""


def _paired(text: str, places: list[int], kinds: list[str], level: int) -> None:
    """Rule N0: both brackets of a pair get one direction."""
    opening, closing = _brackets()
    stack: list[tuple[str, int]] = []
    pairs: list[tuple[int, int]] = []
    for at, place in enumerate(places):
        one = text[place]
        if kinds[at] != "ON":
            continue
        if one in opening:
            if len(stack) == 63:
                break
            stack.append((opening[one], at))
        elif one in closing:
            for depth in range(len(stack) - 1, -1, -1):
                if stack[depth][0] == one:
                    pairs.append((stack[depth][1], at))
                    del stack[depth:]
                    break
    edge = "R" if level % 2 else "L"
    for first, last in sorted(pairs):
        inside = {_direction(kind) for kind in kinds[first + 1 : last]} - {""}
        if edge in inside:
            chosen = edge
        elif inside:
            before = next((one for one in map(_direction, reversed(kinds[:first])) if one), edge)
            chosen = before if before != edge else edge
        else:
            continue
        for at in (first, last):
            kinds[at] = chosen
            follow = at + 1
            while follow < len(kinds) and _kind(text[places[follow]]) == "NSM":
                kinds[follow] = chosen
                follow += 1


def _neutral(kinds: list[str], level: int) -> None:
    """Rules N1 and N2: what has no direction takes that of both sides, or the paragraph's."""
    edge = "R" if level % 2 else "L"
    at = 0
    while at < len(kinds):
        if _direction(kinds[at]):
            at += 1
            continue
        end = at
        while end < len(kinds) and not _direction(kinds[end]):
            end += 1
        left = _direction(kinds[at - 1]) if at else edge
        right = _direction(kinds[end]) if end < len(kinds) else edge
        kinds[at:end] = [left if left == right else edge] * (end - at)
        at = end


def visual(order: list[int]) -> list[int]:
    """The positions of a line's parts from left to right, given their levels in the order of reading (rule L2)."""
    places = list(range(len(order)))
    if not places or max(order) == 0:
        return places
    for level in range(max(order), min(one for one in [*order, 1] if one % 2) - 1, -1):
        at = 0
        while at < len(places):
            if order[places[at]] < level:
                at += 1
                continue
            end = at
            while end < len(places) and order[places[end]] >= level:
                end += 1
            places[at:end] = places[at:end][::-1]
            at = end
    return places


def without_controls(text: str) -> str:
    """The text without the characters that only steer direction and breaks."""
    return _INVISIBLE.sub("", text)
