"""Characters become glyphs: which face draws which character, and what HarfBuzz makes of each run.

A run is what one face draws in one direction. Its glyphs come out in clusters: the smallest pieces of which it is known
which characters they stand for, so that what is drawn can be copied and searched. Results are kept, since people use
the same words again; the table has a bound.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, NamedTuple

from mlink_web.pdfa.bidi import without_controls
from mlink_web.pdfa.clean import is_mark
from mlink_web.pdfa.faces import EMOJI, MONO, MONO_FAMILY, Face, fonts

#: Runs that are kept, and the longest that is.
KEPT: Final = 30_000
KEPT_LENGTH: Final = 48
MISSING: Final = "□"

CJK_ORDER: Final = {
    "sc": ("Noto Sans SC", "Noto Sans JP", "Noto Sans TC", "Noto Sans KR"),
    "tc": ("Noto Sans TC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    "jp": ("Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR"),
    "kr": ("Noto Sans KR", "Noto Sans JP", "Noto Sans TC", "Noto Sans SC"),
}
_CJK: Final = re.compile(
    "[\u1100-\u11ff\u2e80-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uffef\U0001f200-\U0001f2ff\U00020000-\U0003ffff]"
)
_KANA: Final = re.compile("[\u3041-\u30fa\u31f0-\u31ff\uff66-\uff9d]")
_HANGUL: Final = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7ff]")
_BOPOMOFO: Final = re.compile("[\u3105-\u312f\u31a0-\u31bf]")
# Emoji_Presentation of the standard: drawn as a picture unless a variation selector says otherwise.
PICTURE: Final = (
    "\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd\u26be"
    "\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e\u2753-\u2755\u2757"
    "\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e\U0001f191-\U0001f19a"
    "\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff"
)
_PICTURE: Final = re.compile(f"[{PICTURE}]")
_IGNORED: Final = frozenset("\u200c\u200d\ufe00\ufe01\ufe0e\ufe0f")
#: One character with all that belongs to it: marks, selectors, skin tones, what joiners add, the letters of a flag.
CLUSTER: Final = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    "|[\u1100-\u115f\ua960-\ua97c]{1,3}[\u1160-\u11a7\ud7b0-\ud7c6]{0,3}[\u11a8-\u11ff\ud7cb-\ud7fb]{0,3}"
    "|.(?:[\ufe00-\ufe0f\u20e3\u200c\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef]|\u200d[^\\s]?)*",
    re.DOTALL,
)


class Cluster(NamedTuple):
    """The glyphs that stand for `text`: glyph, offset to the right and upwards, in the face's units."""

    text: str
    glyphs: tuple[tuple[int, int, int], ...]
    advance: int


class Run(NamedTuple):
    """What one face draws, from left to right; width, top and bottom of the ink in em."""

    face: Face
    clusters: tuple[Cluster, ...]
    width: float
    top: float
    bottom: float


class Way(NamedTuple):
    """How a text is set: "text" or "mono", the design of Chinese characters, bold, from right to left; and the family
    and number of a face to be used if it has all of the text (a blank is that of the word before it)."""

    family: str = "text"
    cjk: str = "sc"
    bold: bool = False
    right_to_left: bool = False
    near: tuple[str, int] | None = None


def clusters(text: str) -> list[str]:
    """The text in pieces that must not be torn."""
    found: list[str] = []
    for match in CLUSTER.finditer(text):
        piece = match[0]
        if found and is_mark(piece[0]):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def cjk_of(text: str, default: str) -> str:
    """Whose design of Chinese characters a line wants: its other letters tell, else the document's language."""
    if not _CJK.search(text):
        return default
    if _KANA.search(text):
        return "jp"
    if _HANGUL.search(text):
        return "kr"
    return "tc" if _BOPOMOFO.search(text) else default


def cjk_of_language(lang: str) -> str:
    """Whose Chinese characters a language wants where a text leaves it open."""
    low = lang.lower()
    if low.startswith("ja"):
        return "jp"
    if low.startswith("ko"):
        return "kr"
    return "tc" if low.startswith(("zh-tw", "zh-hk", "zh-mo", "zh-hant")) else "sc"


#: Letters that stand side by side, moved a little by pairs: no need to shape words of them as a whole, which is most
#: of the work in most languages of Europe.
SIMPLE: Final = re.compile(
    "[\x21-\x7e\xa1-\xac\xae-\u024f\u0386-\u03ce\u0400-\u0481\u048a-\u052f\u2010-\u2015\u2018-\u2026\u20ac]+"
)


class Letter(NamedTuple):
    """A single letter as its face draws it; sizes in em."""

    face: Face
    cluster: Cluster
    width: float
    top: float
    bottom: float


