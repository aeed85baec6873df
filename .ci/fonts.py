"""Make the fonts that PDF files embed (mlink_web/pdfa) from the packages that npm has brought.

The packages hold what browsers want: each family in slices, each slice compressed (WOFF2) and of variable weight. A PDF
file needs plain TrueType outlines of one weight, so each slice is unpacked, pinned to 400 and 700 and written to
`var/fonts/`, without hints, which no reader of PDF files uses at these sizes. `index.json` there says which file has
which characters. The folder is not among the static files: browsers get none of it.

About 500 slices take some 15 s on two cores, once per change of the lock file.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from setup import ROOT, say

NODE_MODULES = ROOT / "node_modules"
FONTS = ROOT / "var/fonts"
REGULAR, BOLD = 400, 700


class Family(NamedTuple):
    """A family: its package, its name in files, whether it has a bold cut of its own, and which slices are wanted."""

    package: str
    name: str
    bold: bool = True
    slices: str = r".*"


def _noto(script: str, *, style: str = "Sans", variable: bool = True, slices: str = "", bold: bool = True) -> Family:
    package = f"@fontsource{'-variable' if variable else ''}/noto-{style.lower()}-{script}"
    return Family(package, f"Noto {style} {script.replace('-', ' ').title()}", bold, slices or script)


# In the order of preference: the first that has a character draws it (mlink_web/pdfa/choice.py knows the exceptions).
# Latin letters inside the families of other scripts are left out: one design for one script.
FAMILIES: tuple[Family, ...] = (
    Family("@fontsource-variable/noto-sans", "Noto Sans", slices=r"(latin|latin-ext|vietnamese|greek|cyrillic)(-ext)?"),
    _noto("arabic"),
    _noto("hebrew"),
    _noto("devanagari"),
    _noto("bengali"),
    _noto("gurmukhi"),
    _noto("gujarati"),
    _noto("oriya"),
    _noto("tamil"),
    _noto("telugu"),
    _noto("kannada"),
    _noto("malayalam"),
    _noto("sinhala"),
    _noto("thai"),
    _noto("lao"),
    _noto("khmer"),
    _noto("myanmar", variable=False),
    _noto("tibetan", style="Serif"),
    _noto("armenian"),
    _noto("georgian"),
    _noto("ethiopic"),
    _noto("thaana"),
    _noto("syriac"),
    _noto("nko", variable=False, bold=False),
    _noto("adlam"),
    _noto("tifinagh", variable=False, bold=False),
    _noto("cherokee"),
    _noto("canadian-aboriginal"),
    _noto("mongolian", variable=False, bold=False),
    _noto("javanese", variable=False),
    _noto("ol-chiki", variable=False),
    Family("@fontsource-variable/noto-sans-sc", "Noto Sans SC", bold=False, slices=r"\d+"),
    Family("@fontsource-variable/noto-sans-jp", "Noto Sans JP", bold=False, slices=r"\d+"),
    Family("@fontsource-variable/noto-sans-kr", "Noto Sans KR", bold=False, slices=r"\d+"),
    Family("@fontsource-variable/noto-sans-tc", "Noto Sans TC", bold=False, slices=r"\d+"),
    _noto("symbols", slices="symbols"),
    _noto("symbols-2", variable=False, bold=False, slices="braille|math|mayan-numerals|symbols"),
    Family("@fontsource/noto-sans-math", "Noto Sans Math", bold=False, slices="latin|math"),
    Family("@fontsource-variable/noto-emoji", "Noto Emoji", bold=False),
    Family("dejavu-fonts-ttf", "DejaVu Sans", slices="DejaVuSans"),
    Family("dejavu-fonts-ttf", "DejaVu Sans Mono", slices="DejaVuSansMono"),
)


class Slice(NamedTuple):
    """One file to make: where from, its name, and the weights that are wanted with the file of each."""

    source: Path
    name: str
    weights: tuple[tuple[int, Path], ...]


def slices(family: Family) -> list[Slice]:
    """The files of a family's upright cut; raises FileNotFoundError when there are none (a renamed file)."""
    folder = NODE_MODULES / family.package
    found = []
    weights = (REGULAR, BOLD) if family.bold else (REGULAR,)
    if family.package == "dejavu-fonts-ttf":
        regular = folder / f"ttf/{family.slices}.ttf"
        found.append(
            Slice(regular, family.slices, ((REGULAR, regular), (BOLD, regular.with_stem(f"{family.slices}-Bold"))))
        )
    else:
        pattern = re.compile(
            rf"{re.escape(family.package.rpartition('/')[2])}-({family.slices})-(wght|400)-normal\.woff2"
        )
        for path in sorted((folder / "files").iterdir()):
            if (match := pattern.fullmatch(path.name)) is None:
                continue
            same = match[2] == "wght"
            cuts = ((one, path if same else path.with_name(path.name.replace("-400-", f"-{one}-"))) for one in weights)
            found.append(Slice(path, path.name.partition("-wght")[0].partition("-400")[0], tuple(cuts)))
    if not found or not all(path.is_file() for one in found for _, path in one.weights):
        raise FileNotFoundError(f"{family.package} lacks files of {family.name}: adapt the list in .ci/fonts.py")
    return found


