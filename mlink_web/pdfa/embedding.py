"""Fonts inside a file: for each family the glyphs that the file draws, as one TrueType font with numbers of its own.

reportlab's own fonts know characters, not glyphs: what HarfBuzz has made of a word cannot be drawn with them. Here each
cluster gets a number (CID) with exactly the text it stands for, so that one glyph may be "fi" in one word and two
letters in another. A cluster of several glyphs, such as a letter with its marks or a syllable of Devanagari, becomes
one composite glyph: every reader then copies the right characters, without relying on ActualText, which many ignore.

PDF 32000-1, 9.7 (composite fonts), 9.10.3 (ToUnicode); OpenType, tables glyf, head, hhea, hmtx, loca, maxp.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

from mlink_web.pdfa.faces import Face, components
from mlink_web.pdfa.shaping import Cluster, Run

#: Numbers have two bytes; parts of composites need some too.
MAX_CODES: Final = 60_000
_WORDS, _XY, _MORE = 0x0001, 0x0002, 0x0020


def number(value: float) -> str:
    """A number as PDF writes it: no exponent, no more digits than matter."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


class EmbeddedFont:
    """One font of a file while the file is being written."""

    def __init__(self, name: str, family: str, bold: bool) -> None:
        #: The name in the pages' resources, such as F3.
        self.name = name
        self.family = family
        self.bold = bold
        self._codes: dict[tuple[int, Cluster], int] = {}
        self._drawn: list[tuple[Face, Cluster]] = []

    @property
    def is_full(self) -> bool:
        """True when a new font must be begun."""
        return len(self._drawn) >= MAX_CODES

    @property
    def is_empty(self) -> bool:
        """True for a font chosen for texts without a visible sign."""
        return not self._drawn

    def code(self, face: Face, cluster: Cluster) -> int:
        """The number that draws this cluster."""
        key = (face.number, cluster)
        code = self._codes.get(key)
        if code is None:
            self._drawn.append((face, cluster))
            code = self._codes[key] = len(self._drawn)  # 0 is .notdef
        return code

    def shown(self, run: Run) -> str:
        """The run as the inside of a TJ array: strings of numbers, with corrections between them where the run's
        widths differ from the glyphs'."""
        face = run.face
        scale = 1000 / face.units
        out: list[str] = []
        codes: list[str] = []
        for cluster in run.clusters:
            if not cluster.glyphs:
                continue
            codes.append(f"{self.code(face, cluster):04x}")
            if (wrong := self._width(face, cluster) - cluster.advance) != 0:
                out.append(f"<{''.join(codes)}>{number(wrong * scale)}")
                codes.clear()
        if codes:
            out.append(f"<{''.join(codes)}>")
        return "".join(out)

    @staticmethod
    def _is_plain(cluster: Cluster) -> bool:
        return len(cluster.glyphs) == 1 and cluster.glyphs[0][1:] == (0, 0)

    def _width(self, face: Face, cluster: Cluster) -> int:
        """What stands in the font: a plain glyph's own width, else what the cluster takes (it is its own glyph)."""
        return face.advance(cluster.glyphs[0][0]) if self._is_plain(cluster) else max(0, cluster.advance)

    # The file at the end

    def add_to(self, document: Any) -> Any:
        """Put the font's objects into a reportlab document; returns the reference for the pages' resources."""
        from reportlab.pdfbase.pdfdoc import (
            PDFArray,
            PDFDictionary,
            PDFName,
            PDFStream,
            PDFStreamFilterZCompress,
            PDFString,
        )

        face = self._drawn[0][0]
        scale = 1000 / face.units
        program, box = self._program()
        tag = "".join(chr(65 + byte % 26) for byte in hashlib.sha256(program).digest()[:6])
        base = PDFName(f"{tag}+{self.family.replace(' ', '')}-{'Bold' if self.bold else 'Regular'}")
        stream = PDFStream(content=program, filters=[PDFStreamFilterZCompress()])
        stream.dictionary["Length1"] = len(program)
        ascent, descent = struct.unpack_from(">hh", face.table("hhea"), 4)
        descriptor = PDFDictionary(
            {
                "Type": PDFName("FontDescriptor"),
                "FontName": base,
                "Flags": 4,
                "FontBBox": PDFArray([round(one * scale) for one in box]),
                "ItalicAngle": 0,
                "Ascent": round(ascent * scale),
                "Descent": round(descent * scale),
                "CapHeight": round(0.7 * 1000),
                "StemV": 140 if self.bold else 80,
                "FontFile2": document.Reference(stream),
            }
        )
        widths = [self._width(face, cluster) * scale for face, cluster in self._drawn]
        info = {"Registry": PDFString("Adobe"), "Ordering": PDFString("Identity"), "Supplement": 0}
        descendant = PDFDictionary(
            {
                "Type": PDFName("Font"),
                "Subtype": PDFName("CIDFontType2"),
                "BaseFont": base,
                "CIDSystemInfo": PDFDictionary(info),
                "FontDescriptor": document.Reference(descriptor),
                "CIDToGIDMap": PDFName("Identity"),
                "DW": 0,
                "W": PDFArray([1, PDFArray([float(f"{one:.3f}") for one in widths])]),
            }
        )
        cmap = PDFStream(content=self._to_unicode(), filters=[PDFStreamFilterZCompress()])
        return document.Reference(
            PDFDictionary(
                {
                    "Type": PDFName("Font"),
                    "Subtype": PDFName("Type0"),
                    "BaseFont": base,
                    "Encoding": PDFName("Identity-H"),
                    "DescendantFonts": PDFArray([document.Reference(descendant)]),
                    "ToUnicode": document.Reference(cmap),
                }
            )
        )

    def _to_unicode(self) -> bytes:
        """The map from numbers to text."""
        lines = [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
            "/CMapName /Adobe-Identity-UCS def /CMapType 2 def",
            "1 begincodespacerange <0000> <ffff> endcodespacerange",
        ]
        for start in range(0, len(self._drawn), 100):
            part = self._drawn[start : start + 100]
            lines.append(f"{len(part)} beginbfchar")
            for code, (_, cluster) in enumerate(part, start + 1):
                lines.append(f"<{code:04x}> <{cluster.text.encode('utf-16-be').hex()}>")
            lines.append("endbfchar")
        lines.append("endcmap CMapName currentdict /CMap defineresource pop end end")
        return "\n".join(lines).encode("ascii")

    def _program(self) -> tuple[bytes, tuple[int, int, int, int]]:
        """The TrueType font, and the box around all its glyphs."""
        first = self._drawn[0][0]
        parts = _Parts(len(self._drawn) + 1)
        outlines = [parts.own(first, 0)]
        widths = [first.advance(0)]
        for face, cluster in self._drawn:
            plain = self._is_plain(cluster)
            outlines.append(parts.own(face, cluster.glyphs[0][0]) if plain else parts.composed(face, cluster))
            widths.append(self._width(face, cluster))
        parts.finish()
        outlines += parts.outlines
        widths += parts.widths
        boxes = [struct.unpack_from(">4h", one, 2) for one in outlines if len(one) >= 10]
        box = (
            min((one[0] for one in boxes), default=0),
            min((one[1] for one in boxes), default=0),
            max((one[2] for one in boxes), default=0),
            max((one[3] for one in boxes), default=0),
        )
        glyf, loca = bytearray(), [0]
        for outline in outlines:
            glyf += outline + b"\0" * (-len(outline) % 4)
            loca.append(len(glyf))
        head = bytearray(first.table("head"))
        struct.pack_into(">L", head, 8, 0)
        struct.pack_into(">4h", head, 36, *box)
        struct.pack_into(">h", head, 50, 1)
        hhea = bytearray(first.table("hhea"))
        struct.pack_into(">H", hhea, 10, max(widths))
        struct.pack_into(">H", hhea, 34, len(widths))
        lefts = [struct.unpack_from(">h", one, 2)[0] if len(one) >= 10 else 0 for one in outlines]
        tables = {
            "glyf": bytes(glyf),
            "head": bytes(head),
            "hhea": bytes(hhea),
            "hmtx": b"".join(struct.pack(">Hh", *one) for one in zip(widths, lefts, strict=True)),
            "loca": struct.pack(f">{len(loca)}L", *loca),
            "maxp": self._maxima(len(outlines)),
        }
        return _packed(tables), box

    def _maxima(self, count: int) -> bytes:
        """Table maxp: what a reader must have room for."""
        faces = {id(face): face for face, _ in self._drawn}.values()
        maxima = [struct.unpack(">LH13H", face.table("maxp")[:32]) for face in faces]
        members = max(len(cluster.glyphs) for _, cluster in self._drawn)
        points, contours = max(max(one[2], one[4]) for one in maxima), max(max(one[3], one[5]) for one in maxima)
        elements = max(members, *(one[13] for one in maxima), 1)
        depth = max(one[14] for one in maxima) + 1
        whole = (min(0xFFFF, points * members), min(0xFFFF, contours * members))
        return struct.pack(">LH13H", 0x00010000, count, points, contours, *whole, 2, 0, 0, 0, 0, 0, 0, elements, depth)


