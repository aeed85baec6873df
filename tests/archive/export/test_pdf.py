"""PDF/A files of messages: archives by the word of veraPDF, with everything on their pages and in what is attached."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from cryptography.x509.oid import NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from archive import ids
from archive.export import making, producing
from archive.oversight.search import Criteria
from mlink_web.accounts.models import Account
from mlink_web.pdfa import signing
from tests.kits.exported import NAMESPACE, START, account, bodies, make, room, say, settle, valid
from tests.verapdf import Verdicts, verapdf

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(180)]
__all__ = ["verapdf"]
BOB = "bob@far.example"
LABEL = (
    "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking fgcolor='white' bgcolor='{}'>{}</displaymarking>"
    "<label/></securitylabel>"
)


@pytest.fixture
def ada() -> Account:
    """Whose archive it is."""
    return account("ada")


@pytest.fixture
def officer() -> Account:
    """An administrator."""
    return account("chief", is_staff=True, is_superuser=True)


def words(content: bytes) -> list[str]:
    """The text of each page."""
    document = pypdfium2.PdfDocument(content)
    return [page.get_textpage().get_text_range() for page in document]


def attached(content: bytes) -> bytes:
    """The XML inside."""
    with pikepdf.open(io.BytesIO(content)) as file:
        return bytes(file.attachments["messages.xml"].get_file().read_bytes())


def outline(content: bytes) -> list[tuple[int, str]]:
    """Level and title of the bookmarks."""
    document = pypdfium2.PdfDocument(content)
    return [(entry.level, entry.get_title()) for entry in document.get_toc()]


def tell_all(ada: Account) -> None:
    """Messages of all sorts."""
    cave = room("cave", {str(ada): "member"}, name="The cave", whois="moderators")
    say(ada, BOB, "frist", 0, id="a")
    say(BOB, ada, "<body>yes</body><reply xmlns='urn:xmpp:reply:0' id='a'/>", 5)
    say(ada, BOB, "<body>first</body><replace xmlns='urn:xmpp:message-correct:0' id='a'/>", 10)
    say(BOB, ada, "<reactions xmlns='urn:xmpp:reactions:0' id='a'><reaction>👍</reaction></reactions>", 11)
    say(ada, BOB, "regretted", 20, id="b")
    say(ada, BOB, "<retract xmlns='urn:xmpp:message-retract:1' id='b'/>", 21)
    say(ada, BOB, f"<body>under wraps</body>{LABEL.format('red', 'SECRET')}", 30)
    say(ada, BOB, "<body>plan</body><x xmlns='jabber:x:oob'><url>https://files.example/p/plan.pdf</url></x>", 86_400)
    say("eve@localhost", cave, "from the deep", 40, nick="Shadow")
    for number, text in enumerate(
        (
            "Ångström Привет Ελληνικά",
            "שלום עולם 123 abc",
            "السلام عليكم ورحمة الله وبركاته " * 8,
            "中文 日本語 한국어 हिन्दी ไทย",
            "😀 👩‍🚀 🇩🇪 ❤️ " * 30,
            "\u202egnp.exe\u202c \u2066isolated\u2069 \u200b\u200d\ufeff e\u0301 Z\u0351\u036b\u0343\u036a\u0302",
            "! <script>alert('x')</script> <b>bold</b> &amp; ]]> %PDF-1.7 /JavaScript (x) Tj",
            "x" * 9_000,
            "\n".join(f"line {line} of a long text" for line in range(700)),
        )
    ):
        say(BOB, ada, text, 100 + number)
    settle()


def test_an_own_export(ada: Account, verapdf: Verdicts, tmp_path: Path) -> None:
    tell_all(ada)
    made, _export = make(making.own_order(ada, format="pdf", zone="Europe/Berlin"), tmp_path)
    assert made.type == "application/pdf"
    assert verapdf(made.path, "3b") == []
    content = made.path.read_bytes()
    pages = words(content)
    whole = "\n".join(pages)
    for expected in (
        "Messages of ada@localhost",
        "in the time zone Europe/Berlin",
        "A conversation of ada@localhost and bob@far.example",
        "Monday, 21 September 2026",
        "Tuesday, 22 September 2026",
        "16:13:20",
        ids.text_of(ids.first_at(START)),
        "Corrected 2026-09-21 16:13:30",
        "ada@localhost: first",
        "Retracted 2026-09-21 16:13:41.",
        "SECRET",
        "File: plan.pdf",
        "https://files.example/p/plan.pdf",
        "The room cave@rooms.localhost",
        "Shadow",
        "[U+202E]gnp.exe[U+202C]",
        "<b>bold</b> &amp;",
        "line 699 of a long text",
        "Привет",
    ):
        assert expected in whole, expected
    assert "frist" not in whole
    assert "regretted" not in whole
    assert "eve@localhost" not in whole
    # The highest that labels ask for stands on every page.
    assert all("SECRET" in page for page in pages)
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))
    assert outline(content) == [
        (0, "Messages of ada@localhost"),
        (0, "bob@far.example"),
        (1, "Monday, 21 September 2026"),
        (1, "Tuesday, 22 September 2026"),
        (0, "The cave"),
        (1, "Monday, 21 September 2026"),
    ]
    inside = attached(content)
    assert b"eve@localhost" not in inside
    assert b"regretted" not in inside
    document = valid(inside)
    assert len(document.findall(f"{NAMESPACE}record")) == 18
    assert producing.writing.hashlib.sha256(inside).hexdigest() in whole.replace("\r\n", "")
    with pikepdf.open(io.BytesIO(content)) as file:
        assert str(file.docinfo["/Title"]) == "Messages of ada@localhost"
        assert str(file.docinfo["/Author"]) == "ada@localhost"
        assert "/JavaScript" not in file.Root


def test_an_officers_export(ada: Account, officer: Account, verapdf: Verdicts, tmp_path: Path) -> None:
    tell_all(ada)
    criteria = Criteria(people=(str(ada), "eve@localhost"))
    order = making.officer_order(officer, criteria, reason="Case 17, by order of the court")
    made, _export = make(order, tmp_path)
    assert verapdf(made.path, "3b") == []
    content = made.path.read_bytes()
    whole = "\n".join(words(content))
    for expected in (
        "Messages of the archive",
        "Case 17, by order of the court",
        "ada@localhost, eve@localhost",
        "by chief@localhost",
        "Earlier version of 2026-09-21 14:13:20: frist",
        "Shadow eve@localhost",
    ):
        assert expected in whole, expected
    assert "regretted" not in whole
    document = valid(attached(content))
    assert "eve@localhost" in {record.get("from") for record in document.findall(f"{NAMESPACE}record")}
    facts = {fact.get("name"): fact.text for fact in document.find(f"{NAMESPACE}about")}  # type: ignore[union-attr]
    assert facts["Reason"] == "Case 17, by order of the court"
    plain = making.officer_order(officer, criteria, reason="x", attach=False, earlier=False)
    made, _export = make(plain, tmp_path / "plain")
    assert verapdf(made.path, "2b") == []
    assert "frist" not in "\n".join(words(made.path.read_bytes()))
    with pikepdf.open(made.path) as file:
        assert len(file.attachments) == 0


def test_what_spoils_a_file_is_seen(ada: Account, verapdf: Verdicts, tmp_path: Path) -> None:
    """Without this the silence of veraPDF would say nothing."""
    say(ada, BOB, "one", 0)
    made, _export = make(making.own_order(ada, format="pdf"), tmp_path)
    spoilt = tmp_path / "spoilt.pdf"

    def failures(change: Any) -> list[str]:
        with pikepdf.open(made.path) as file:
            change(file)
            file.save(spoilt)
        return verapdf(spoilt, "3b")

    def no_intent(file: pikepdf.Pdf) -> None:
        del file.Root.OutputIntents

    def a_script(file: pikepdf.Pdf) -> None:
        file.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert(1)")

    assert failures(no_intent)
    assert failures(a_script)
    assert verapdf(made.path, "2b")  # its attachment is no PDF/A


def test_volumes(ada: Account, verapdf: Verdicts, tmp_path: Path) -> None:
    for number in range(25):
        say(ada, BOB, f"number {number}", number)
        say(ada, "carol@far.example", f"other {number}", number)
    settle()
    made, _export = make(making.own_order(ada, format="pdf"), tmp_path, volume=20)
    assert made.name.endswith(".zip")
    with zipfile.ZipFile(made.path) as archive:
        assert archive.testzip() is None
        *volumes, sums = archive.namelist()
        assert sums == "SHA256SUMS"
        contents = [archive.read(name) for name in volumes]
        digests = [line.split("  ") for line in archive.read(sums).decode().splitlines()]
    assert [name for _digest, name in digests] == volumes
    assert [digest for digest, _name in digests] == [
        producing.writing.hashlib.sha256(content).hexdigest() for content in contents
    ]
    said: list[str] = []
    for number, content in enumerate(contents, 1):
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(content)
        assert verapdf(path, "3b") == []
        pages = words(content)
        assert f"{number} of 3" in pages[0]
        said += bodies(valid(attached(content)))
    assert said == [f"number {number}" for number in range(25)] + [f"other {number}" for number in range(25)]
    assert "continued from the volume before" in words(contents[1])[1]
    assert "number 20" in words(contents[1])[1]


def test_the_pages_look_as_they_should(ada: Account, tmp_path: Path) -> None:
    say(ada, BOB, f"<body>under wraps</body>{LABEL.format('red', 'SECRET')}", 0)
    say(BOB, ada, "السلام عليكم", 10)
    made, _export = make(making.own_order(ada, format="pdf"), tmp_path)
    page = pypdfium2.PdfDocument(made.path)[1]
    picture = page.render(scale=1).to_pil().convert("RGB")
    width, height = picture.size
    red = [(x, y) for x in range(0, width, 5) for y in range(0, height, 2) if picture.getpixel((x, y)) == (255, 0, 0)]
    # The banner goes over the whole width, above the message.
    assert min(x for x, _y in red) < 60
    assert max(x for x, _y in red) > width - 65
    assert max(y for _x, y in red) - min(y for _x, y in red) < 20
    # What is written from right to left stands right.
    text = page.get_textpage()
    (left, *_rest) = next(
        text.get_charbox(index) for index in range(text.count_chars()) if text.get_text_range(index, 1) == "س"
    )
    assert left > width * 0.6


def test_a_signed_export(ada: Account, officer: Account, verapdf: Verdicts, tmp_path: Path, settings: Any) -> None:
    say(ada, BOB, "one", 0)
    settle()
    with pytest.raises(making.Refused, match="no key"):
        making.officer_order(officer, Criteria(), reason="x", sign=True)
    settings.MLINK_PDF_SIGN_KEY = str(tmp_path / "key.p12")
    with pytest.raises(signing.Trouble):
        make(making.own_order(ada), tmp_path / "unsigned")
    assert not list((tmp_path / "unsigned").glob("*.pdf"))
    (tmp_path / "key.p12").write_bytes(a_key())
    made, _export = make(making.officer_order(officer, Criteria(), reason="x", sign=True), tmp_path / "signed")
    assert made.signed
    assert verapdf(made.path, "3b") == []
    with made.path.open("rb") as file:
        (signature,) = PdfFileReader(file).embedded_signatures
        status = validate_pdf_signature(signature, ValidationContext(trust_roots=[], allow_fetching=False))
    assert status.intact
    assert status.valid
    assert status.coverage == SignatureCoverageLevel.ENTIRE_FILE


def a_key() -> bytes:
    """A key with a certificate of its own, as PKCS#12 without a password."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Archive of a test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    )
    return pkcs12.serialize_key_and_certificates(
        b"archive", key, builder.sign(key, hashes.SHA256()), None, NoEncryption()
    )
