"""Holds a submission against the definition of its template version.

    given = read(form)                     what a client sent (XEP-0004, type submit)
    values = validate(definition, given)   what is stored, or WrongField for the first field that does not fit
    stored(definition, values, ...)        the form that subscribers see

Fields that the template does not have are ignored, as XEP-0004 asks. What is checked of each field stands in
`values.py`. Everything is bounded before anything is looked at: ten thousand fields are refused by counting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fdp import values as field_values
from fdp.fields import MAX_FIELDS, RESERVED, Definition, Field
from xmpp_engine.api import Element, forms, ns

#: Hidden fields of a submission that belong to the service.
VERSION: Final = f"{RESERVED}version"
SERIAL: Final = f"{RESERVED}serial"
AMENDS: Final = f"{RESERVED}amends"
PUBLISHED: Final = f"{RESERVED}published"
_FORM_TYPE: Final = "FORM_TYPE"
#: Fields of the template, those of the service, and some that are ignored.
MAX_GIVEN: Final = MAX_FIELDS + 100
MAX_GIVEN_VALUES: Final = 20_000


class WrongField(ValueError):
    """A submission does not fit; `var` is the field ("" for the form as a whole), `name` what people call it, `reason`
    the end of a sentence that begins with it."""

    def __init__(self, var: str, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.var = var
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Given:
    """What a client sent: values by field, the version that it filled in ("" for the newest), and the item id of the
    submission that it amends ("" for none)."""

    values: Mapping[str, tuple[str, ...]]
    version: str = ""
    amends: str = ""


def read(form: Element | None) -> Given:
    """A submitted form taken apart; raises WrongField where it is none, or too large."""
    if form is None or form.ns != ns.DATA_FORMS or form.name != "x" or form.get("type") != "submit":
        raise WrongField("", "", "a completed form is a data form of the type submit")
    fields = form.find_all(ns.DATA_FORMS, "field")
    if len(fields) > MAX_GIVEN:
        raise WrongField("", "", f"a form has at most {MAX_FIELDS} fields")
    if sum(len(field.children) for field in fields) > MAX_GIVEN_VALUES:
        raise WrongField("", "", f"a form has at most {MAX_GIVEN_VALUES} values")
    found: dict[str, tuple[str, ...]] = {}
    for field in fields:
        var = field.get("var") or ""
        if not var:
            if field.get("type") == "fixed":
                continue
            raise WrongField("", "", "a field of the form has no name")
        if var in found:
            raise WrongField(var, var, "stands twice in the form")
        found[var] = tuple(value.text for value in field.find_all(ns.DATA_FORMS, "value"))
    version, amends = (_single(found, var) for var in (VERSION, AMENDS))
    return Given({var: values for var, values in found.items() if not var.startswith(RESERVED)}, version, amends)


def _single(found: Mapping[str, Sequence[str]], var: str) -> str:
    values = found.get(var, ())
    if len(values) > 1:
        raise WrongField(var, var, "takes one value")
    return values[0].strip() if values else ""


def validate(definition: Definition, given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The values to be stored, by field and in the template's order; fields that were left empty are not in it. Raises
    WrongField for the first field, in that order, that does not fit."""
    found: dict[str, tuple[str, ...]] = {}
    for field in definition.fields:
        if field.type == "fixed":
            continue
        values = given.get(field.var, ())
        if field.type == "hidden":
            values = _carried(field, values)
        try:
            kept = field_values.checked(field, values)
        except field_values.WrongValue as error:
            raise WrongField(field.var, field.name, str(error)) from None
        if field_values.is_empty(kept):
            if field.required:
                raise WrongField(field.var, field.name, "must be filled in")
            # An option may have an empty value ("none of these"); elsewhere nothing was said.
            kept = kept if any(option.value in kept for option in field.options) else ()
        if kept:
            found[field.var] = kept
    return found


def _carried(field: Field, values: Sequence[str]) -> Sequence[str]:
    """A hidden field comes back as it was sent (XEP-0004, 3.3); left out, it counts as sent back."""
    if not field.values or field.var == _FORM_TYPE:
        return values or field.values
    if values and tuple(values) != field.values:
        raise WrongField(field.var, field.name, "is a hidden field and must come back unchanged")
    return field.values


def stored(
    definition: Definition,
    values: Mapping[str, Sequence[str]],
    *,
    version: str,
    serial: int,
    amends: str = "",
    published: float = 0.0,
) -> Element:
    """The form that is kept and distributed: types and labels of the template, so that it can be read without it, and
    what the service knows in hidden fields; when it was published too, as items have no time (XEP-0082)."""
    form = Element(ns.DATA_FORMS, "x", {"type": "submit"})
    if definition.title:
        form.add(ns.DATA_FORMS, "title", text=definition.title)
    when = f"{datetime.fromtimestamp(published, UTC):%Y-%m-%dT%H:%M:%SZ}" if published else ""
    own = ((VERSION, version), (SERIAL, str(serial)), (AMENDS, amends), (PUBLISHED, when))
    for var, value in own:
        if value:
            form.append(forms.Field(var, "hidden", values=(value,)).element())
    for field in definition.fields:
        if field.var not in values or field.type == "fixed":
            continue
        element = form.add(ns.DATA_FORMS, "field", {"var": field.var, "type": field.type})
        if field.label:
            element.attrs["label"] = field.label
        for value in values[field.var]:
            element.add(ns.DATA_FORMS, "value", text=value)
    return form
