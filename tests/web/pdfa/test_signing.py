"""Signed files: they verify by a validator's word and stay PDF/A; what is wrong with key or server is said clearly."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from mlink_web.pdfa import signing
from mlink_web.pdfa.document import Document
from tests.verapdf import Verdicts, verapdf
from tests.web.pdfa.pki import Holder, holder, pkcs12_file, timestamp_server

__all__ = ["verapdf"]
PASSWORD = "sesame, opened"


@pytest.fixture(scope="module")
def authority() -> Holder:
    """Who made the certificates."""
    return holder("Test authority")


@pytest.fixture(scope="module")
def signer(authority: Holder) -> Holder:
    """Who signs."""
    return holder("Archive of example.org", authority)


@pytest.fixture(autouse=True)
def _settings(settings: Any, tmp_path: Path, signer: Holder, authority: Holder) -> None:
    settings.MLINK_PDF_SIGN_KEY = str(pkcs12_file(tmp_path / "key.p12", signer, authority, PASSWORD.encode()))
    settings.MLINK_PDF_SIGN_CERTIFICATE = ""
    settings.MLINK_PDF_SIGN_PASSWORD = PASSWORD
    settings.MLINK_PDF_TIMESTAMP_URL = ""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A file to sign."""
    path = tmp_path / "plain.pdf"
    with Document(path, title="Protokoll – 議事録") as doc:
        doc.heading("Signed", 1)
        doc.paragraph("What was said: نعم, да, ja.")
        doc.attach("said.xml", b"<said/>", "application/xml")
    return path


def judged(path: Path, *trusted: Holder) -> Any:
    """pyhanko's verdict."""
    from asn1crypto import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    roots = [x509.Certificate.load(one.certificate.public_bytes(Encoding.DER)) for one in trusted]
    with path.open("rb") as file:
        (found,) = PdfFileReader(file).embedded_signatures
        assert found.sig_object["/SubFilter"] == "/ETSI.CAdES.detached"
        return validate_pdf_signature(found, ValidationContext(trust_roots=roots, allow_fetching=False))


def test_a_signature_holds(plain: Path, tmp_path: Path, authority: Holder, verapdf: Verdicts) -> None:
    signed = tmp_path / "signed.pdf"
    assert signing.is_configured()
    signing.sign(plain, signed, reason="Export of the archive")
    assert signed.read_bytes().startswith(plain.read_bytes())
    assert verapdf(signed, "3b") == []
    verdict = judged(signed, authority)
    assert verdict.intact
    assert verdict.valid
    assert verdict.trusted
    assert verdict.bottom_line
    assert verdict.timestamp_validity is None
    assert not judged(signed, holder("Somebody else")).trusted


def test_a_changed_file_is_noticed(plain: Path, tmp_path: Path, authority: Holder) -> None:
    signed = tmp_path / "signed.pdf"
    signing.sign(plain, signed)
    content = bytearray(signed.read_bytes())
    content[len(plain.read_bytes()) // 2] ^= 1
    signed.write_bytes(content)
    assert not judged(signed, authority).intact


def test_a_server_vouches_for_the_time(
    plain: Path, tmp_path: Path, authority: Holder, settings: Any, verapdf: Verdicts
) -> None:
    signed, folder = tmp_path / "signed.pdf", tmp_path / "tsa"
    folder.mkdir()
    with timestamp_server(folder, holder("Clock", authority, timestamps=True)) as address:
        settings.MLINK_PDF_TIMESTAMP_URL = address
        signing.sign(plain, signed)
    assert verapdf(signed, "3b") == []
    verdict = judged(signed, authority)
    assert verdict.bottom_line
    assert verdict.timestamp_validity.valid
    assert verdict.timestamp_validity.trusted


def test_a_key_of_pem(plain: Path, tmp_path: Path, signer: Holder, authority: Holder, settings: Any) -> None:
    key, chain, signed = tmp_path / "key.pem", tmp_path / "chain.pem", tmp_path / "signed.pdf"
    key.write_bytes(signer.key_pem(PASSWORD.encode()))
    chain.write_bytes(signer.pem + authority.pem)
    settings.MLINK_PDF_SIGN_KEY = str(key)
    with pytest.raises(signing.Trouble, match="MLINK_PDF_SIGN_CERTIFICATE"):
        signing.sign(plain, signed)
    settings.MLINK_PDF_SIGN_CERTIFICATE = str(chain)
    signing.sign(plain, signed)
    assert judged(signed, authority).bottom_line
    chain.write_bytes(authority.pem)
    with pytest.raises(signing.Trouble, match="does not belong"):
        signing.sign(plain, signed)


def test_trouble_is_said(plain: Path, tmp_path: Path, settings: Any) -> None:
    signed = tmp_path / "signed.pdf"
    settings.MLINK_PDF_SIGN_PASSWORD = "wrong"
    with pytest.raises(signing.Trouble, match="MLINK_PDF_SIGN_PASSWORD"):
        signing.sign(plain, signed)
    settings.MLINK_PDF_SIGN_PASSWORD = PASSWORD
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # without listening
        settings.MLINK_PDF_TIMESTAMP_URL = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        with pytest.raises(signing.Trouble, match="timestamp server"):
            signing.sign(plain, signed)
    settings.MLINK_PDF_TIMESTAMP_URL = ""
    settings.MLINK_PDF_SIGN_KEY = str(tmp_path / "gone.p12")
    with pytest.raises(signing.Trouble, match="cannot be read"):
        signing.sign(plain, signed)
    settings.MLINK_PDF_SIGN_KEY = str(plain)
    with pytest.raises(signing.Trouble, match="signing key"):
        signing.sign(plain, signed)
    assert not signed.exists()
    assert list(tmp_path.glob(".*")) == []
    settings.MLINK_PDF_SIGN_KEY = ""
    assert not signing.is_configured()
