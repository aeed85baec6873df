"""All scripts: nothing is a box, shapes are those that another text engine draws with the same font, and what is drawn
can be copied."""

from __future__ import annotations

import unicodedata

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont

from mlink_web.pdfa.bidi import base_level
from mlink_web.pdfa.clean import cleaned
from mlink_web.pdfa.shaping import Way, cjk_of, shaper
from mlink_web.pdfa.styles import Style
from tests.web.pdfa.kit import SCRIPTS, pictures, words, written

LARGE = Style(40, 90)
SCALE = 2.0
# One word each that one face draws as a whole: joined letters, conjuncts, marks above and below, reordered vowels.
SHAPES = {
    "Arabic": "ورحمة",
    "Arabic marks": "مُحَمَّد",
    "Persian": "پیام‌ها",
    "Hebrew": "שָׁלוֹם",
    "Devanagari": "प्रार्थना",
    "Bengali": "ক্ষমতা",
    "Gujarati": "ગુજરાતી",
    "Tamil": "கொள்கை",
    "Telugu": "తెలుగు",
    "Malayalam": "മലയാളം",
    "Sinhala": "සිංහල",
    "Thai": "ที่นี่",
    "Khmer": "ខ្មែរ",
    "Myanmar": "မြန်မာ",
    "Tibetan": "བརྒྱད",
    "Syriac": "ܣܘܪܝܝܐ",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "Thaana": "ދިވެހި",
    "NKo": "ߒߞߏ",
    "Latin": "Affinity",
    "Marks": "e\u0323\u0301",
    "Emoji": "👩‍🚀",
    "Flag": "🇩🇪",
    "Skin": "👍🏽",
    "Chinese": "龍",
    "Korean": "한",
}


def way_of(text: str) -> Way:
    """How a text of one direction is set."""
    return Way(cjk=cjk_of(text, "sc"), right_to_left=base_level(text) == 1)


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_character_is_lacking(script: str) -> None:
    for bold in (False, True):
        runs, lacking = shaper().shaped(cleaned(SCRIPTS[script]), way_of(SCRIPTS[script])._replace(bold=bold))
        assert lacking == ""
        glyphs = [glyph for run in runs for cluster in run.clusters for glyph, _, _ in cluster.glyphs]
        assert glyphs
        assert 0 not in glyphs


def ink(picture: Image.Image) -> Image.Image:
    """The part of a picture that is not white, in a common size."""
    box = ImageChops.invert(picture).getbbox()
    assert box is not None, "nothing is drawn"
    return picture.crop(box)


def other_engine(text: str) -> Image.Image:
    """The text as FreeType and Raqm draw it from the font file."""
    (run,) = shaper().shaped(cleaned(text), way_of(text))[0]
    font = ImageFont.truetype(run.face.path, int(LARGE.size * SCALE), layout_engine=ImageFont.Layout.RAQM)
    picture = Image.new("L", (1200, 400), 255)
    # Nobody writes only a part of a ligature here: fonts' own features, as everywhere.
    ImageDraw.Draw(picture).text(
        (100, 100), cleaned(text), font=font, fill=0, features=["-liga"] if text.isascii() else []
    )
    return picture


@pytest.mark.parametrize("script", SHAPES)
def test_shapes_are_those_of_another_engine(script: str) -> None:
    text = SHAPES[script]

    def make(doc) -> None:
        doc.footer = ""
        doc.paragraph(text, LARGE.but(color="#000000"))

    ours, theirs = ink(pictures(written(make), SCALE)[0]), ink(other_engine(text))
    for one, other in zip(ours.size, theirs.size, strict=True):
        assert abs(one - other) <= max(3, 0.03 * other)
    difference = ImageChops.difference(ours.resize(theirs.size), theirs)
    # Edges are smoothed differently; a letter that is elsewhere makes several times as much.
    wrong = sum(count for value, count in enumerate(difference.histogram()) if value > 128)
    assert wrong < 0.06 * theirs.width * theirs.height


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_drawn_can_be_copied(script: str) -> None:
    text = unicodedata.normalize("NFC", SCRIPTS[script])

    def make(doc) -> None:
        doc.footer = ""
        doc.paragraph("Readers tell from the whole page in which direction its lines run")
        doc.paragraph(text)
        doc.paragraph(text, "bold")

    assert words(written(make))[0].split("\n")[1:] == [text, text]


def test_each_family_of_letters_is_found() -> None:
    """The four designs of Chinese characters, by what stands beside them and by the document's language."""
    assert [cjk_of(text, "tc") for text in ("漢", "漢字の", "한자 漢", "ㄅ漢", "abc")] == ["tc", "jp", "kr", "tc", "tc"]

    def family(text: str) -> str:
        return shaper().shaped(text, way_of(text))[0][0].face.family

    assert family("直") == "Noto Sans SC"
    assert shaper().shaped("直", Way(cjk="jp"))[0][0].face.family == "Noto Sans JP"
    assert family("→") != "Noto Sans SC"
    assert shaper().shaped("x中", Way("mono"))[0][0].face.family == "DejaVu Sans Mono"


def test_boxes_stand_for_what_is_lacking() -> None:
    found: list[set[str]] = []

    def make(doc) -> None:
        doc.paragraph("before 𓀀 \ue000 after")
        found.append(doc.lacking)

    content = written(make)
    assert found == [{"𓀀", "\ue000"}]
    assert words(content)[0].startswith("before 𓀀 \ue000 after")


def test_an_unknown_sequence_is_drawn_by_its_members() -> None:
    runs, lacking = shaper().shaped("👩‍🍕", Way())
    assert lacking == ""
    assert [run.clusters[0].text for run in runs] == ["👩", "🍕"]


def test_a_character_without_a_font_is_drawn_by_its_equal() -> None:
    (run,), lacking = shaper().shaped("\ufa90", Way())
    assert lacking == ""
    assert run.clusters == (shaper().shaped("敖", Way())[0][0].clusters[0]._replace(text="\ufa90"),)
    assert shaper().shaped("\ue000", Way())[1] == "\ue000"
