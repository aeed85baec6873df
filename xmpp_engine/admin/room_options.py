"""Options of a room as people and programs write them, and the fields that they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.values import YES
from xmpp_engine.stanza.forms import Field


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


def resolve(fields: Sequence[Field], given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Values by the names that people use, as values by field; yes and no become what the form wants. Raises
    CommandError for a name that no field has."""
    found: dict[str, list[str]] = {}
    for key, texts in given.items():
        field = named(fields, key)
        found[field.var] = [YES.get(text.lower(), text) for text in texts] if field.type == "boolean" else texts
    return found
