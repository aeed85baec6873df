"""A definition as the form that clients fetch (XEP-0004), and back.

`to_element` writes checks (XEP-0122), pages (XEP-0141) and pictures (XEP-0221) into the form; clients that do not know
them see plain fields. `from_element` reads templates that are published over XMPP. It overlooks what the specifications
ask to overlook (field types and methods that are not known, places of fields that are not there, tables) and hands the
rest to `definition.from_json`, which refuses what is wrong with its place.
"""

from __future__ import annotations

from typing import Any, Final

from fdp.definition import (
    FIELD_TYPES,
    METHODS,
    Definition,
    DefinitionError,
    Field,
    Media,
    Part,
    Section,
    Text,
    Validate,
    from_json,
)
from fdp.fields import MAX_FIELDS, MAX_NESTING
from xmpp_engine.api import Element, ns

#: Children of a form: fields, pages, instructions and what is overlooked.
MAX_CHILDREN: Final = 2 * MAX_FIELDS


def to_element(definition: Definition) -> Element:
    """The `<x type='form'/>` of a definition."""
    form = Element(ns.DATA_FORMS, "x", {"type": "form"})
    if definition.title:
        form.add(ns.DATA_FORMS, "title", text=definition.title)
    for text in definition.instructions:
        form.add(ns.DATA_FORMS, "instructions", text=text)
    for page in definition.pages:
        element = form.add(ns.FORM_LAYOUT, "page", {"label": page.label} if page.label else None)
        _add_parts(element, page.parts)
    for field in definition.fields:
        form.append(field_element(field, field.values))
    return form


def field_element(field: Field, values: tuple[str, ...]) -> Element:
    """The `<field/>` of a form to be filled in, with these values in it."""
    element = Element(ns.DATA_FORMS, "field", {"var": field.var} if field.var else {})
    element.attrs["type"] = field.type
    if field.label:
        element.attrs["label"] = field.label
    if field.desc:
        element.add(ns.DATA_FORMS, "desc", text=field.desc)
    if field.required:
        element.add(ns.DATA_FORMS, "required")
    if field.validate is not None:
        element.append(_validate_element(field.validate))
    for media in field.media:
        element.append(_media_element(media))
    for value in values:
        element.add(ns.DATA_FORMS, "value", text=value)
    for option in field.options:
        child = element.add(ns.DATA_FORMS, "option", {"label": option.label} if option.label else None)
        child.add(ns.DATA_FORMS, "value", text=option.value)
    return element


def _validate_element(validate: Validate) -> Element:
    element = Element(ns.FORM_VALIDATION, "validate", {"datatype": validate.datatype})
    if validate.method == "regex":
        element.add(ns.FORM_VALIDATION, "regex", text=validate.regex or "")
    else:
        bounds = {name: value for name, value in (("min", validate.min), ("max", validate.max)) if value is not None}
        element.add(ns.FORM_VALIDATION, validate.method, bounds)
    counts = {
        name: str(value)
        for name, value in (("min", validate.list_min), ("max", validate.list_max))
        if value is not None
    }
    if counts:
        element.add(ns.FORM_VALIDATION, "list-range", counts)
    return element


def _media_element(media: Media) -> Element:
    sizes = (("height", media.height), ("width", media.width))
    element = Element(ns.FORM_MEDIA, "media", {name: str(size) for name, size in sizes if size is not None})
    for uri in media.uris:
        element.add(ns.FORM_MEDIA, "uri", {"type": uri.type}, text=uri.uri)
    return element


def _add_parts(element: Element, parts: tuple[Part, ...]) -> None:
    for part in parts:
        if isinstance(part, Text):
            element.add(ns.FORM_LAYOUT, "text", text=part.text)
        elif isinstance(part, Section):
            child = element.add(ns.FORM_LAYOUT, "section", {"label": part.label} if part.label else None)
            _add_parts(child, part.parts)
        else:
            element.add(ns.FORM_LAYOUT, "fieldref", {"var": part.var})