def outlines(path: Path, weight: int) -> bytes:
    """A font file as plain TrueType of one weight, with all glyphs and what shaping needs."""
    import uharfbuzz as hb
    from fontTools.ttLib import TTFont

    out = io.BytesIO()
    with TTFont(path, recalcBBoxes=False, recalcTimestamp=False) as font:
        if "glyf" not in font:
            raise ValueError(f"{path.name} has no TrueType outlines")
        font.flavor = None
        font.cfg["fontTools.ttLib:OPTIMIZE_FONT_SPEED"] = True
        font.save(out, reorderTables=False)
    face = hb.Face(out.getvalue())
    wanted = hb.SubsetInput()
    wanted.keep_everything()
    wanted.flags = hb.SubsetFlags.RETAIN_GIDS | hb.SubsetFlags.NOTDEF_OUTLINE | hb.SubsetFlags.NO_HINTING
    if any(axis.tag == "wght" for axis in face.axis_infos):
        wanted.pin_axis_location(face, "wght", weight)
    return bytes(hb.subset(face, wanted).blob.data)


def covered(content: bytes) -> list[int]:
    """The characters that a font has, as first and last of each range after each other."""
    import uharfbuzz as hb

    ranges: list[int] = []
    for code in sorted(hb.Face(content).unicodes):
        if ranges and ranges[-1] == code - 1:
            ranges[-1] = code
        else:
            ranges += [code, code]
    return ranges


def make(task: tuple[Slice, Path]) -> dict[str, object]:
    """Write the files of one slice; returns its entry in the index."""
    one, folder = task
    entry: dict[str, object] = {}
    for weight, path in one.weights:
        content = outlines(path, weight)
        name = f"{one.name}-{weight}.ttf"
        (folder / name).write_bytes(content)
        entry["regular" if weight == REGULAR else "bold"] = name
        if weight == REGULAR:
            entry["cover"] = covered(content)
    return entry


def make_fonts() -> None:
    """Make `var/fonts` anew, complete or not at all."""
    fresh = FONTS.with_name("fonts.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "licences").mkdir(parents=True)
    jobs = [(family.name, one) for family in FAMILIES for one in slices(family)]
    say(f"making {len(jobs)} fonts for PDF files")
    with multiprocessing.Pool(os.cpu_count()) as pool:
        entries = pool.map(make, [(one, fresh) for _, one in jobs], chunksize=8)
    index: dict[str, list[dict[str, object]]] = {}
    for (name, _), entry in zip(jobs, entries, strict=True):
        index.setdefault(name, []).append(entry)
    for family in FAMILIES:
        licence = (NODE_MODULES / family.package / "LICENSE").read_bytes()
        (fresh / "licences" / f"{family.name}.txt").write_bytes(licence)
    (fresh / "index.json").write_text(json.dumps(index, separators=(",", ":")))
    shutil.rmtree(FONTS, ignore_errors=True)
    fresh.rename(FONTS)
