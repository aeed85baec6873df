"""What is different between two versions of a template, in words that people who fill it in would use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final, Literal

from fdp.fields import Definition, Field, FieldRef, Page, Part, Section, Text

Kind = Literal["added", "removed", "changed", "moved"]
#: Names of what a field has.
_ATTRIBUTES: Final = (
    ("type", "type"),
    ("label", "label"),
    ("desc", "help"),
    ("required", "required"),
    ("values", "default"),
    ("open", "takes other values"),
)
_CHECKS: Final = (
    ("datatype", "datatype"),
    ("method", "check"),
    ("min", "smallest value"),
    ("max", "largest value"),
    ("regex", "pattern"),
    ("list_min", "fewest choices"),
    ("list_max", "most choices"),
)
MAX_SHOWN: Final = 120


@dataclass(slots=True)
class Detail:
    """One property before and after; "" for nothing."""

    name: str
    before: str
    after: str


@dataclass(slots=True)
class Change:
    """One thing that is different, with its details."""

    kind: Kind
    what: str
    details: list[Detail] = field(default_factory=list)


def differences(old: Definition, new: Definition) -> list[Change]:
    """All changes from the old to the new version: title and instructions, fields in the order of the new form, then
    pages and sections."""
    found: list[Change] = []
    head = [
        detail
        for name, before, after in (
            ("title", old.title, new.title),
            ("instructions", "\n".join(old.instructions), "\n".join(new.instructions)),
        )
        if (detail := _detail(name, before, after)) is not None
    ]
    if head:
        found.append(Change("changed", "The form itself", head))
    found += _fields(old, new)
    found += _layout(old, new)
    return found


def _fields(old: Definition, new: Definition) -> Iterator[Change]:
    before = {_key(one, place): one for place, one in enumerate(old.fields)}
    after = {_key(one, place): one for place, one in enumerate(new.fields)}
    moved = _moved([key for key in before if key in after], [key for key in after if key in before])
    for key, one in after.items():
        if key not in before:
            yield Change("added", _name(one), list(_whole(one)))
            continue
        details = list(_compared(before[key], one))
        if details:
            yield Change("changed", _name(one), details)
        if key in moved:
            yield Change("moved", _name(one))
    for key, one in before.items():
        if key not in after:
            yield Change("removed", _name(one))


def _key(one: Field, _place: int) -> str:
    """What a field is recognised by: its name, or the text of a fixed one."""
    return f"var {one.var}" if one.var else f"fixed {' '.join(one.values)}"


def _name(one: Field) -> str:
    if not one.var:
        return f"Text “{_cut(' '.join(one.values))}”"
    return f"“{_cut(one.name)}” ({one.var})" if one.name != one.var else f"“{_cut(one.var)}”"


def _moved(before: list[str], after: list[str]) -> set[str]:
    """Those that stand elsewhere among those that both have: all that are not in the longest common run of both."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    stayed = {key for block in matcher.get_matching_blocks() for key in after[block.b : block.b + block.size]}
    return set(after) - stayed


def _compared(old: Field, new: Field) -> Iterator[Detail]:
    for name, words in _ATTRIBUTES:
        detail = _detail(words, _text(getattr(old, name)), _text(getattr(new, name)))
        if detail is not None:
            yield detail
    yield from _options(old, new)
    for name, words in _CHECKS:
        detail = _detail(words, _text(getattr(old.validate, name, None)), _text(getattr(new.validate, name, None)))
        if detail is not None:
            yield detail
    media = [" ".join(uri.uri for one in side.media for uri in one.uris) for side in (old, new)]
    detail = _detail("media", media[0], media[1])
    if detail is None and old.media != new.media:
        detail = Detail("media", "", "other sizes or types")
    if detail is not None:
        yield detail


def _options(old: Field, new: Field) -> Iterator[Detail]:
    before = {one.value: one.label for one in old.options}
    after = {one.value: one.label for one in new.options}
    for value, label in after.items():
        if value not in before:
            yield Detail("option", "", _option(value, label))
        elif before[value] != label:
            yield Detail("option", _option(value, before[value]), _option(value, label))
    for value, label in before.items():
        if value not in after:
            yield Detail("option", _option(value, label), "")
    if [one for one in before if one in after] != [one for one in after if one in before]:
        yield Detail("options", "", "in another order")


def _whole(one: Field) -> Iterator[Detail]:
    """What a new field has."""
    yield Detail("type", "", one.type)
    for detail in _compared(Field("", type=one.type), one):
        if detail.name != "label" and detail.after:
            yield Detail(detail.name, "", detail.after)


def _layout(old: Definition, new: Definition) -> Iterator[Change]:
    known = {f"field {one.var}" for one in old.fields} & {f"field {one.var}" for one in new.fields}
    # What is said of added and removed fields is said already.
    before, after = (
        [(where, what) for where, what in _lines(one) if not what.startswith("field ") or what in known]
        for one in (old, new)
    )
    if before == after:
        return
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    elsewhere: list[Detail] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        elsewhere += [Detail(where, what, "") for where, what in before[a:b] if what not in known]
        elsewhere += [Detail(where, "", what) for where, what in after[c:d] if what not in known]
    places = {what: where for where, what in before}
    for where, what in after:
        if what in known and what in places and places[what] != where:
            elsewhere.append(Detail(_name_of(new, what.removeprefix("field ")), places[what], where))
    yield Change("changed", "Pages and sections", elsewhere or [Detail("order", "", "fields stand in another order")])


def _name_of(definition: Definition, var: str) -> str:
    one = definition.field(var)
    return one.name if one is not None else var


def _lines(definition: Definition) -> Iterator[tuple[str, str]]:
    """Where something stands, and what it is."""
    for number, page in enumerate(definition.pages, 1):
        where = _place(page, number)
        yield "form", where
        yield from _part_lines(page.parts, where)


def _place(page: Page, number: int) -> str:
    return f"page {number} “{_cut(page.label)}”" if page.label else f"page {number}"


def _part_lines(parts: tuple[Part, ...], where: str) -> Iterator[tuple[str, str]]:
    for part in parts:
        if isinstance(part, FieldRef):
            yield where, f"field {part.var}"
        elif isinstance(part, Text):
            yield where, f"text “{_cut(part.text)}”"
        elif isinstance(part, Section):
            inner = f"section “{_cut(part.label)}”" if part.label else "section"
            yield where, inner
            yield from _part_lines(part.parts, f"{where}, {inner}")


def _detail(name: str, before: str, after: str) -> Detail | None:
    return None if before == after else Detail(name, _cut(before), _cut(after))


def _option(value: str, label: str) -> str:
    return _cut(f"{label} ({value})" if label and label != value else value or "(empty)")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else f"{line[: MAX_SHOWN - 1]}…"
