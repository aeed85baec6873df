"""A form's pages and sections (XEP-0141) as a tree for templates and for paper, whatever is shown at each field.

`pages(definition, make)` calls `make` for every field that people see and puts what it makes at the field's place. A
form without pages is one page in the order of its fields. With pages, fields that have no place follow the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fdp.fields import Definition, Field, FieldRef, Part, Section, Text

#: A heading is at most this deep in HTML.
DEEPEST_HEADING: Final = 6


@dataclass(slots=True)
class ShownText:
    """Words between fields."""

    text: str
    kind: str = "text"


@dataclass(slots=True)
class ShownSection:
    """A section with what is in it; `level` is that of its heading."""

    label: str
    level: int
    parts: list[Any] = field(default_factory=list)
    kind: str = "section"


@dataclass(slots=True)
class ShownPage:
    """A page with what is on it."""

    label: str
    parts: list[Any] = field(default_factory=list)


def pages(definition: Definition, make: Callable[[Field], Any], level: int = 3) -> list[ShownPage]:
    """The tree. `make` returns what stands at a field, None for nothing; it must have a `kind`. Pages have headings of
    this level, and sections those below; where a page has no label its sections take its level."""
    if not definition.pages:
        return [ShownPage("", [part for one in definition.fields if (part := _shown(one, make)) is not None])]
    fields = {one.var: one for one in definition.fields if one.var}
    found = [
        ShownPage(page.label, _parts(page.parts, fields, make, level + 1 if page.label else level))
        for page in definition.pages
    ]
    rest = [part for one in definition.unplaced() if (part := _shown(one, make)) is not None]
    found[-1].parts += rest
    return found


def _parts(parts: tuple[Part, ...], fields: dict[str, Field], make: Callable[[Field], Any], level: int) -> list[Any]:
    found: list[Any] = []
    for part in parts:
        if isinstance(part, Text):
            found.append(ShownText(part.text))
        elif isinstance(part, Section):
            deeper = min(level + 1, DEEPEST_HEADING)
            found.append(ShownSection(part.label, level, _parts(part.parts, fields, make, deeper)))
        elif isinstance(part, FieldRef) and part.var in fields:
            shown = _shown(fields[part.var], make)
            if shown is not None:
                found.append(shown)
    return found


def _shown(one: Field, make: Callable[[Field], Any]) -> Any:
    if one.type == "hidden":
        return None
    if one.type == "fixed":
        return ShownText("\n".join(one.values))
    return make(one)
