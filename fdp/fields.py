"""The parts of a form, as values; see `definition.py`, which reads and writes them as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

FieldType = Literal[
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
]
Method = Literal["basic", "open", "range", "regex"]

FIELD_TYPES: Final[tuple[FieldType, ...]] = FieldType.__args__  # type: ignore[attr-defined]
METHODS: Final[tuple[Method, ...]] = Method.__args__  # type: ignore[attr-defined]
#: Types that may have several values (XEP-0004, 3.2), and those that offer options.
MANY: Final = frozenset({"hidden", "jid-multi", "list-multi", "text-multi"})
LISTS: Final = frozenset({"list-multi", "list-single"})

MAX_BYTES: Final = 65_536
MAX_FIELDS: Final = 500
MAX_OPTIONS: Final = 500
MAX_VALUES: Final = 500
MAX_NESTING: Final = 5
MAX_INSTRUCTIONS: Final = 50
MAX_PAGES: Final = 100
MAX_PARTS: Final = 1_000
MAX_MEDIA: Final = 10
MAX_VAR: Final = 200
MAX_LABEL: Final = 1_000
MAX_TEXT: Final = 8_000
MAX_REGEX: Final = 1_000
#: Names that the service itself gives to fields of a submission (docs/forms.md).
RESERVED: Final = "fdp#"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a list; without a label its value is shown."""

    value: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Uri:
    """Where one rendering of a picture or sound is, and its MIME type (XEP-0221)."""

    type: str
    uri: str


@dataclass(frozen=True, slots=True)
class Media:
    """A picture or sound shown with a field; the sizes are in pixels, None where they do not matter."""

    uris: tuple[Uri, ...]
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Validate:
    """What values must be (XEP-0122). `min`, `max` and `regex` are None where the method has no use for them;
    `list_min` and `list_max` bound how many values a list-multi takes."""

    datatype: str = "xs:string"
    method: Method = "basic"
    min: str | None = None
    max: str | None = None
    regex: str | None = None
    list_min: int | None = None
    list_max: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field (XEP-0004). `open` lets a list take values beside its options; `values` are the defaults, or the text
    of a fixed field."""

    var: str
    type: FieldType = "text-single"
    label: str = ""
    desc: str = ""
    required: bool = False
    values: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    open: bool = False
    validate: Validate | None = None
    media: tuple[Media, ...] = ()

    @property
    def name(self) -> str:
        """What people know the field by."""
        return self.label.strip().rstrip(":") or self.var


@dataclass(frozen=True, slots=True)
class Text:
    """Words between fields."""

    text: str


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The place of a field."""

    var: str


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that belong together; sections nest up to MAX_NESTING."""

    label: str = ""
    parts: tuple[Part, ...] = ()


Part = Text | FieldRef | Section


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a form (XEP-0141)."""

    label: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """A form. Without pages its fields are shown in their order."""

    title: str = ""
    instructions: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    pages: tuple[Page, ...] = ()

    def field(self, var: str) -> Field | None:
        """The field of this name."""
        return next((field for field in self.fields if field.var == var), None) if var else None

    def unplaced(self) -> tuple[Field, ...]:
        """Fields that people see and that stand on no page: shown behind the last one."""
        if not self.pages:
            return ()
        placed = {var for page in self.pages for var in _placed(page.parts)}
        return tuple(field for field in self.fields if field.type != "hidden" and field.var and field.var not in placed)


def _placed(parts: tuple[Part, ...]) -> list[str]:
    found: list[str] = []
    for part in parts:
        if isinstance(part, FieldRef):
            found.append(part.var)
        elif isinstance(part, Section):
            found.extend(_placed(part.parts))
    return found
