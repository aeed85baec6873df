"""What a form consists of, as the editor posts it, topics store it and exports carry it: one JSON document.

    {"title": "Situation report", "instructions": ["One sheet a day."],
     "fields": [{"var": "unit", "type": "text-single", "label": "Unit", "required": true, ...}],
     "pages": [{"label": "Who", "parts": [{"kind": "field", "var": "unit"}]}]}

The dataclasses of `fields.py` hold the same under the same names. `from_json` reads a document and refuses what no form
could be, `to_json` writes it with every key, so that `from_json(to_json(form)) == form`. Field types are those of
XEP-0004, checks those of XEP-0122, pages those of XEP-0141, pictures and sounds those of XEP-0221. `templates.py` turns
a definition into the form that clients see, `validation.py` holds submissions against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fdp.checks import check
from fdp.fields import (
    FIELD_TYPES,
    LISTS,
    MANY,
    MAX_BYTES,
    MAX_FIELDS,
    MAX_INSTRUCTIONS,
    MAX_LABEL,
    MAX_MEDIA,
    MAX_NESTING,
    MAX_OPTIONS,
    MAX_PAGES,
    MAX_PARTS,
    MAX_REGEX,
    MAX_TEXT,
    MAX_VALUES,
    MAX_VAR,
    METHODS,
    RESERVED,
    Definition,
    Field,
    FieldRef,
    FieldType,
    Media,
    Option,
    Page,
    Part,
    Section,
    Text,
    Uri,
    Validate,
)
from fdp.reading import DefinitionError, Place

__all__ = [
    "FIELD_TYPES",
    "LISTS",
    "MANY",
    "METHODS",
    "RESERVED",
    "Definition",
    "DefinitionError",
    "Field",
    "FieldRef",
    "Media",
    "Option",
    "Page",
    "Part",
    "Section",
    "Text",
    "Uri",
    "Validate",
    "dumps",
    "from_json",
    "loads",
    "to_json",
]


def loads(text: str | bytes) -> Definition:
    """A definition from the text of a JSON document; raises DefinitionError."""
    if len(text if isinstance(text, bytes) else text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise DefinitionError("", f"a form has at most {MAX_BYTES // 1024} KiB")
    try:
        return from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DefinitionError):
            raise
        raise DefinitionError("", f"this is no JSON: {error}") from None


def from_json(document: Any) -> Definition:
    """A definition from a JSON document that is read already; raises DefinitionError, whose text names the place (such
    as `fields[3].options`) and what is wrong there."""
    place = Place("", document)
    known = place.mapping("title", "instructions", "fields", "pages")
    definition = Definition(
        title=known["title"].text(MAX_LABEL),
        instructions=tuple(one.text(MAX_TEXT) for one in known["instructions"].items(MAX_INSTRUCTIONS)),
        fields=tuple(_field(one) for one in known["fields"].items(MAX_FIELDS)),
        pages=tuple(
            Page(part["label"].text(MAX_LABEL), _parts(part["parts"], 0))
            for part in (one.mapping("label", "parts") for one in known["pages"].items(MAX_PAGES))
        ),
    )
    check(definition)
    if len(dumps(definition).encode()) > MAX_BYTES:
        raise DefinitionError("", f"a form has at most {MAX_BYTES // 1024} KiB")
    return definition


def to_json(definition: Definition) -> dict[str, Any]:
    """The document of a definition, with every key."""
    return {
        "title": definition.title,
        "instructions": list(definition.instructions),
        "fields": [_field_document(field) for field in definition.fields],
        "pages": [
            {"label": page.label, "parts": [_part_document(part) for part in page.parts]} for page in definition.pages
        ],
    }


def dumps(definition: Definition) -> str:
    """The document as compact JSON."""
    return json.dumps(to_json(definition), ensure_ascii=False, separators=(",", ":"))


def _field(place: Place) -> Field:
    known = place.mapping("var", "type", "label", "desc", "required", "values", "options", "open", "validate", "media")
    type: FieldType = known["type"].choice(FIELD_TYPES, "text-single")
    open = known["open"].flag()
    validate = None if known["validate"].absent else _validate(known["validate"])
    options = tuple(
        Option(one["value"].text(MAX_TEXT, required=True), one["label"].text(MAX_LABEL))
        for one in (one.mapping("value", "label") for one in known["options"].items(MAX_OPTIONS))
    )
    values = tuple(one.text(MAX_TEXT, required=True) for one in known["values"].items(MAX_VALUES))
    if type in LISTS:
        # Every method but basic opens a list, and nothing else does (XEP-0122, 3.2): one way to say it.
        if validate is not None and validate.method != "basic":
            open = True
        elif open:
            base = validate or Validate()
            validate = Validate(base.datatype, "open", list_min=base.list_min, list_max=base.list_max)
    if values == ("",) and type not in ("fixed", "hidden", "text-multi") and all(option.value for option in options):
        values = ()
    return Field(
        var=known["var"].text(MAX_VAR),
        type=type,
        label=known["label"].text(MAX_LABEL),
        desc=known["desc"].text(MAX_TEXT),
        required=known["required"].flag(),
        values=values,
        options=options,
        open=open,
        validate=validate,
        media=tuple(_media(one) for one in known["media"].items(MAX_MEDIA)),
    )


def _validate(place: Place) -> Validate:
    known = place.mapping("datatype", "method", "min", "max", "regex", "list_min", "list_max")
    return Validate(
        datatype=known["datatype"].text(100) or "xs:string",
        method=known["method"].choice(METHODS, "basic"),
        min=known["min"].text(100) or None,
        max=known["max"].text(100) or None,
        regex=known["regex"].text(MAX_REGEX) or None,
        list_min=known["list_min"].number(1, MAX_VALUES),
        list_max=known["list_max"].number(1, MAX_VALUES),
    )


def _media(place: Place) -> Media:
    known = place.mapping("width", "height", "uris")
    uris = (one.mapping("type", "uri") for one in known["uris"].items(MAX_MEDIA))
    return Media(
        uris=tuple(Uri(one["type"].text(200, required=True), one["uri"].text(2_000, required=True)) for one in uris),
        width=known["width"].number(1, 65_535),
        height=known["height"].number(1, 65_535),
    )


def _parts(place: Place, depth: int) -> tuple[Part, ...]:
    return tuple(_part(one, depth) for one in place.items(MAX_PARTS))


def _part(place: Place, depth: int) -> Part:
    known = place.mapping("kind", "text", "var", "label", "parts")
    kind = known["kind"].choice(("text", "field", "section"))
    used = {"text": ("text",), "field": ("var",), "section": ("label", "parts")}[kind]
    for name in ("text", "var", "label", "parts"):
        if name not in used and not known[name].absent:
            raise DefinitionError(known[name].path, f"a part of the kind {kind} has no such key")
    if kind == "text":
        return Text(known["text"].text(MAX_TEXT, required=True))
    if kind == "field":
        return FieldRef(known["var"].text(MAX_VAR, required=True))
    if depth >= MAX_NESTING:
        raise DefinitionError(place.path, f"sections are nested at most {MAX_NESTING} deep")
    return Section(known["label"].text(MAX_LABEL), _parts(known["parts"], depth + 1))


def _field_document(field: Field) -> dict[str, Any]:
    validate = field.validate
    return {
        "var": field.var,
        "type": field.type,
        "label": field.label,
        "desc": field.desc,
        "required": field.required,
        "values": list(field.values),
        "options": [{"value": option.value, "label": option.label} for option in field.options],
        "open": field.open,
        "validate": None
        if validate is None
        else {
            "datatype": validate.datatype,
            "method": validate.method,
            "min": validate.min,
            "max": validate.max,
            "regex": validate.regex,
            "list_min": validate.list_min,
            "list_max": validate.list_max,
        },
        "media": [
            {
                "width": media.width,
                "height": media.height,
                "uris": [{"type": uri.type, "uri": uri.uri} for uri in media.uris],
            }
            for media in field.media
        ],
    }


def _part_document(part: Part) -> Mapping[str, Any]:
    if isinstance(part, Text):
        return {"kind": "text", "text": part.text}
    if isinstance(part, FieldRef):
        return {"kind": "field", "var": part.var}
    return {"kind": "section", "label": part.label, "parts": [_part_document(one) for one in part.parts]}