class Shaper:
    """Shapes for one process; all of it may be used from several threads."""

    def __init__(self) -> None:
        self._fonts = fonts()
        self._runs: dict[tuple[str, Way], tuple[tuple[Run, ...], str]] = {}
        self._choices: dict[tuple[str, str, str], tuple[str, int] | None] = {}
        self._boxes: dict[bool, Run] = {}
        self._pairs: dict[tuple[str, int, bool, str], float] = {}

    def letter(self, one: str, way: Way) -> Letter | None:
        """A character of SIMPLE alone; None if it is not one glyph of one face."""
        runs, lacking = self.shaped(one, way)
        if lacking or len(runs) != 1 or len(runs[0].clusters) != 1 or len(runs[0].clusters[0].glyphs) != 1:
            return None
        run = runs[0]
        return Letter(run.face, run.clusters[0], run.width, run.top, run.bottom)

    def nearer(self, face: Face, pair: str) -> float:
        """By how many em the second of two letters moves to the left."""
        key = (face.family, face.number, face.bold, pair)
        found = self._pairs.get(key)
        if found is None:
            whole = run_of(face, pair, False)
            # Two letters that become one sign would not be two any more.
            alone = sum(run_of(face, one, False).clusters[0].advance for one in pair)
            found = 0.0
            if len(whole.clusters) == 2:
                found = (alone - sum(one.advance for one in whole.clusters)) / face.units
            self._pairs[key] = found  # at most as many as there are pairs in SIMPLE and a face
        return found

    def shaped(self, text: str, way: Way) -> tuple[tuple[Run, ...], str]:
        """The text's runs from left to right, and the characters that no face has."""
        key = (text, way)
        found = self._runs.get(key)
        if found is None:
            found = self._shape(without_controls(text), way)
            if len(text) <= KEPT_LENGTH:
                if len(self._runs) >= KEPT:
                    self._runs.clear()
                self._runs[key] = found
        return found

    def _shape(self, text: str, way: Way) -> tuple[tuple[Run, ...], str]:
        if way.near and all(way.near in self._fonts.having(ord(one)) for one in text):
            return (run_of(self._fonts.face(*way.near, way.bold), text, way.right_to_left),), ""
        parts: list[tuple[Face | None, str]] = []
        for piece in clusters(text):
            for face, part in self._faces(piece, way):
                if parts and parts[-1][0] is face is not None and face.family != EMOJI:
                    parts[-1] = (face, parts[-1][1] + part)
                else:
                    parts.append((face, part))
        lacking = ""
        runs = []
        for face, part in parts:
            if face is None:
                instead = self._instead(part, way)
                if instead is None:
                    lacking += part
                runs.append(instead or self._box(part, way))
            else:
                runs.append(run_of(face, part, way.right_to_left))
        return tuple(reversed(runs) if way.right_to_left else runs), lacking

    def _faces(self, piece: str, way: Way) -> list[tuple[Face | None, str]]:
        """The face of a cluster; several where none has all of it."""
        if len(piece) == 1:
            chosen = self._choice(piece, way)
            return [(self._fonts.face(*chosen, way.bold) if chosen else None, piece)]
        if "\ufe0e" not in piece and (_PICTURE.match(piece) or "\ufe0f" in piece or "\u20e3" in piece):
            return self._picture(piece, way)
        visible = [one for one in piece if one not in _IGNORED]
        first = self._choice(piece[0], way)
        options = [first] if first else []
        options += [one for one in self._fonts.having(ord(piece[0])) if one[0] != MONO_FAMILY]
        for option in options:
            if all(option in self._fonts.having(ord(one)) for one in visible):
                return [(self._fonts.face(*option, way.bold), piece)]
        # No face has the whole: each its own part.
        return [found for one in visible for found in self._faces(one, way)]

    def _picture(self, piece: str, way: Way) -> list[tuple[Face | None, str]]:
        """An emoji: the slice that has it as one picture, else its members side by side."""
        visible = [one for one in piece if one not in _IGNORED]
        options = [one for one in self._fonts.having(ord(visible[0])) if one[0] == EMOJI]
        for option in options:
            if all(option in self._fonts.having(ord(one)) for one in visible):
                face = self._fonts.face(*option, False)
                clusters = run_of(face, piece, way.right_to_left).clusters
                if len(clusters) == 1 and len(clusters[0].glyphs) == 1:
                    return [(face, piece)]
        if len(visible) == 1:
            if options:
                return [(self._fonts.face(*options[0], False), visible[0])]
            chosen = self._choice(visible[0], way)
            return [(self._fonts.face(*chosen, way.bold) if chosen else None, visible[0])]
        # A skin tone that the face cannot paint is left out, and so is what only changes another character.
        members = [
            one
            for one in visible
            if not "\U0001f3fb" <= one <= "\U0001f3ff" and not "\U000e0020" <= one <= "\U000e007f"
        ]
        return [found for one in members or visible[:1] for found in self._faces(one, way)]

    def _choice(self, one: str, way: Way) -> tuple[str, int] | None:
        key = (one, way.family, way.cjk)
        try:
            return self._choices[key]
        except KeyError:
            chosen = self._choices[key] = self._choose(one, way)
            return chosen

    def _choose(self, one: str, way: Way) -> tuple[str, int] | None:
        having = self._fonts.having(ord(one))
        if way.family == MONO:
            for option in having:
                if option[0] == MONO_FAMILY:
                    return option
        if "\u2500" <= one <= "\u259f":  # lines and blocks that must meet
            for option in having:
                if option[0] == MONO_FAMILY:
                    return option
        if _PICTURE.match(one):
            for option in having:
                if option[0] == EMOJI:
                    return option
        order = CJK_ORDER[way.cjk]
        is_cjk = _CJK.match(one) is not None
        if is_cjk:
            for family in order:
                for option in having:
                    if option[0] == family:
                        return option
        others = [option for option in having if option[0] != MONO_FAMILY]
        for option in others:
            if option[0] not in order:
                return option
        return others[0] if others else having[0] if having else None

    def _instead(self, lacking: str, way: Way) -> Run | None:
        """A character that no face has by those that stand for the same (NFKC), as one glyph that is copied as what it
        was; None where there are none, or no face has them."""
        same = unicodedata.normalize("NFKC", lacking)
        if same == lacking or len(same) > 4:
            return None
        faces = {face for piece in clusters(same) for face, _ in self._faces(piece, way)}
        if len(faces) != 1 or None in faces:
            return None
        run = run_of(faces.pop(), same, way.right_to_left)  # type: ignore[arg-type]
        glyphs: list[tuple[int, int, int]] = []
        advance = 0
        for cluster in run.clusters:
            glyphs += [(glyph, advance + right, up) for glyph, right, up in cluster.glyphs]
            advance += cluster.advance
        return run._replace(clusters=(Cluster(lacking, tuple(glyphs), advance),))

    def _box(self, lacking: str, way: Way) -> Run:
        """What stands for a character without a face; copying it gives the character."""
        run = self._boxes.get(way.bold)
        if run is None:
            chosen = self._choose(MISSING, way)
            assert chosen is not None, "set-up makes a font with a box"
            run = self._boxes[way.bold] = run_of(self._fonts.face(*chosen, way.bold), MISSING, False)
        return run._replace(clusters=(run.clusters[0]._replace(text=lacking),))


