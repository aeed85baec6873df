"""Whole files: PDF/A by veraPDF's word, pages, columns, links, outline, attachments, and what becomes of errors."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from PIL import ImageChops

from mlink_web.pdfa import document as module
from mlink_web.pdfa import sheets
from mlink_web.pdfa.document import Document, Span
from mlink_web.pdfa.styles import STYLES
from tests.live import ROOT
from tests.verapdf import Verdicts, verapdf
from tests.web.pdfa.kit import SCRIPTS, pictures, words, written

__all__ = ["verapdf"]
HOSTILE = [
    "\u202ereverse\u202c \u2067isolate without end",
    "null \x00 bell \x07 escape \x1b[31m surrogate \ud800 end",
    "Z" + "\u0301\u0489" * 500 + " tower",
    "👨\u200d👩\u200d👧\u200d👦" * 400,
    "👩" + "\u200d👩" * 2_000,
    "x" * 20_000,
    "א" * 5_000,
    "<b>bold?</b> &amp; %s {0} \\n (paren ) [bracket",
    "\n" * 200,
    "㐀𓀀\ue000\U000e0001",
]


def everything(doc: Document) -> None:
    """All that a file can hold."""
    doc.header = ("Left of the head, שלום, 中文", "right")
    doc.banner("RESTRICTED – محدود", background="#b00020")
    doc.heading("Scripts of the world 世界", 0)
    for name, text in SCRIPTS.items():
        doc.columns([(name, "label"), [(text, "text"), (text, "bold")]], (0.3, 0), rule=True, padding=2)
    doc.heading("Styles", 1, key="styles")
    for style in STYLES:
        doc.paragraph(f"{style}: some words\nand a line שלום עולם", style)
    doc.paragraph([Span("bold ", bold=True), Span("red שלום ", color="#b00020"), Span("中文", bold=True), Span("")])
    doc.paragraph("inside", link="styles")
    doc.paragraph("outside", link="https://example.org/?a=(b)")
    doc.paragraph("nowhere", link="javascript://x")
    doc.heading("Hostile", 2)
    for text in HOSTILE:
        doc.columns([(text[:300], "name"), (text, "text")], (80, 0))
        doc.bookmark(text[:200], 1)
    doc.rule()
    doc.page_break()
    doc.page_break()
    doc.paragraph("last")


@pytest.mark.timeout(180)
def test_files_are_archives(verapdf: Verdicts, tmp_path: Path) -> None:
    path = tmp_path / "all.pdf"
    with Document(
        path, title="Alles – الكل (100 %)", lang="de", author="Ada & Böb", subject="<x>", keywords=["a"]
    ) as doc:
        everything(doc)
        lacking = set(doc.lacking)
    assert verapdf(path, "2b") == []
    assert doc.pages == len(pikepdf.open(path).pages)
    assert lacking == {"㐀", "𓀀", "\ue000"}
    with Document(path, title="\x00", lang="zh-TW", author="長" * 50_000) as doc:
        everything(doc)
        doc.attach("data.xml", b"<data/>", "application/xml", description="The data")
        doc.attach("notes.txt", ROOT / "README.md", "text/plain", relationship="Supplement")
    assert verapdf(path, "3b") == []
    empty = tmp_path / "empty.pdf"
    with Document(empty, title="Nothing"):
        pass
    assert verapdf(empty, "2b") == []
    assert words(empty) == ["Page 1 of 1"]


@pytest.mark.timeout(180)
def test_veraPDF_sees_what_is_wrong(verapdf: Verdicts, tmp_path: Path) -> None:
    """Without these its silence would say nothing."""
    good, bad = tmp_path / "good.pdf", tmp_path / "bad.pdf"
    with Document(good, title="Good") as doc:
        doc.heading("Good", 1)
        doc.paragraph("words", link="https://example.org/")

    def no_intent(file: pikepdf.Pdf) -> None:
        del file.Root.OutputIntents

    def no_metadata(file: pikepdf.Pdf) -> None:
        del file.Root.Metadata

    def a_script(file: pikepdf.Pdf) -> None:
        file.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")

    def a_font_outside(file: pikepdf.Pdf) -> None:
        for font in file.pages[0].Resources.Font.values():
            del font.DescendantFonts[0].FontDescriptor.FontFile2

    def wrong_widths(file: pikepdf.Pdf) -> None:
        for font in file.pages[0].Resources.Font.values():
            font.DescendantFonts[0].W = pikepdf.Array([1, pikepdf.Array([123] * 200)])

    def an_unprinted_link(file: pikepdf.Pdf) -> None:
        del file.pages[0].Annots[0].F

    def an_attachment(file: pikepdf.Pdf) -> None:
        file.attachments["x"] = pikepdf.AttachedFileSpec(file, b"x", filename="x")

    def an_unreadable_page(file: pikepdf.Pdf) -> None:
        file.pages[0].Contents = file.make_stream(b"BT [<00> 1e-05 <00>] TJ ET")

    for change, clause in (
        (no_intent, "6.2.4"),
        (no_metadata, "6.6.2"),
        (a_script, "6.5.1"),
        (a_font_outside, "6.2.11"),
        (wrong_widths, "6.2.11"),
        (an_unprinted_link, "6.3.2"),
        (an_attachment, "6.8"),
        (an_unreadable_page, "WARNING"),
    ):
        with pikepdf.open(good) as file:
            change(file)
            file.save(bad)
        failures = verapdf(bad, "2b")
        assert any(clause in failure for failure in failures), f"{change.__name__}: {failures}"
    assert verapdf(good, "2b") == []
    assert verapdf(good, "2a") != []


def test_metadata_agree(tmp_path: Path) -> None:
    when = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    content = written(
        lambda doc: doc.paragraph("x"), lang="fr", author="Ada", subject="S", keywords=["k", "l"], created=when
    )
    with pikepdf.open(io.BytesIO(content)) as file:
        assert file.Root.Lang == "fr"
        assert str(file.docinfo["/Title"]) == "Test"
        assert str(file.docinfo["/Author"]) == "Ada"
        assert str(file.docinfo["/CreationDate"]).startswith("D:20300506070809")
        assert len(file.trailer.ID) == 2
        meta = file.open_metadata()
        assert meta["dc:title"] == "Test"
        assert meta["dc:creator"] == ["Ada"]
        assert meta["xmp:CreateDate"] == "2030-05-06T07:08:09+00:00"
        assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("2", "B")


def test_the_same_is_written_twice() -> None:
    when = datetime(2030, 1, 1, tzinfo=UTC)
    assert written(everything, created=when) == written(everything, created=when)


def test_pages_know_their_number_and_head() -> None:
    def make(doc: Document) -> None:
        doc.header = "First talk"
        doc.paragraph("\n".join(f"line {number}" for number in range(150)))
        doc.header = lambda page, pages: ("Second talk", f"{page}/{pages}")
        assert doc.page == 3
        doc.page_break()
        doc.paragraph("more")
        doc.footer = ("foot", "")

    first, second, third, fourth = words(written(make))
    assert "First talk" in first
    assert "First talk" in second
    assert "Page 2 of 4" in second
    assert "First talk" in third
    assert "Second talk" in fourth
    assert "4/4" in fourth
    assert "foot" in fourth
    assert "Page" not in fourth
    lines = [line for page in (first, second, third) for line in page.split("\n") if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(150)]


def test_columns_go_on_on_the_next_page() -> None:
    def make(doc: Document) -> None:
        doc.columns(
            [("label", "label"), ("\n".join(f"v{number}" for number in range(90)), "text")], (0.3, 0), rule=True
        )
        doc.columns([("a", "text"), ("b", "text"), ("c", "text")], (50, 0.5, 0))

    first, second = words(written(make))
    assert "label v0" in first
    assert "v89" in second
    assert second.split()[-7:-4] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="widths"):
        written(lambda doc: doc.columns([("a", "text")], (1, 2)))


def test_headings_stay_with_what_follows() -> None:
    for blank in range(40, 60):

        def make(doc: Document, blank: int = blank) -> None:
            doc.footer = ""
            doc.paragraph("\n".join("x" for _ in range(blank)))
            doc.heading("Heading", 1)
            doc.paragraph("follows")

        pages = words(written(make))
        assert not pages[0].rstrip().endswith("Heading"), blank


def test_outline_and_links() -> None:
    def make(doc: Document) -> None:
        doc.paragraph("to the end", link="end")
        doc.bookmark("Deep at once", 3)
        doc.heading("One", 1)
        doc.heading("Two", 2)
        doc.heading("hidden", 2, outline=False)
        doc.page_break()
        doc.bookmark("End", 0, "end")
        doc.paragraph("the end")

    with pikepdf.open(io.BytesIO(written(make))) as file, file.open_outline() as outline:
        assert [one.title for one in outline.root] == ["Deep at once", "One", "End"]
        assert [one.title for one in outline.root[1].children] == ["Two"]
        (link,) = file.pages[0].Annots
        assert link.Dest[0].objgen == file.pages[1].objgen
        assert int(link.F) == 4
    with pytest.raises(ValueError, match="no bookmark: gone"):
        written(lambda doc: doc.paragraph("x", link="gone"))
    with pytest.raises(ValueError, match="twice"):
        written(lambda doc: [doc.bookmark("x", key="k") for _ in range(2)])


def test_attachments(tmp_path: Path) -> None:
    def make(doc: Document) -> None:
        doc.attach("a.xml", b"<a/>", "application/xml", relationship="Source", description="A")
        with pytest.raises(ValueError, match="attached already"):
            doc.attach("a.xml", b"", "application/xml")
        with pytest.raises(ValueError, match="relation"):
            doc.attach("b.xml", b"", "application/xml", relationship="Friend")

    with pikepdf.open(io.BytesIO(written(make))) as file:
        assert bytes(file.attachments["a.xml"].get_file().read_bytes()) == b"<a/>"
        assert str(file.Root.AF[0].AFRelationship) == "/Source"
        assert file.open_metadata()["pdfaid:part"] == "3"


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(b"what was there")
    with pytest.raises(ZeroDivisionError), Document(path, title="x") as doc:
        doc.paragraph(str(1 // 0))
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_right_to_left_stands_right() -> None:
    def make(doc: Document) -> None:
        doc.footer = ""
        doc.paragraph("שלום", "text")

    def mixed(doc: Document) -> None:
        doc.footer = ""
        doc.paragraph("hello שלום", "text")

    width = 595
    for file, right in ((written(make), True), (written(mixed), False)):
        left, _, end, _ = ImageChops.invert(pictures(file)[0]).getbbox()
        assert (end > width - 55) == right
        assert (left < 55) == (not right)


def test_the_background_is_behind_the_text() -> None:
    def make(doc: Document) -> None:
        doc.footer = ""
        doc.banner("M", background="#000000", color="#ffffff")

    (picture,) = pictures(written(make), 2)
    box = ImageChops.invert(picture).getbbox()
    inside = picture.crop(box)
    assert inside.getpixel((2, 2)) == 0
    assert inside.getextrema() == (0, 255)


def test_fonts_are_filled_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlink_web.pdfa.embedding.MAX_CODES", 20)
    text = "The quick brown fox jumps over the lazy dog 0123456789"

    def make(doc: Document) -> None:
        doc.footer = ""
        doc.paragraph(text)
        doc.paragraph(text.upper())

    content = written(make)
    assert words(content) == [f"{text}\n{text.upper()}"]
    with pikepdf.open(io.BytesIO(content)) as file:
        assert len(file.pages[0].Resources.Font) > 2


def test_what_no_font_has_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_LACKING", 5)
    text = " ".join(chr(code) for code in range(0x13000, 0x13020))
    found: list[str] = []

    def make(doc: Document) -> None:
        doc.paragraph(text)
        found.extend(doc.lacking)

    assert words(written(make))[0].count("□") == 0x20 - 5
    assert len(found) == 5


def test_the_outline_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTLINE", 3)

    def make(doc: Document) -> None:
        for number in range(6):
            doc.bookmark(f"{number}", key=f"k{number}")
            doc.paragraph("x", link=f"k{5 - number}")

    with pikepdf.open(io.BytesIO(written(make))) as file, file.open_outline() as outline:
        assert [one.title for one in outline.root] == ["0", "1", "2"]
        assert len(file.pages[0].Annots) == 6


def test_threads_write_one_file_each() -> None:
    made: list[bytes] = []
    when = datetime(2030, 1, 1, tzinfo=UTC)

    def write() -> None:
        made.append(written(everything, created=when))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(set(made)) == 1


LONG = r"""
import os, re, sys
from pathlib import Path
os.environ["DJANGO_SETTINGS_MODULE"] = "mlink_web.settings.test"
import django
django.setup()
from mlink_web.pdfa.document import Document, Span
texts = ["Some words of a message that is longer than a line of the page, so that it has to be broken. " * 2,
         "中文字" * 40, "السلام عليكم " * 12, "हिन्दी में लिखा " * 10, "😀 👍🏽 yes"]