def from_element(form: Element) -> Definition:
    """The definition of a form of the type `form`; raises DefinitionError."""
    if form.ns != ns.DATA_FORMS or form.name != "x" or form.get("type") != "form":
        raise DefinitionError("", "a template is a data form of the type form")
    if len(form.children) > MAX_CHILDREN and sum(1 for _ in form.elements()) > MAX_CHILDREN:
        raise DefinitionError("fields", f"has more than {MAX_FIELDS} entries")
    fields = [_field(element) for element in form.find_all(ns.DATA_FORMS, "field")]
    known = {field["var"] for field in fields if field["var"]}
    placed: set[str] = set()
    return from_json(
        {
            "title": form.child_text(ns.DATA_FORMS, "title") or "",
            "instructions": [element.text for element in form.find_all(ns.DATA_FORMS, "instructions")],
            "fields": fields,
            "pages": [
                {"label": element.get("label", ""), "parts": _parts(element, known, placed, 0)}
                for element in form.find_all(ns.FORM_LAYOUT, "page")
            ],
        }
    )


def _field(element: Element) -> dict[str, Any]:
    type = element.get("type", "text-single")
    # A type that is not known is a line of text (XEP-0004, 3.3).
    type = type if type in FIELD_TYPES else "text-single"
    validate = element.find(ns.FORM_VALIDATION, "validate")
    return {
        "var": element.get("var", ""),
        "type": type,
        "label": element.get("label", ""),
        "desc": element.child_text(ns.DATA_FORMS, "desc") or "",
        "required": type not in ("fixed", "hidden") and element.find(ns.DATA_FORMS, "required") is not None,
        "values": [value.text for value in element.find_all(ns.DATA_FORMS, "value")],
        "options": [
            {"value": option.child_text(ns.DATA_FORMS, "value") or "", "label": option.get("label", "")}
            for option in element.find_all(ns.DATA_FORMS, "option")
        ],
        "validate": _validate(validate, type) if validate is not None and type != "fixed" else None,
        "media": [
            {
                "width": _size(media.get("width")),
                "height": _size(media.get("height")),
                "uris": [
                    {"type": uri.get("type", ""), "uri": uri.text.strip()}
                    for uri in media.find_all(ns.FORM_MEDIA, "uri")
                ],
            }
            for media in element.find_all(ns.FORM_MEDIA, "media")
            if media.find(ns.FORM_MEDIA, "uri") is not None
        ],
    }


def _validate(element: Element, type: str) -> dict[str, Any]:
    method = next((one for one in METHODS if element.find(ns.FORM_VALIDATION, one) is not None), "basic")
    found: dict[str, Any] = {"datatype": element.get("datatype", "xs:string"), "method": method}
    child = element.find(ns.FORM_VALIDATION, method)
    if child is not None and method == "range":
        found.update({name: child.get(name) for name in ("min", "max")})
    if child is not None and method == "regex":
        found["regex"] = child.text
    counts = element.find(ns.FORM_VALIDATION, "list-range")
    if counts is not None and type == "list-multi":
        found.update({f"list_{name}": _size(counts.get(name)) for name in ("min", "max")})
    return found


def _size(text: str | None) -> int | None:
    """A whole number of an attribute; what is none, or nothing, counts as not given."""
    number = int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else 0
    return number or None


def _parts(element: Element, known: set[str], placed: set[str], depth: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for child in element.elements():
        if child.ns != ns.FORM_LAYOUT:
            continue
        if child.name == "text" and child.text.strip():
            found.append({"kind": "text", "text": child.text})
        elif child.name == "fieldref":
            var = child.get("var", "")
            # Places of unknown fields are ignored (XEP-0141, 4); of two places the first one counts.
            if var in known and var not in placed:
                placed.add(var)
                found.append({"kind": "field", "var": var})
        elif child.name == "section":
            if depth > MAX_NESTING:
                raise DefinitionError("pages", f"sections are nested at most {MAX_NESTING} deep")
            before = len(placed)
            parts = _parts(child, known, placed, depth + 1)
            if len(placed) > before:
                found.append({"kind": "section", "label": child.get("label", ""), "parts": parts})
    return found
