"""Data forms (XEP-0004, XEP-0068): read what a client submits, check it against a definition, render a form to be
filled in.

A form's definition is a tuple of `Field`; `render` shows it, `read` takes the submitted element apart and `check`
turns it into values of the types that the definition names. What does not fit raises StanzaError (`bad-request`)
naming the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

FIELD_TYPES: Final = frozenset(
    {
        "boolean",
        "fixed",
        "hidden",
        "jid-multi",
        "jid-single",
        "list-multi",
        "list-single",
        "text-multi",
        "text-private",
        "text-single",
    }
)
_MANY: Final = frozenset({"jid-multi", "list-multi", "text-multi"})
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})
_FORM_TYPE: Final = "FORM_TYPE"

#: Raw values of a submitted form by field.
Submitted = dict[str, tuple[str, ...]]
Value = bool | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `values` are the present or default ones; `options` pairs of (value, label) for the two list types;
    `open` lets a list take values beside its options (XEP-0122)."""

    var: str
    type: str = "text-single"
    label: str = ""
    values: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False
    description: str = ""
    open: bool = False

    def __post_init__(self) -> None:
        if self.type not in FIELD_TYPES:
            raise ValueError(f"{self.type} is no type of field")

    def element(self) -> Element:
        """The `<field/>` of a form to be filled in."""
        attrs = {"var": self.var, "type": self.type}
        if self.label:
            attrs["label"] = self.label
        field = Element(ns.DATA_FORMS, "field", attrs)
        if self.description:
            field.add(ns.DATA_FORMS, "desc", text=self.description)
        if self.required:
            field.add(ns.DATA_FORMS, "required")
        for value in self.values:
            field.add(ns.DATA_FORMS, "value", text=value)
        for value, label in self.options:
            option = field.add(ns.DATA_FORMS, "option", {"label": label} if label else None)
            option.add(ns.DATA_FORMS, "value", text=value)
        if self.open and not self.options:
            # A list with nothing to choose from makes no sense to a client that is not told (XEP-0313, 4.1.5).
            field.add(ns.FORM_VALIDATION, "validate", {"datatype": "xs:string"}).add(ns.FORM_VALIDATION, "open")
        return field


def find(parent: Element, kind: str) -> Element | None:
    """The form of this type (`form`, `submit`, `cancel`, `result`) among the children of an element."""
    for element in parent.find_all(ns.DATA_FORMS, "x"):
        if element.get("type") == kind:
            return element
    return None


def form_type(form: Element) -> str:
    """What the form is for (XEP-0068), "" where it does not say."""
    for field in form.find_all(ns.DATA_FORMS, "field"):
        if field.get("var") == _FORM_TYPE:
            return field.child_text(ns.DATA_FORMS, "value") or ""
    return ""


def read(form: Element, expected: str = "") -> Submitted:
    """The values of a submitted form, without its FORM_TYPE, which must be `expected` unless that is ""."""
    if expected and form_type(form) != expected:
        raise StanzaError("bad-request", f"the form must have the FORM_TYPE {expected}")
    found: Submitted = {}
    for field in form.find_all(ns.DATA_FORMS, "field"):
        var = field.get("var")
        if var == _FORM_TYPE:
            continue
        if not var:
            if field.get("type") == "fixed":
                continue
            raise StanzaError("bad-request", "a field of the form has no name")
        if var in found:
            raise StanzaError("bad-request", f"the field {var} stands twice in the form")
        found[var] = tuple(value.text for value in field.find_all(ns.DATA_FORMS, "value"))
    return found


def check(submitted: Mapping[str, Sequence[str]], definition: Iterable[Field]) -> dict[str, Value]:
    """The submitted values by the definition's types; fields that were left out do not appear.

    Booleans become bool, fields of many values tuples of str, others str; JIDs are prepared. Unknown fields, wrong
    values and missing required ones raise StanzaError.
    """
    known = {field.var: field for field in definition}
    values: dict[str, Value] = {}
    for var, given in submitted.items():
        field = known.get(var)
        if field is None:
            raise StanzaError("bad-request", f"the form has no field {var}")
        if field.type == "fixed":
            continue
        if field.type in _MANY:
            values[var] = tuple(_checked(field, value) for value in given)
        elif len(given) > 1:
            raise StanzaError("bad-request", f"the field {var} takes one value")
        elif given:
            values[var] = _boolean(field, given[0]) if field.type == "boolean" else _checked(field, given[0])
    for field in known.values():
        if field.required and values.get(field.var, "") in ("", ()):
            raise StanzaError("bad-request", f"the field {field.var} is missing")
    return values


def render(kind: str, expected: str, fields: Iterable[Field], *, title: str = "", instructions: str = "") -> Element:
    """A form element of type `form` or `result` with its FORM_TYPE ("" for none)."""
    form = Element(ns.DATA_FORMS, "x", {"type": kind})
    if title:
        form.add(ns.DATA_FORMS, "title", text=title)
    if instructions:
        form.add(ns.DATA_FORMS, "instructions", text=instructions)
    if expected:
        form.append(Field(_FORM_TYPE, "hidden", values=(expected,)).element())
    for field in fields:
        form.append(field.element())
    return form


def submit(expected: str, values: Mapping[str, Value]) -> Element:
    """A filled-in form with these values."""
    form = Element(ns.DATA_FORMS, "x", {"type": "submit"})
    if expected:
        form.append(Field(_FORM_TYPE, "hidden", values=(expected,)).element())
    for var, value in values.items():
        field = form.add(ns.DATA_FORMS, "field", {"var": var})
        for text in _texts(value):
            field.add(ns.DATA_FORMS, "value", text=text)
    return form


def filled(definition: Iterable[Field], values: Mapping[str, Value]) -> tuple[Field, ...]:
    """The definition with present values in place of its defaults."""
    return tuple(
        replace(field, values=_texts(values[field.var])) if field.var in values else field for field in definition
    )


def _texts(value: Value) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("1" if value else "0",)
    return (value,) if isinstance(value, str) else value


def _boolean(field: Field, value: str) -> bool:
    value = value.strip()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise StanzaError("bad-request", f"the field {field.var} is either true or false")


def _checked(field: Field, value: str) -> str:
    if field.type in ("jid-single", "jid-multi"):
        try:
            return Jid.parse(value.strip()).full
        except ValueError as error:
            raise StanzaError("bad-request", f"the field {field.var} needs an address: {error}") from None
    if field.options and not field.open and value not in {option for option, _label in field.options}:
        raise StanzaError("bad-request", f"the field {field.var} does not offer this value")
    return value
