"""How texts look: sizes in points, colours as #rrggbb."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

INK: Final = "#17212b"
GREY: Final = "#55606d"
FAINT: Final = "#d5d1c6"


@dataclass(frozen=True)
class Style:
    """The look of a paragraph. `bar` and `background` are colours of a line at its side and of what is behind it."""

    size: float = 9.5
    leading: float = 13.0
    bold: bool = False
    color: str = INK
    family: str = "text"
    before: float = 0.0
    after: float = 0.0
    indent: float = 0.0
    align: str = "start"
    background: str = ""
    bar: str = ""

    def but(self, **changes: object) -> Style:
        """This style with some changes."""
        return replace(self, **changes)  # type: ignore[arg-type]


TEXT: Final = Style()
STYLES: Final[dict[str, Style]] = {
    "text": TEXT,
    "small": Style(8, 11, color=GREY),
    "muted": TEXT.but(color=GREY),
    "bold": TEXT.but(bold=True),
    "name": TEXT.but(bold=True),
    "time": Style(8, 13, color=GREY),
    "label": Style(8.5, 13, bold=True),
    "quote": TEXT.but(color="#3d4854", indent=10, bar="#b9b4a7", before=1, after=1),
    "code": Style(8.5, 11.5, family="mono", indent=6, background="#f3f1ec", before=2, after=2),
    "title": Style(17, 22, bold=True, after=4),
    "h1": Style(12.5, 16, bold=True, before=14, after=4),
    "h2": Style(10.5, 14, bold=True, before=9, after=3),
    "h3": Style(9.5, 13, bold=True, before=7, after=2),
}


def style_of(style: str | Style) -> Style:
    """A style by its name, or one of one's own. Raises KeyError."""
    return STYLES[style] if isinstance(style, str) else style


def paint(color: str, operator: str = "rg") -> str:
    """The PDF operator that chooses a colour. Raises ValueError for what is no #rrggbb."""
    if len(color) != 7 or color[0] != "#":
        raise ValueError(f"not a colour: {color}")
    return f"{' '.join(f'{int(color[at : at + 2], 16) / 255:.4g}' for at in (1, 3, 5))} {operator}"
