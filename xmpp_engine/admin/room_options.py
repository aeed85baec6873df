"""Options of a room as people and programs write them, and the fields that they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from xmpp_engine.admin.command import CommandError
from xmpp_engine.stanza.forms import Field

YES: Final = {"yes": "1", "on": "1", "true": "1", "1": "1", "no": "0", "off": "0", "false": "0", "0": "0"}


def named(fields: Sequence[Field], key: str) -> Field:
    """The field that a person means; raises CommandError."""
    for field in fields:
        if key in (field.var, short(field.var)):
            return field
    known = ", ".join(short(field.var) for field in fields)
    raise CommandError(f"A room has no option {key!r}; there are: {known}.")


def short(var: str) -> str:
    """A field's name as people type it: what stands behind the underscore, or else behind the hash."""
    return var.partition("#")[2].partition("_")[2] or var.partition("#")[2]


def typed(field: Field, text: str) -> list[str]:
    """The values that somebody means who typed this in a shell."""
    if field.type == "boolean":
        return [YES.get(text.strip().lower(), text)]
    if field.type.endswith("-multi"):
        return [part.strip() for part in text.split(",") if part.strip()]
    return [text]


def parse(options: str) -> dict[str, list[str]]:
    """`key=value;key=value` or a JSON object, as lists of texts by key; raises CommandError."""
    if not options.strip():
        return {}
    if not options.lstrip().startswith("{"):
        pairs = [pair.partition("=") for pair in options.split(";") if pair.strip()]
        if not all(equals for _key, equals, _value in pairs):
            raise CommandError("Options are written key=value;key=value.")
        return {key.strip(): [value.strip()] for key, _equals, value in pairs}
    try:
        given = json.loads(options)
    except (ValueError, RecursionError):
        raise CommandError("The options are not a JSON object.") from None
    texts = {key: value if isinstance(value, list) else [value] for key, value in given.items()}
    if not all(isinstance(one, str | int | bool) for value in texts.values() for one in value):
        raise CommandError("The value of an option is a text, a number, true, false or a list of texts.")
    return {key: [_text(one) for one in value] for key, value in texts.items()}


def _text(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def resolve(fields: Sequence[Field], given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Values by the names that people use, as values by field; yes and no become what the form wants. Raises
    CommandError for a name that no field has."""
    found: dict[str, list[str]] = {}
    for key, texts in given.items():
        field = named(fields, key)
        found[field.var] = [YES.get(text.lower(), text) for text in texts] if field.type == "boolean" else texts
    return found
