"""Made-up values for a form, so that a stylesheet can be tried before anybody has submitted one."""

from __future__ import annotations

from typing import Final

from fdp import values
from fdp.fields import Definition, Field

_BY_DATATYPE: Final = {
    "xs:anyURI": "https://example.org/",
    "xs:base64Binary": "bWxpbms=",
    "xs:boolean": "true",
    "xs:date": "2026-05-31",
    "xs:dateTime": "2026-05-31T14:30:00Z",
    "xs:duration": "PT30M",
    "xs:hexBinary": "6d6c",
    "xs:language": "en",
    "xs:time": "14:30:00Z",
    "xs:gYear": "2026",
}
_NUMBERS: Final = ("7", "7.5", "1", "0", "-7", "100")


def specimen(definition: Definition) -> dict[str, tuple[str, ...]]:
    """A value for every field: its default where it has one, else one that fits as far as one can be guessed."""
    found: dict[str, tuple[str, ...]] = {}
    for one in definition.fields:
        if not one.var or one.type == "fixed":
            continue
        made = one.values or _made(one)
        if made:
            found[one.var] = made
    return found


def _made(one: Field) -> tuple[str, ...]:
    if one.type == "hidden":
        return ()
    if one.type == "boolean":
        return ("1",)
    if one.type in ("jid-single", "jid-multi"):
        return ("name@example.org",)
    if one.options:
        fewest = one.validate.list_min if one.validate is not None and one.validate.list_min else 1
        return tuple(option.value for option in one.options[: fewest if one.type == "list-multi" else 1])
    validate = one.validate
    candidates = [one.name]
    if validate is not None:
        candidates = [_BY_DATATYPE.get(validate.datatype, one.name), validate.min or "", validate.max or "", *_NUMBERS]
    if one.type == "text-multi" and validate is None:
        return (f"{one.name}: first line", "second line")
    for text in candidates:
        try:
            if text and values.checked(one, (text,)):
                return (text,)
        except values.WrongValue:
            continue
    return (candidates[0],)
