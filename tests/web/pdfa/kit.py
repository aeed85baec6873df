"""What the tests of PDF files share: a sample of each script, and readers of what was made."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import pypdfium2
from PIL import Image

SCRIPTS = {
    "Latin": "Ångström Łódź naïve “fiancé”",
    "Vietnamese": "tiếng Việt",
    "Greek": "Ελληνικά ὕβρις",
    "Cyrillic": "Привет, Ґанок",
    "Hebrew": "שָׁלוֹם עולם",
    "Arabic": "السلام عليكم ورحمة الله",
    "Persian": "پیام‌ها گفتگو",
    "Urdu": "ٹیسٹ ہے",
    "Devanagari": "हिन्दी क्षत्रिय प्रार्थना",
    "Bengali": "বাংলা ক্ষমতা",
    "Gurmukhi": "ਪੰਜਾਬੀ",
    "Gujarati": "ગુજરાતી ક્ષ",
    "Odia": "ଓଡ଼ିଆ",
    "Tamil": "தமிழ் கொள்கை",
    "Telugu": "తెలుగు క్ష",
    "Kannada": "ಕನ್ನಡ",
    "Malayalam": "മലയാളം ക്ഷ",
    "Sinhala": "සිංහල",
    "Thai": "ภาษาไทย ที่นี่ น้ำ",
    "Lao": "ພາສາລາວ",
    "Khmer": "ភាសាខ្មែរ",
    "Myanmar": "မြန်မာဘာသာ",
    "Tibetan": "བོད་ཡིག བརྒྱད",
    "Armenian": "Հայերեն",
    "Georgian": "ქართული",
    "Ethiopic": "አማርኛ",
    "Thaana": "ދިވެހި",
    "Syriac": "ܣܘܪܝܝܐ",
    "NKo": "ߒߞߏ",
    "Tifinagh": "ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "Cherokee": "ᏣᎳᎩ",
    "Inuktitut": "ᐃᓄᒃᑎᑐᑦ",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ",
    "Javanese": "ꦗꦮ",
    "Ol Chiki": "ᱥᱟᱱᱛᱟᱲᱤ",
    "Chinese": "简体中文，繁體中文",
    "Japanese": "日本語のテキスト、カタカナ",
    "Korean": "한국어 텍스트",
    "Symbols": "→ ∑ √ ≤ ☺ ✔ ★ € ₹ ₿ ½ ①",
    "Lines": "┌─┐│░■",
    "Emoji": "😀 👩‍🚀 🇩🇪 👍🏽 👨‍👩‍👧‍👦 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🫠",
}


def words(file: Path | bytes) -> list[str]:
    """The text of each page, with \\n between lines."""
    with closing(pypdfium2.PdfDocument(file)) as document:
        found = []
        for page in document:
            text = page.get_textpage()
            found.append(text.get_text_range().replace("\r\n", "\n"))
            text.close()
            page.close()
        return found


def pictures(file: Path | bytes, scale: float = 1.0) -> list[Image.Image]:
    """The pages as pictures in shades of grey."""
    with closing(pypdfium2.PdfDocument(file)) as document:
        found = []
        for page in document:
            found.append(page.render(scale=scale, grayscale=True).to_pil())
            page.close()
        return found


def written(make: object, **options: object) -> bytes:
    """The file that `make(doc)` writes."""
    from mlink_web.pdfa.document import Document

    out = io.BytesIO()
    with Document(out, title="Test", **options) as doc:  # type: ignore[arg-type]
        make(doc)  # type: ignore[operator]
    return out.getvalue()
