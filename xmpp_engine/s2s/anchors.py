"""Who is trusted: files of authorities, and those of the system.

A file of authorities holds certificates in PEM, and where wanted lists of revoked certificates (X509 CRL) beside them.
A folder `crls` next to the file holds more lists, PEM or DER: there, and nowhere else, `file:` addresses of
certificates are read, so that no certificate makes us open a file that its owner did not put there for this purpose.

Files are read again when they change. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asn1crypto import x509 as asn1  # type: ignore[import-untyped]
from cryptography import x509

from xmpp_engine.s2s.names import UNREADABLE

#: Bytes of one file, files of lists in one folder, and sets of authorities that are remembered.
MAX_FILE: Final = 16_777_216
MAX_LISTS: Final = 200
MAX_SETS: Final = 50
_BEGIN_LIST: Final = b"-----BEGIN X509 CRL-----"
_END_LIST: Final = b"-----END X509 CRL-----"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Anchors:
    """One set of authorities. `problem` says why it is empty, "" for a good one."""

    #: In DER: objects of `asn1crypto` are read as they are asked for, which two threads must not do at once.
    by_subject: dict[str, list[bytes]] = field(default_factory=dict)
    lists: tuple[x509.CertificateRevocationList, ...] = ()
    #: Where `file:` addresses may be read, None for nowhere.
    folder: Path | None = None
    problem: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.by_subject.values()))

    def __iter__(self) -> Iterator[asn1.Certificate]:
        """All authorities, for one thread."""
        return (asn1.Certificate.load(der) for same in self.by_subject.values() for der in same)

    def for_chain(self, chain: list[asn1.Certificate]) -> list[asn1.Certificate]:
        """The authorities that could stand above a chain, or in it, for one thread: a hundred others would only cost
        time."""
        names = {certificate.issuer.hashable for certificate in chain}
        names |= {certificate.subject.hashable for certificate in chain}
        return [asn1.Certificate.load(der) for name in names for der in self.by_subject.get(name, ())]


class AnchorFiles:
    """Reads sets of authorities and remembers them until their files change."""

    def __init__(self) -> None:
        self._sets: dict[str, tuple[_Stamp, Anchors]] = {}
        #: Several threads judge at once; the first one reads for all.
        self._lock = threading.Lock()

    def read(self, path: str) -> Anchors:
        """The authorities of a file, "" for those of the system. Never raises: a set that cannot be read is empty."""
        try:
            source = Path(path) if path else system_bundle()
            folder = source.parent / "crls" if path else None
            files = [source, *_lists_in(folder)]
            stamp = tuple((str(one), (facts := one.stat()).st_mtime_ns, facts.st_size) for one in files)
        except OSError as error:
            return Anchors(problem=f"the file of authorities cannot be read: {error.strerror or error}")
        with self._lock:
            known = self._sets.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            anchors = _load(source, files[1:], folder)
            if len(self._sets) >= MAX_SETS:
                del self._sets[next(iter(self._sets))]
            self._sets[path] = (stamp, anchors)
        return anchors


def system_bundle() -> Path:
    """The file of the system's authorities; raises OSError where there is none."""
    candidates = (os.environ.get("SSL_CERT_FILE", ""), ssl.get_default_verify_paths().cafile or "", *_BUNDLES)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    raise OSError("the system has no file of authorities")


def parse_list(data: bytes) -> x509.CertificateRevocationList:
    """A list of revoked certificates in DER or PEM; raises ValueError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def _load(source: Path, lists: list[Path], folder: Path | None) -> Anchors:
    try:
        data = _bounded(source)
    except (OSError, ValueError) as error:
        return Anchors(problem=f"the file of authorities cannot be read: {error}")
    by_subject: dict[str, list[bytes]] = {}
    for block in _blocks(data, _BEGIN, _END):
        try:
            der = ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
            by_subject.setdefault(asn1.Certificate.load(der).subject.hashable, []).append(der)
        except (ValueError, TypeError):
            continue  # one that nobody can read is one that nobody is trusted by
    if not by_subject:
        return Anchors(problem="the file of authorities holds no certificate")
    found = []
    for block in [*_blocks(data, _BEGIN_LIST, _END_LIST), *map(_or_nothing, lists)]:
        try:
            found.append(parse_list(block))
        except UNREADABLE:
            continue
    return Anchors(by_subject, tuple(found), folder)


def _lists_in(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())[:MAX_LISTS]


def _blocks(data: bytes, begin: bytes, end: bytes) -> Iterator[bytes]:
    start = data.find(begin)
    while start >= 0:
        stop = data.find(end, start)
        if stop < 0:
            return
        yield data[start : stop + len(end)] + b"\n"
        start = data.find(begin, stop)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"{path} is larger than {MAX_FILE} bytes")
    return data


def _or_nothing(path: Path) -> bytes:
    try:
        return _bounded(path)
    except (OSError, ValueError):
        return b""
