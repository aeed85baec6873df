"""What a person types for a field of a model, in the type of its column: for commands, which have only text."""

from __future__ import annotations

from typing import Any, Final

from django.db import models

#: How people write yes and no.
WORDS: Final = {
    "on": True,
    "yes": True,
    "true": True,
    "1": True,
    "off": False,
    "no": False,
    "false": False,
    "0": False,
}
#: Digits of a number: more than any column has.
_DIGITS: Final = 12


def typed(column: models.Field[Any, Any], text: str) -> Any:
    """A yes or no, a number, or the text as it is; raises ValueError with a sentence."""
    word = text.strip().lower()
    if isinstance(column, models.BooleanField):
        if word not in WORDS:
            raise ValueError(f"{column.name} is on or off{', or default' if column.null else ''}, not {text!r}.")
        return WORDS[word]
    if isinstance(column, models.IntegerField):
        if not (word.isascii() and word.isdigit() and len(word) <= _DIGITS):
            raise ValueError(f"{column.name} is a number, not {text!r}.")
        return int(word)
    return text