def run_of(face: Face, text: str, right_to_left: bool) -> Run:
    """Shape a text with one face."""
    import uharfbuzz as hb

    buffer = hb.Buffer()
    buffer.cluster_level = hb.BufferClusterLevel.MONOTONE_CHARACTERS
    buffer.flags = hb.BufferFlags.REMOVE_DEFAULT_IGNORABLES
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if right_to_left else "ltr"
    hb.shape(face.font, buffer)
    infos: list[Any] = buffer.glyph_infos
    positions: list[Any] = buffer.glyph_positions
    starts = sorted({info.cluster for info in infos})
    # Nothing is left of a text of joiners alone.
    ends = dict(zip(starts, [*starts[1:], len(text)], strict=bool(starts)))
    if starts and starts[0]:  # what stood before was removed
        ends[starts[0]], first = ends[starts[0]], starts[0]
        begin = {start: start for start in starts} | {first: 0}
    else:
        begin = {start: start for start in starts}
    found: list[Cluster] = []
    top = bottom = width = 0
    at = 0
    while at < len(infos):
        cluster, glyphs, advance = infos[at].cluster, [], 0
        while at < len(infos) and infos[at].cluster == cluster:
            glyph, place = infos[at].codepoint, positions[at]
            glyphs.append((glyph, advance + place.x_offset, place.y_offset))
            box = face.box(glyph)
            if box:
                top, bottom = max(top, box[3] + place.y_offset), min(bottom, box[1] + place.y_offset)
            advance += place.x_advance
            at += 1
        width += advance
        stands_for = text[begin[cluster] : ends[cluster]]
        if right_to_left:
            stands_for = _as_seen(stands_for)
        found.append(Cluster(stands_for, tuple(glyphs), advance))
    units = face.units
    return Run(face, tuple(found), width / units, top / units, bottom / units)


def _as_seen(text: str) -> str:
    """A cluster's text as readers of PDF files expect it: they take what is drawn from left to right, turn what is
    written from right to left, character by character but with its marks, and mirror brackets in it."""
    from fontTools.unicodedata import Mirrored

    pieces: list[str] = []
    for one in text:
        if pieces and is_mark(one):
            pieces[-1] += one
        else:
            pieces.append(chr(Mirrored.MIRRORED.get(ord(one), ord(one))))
    return "".join(reversed(pieces))


_shaper: Shaper | None = None


def shaper() -> Shaper:
    """The shaper of this process. Raises FontsMissing."""
    global _shaper
    if _shaper is None:
        _shaper = Shaper()
    return _shaper
