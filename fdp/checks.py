"""What must hold between the parts of a form; `definition.from_json` checks it after each part has been read."""

from __future__ import annotations

import re
from typing import Final

from fdp import datatypes, patterns
from fdp.fields import LISTS, MANY, RESERVED, Definition, Field, FieldRef, Part, Section, Validate
from fdp.reading import DefinitionError
from fdp.values import WrongValue, checked

#: `prefix:name` (XEP-0122, 3.1).
_DATATYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*:[!-~]+\Z")
_MIME: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;[ -~]*)?\Z")
#: A template must not make browsers run or fetch anything else.
_SCHEMES: Final = ("https:", "http:", "cid:")


def check(definition: Definition) -> None:
    """Raises DefinitionError with the place of the first thing that does not fit."""
    known: set[str] = set()
    for index, field in enumerate(definition.fields):
        path = f"fields[{index}]"
        _check_name(path, field)
        if field.var in known:
            raise DefinitionError(f"{path}.var", f"another field is called {field.var}")
        if field.var:
            known.add(field.var)
        _check_field(path, field)
    placed: set[str] = set()
    for index, page in enumerate(definition.pages):
        _check_parts(f"pages[{index}].parts", page.parts, known, placed)


def _check_name(path: str, field: Field) -> None:
    if not field.var and field.type != "fixed":
        raise DefinitionError(f"{path}.var", "every field but a fixed one has a name")
    if field.var != field.var.strip() or not all(character.isprintable() for character in field.var):
        raise DefinitionError(f"{path}.var", "a name has no blanks around it and no control characters")
    if field.var.startswith(RESERVED):
        raise DefinitionError(f"{path}.var", f"names that begin with {RESERVED} belong to the service")


def _check_field(path: str, field: Field) -> None:
    if field.required and field.type in ("fixed", "hidden"):
        raise DefinitionError(f"{path}.required", f"nobody fills in a {field.type} field")
    if field.type in LISTS:
        _check_options(f"{path}.options", field)
    elif field.options:
        raise DefinitionError(f"{path}.options", "only lists have options")
    elif field.open:
        raise DefinitionError(f"{path}.open", "only lists can be open")
    if field.validate is not None:
        if field.type == "fixed":
            raise DefinitionError(f"{path}.validate", "nobody fills in a fixed field")
        _check_validate(f"{path}.validate", field, field.validate)
    for number, media in enumerate(field.media):
        if not media.uris:
            raise DefinitionError(f"{path}.media[{number}].uris", "must name at least one address")
        for place, uri in enumerate(media.uris):
            here = f"{path}.media[{number}].uris[{place}]"
            if not _MIME.match(uri.type):
                raise DefinitionError(f"{here}.type", "must be a type such as image/png")
            try:
                datatypes.any_uri(uri.uri)
            except ValueError as error:
                raise DefinitionError(f"{here}.uri", str(error)) from None
            if not uri.uri.lower().startswith(_SCHEMES):
                raise DefinitionError(f"{here}.uri", "must begin with https:, http: or cid:")
    if len(field.values) > 1 and field.type not in MANY:
        raise DefinitionError(f"{path}.values", "this type of field takes one value")
    _check_defaults(path, field)


def _check_options(path: str, field: Field) -> None:
    if not field.options and not field.open:
        raise DefinitionError(path, "a list needs options, unless it is open")
    values: set[str] = set()
    labels: set[str] = set()
    for index, option in enumerate(field.options):
        if option.value in values:
            raise DefinitionError(f"{path}[{index}].value", "another option has this value")
        if option.label and option.label in labels:
            raise DefinitionError(f"{path}[{index}].label", "another option has this label")
        values.add(option.value)
        labels.add(option.label)


def _check_validate(path: str, field: Field, validate: Validate) -> None:
    if not _DATATYPE.match(validate.datatype):
        raise DefinitionError(f"{path}.datatype", "must be a datatype such as xs:integer")
    if validate.method != "range":
        for name in ("min", "max"):
            if getattr(validate, name) is not None:
                raise DefinitionError(f"{path}.{name}", "belongs to the method range")
    elif validate.datatype not in datatypes.ORDERED:
        raise DefinitionError(f"{path}.method", f"values of {validate.datatype} have no range")
    else:
        _check_range(path, validate)
    if validate.method == "regex":
        if validate.regex is None:
            raise DefinitionError(f"{path}.regex", "the method regex needs a pattern")
        try:
            patterns.compiled(validate.regex)
        except ValueError as error:
            raise DefinitionError(f"{path}.regex", str(error)) from None
    elif validate.regex is not None:
        raise DefinitionError(f"{path}.regex", "belongs to the method regex")
    if field.type != "list-multi":
        for name in ("list_min", "list_max"):
            if getattr(validate, name) is not None:
                raise DefinitionError(f"{path}.{name}", "only a list-multi counts its values")
    elif None not in (validate.list_min, validate.list_max) and validate.list_min > validate.list_max:  # type: ignore[operator]
        raise DefinitionError(f"{path}.list_max", "must not be less than list_min")


def _check_range(path: str, validate: Validate) -> None:
    bounds = {}
    for name, value in (("min", validate.min), ("max", validate.max)):
        if value is not None:
            try:
                bounds[name] = datatypes.parse(validate.datatype, value)
            except ValueError as error:
                raise DefinitionError(f"{path}.{name}", str(error)) from None
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise DefinitionError(f"{path}.max", "must not be less than min")


def _check_defaults(path: str, field: Field) -> None:
    # A hidden field carries what it likes; a fixed one is text.
    if not field.values or field.type in ("fixed", "hidden"):
        return
    try:
        checked(field, field.values, counted=False)
    except WrongValue as error:
        raise DefinitionError(f"{path}.values", str(error)) from None


def _check_parts(path: str, parts: tuple[Part, ...], known: set[str], placed: set[str]) -> None:
    for index, part in enumerate(parts):
        if isinstance(part, FieldRef):
            if part.var not in known:
                raise DefinitionError(f"{path}[{index}].var", "there is no such field")
            if part.var in placed:
                raise DefinitionError(f"{path}[{index}].var", f"{part.var} has a place already")
            placed.add(part.var)
        elif isinstance(part, Section):
            before = len(placed)
            _check_parts(f"{path}[{index}].parts", part.parts, known, placed)
            if len(placed) == before:
                raise DefinitionError(f"{path}[{index}].parts", "a section holds at least one field")
