"""A form as something to be filled in on a page of the console: the editor's preview, and the test run.

Both show the same fields and hold what is entered against the same check as a submission over XMPP
(`validation.validate`); nothing is stored. Names of inputs are `f.<number of the field>`, because a field's own name
may hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from fdp import validation, values
from fdp.fields import LISTS, Definition, Field
from fdp.layout import ShownPage, pages

PREFIX: Final = "f."
#: Options up to which a list is a group of buttons that show all of them at once.
MAX_BUTTONS: Final = 6
#: Datatypes (XEP-0122) that browsers have an input for, and the step of it.
_INPUTS: Final = {
    "xs:date": ("date", ""),
    "xs:integer": ("number", "1"),
    "xs:int": ("number", "1"),
    "xs:long": ("number", "1"),
    "xs:short": ("number", "1"),
    "xs:byte": ("number", "1"),
    "xs:nonNegativeInteger": ("number", "1"),
    "xs:positiveInteger": ("number", "1"),
    "xs:anyURI": ("url", ""),
}
_HINTS: Final = {
    "xs:dateTime": "Date and time, for example 2026-05-31T14:30:00Z",
    "xs:time": "A time, for example 14:30:00Z",
    "xs:decimal": "A number",
    "xs:double": "A number",
    "xs:float": "A number",
}


@dataclass(slots=True)
class Input:
    """One field to be filled in."""

    field: Field
    name: str
    widget: str
    values: tuple[str, ...]
    error: str = ""
    hints: list[str] = field(default_factory=list)
    input_type: str = "text"
    step: str = ""
    kind: str = "field"

    @property
    def value(self) -> str:
        """What stands in the one input."""
        return "\n".join(self.values)

    @property
    def hint(self) -> str:
        """What the field takes, as one text."""
        return " ".join(text if text.endswith((".", "?", "!", ":")) else f"{text}." for text in self.hints)

    @property
    def choices(self) -> list[dict[str, Any]]:
        """The options, and which of them are chosen; of an open list also those that somebody added."""
        known = {option.value for option in self.field.options}
        chosen = [
            {"value": option.value, "label": option.label or option.value, "on": option.value in self.values}
            for option in self.field.options
        ]
        return chosen + [{"value": own, "label": own, "on": True} for own in self.values if own not in known and own]


@dataclass(slots=True)
class Filled:
    """What somebody entered, and what the check says of it: `errors` by field, "" for the form as a whole."""

    given: dict[str, tuple[str, ...]]
    errors: dict[str, str]
    kept: dict[str, tuple[str, ...]]


def defaults(definition: Definition) -> dict[str, tuple[str, ...]]:
    """What a form holds before somebody fills it in."""
    return {one.var: one.values for one in definition.fields if one.var and one.type != "fixed"}


def entered(definition: Definition, data: QueryDict) -> dict[str, tuple[str, ...]]:
    """The values of a posted form, by field."""
    found: dict[str, tuple[str, ...]] = {}
    for number, one in enumerate(definition.fields):
        if not one.var or one.type in ("fixed", "hidden"):
            continue
        given = [text.replace("\r\n", "\n") for text in data.getlist(f"{PREFIX}{number}")]
        if one.type == "boolean":
            given = given[-1:] or ["0"]
        elif one.type in ("text-multi", "jid-multi"):
            lines = [line for text in given for line in text.split("\n")]
            given = [line for line in lines if line.strip()] if one.type == "jid-multi" else lines
        elif one.type in LISTS:
            given += [line for line in data.get(f"{PREFIX}{number}.own", "").splitlines() if line.strip()]
        found[one.var] = tuple(given)
    return found


def check(definition: Definition, given: Mapping[str, Sequence[str]]) -> Filled:
    """Hold values against the definition. `validate` stops at the first field that does not fit, as the service does
    when it refuses; here every field is asked, so that a person sees all that is left to do."""
    errors: dict[str, str] = {}
    kept: dict[str, tuple[str, ...]] = {}
    try:
        kept = validation.validate(definition, given)
    except validation.WrongField as first:
        errors[first.var] = first.reason
        for one in definition.fields:
            if one.type in ("fixed", "hidden") or one.var in errors:
                continue
            try:
                fits = values.checked(one, given.get(one.var, ()))
                if one.required and values.is_empty(fits):
                    errors[one.var] = "must be filled in"
            except values.WrongValue as error:
                errors[one.var] = str(error)
    return Filled({var: tuple(texts) for var, texts in given.items()}, errors, kept)


def inputs(
    definition: Definition, given: Mapping[str, Sequence[str]], errors: Mapping[str, str] | None = None
) -> list[ShownPage]:
    """The pages of the form with an Input at each field."""
    numbers = {id(one): number for number, one in enumerate(definition.fields)}
    wrong = errors or {}

    def make(one: Field) -> Input:
        kind, step = ("text", "")
        if one.type == "text-single" and one.validate is not None:
            kind, step = _INPUTS.get(one.validate.datatype, ("text", ""))
        return Input(
            field=one,
            name=f"{PREFIX}{numbers[id(one)]}",
            widget=_widget(one),
            values=tuple(given.get(one.var, one.values)),
            error=wrong.get(one.var, ""),
            hints=hints(one),
            input_type=kind,
            step=step,
        )

    return pages(definition, make)


def _widget(one: Field) -> str:
    if one.type == "boolean":
        return "check"
    if one.type == "list-single":
        return "radios" if len(one.options) <= MAX_BUTTONS else "select"
    if one.type == "list-multi":
        return "checks"
    if one.type in ("text-multi", "jid-multi"):
        return "area"
    return "password" if one.type == "text-private" else "line"


def hints(one: Field) -> list[str]:
    """Sentences on what the field takes."""
    found = [one.desc] if one.desc else []
    if one.type == "jid-single":
        found.append("An XMPP address")
    if one.type == "jid-multi":
        found.append("XMPP addresses, one per line")
    validate = one.validate
    if validate is None:
        return found
    if validate.datatype in _HINTS:
        found.append(_HINTS[validate.datatype])
    if validate.min is not None and validate.max is not None:
        found.append(f"From {validate.min} to {validate.max}")
    elif validate.min is not None:
        found.append(f"At least {validate.min}")
    elif validate.max is not None:
        found.append(f"At most {validate.max}")
    if validate.list_min is not None and validate.list_max is not None:
        found.append(f"Choose {validate.list_min} to {validate.list_max}")
    elif validate.list_min is not None:
        found.append(f"Choose at least {validate.list_min}")
    elif validate.list_max is not None:
        found.append(f"Choose at most {validate.list_max}")
    return found
