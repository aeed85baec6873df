"""Reads JSON documents from outside with bounds; whatever does not fit is refused with its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T", bound=str)

#: What no XML may hold (XML 1.0, 2.2), by which no form could ever be sent.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MISSING: Final = object()


class DefinitionError(ValueError):
    """A document does not fit. `path` is the place, such as `fields[3].options`, "" for the whole; `reason` what is
    wrong there."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class Place:
    """A value inside a document, and where it stands."""

    __slots__ = ("path", "value")

    def __init__(self, path: str, value: Any) -> None:
        self.path = path
        self.value = value

    @property
    def absent(self) -> bool:
        """Whether the key is not there, or null."""
        return self.value is _MISSING or self.value is None

    def error(self, reason: str) -> DefinitionError:
        """What to raise where this value does not fit."""
        return DefinitionError(self.path, reason)

    def mapping(self, *keys: str) -> dict[str, Place]:
        """The values under these keys of an object that has no others."""
        if not isinstance(self.value, dict):
            raise self.error("must be an object")
        prefix = f"{self.path}." if self.path else ""
        for key in self.value:
            if key not in keys:
                shown = key if isinstance(key, str) and len(key) <= 40 and key.isprintable() else "(a key)"
                raise DefinitionError(f"{prefix}{shown}", "there is no such key")
        return {key: Place(f"{prefix}{key}", self.value.get(key, _MISSING)) for key in keys}

    def items(self, most: int) -> list[Place]:
        """The entries of a list, none where it is absent."""
        if self.absent:
            return []
        if not isinstance(self.value, list | tuple):
            raise self.error("must be a list")
        if len(self.value) > most:
            raise self.error(f"has more than {most} entries")
        return [Place(f"{self.path}[{index}]", value) for index, value in enumerate(self.value)]

    def text(self, most: int, *, required: bool = False) -> str:
        """A text of at most `most` characters; "" where it is absent, unless it is required."""
        if self.absent and not required:
            return ""
        if not isinstance(self.value, str):
            raise self.error("must be a text")
        if len(self.value) > most:
            raise self.error(f"has more than {most} characters")
        if _FORBIDDEN.search(self.value):
            raise self.error("holds a character that XML cannot carry")
        return self.value

    def flag(self) -> bool:
        """True or false; false where it is absent."""
        if self.absent:
            return False
        if not isinstance(self.value, bool):
            raise self.error("must be true or false")
        return self.value

    def number(self, least: int, most: int) -> int | None:
        """A whole number within bounds; None where it is absent."""
        if self.absent:
            return None
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.error("must be a whole number")
        if not least <= self.value <= most:
            raise self.error(f"must be from {least} to {most}")
        return self.value

    def choice(self, allowed: Sequence[T], default: T | None = None) -> T:
        """One of a few words; without a default it must be there."""
        if self.absent and default is not None:
            return default
        for one in allowed:
            if self.value == one:
                return one
        raise self.error(f"must be one of {', '.join(allowed)}")