class _Parts:
    """Glyphs that only composites use: they come after those that have numbers."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._known: dict[tuple[int, int], int] = {}
        self._queue: list[tuple[Face, int]] = []
        self.outlines: list[bytes] = []
        self.widths: list[int] = []

    def _number(self, face: Face, glyph: int) -> int:
        key = (face.number, glyph)
        if key not in self._known:
            self._known[key] = self._start + len(self._queue)
            self._queue.append((face, glyph))
        return self._known[key]

    def own(self, face: Face, glyph: int) -> bytes:
        """A glyph's outline with its parts renumbered."""
        outline = bytearray(face.outline(glyph))
        for at, part in components(bytes(outline)):
            struct.pack_into(">H", outline, at, self._number(face, part))
        return bytes(outline)

    def composed(self, face: Face, cluster: Cluster) -> bytes:
        """An outline made of a cluster's glyphs."""
        inked = [(glyph, right, up, box) for glyph, right, up in cluster.glyphs if (box := face.box(glyph))]
        if not inked:
            return b""
        limits = (
            min(box[0] + right for _, right, _, box in inked),
            min(box[1] + up for _, _, up, box in inked),
            max(box[2] + right for _, right, _, box in inked),
            max(box[3] + up for _, _, up, box in inked),
        )
        out = struct.pack(">5h", -1, *(max(-32768, min(32767, one)) for one in limits))
        for index, (glyph, right, up, _) in enumerate(inked):
            flags = _WORDS | _XY | (_MORE if index < len(inked) - 1 else 0)
            place = (max(-32768, min(32767, right)), max(-32768, min(32767, up)))
            out += struct.pack(">HHhh", flags, self._number(face, glyph), *place)
        return out

    def finish(self) -> None:
        """Draw the parts, and the parts of parts."""
        at = 0
        while at < len(self._queue):
            face, glyph = self._queue[at]
            self.outlines.append(self.own(face, glyph))
            self.widths.append(face.advance(glyph))
            at += 1


def _packed(tables: dict[str, bytes]) -> bytes:
    """A font file of these tables."""
    count = len(tables)
    power = count.bit_length() - 1
    header = struct.pack(">LHHHH", 0x00010000, count, 16 << power, power, 16 * count - (16 << power))
    at = 12 + 16 * count
    directory, body = b"", b""
    for tag, content in sorted(tables.items()):
        padded = content + b"\0" * (-len(content) % 4)
        total = sum(struct.unpack(f">{len(padded) // 4}L", padded)) & 0xFFFFFFFF
        directory += struct.pack(">4sLLL", tag.encode("ascii"), total, at + len(body), len(content))
        body += padded
    whole = bytearray(header + directory + body)
    total = sum(struct.unpack(f">{len(whole) // 4}L", whole)) & 0xFFFFFFFF
    start = bytes(whole).index(b"head", 12)
    (offset,) = struct.unpack_from(">L", whole, start + 8)
    struct.pack_into(">L", whole, offset + 8, (0xB1B0AFBA - total) & 0xFFFFFFFF)
    return bytes(whole)
