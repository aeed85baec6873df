"""The values of one field: whether they are what the field asks for (XEP-0004, XEP-0122)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fdp import datatypes, patterns
from fdp.fields import LISTS, MANY, Field, Validate
from xmpp_engine.api import Jid

#: Characters of all values of one field.
MAX_CHARACTERS: Final = 100_000
MAX_COUNT: Final = 1_000


class WrongValue(ValueError):
    """A value does not fit; the text is the end of a sentence that begins with the field's name. It never holds the
    value: refusals are logged."""


def checked(field: Field, values: Sequence[str], *, counted: bool = True) -> tuple[str, ...]:
    """The values as they are stored: addresses prepared, true and false as 1 and 0, numbers without blanks around them,
    none twice in a list. Raises WrongValue. `counted` is False for defaults, of which there may be too few."""
    if len(values) > MAX_COUNT:
        raise WrongValue(f"has more than {MAX_COUNT} values")
    if len(values) > 1 and field.type not in MANY:
        raise WrongValue("takes one value")
    if sum(map(len, values)) > MAX_CHARACTERS:
        raise WrongValue(f"has more than {MAX_CHARACTERS:,} characters")
    if field.type == "text-multi":
        return _lines(field, values)
    given = tuple(value for value in values if value or field.type in LISTS or field.type == "hidden")
    found = tuple(_one(field, value) for value in given)
    if field.type in ("jid-multi", "list-multi"):
        found = tuple(dict.fromkeys(found))
    if counted and field.validate is not None and field.type == "list-multi" and found:
        _count(field.validate, len(found))
    return found


def is_empty(values: Sequence[str]) -> bool:
    """Whether nothing was filled in."""
    return not any(value.strip() for value in values)


def _lines(field: Field, values: Sequence[str]) -> tuple[str, ...]:
    """Lines of a text-multi: clients that do not split them at line ends are helped (XEP-0004, 3.3)."""
    lines = [line for value in values for line in value.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > MAX_COUNT:
        raise WrongValue(f"has more than {MAX_COUNT} lines")
    return tuple(_validated(field.validate, line) if field.validate is not None and line else line for line in lines)


def _one(field: Field, value: str) -> str:
    if field.type == "boolean":
        word = value.strip()
        if word not in ("0", "1", "false", "true"):
            raise WrongValue("must be true or false")
        return "1" if word in ("1", "true") else "0"
    if field.type in ("jid-single", "jid-multi"):
        value = _address(value)
    elif field.type in LISTS:
        if any(option.value == value for option in field.options):
            return value
        if not field.open:
            raise WrongValue("is not one of the choices")
    if field.type in ("text-single", "text-private") and ("\n" in value or "\r" in value):
        raise WrongValue("takes one line")
    return value if field.validate is None else _validated(field.validate, value)


def _address(value: str) -> str:
    try:
        return Jid.parse(value.strip()).full
    except ValueError:
        raise WrongValue("needs an address such as name@example.org") from None


def _validated(validate: Validate, value: str) -> str:
    value = datatypes.collapsed(validate.datatype, value)
    try:
        key = datatypes.parse(validate.datatype, value)
        if validate.method == "range":
            if validate.min is not None and key < datatypes.parse(validate.datatype, validate.min):
                raise WrongValue(f"must be at least {validate.min}")
            if validate.max is not None and key > datatypes.parse(validate.datatype, validate.max):
                raise WrongValue(f"must be at most {validate.max}")
        elif validate.method == "regex" and validate.regex is not None:
            if len(value) > patterns.MAX_VALUE:
                raise WrongValue(f"has more than {patterns.MAX_VALUE} characters")
            if not patterns.matches(validate.regex, value):
                raise WrongValue("does not have the form that is asked for")
    except WrongValue:
        raise
    except ValueError as error:
        raise WrongValue(str(error)) from None
    return value


def _count(validate: Validate, count: int) -> None:
    if validate.list_min is not None and count < validate.list_min:
        raise WrongValue(f"needs at least {validate.list_min} value{'s' if validate.list_min > 1 else ''}")
    if validate.list_max is not None and count > validate.list_max:
        raise WrongValue(f"takes at most {validate.list_max} value{'s' if validate.list_max > 1 else ''}")
