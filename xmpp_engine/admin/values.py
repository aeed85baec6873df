"""What commands take and show: arguments as people and programs write them, times and form fields as both read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import CommandError
from xmpp_engine.stanza.forms import Field

YES: Final = {"yes": "1", "on": "1", "true": "1", "1": "1", "no": "0", "off": "0", "false": "0", "0": "0"}


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


def bare_address(text: str, name: str) -> Jid:
    """An argument as a bare address or a domain; raises CommandError naming it."""
    try:
        jid = Jid.parse(text.strip())
    except ValueError as error:
        raise CommandError(f"{name}: {text.strip()!r} is not an XMPP address: {error}.") from None
    if jid.resource:
        raise CommandError(f"{name} must be a bare address, without the part after the slash.")
    return jid


def whole_number(name: str, text: str, most: int) -> int:
    """An argument as a number; raises CommandError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) > most:
        raise CommandError(f"{name} must be a number up to {most}.")
    return int(text)


def row_number(text: str) -> int:
    """An argument as the number of a row; raises CommandError."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise CommandError(f"{text} is no number.")
    return int(text)


def yes_or_no(name: str, text: str) -> bool:
    """An argument as a switch; raises CommandError naming it."""
    if text not in ("yes", "no"):
        raise CommandError(f"{name} is yes or no.")
    return text == "yes"


def stamp(seconds: float) -> str:
    """A time as text (UTC, ISO 8601), "" for none."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z") if seconds else ""


def described(fields: Sequence[Field]) -> list[dict[str, Any]]:
    """The fields of a configuration form, for people and programs."""
    return [
        {
            "field": field.var,
            "label": field.label,
            "type": field.type,
            "values": list(field.values),
            "options": [list(option) for option in field.options],
            "help": field.description,
            "open": field.open,
        }
        for field in fields
    ]


def _text(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)
