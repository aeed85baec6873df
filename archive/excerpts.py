"""Parts of texts that are too long to be shown whole: their beginning on one line, or what stands around a hit."""

from __future__ import annotations

from typing import Final

from archive.text import Term, highlight

#: Characters of a text on one line.
SNIPPET: Final = 120
#: Lines that are shown of a text that is cut.
_LINES: Final = 60
#: How far into a text a hit is looked for, and in what steps: to fold a megabyte takes a second.
_LOOKED_AT: Final = 100_000
_STEP: Final = 2_000


def snippet(text: str) -> str:
    """The beginning of a text, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= SNIPPET else f"{text[:SNIPPET]}…"


def excerpt(text: str, terms: list[Term], limit: int) -> tuple[list[tuple[str, bool]], bool]:
    """At most `limit` characters of a text (0: all), in pieces as of `highlight`, and whether there are more. Of a
    longer text it is the part with the first of the terms."""
    if not limit:
        # What is this long is read and not searched: to look for the terms would take longer than to send it.
        return (highlight(text, terms) if len(text) <= _LOOKED_AT else [(text, False)]), False
    start = 0
    if terms and len(text) > limit:
        for place in range(0, min(len(text), _LOOKED_AT), _STEP):
            # The steps overlap, so that no hit is lost between two.
            found = highlight(text[place : place + _STEP + SNIPPET], terms)
            if any(hit for _piece, hit in found):
                before = len(found[0][0]) if not found[0][1] else 0
                start = max(0, place + before - limit // 3)
                break
    shown = text[start : start + limit]
    lines = shown.split("\n")
    if len(lines) > _LINES:
        shown = "\n".join(lines[:_LINES])
    pieces = highlight(shown, terms)
    if start:
        pieces.insert(0, ("… ", False))
    if start + len(shown) < len(text):
        pieces.append((" …", False))
    return pieces, len(shown) < len(text)