def peak(messages):
    with Document(sys.argv[1], title="Long") as doc:
        for number in range(messages):
            who = [Span("bob ", bold=True), Span(str(number))]
            doc.columns([("10:42", "time"), [(who, "text"), (texts[number % 5], "text")]], (40, 0))
    # Not getrusage: that begins with what the process which started this one has.
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024, doc.pages
print(*peak(500), *peak(6000))
"""


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LONG, str(tmp_path / "long.pdf")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    small, few, large, many = (int(one) for one in done.stdout.split())
    assert many > 10 * few
    assert large < 300
    # What a finished page leaves behind is some KiB.
    assert large - small < 0.1 * (many - few) + 20


def test_libraries_are_loaded_when_they_are_needed() -> None:
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mlink_web.settings.test'; django.setup();"
        "import mlink_web.pdfa.signing, mlink_web.pdfa.styles;"
        "print([name for name in ('reportlab', 'pikepdf', 'uharfbuzz', 'fontTools', 'pyhanko') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_missing_fonts_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mlink_web.pdfa import faces

    with pytest.raises(faces.FontsMissing, match="make setup"):
        faces.Fonts(tmp_path)


def test_colours_are_checked() -> None:
    with pytest.raises(ValueError, match="colour"):
        written(lambda doc: doc.paragraph([Span("x", color="red")]))
    arguments: Any = {"style": "no such style"}
    with pytest.raises(KeyError):
        written(lambda doc: doc.paragraph("x", **arguments))
