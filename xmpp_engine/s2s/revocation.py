"""Whether certificates were revoked: lists (RFC 5280, 5 and 6.3) by the addresses that certificates name.

Lists come from the file of authorities, the folder `crls` beside it (anchors.py), HTTP and directories (LDAP). Only
certificates whose path to an authority holds are looked at, so only authorities make us fetch. What was fetched is
kept until its nextUpdate, asked for anew every few hours before that, and bounded in size and number; an address that
fails is left alone for a minute.

A list counts when the issuer of the certificate signed it, it is not stale, and it is complete: neither a delta nor an
indirect list nor one for some reasons only. The serial number is looked up by `cryptography`: in a list of 50,000 that
costs 10 ms and no memory, where a list of ASN.1 objects in Python costs a second and 50 MB.

What responders say instead (OCSP) is in ocsp.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from xmpp_engine.runtime.clock import Clock
from xmpp_engine.s2s import directory, fetching
from xmpp_engine.s2s.anchors import Anchors, parse_list
from xmpp_engine.s2s.names import UNREADABLE

log = logging.getLogger("mlink.s2s.revocation")

#: Bytes of one list and of all that are kept, and their number.
MAX_LIST: Final = 16_777_216
MAX_BYTES: Final = 67_108_864
MAX_LISTS: Final = 500
#: Addresses of one certificate that are asked.
MAX_URLS: Final = 4
FETCH_SECONDS: Final = 10.0
CONCURRENT: Final = 8
#: Seconds after which a list that still holds is asked for anew, and an address that failed is tried again.
REFRESH: Final = 21_600.0
FAILURE: Final = 60.0
#: By how much clocks of authorities may be ahead.
SKEW: Final = timedelta(minutes=5)
#: Signatures made with these prove nothing.
WEAK: Final = (hashes.MD5, hashes.SHA1)
#: Of addresses. With TLS the very question would be asked that is being asked.
_KINDS: Final = ("http://", "ldap://")
_UNDERSTOOD: Final = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT})


@dataclass(frozen=True, slots=True)
class Finding:
    """What lists say of a path: `code` is "", `revoked` or `no-revocation-list`; `until` is when one ends (UTC)."""

    code: str = ""
    text: str = ""
    until: float = float("inf")


@dataclass(slots=True)
class _Held:
    """What is known of one address."""

    found: x509.CertificateRevocationList | None = None
    size: int = 0
    problem: str = ""
    #: Monotonic seconds from when on it is asked again.
    again: float = 0.0
    #: Keys by which the list is signed, as far as that was tried.
    verified: dict[bytes, bool] = field(default_factory=dict)


class RevocationLists:
    """Fetches, keeps and asks lists. `fetch` gets a URL and gives its content, or raises OSError or ValueError."""

    def __init__(
        self,
        clock: Clock,
        run_blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        self._clock = clock
        self._run = run_blocking
        self._fetch = fetch or fetch_list
        self._held: dict[str, _Held] = {}
        self._fetching: dict[str, asyncio.Task[_Held]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def check(self, path: Sequence[x509.Certificate], anchors: Anchors) -> Finding:
        """Ask for each certificate of a path but the last, which is the anchor. What was revoked comes before what
        could not be found out."""
        found = await asyncio.gather(*(self._check_one(one, issuer, anchors) for one, issuer in pairwise(path)))
        until = min((finding.until for finding in found), default=float("inf"))
        for code in ("revoked", "no-revocation-list"):
            for finding in found:
                if finding.code == code:
                    return Finding(code, finding.text, until)
        return Finding(until=until)

    async def _check_one(self, certificate: x509.Certificate, issuer: x509.Certificate, anchors: Anchors) -> Finding:
        points = _points_of(certificate)
        urls = [url for url in points if url.startswith(_KINDS)][:MAX_URLS]
        held = [_Held(found) for found in anchors.lists if found.issuer == certificate.issuer]
        held += await asyncio.gather(*(self._get(url) for url in urls))
        files = [_path_of(url) for url in points if url.startswith("file:")][:MAX_URLS]
        return await self._run(self._judge, certificate, issuer, points, held, files, anchors.folder)  # type: ignore[no-any-return]

    def _judge(
        self,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        points: Sequence[str],
        held: list[_Held],
        files: Sequence[Path],
        folder: Path | None,
    ) -> Finding:
        """What lists say of one certificate; in a thread."""
        held = held + [_read(file, folder) for file in files]
        now = datetime.fromtimestamp(self._clock.time(), UTC)
        whys, until = [], 0.0
        for one in held:
            why = one.problem or _unusable(one, certificate, issuer, points, now)
            if why or one.found is None:
                whys.append(why)
                continue
            entry = one.found.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and not _was_released(entry):
                when = entry.revocation_date_utc
                return Finding("revoked", f"{name_of(certificate)} was revoked on {when:%Y-%m-%d} by its authority")
            assert one.found.next_update_utc is not None
            until = max(until, one.found.next_update_utc.timestamp())
        if until:
            return Finding(until=until)
        if not held:
            whys.append("it names no address of one" if not points else "its addresses are neither http nor ldap")
        text = f"there is no current list of revoked certificates for {name_of(certificate)}: {whys[0]}"
        return Finding("no-revocation-list", text)

    async def _get(self, url: str) -> _Held:
        held = self._held.get(url)
        if held is not None and held.again > self._clock.now():
            # The ones used last go last.
            self._held[url] = self._held.pop(url)
            return held
        task = self._fetching.get(url)
        if task is None:
            task = asyncio.ensure_future(self._load(url, held))
            self._fetching[url] = task
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    async def _load(self, url: str, before: _Held | None) -> _Held:
        async with self._slots:
            try:
                data = await self._fetch(url)
                found = await self._run(parse_list, data)
                held = _Held(found, len(data), again=self._clock.now() + self._refresh(found))
            except (OSError, *UNREADABLE) as error:
                problem = f"{url} gave none ({shortened(error)})"
                if before is None or not before.problem:
                    log.warning("a list of revoked certificates: %s", problem)
                held = _Held(problem=problem, again=self._clock.now() + FAILURE)
                if before is not None and before.found is not None:
                    # The old one holds until its nextUpdate.
                    before.again = held.again
                    held = before
        self._held.pop(url, None)
        self._held[url] = held
        self._shrink()
        return held

    def _refresh(self, found: x509.CertificateRevocationList) -> float:
        if found.next_update_utc is None:
            return FAILURE
        left = found.next_update_utc.timestamp() - self._clock.time()
        return min(max(left, FAILURE), REFRESH)

    def _shrink(self) -> None:
        total = sum(held.size for held in self._held.values())
        while len(self._held) > 1 and (len(self._held) > MAX_LISTS or total > MAX_BYTES):
            total -= self._held.pop(next(iter(self._held))).size


async def fetch_list(url: str) -> bytes:
    """The content of a URL within bounds of size and time; raises OSError or ValueError."""
    get = directory.fetch if url.startswith("ldap://") else fetching.get
    return await get(url, MAX_LIST, FETCH_SECONDS)


def name_of(certificate: x509.Certificate) -> str:
    """A certificate for people: its subject, or its serial number where that is empty."""
    return certificate.subject.rfc4514_string() or f"the certificate {certificate.serial_number:x}"


def _unusable(
    held: _Held, certificate: x509.Certificate, issuer: x509.Certificate, points: Sequence[str], now: datetime
) -> str:
    """Why a list says nothing of a certificate, "" where it does (RFC 5280, 6.3.3)."""
    found = held.found
    if found is None or found.issuer != certificate.issuer:
        return "the list is one of another authority"
    if found.next_update_utc is None:
        return "the list does not say when the next one comes"
    if found.next_update_utc < now:
        return f"the list ended on {found.next_update_utc:%Y-%m-%d %H:%M}"
    if found.last_update_utc > now + SKEW:
        return "the list is one of the future"
    try:
        return _out_of_scope(found, certificate, points) or _not_signed(held, found, issuer)
    except UNREADABLE as error:
        return f"the list cannot be read ({shortened(error)})"


def _out_of_scope(found: x509.CertificateRevocationList, certificate: x509.Certificate, points: Sequence[str]) -> str:
    scope = None
    for extension in found.extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            return "the list is a delta"
        if extension.critical and extension.oid not in _UNDERSTOOD:
            return f"the list has an extension that is not understood ({extension.oid.dotted_string})"
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            scope = extension.value
    if scope is None:
        return ""
    signs = is_authority(certificate)
    if scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs or scope.relative_name:
        return "the list is not complete"
    if (scope.only_contains_user_certs and signs) or (scope.only_contains_ca_certs and not signs):
        return "the list is for other certificates"
    if scope.full_name is not None:
        names = {name.value for name in scope.full_name if isinstance(name, x509.UniformResourceIdentifier)}
        if not names.intersection(points):
            return "the list is for certificates with other addresses"
    return ""


def _not_signed(held: _Held, found: x509.CertificateRevocationList, issuer: x509.Certificate) -> str:
    try:
        if not issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign:
            return "its authority must not sign lists"
    except x509.ExtensionNotFound:
        pass
    if isinstance(found.signature_hash_algorithm, WEAK):
        return "the signature of the list is weak"
    key = issuer.fingerprint(hashes.SHA256())
    if key not in held.verified:
        if len(held.verified) >= 8:
            held.verified.clear()
        try:
            held.verified[key] = found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
        except InvalidSignature:
            held.verified[key] = False
    return "" if held.verified[key] else "the list is not signed by the authority of the certificate"


def _was_released(entry: x509.RevokedCertificate) -> bool:
    """Whether an entry takes a certificate off the lists again."""
    try:
        reason = entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
    return isinstance(reason, x509.CRLReason) and reason.reason is x509.ReasonFlags.remove_from_crl


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others (RFC 5280, 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _points_of(certificate: x509.Certificate) -> list[str]:
    """The addresses of complete lists that a certificate names, in their order."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return []
    return [
        name.value
        for point in points
        if point.full_name and not point.crl_issuer and not point.reasons
        for name in point.full_name
        if isinstance(name, x509.UniformResourceIdentifier)
    ]


def _path_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _read(path: Path, folder: Path | None) -> _Held:
    """A list from a file, which must lie in the folder for lists."""
    try:
        if folder is None or path.resolve().parent != folder.resolve():
            return _Held(problem="its address is a file outside of the folder for lists")
        if path.stat().st_size > MAX_LIST:
            return _Held(problem=f"its file has more than {MAX_LIST} bytes")
        return _Held(parse_list(path.read_bytes()))
    except (OSError, *UNREADABLE) as error:
        return _Held(problem=f"its file cannot be read ({shortened(error)})")


def shortened(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
