"""Signatures on finished files: PAdES B-B, and B-T where a server vouches for the time (ETSI EN 319 142-1, RFC 3161).

The key is read when a file is signed and at no other time, so only the worker's user must be able to read it. A
signature is appended to the file; what was there stays byte for byte, and the file stays PDF/A.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from django.conf import settings

#: Seconds until a timestamp server is given up.
PATIENCE: Final = 20
FIELD: Final = "Signature"


class Trouble(Exception):
    """The file could not be signed; the text is a sentence for the operator."""


def is_configured() -> bool:
    """Whether exports are to be signed. True means that a file which cannot be signed must not be handed out."""
    return bool(settings.MLINK_PDF_SIGN_KEY)


def sign(path_in: Path, path_out: Path, *, reason: str = "", location: str = "") -> None:
    """Write the signed file to `path_out`, complete or not at all. Raises Trouble."""
    scratch = path_out.with_name(f".{path_out.name}.signing")
    try:
        # A thread: its own loop, whatever the caller's is doing.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(_signed(path_in, scratch, _signer(), reason, location))).result()
        os.replace(scratch, path_out)
    finally:
        scratch.unlink(missing_ok=True)


async def _signed(path_in: Path, path_out: Path, signer: Any, reason: str, location: str) -> None:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.sign import fields, signers
    from pyhanko.sign.general import SigningError
    from pyhanko.sign.timestamps import HTTPTimeStamper, TimestampRequestError

    address = settings.MLINK_PDF_TIMESTAMP_URL
    meta = signers.PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        subfilter=fields.SigSeedSubFilter.PADES,
        reason=reason or None,
        location=location or None,
        app_build_props=None,
    )
    pen = signers.PdfSigner(meta, signer, timestamper=HTTPTimeStamper(address, timeout=PATIENCE) if address else None)
    with path_in.open("rb") as source, path_out.open("w+b") as target:
        try:
            await pen.async_sign_pdf(IncrementalPdfFileWriter(source), output=target)
        except TimestampRequestError as error:
            raise Trouble(f"The timestamp server at {address} did not answer as it should: {error}.") from error
        except (SigningError, PdfError, ValueError) as error:
            raise Trouble(f"The file could not be signed: {error}.") from error


def _signer() -> Any:
    """The key with its certificate. Raises Trouble."""
    from pyhanko.sign.signers import SimpleSigner

    key = Path(settings.MLINK_PDF_SIGN_KEY)
    password = settings.MLINK_PDF_SIGN_PASSWORD.encode() or None
    try:
        content = key.read_bytes()
        chain = Path(settings.MLINK_PDF_SIGN_CERTIFICATE).read_bytes() if settings.MLINK_PDF_SIGN_CERTIFICATE else b""
    except OSError as error:
        raise Trouble(f"The signing key or its certificate cannot be read: {error}.") from error
    try:
        if b"-----BEGIN" not in content:
            signer = SimpleSigner.load_pkcs12_data(content, _certificates(chain), password)
        elif chain:
            signer = _of_pem(content, chain, password)
        else:
            raise Trouble("MLINK_PDF_SIGN_KEY is a PEM file: MLINK_PDF_SIGN_CERTIFICATE must name its certificate.")
    except (ValueError, TypeError) as error:
        raise Trouble("The signing key cannot be opened: wrong MLINK_PDF_SIGN_PASSWORD, or no key in it.") from error
    if signer is None or signer.signing_cert is None:
        raise Trouble("MLINK_PDF_SIGN_KEY holds no key with a certificate.")
    return signer


def _of_pem(key: bytes, chain: bytes, password: bytes | None) -> Any:
    """A key of PEM, and its certificate, the first of `chain`; those above follow. Raises ValueError, Trouble."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )
    from cryptography.x509 import load_pem_x509_certificate
    from pyhanko.keys import load_private_key_from_pemder_data
    from pyhanko.sign.signers import SimpleSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    first, *above = _certificates(chain)
    loaded = load_pem_private_key(key, password)
    shapes = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if loaded.public_key().public_bytes(*shapes) != load_pem_x509_certificate(chain).public_key().public_bytes(*shapes):
        raise Trouble("The first certificate of MLINK_PDF_SIGN_CERTIFICATE does not belong to the signing key.")
    plain = loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    store = SimpleCertificateStore()
    store.register_multiple([first, *above])
    return SimpleSigner(first, load_private_key_from_pemder_data(plain, None), store)


def _certificates(chain: bytes) -> list[Any]:
    """The certificates of a PEM file. Raises ValueError when there is none in it, though something is."""
    from pyhanko.keys import load_certs_from_pemder_data

    found = list(load_certs_from_pemder_data(chain)) if chain else []
    if chain and not found:
        raise ValueError("no certificate")
    return found
