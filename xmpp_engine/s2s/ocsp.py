"""Whether certificates were revoked, asked of their responders (OCSP, RFC 6960; nonces RFC 9654). Optional: public
authorities have given it up for lists (revocation.py), closed networks use it for answers that are minutes old.

The certificate that speaks for a domain must name a responder; authorities between it and the root are asked for where
they name one. An answer counts when it is about this certificate, current, bears our nonce if any, and is signed by the
issuer or by somebody whom the issuer itself has certified for this (RFC 6960, 4.2.2.2). A responder whose certificate
does not say that it need not be checked is looked for in the lists of the issuer.

What was answered is kept until its nextUpdate, asked anew every few hours before that, and bounded in number and size;
a responder that fails is left alone for a minute, and what it said before holds as long as it said.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, SignatureAlgorithmOID

from xmpp_engine.runtime.clock import Clock
from xmpp_engine.s2s import fetching
from xmpp_engine.s2s.anchors import Anchors
from xmpp_engine.s2s.names import UNREADABLE
from xmpp_engine.s2s.path import Refused, check_dates, check_key
from xmpp_engine.s2s.revocation import FAILURE, REFRESH, SKEW, WEAK, Finding, RevocationLists, name_of, shortened

log = logging.getLogger("mlink.s2s.ocsp")

#: Bytes of one answer, and answers that are kept.
MAX_ANSWER: Final = 65_536
MAX_ANSWERS: Final = 2_000
#: Responders of one certificate that are asked, one after the other, and certificates of an answer that are looked at.
MAX_URLS: Final = 2
MAX_SIGNERS: Final = 4
FETCH_SECONDS: Final = 7.0
CONCURRENT: Final = 8
#: Seconds that an answer holds which does not say how long, and how old it may be when it comes.
UNLIMITED: Final = 60.0
OLDEST: Final = timedelta(minutes=5)
_NONCE_BYTES: Final = 32
_KIND: Final = "application/ocsp-request"
_UNDERSTOOD: Final = frozenset({x509.OCSPNonce.oid})
_GOOD, _REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED

_Key = tuple[str, bytes]


class Unusable(ValueError):
    """An answer says nothing of the certificate; the text is the rest of a sentence."""


@dataclass(slots=True)
class _Held:
    """What one responder says of one certificate."""

    #: When it was revoked, None for a good one.
    revoked: datetime | None = None
    #: Seconds (UTC) until which it holds; 0 where there is no answer.
    until: float = 0.0
    problem: str = ""
    #: Monotonic seconds from when on it is asked again.
    again: float = 0.0
    #: The certificate of the responder, where the lists of the issuer are to be asked about it.
    signer: x509.Certificate | None = None


class Responders:
    """Asks responders and keeps what they say. `ask(url, request)` gets an answer, or raises OSError or ValueError;
    `lists` is asked about the certificates of responders."""

    def __init__(
        self,
        clock: Clock,
        lists: RevocationLists,
        run_blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        ask: Callable[[str, bytes], Awaitable[bytes]] | None = None,
    ) -> None:
        self._clock = clock
        self._lists = lists
        self._run = run_blocking
        self._ask = ask or _ask
        self._held: dict[_Key, _Held] = {}
        self._asking: dict[_Key, asyncio.Task[_Held]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def check(self, path: Sequence[x509.Certificate], anchors: Anchors, *, strict: bool) -> Finding:
        """Ask for each certificate of a path but the last, which is the anchor; the code is "", `revoked` or
        `no-ocsp-answer`. `strict` refuses a responder whose own certificate no list clears."""
        pairs = list(pairwise(path))
        found = await asyncio.gather(
            *(self._check_one(one, issuer, anchors, one is path[0], strict) for one, issuer in pairs)
        )
        until = min((finding.until for finding in found), default=float("inf"))
        for code in ("revoked", "no-ocsp-answer"):
            for finding in found:
                if finding.code == code:
                    return Finding(code, finding.text, until)
        return Finding(until=until)

    async def _check_one(
        self, certificate: x509.Certificate, issuer: x509.Certificate, anchors: Anchors, is_leaf: bool, strict: bool
    ) -> Finding:
        urls = responders_of(certificate)
        asked = [url for url in urls if url.startswith("http://")][:MAX_URLS]
        if not urls and not is_leaf:
            return Finding()
        why = "" if asked else "it names none" if not urls else "its address is not of the kind http"
        for url in asked:
            held = await self._get(url, certificate, issuer)
            problem = held.problem or self._over(held) or await self._signer_problem(held, issuer, anchors, strict)
            if problem:
                why = why or f"{url} {problem}"
                continue
            if held.revoked is not None:
                text = f"{name_of(certificate)} was revoked on {held.revoked:%Y-%m-%d}, says its responder"
                return Finding("revoked", text)
            return Finding(until=held.until)
        return Finding("no-ocsp-answer", f"no responder (OCSP) clears {name_of(certificate)}: {why}")

    def _over(self, held: _Held) -> str:
        return "" if held.until > self._clock.time() else "gave an answer that has ended"

    async def _signer_problem(self, held: _Held, issuer: x509.Certificate, anchors: Anchors, strict: bool) -> str:
        """Why a responder may not speak, "" where it may."""
        if held.signer is None:
            return ""
        found = await self._lists.check((held.signer, issuer), anchors)
        if found.code == "revoked" or (found.code and strict):
            return f"is not to be believed: {found.text}"
        return ""

    async def _get(self, url: str, certificate: x509.Certificate, issuer: x509.Certificate) -> _Held:
        key = (url, certificate.fingerprint(hashes.SHA256()) + issuer.fingerprint(hashes.SHA256()))
        held = self._held.get(key)
        if held is not None and held.again > self._clock.now():
            # The ones used last go last.
            self._held[key] = self._held.pop(key)
            return held
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._load(key, certificate, issuer, held))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _load(
        self, key: _Key, certificate: x509.Certificate, issuer: x509.Certificate, before: _Held | None
    ) -> _Held:
        url = key[0]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        async with self._slots:
            try:
                request = await self._run(_question, certificate, issuer, nonce)
                data = await self._ask(url, request.public_bytes(Encoding.DER))
                held: _Held = await self._run(_read, data, request, issuer, nonce, self._clock.time())
                left = held.until - self._clock.time()
                held.again = self._clock.now() + min(max(left, FAILURE), REFRESH)
            except (OSError, *UNREADABLE) as error:
                problem = str(error) if isinstance(error, Unusable) else f"gave no answer ({shortened(error)})"
                if before is None or not before.problem:
                    log.warning("the responder %s %s", url, problem)
                held = _Held(problem=problem, again=self._clock.now() + FAILURE)
                if before is not None and before.until > self._clock.time():
                    before.again = held.again
                    held = before
        self._held.pop(key, None)
        self._held[key] = held
        while len(self._held) > MAX_ANSWERS:
            del self._held[next(iter(self._held))]
        return held


async def _ask(url: str, request: bytes) -> bytes:
    return await fetching.post(url, request, _KIND, MAX_ANSWER, FETCH_SECONDS)


def responders_of(certificate: x509.Certificate) -> list[str]:
    """The addresses of responders that a certificate names, in their order (RFC 5280, 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return []
    return [
        one.access_location.value
        for one in access
        if one.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]


def _question(certificate: x509.Certificate, issuer: x509.Certificate, nonce: bytes) -> ocsp.OCSPRequest:
    # SHA-1 only names the certificate here and proves nothing; many responders know no other (RFC 5019, 2.1.1).
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()


def _read(data: bytes, request: ocsp.OCSPRequest, issuer: x509.Certificate, nonce: bytes, time: float) -> _Held:
    """What an answer says; in a thread. Raises Unusable, or one of UNREADABLE."""
    response = ocsp.load_der_ocsp_response(data)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unusable(f"refuses to answer ({response.response_status.name.lower().replace('_', ' ')})")
    now = datetime.fromtimestamp(time, UTC)
    signer = _signer(response, issuer, now)
    fresh = _bears(response, nonce)
    one = _about(response, request)
    if response.produced_at_utc > now + SKEW or one.this_update_utc > now + SKEW:
        raise Unusable("gave an answer of the future")
    if one.next_update_utc is not None:
        until = one.next_update_utc.timestamp()
        if until <= time:
            raise Unusable(f"gave an answer that ended on {one.next_update_utc:%Y-%m-%d %H:%M}")
    else:
        # It claims to be from this moment: only our nonce shows that.
        if not fresh or one.this_update_utc < now - OLDEST:
            raise Unusable("gave an answer that does not say how long it holds")
        until = time + UNLIMITED
    if one.certificate_status is _GOOD:
        return _Held(until=until, signer=signer)
    if one.certificate_status is _REVOKED:
        return _Held(one.revocation_time_utc or one.this_update_utc, until, signer=signer)
    raise Unusable("does not know the certificate")


def _bears(response: ocsp.OCSPResponse, nonce: bytes) -> bool:
    """Whether an answer has our nonce. Responders that answer to many with one answer have none; another one is the
    answer to somebody else's question."""
    for extension in response.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            if extension.value.nonce != nonce:
                raise Unusable("answered another question than ours (nonce)")
            return True
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise Unusable(f"gave an answer with an extension that is not understood ({extension.oid.dotted_string})")
    return False


def _about(response: ocsp.OCSPResponse, request: ocsp.OCSPRequest) -> ocsp.OCSPSingleResponse:
    for one in response.responses:
        if (
            one.serial_number == request.serial_number
            and one.hash_algorithm.name == request.hash_algorithm.name
            and one.issuer_name_hash == request.issuer_name_hash
            and one.issuer_key_hash == request.issuer_key_hash
        ):
            return one
    raise Unusable("answered about another certificate")


def _signer(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> x509.Certificate | None:
    """Check who has signed an answer: the certificate that lists are to be asked about, None where that is needless."""
    if isinstance(response.signature_hash_algorithm, WEAK):
        raise Unusable("signs by a weak method")
    for candidate in (issuer, *response.certificates[:MAX_SIGNERS]):
        if not _is_named(response, candidate) or not _has_signed(response, candidate):
            continue
        if candidate == issuer:
            return None
        try:
            return _authorized(candidate, issuer, now)
        except Refused as refused:
            raise Unusable(f"signs with a certificate that is not good: {refused.text}") from None
    raise Unusable("signs neither as the authority of the certificate nor as somebody whom that has authorized")


def _is_named(response: ocsp.OCSPResponse, candidate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == candidate.subject
    return response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(candidate.public_key()).digest


def _has_signed(response: ocsp.OCSPResponse, candidate: x509.Certificate) -> bool:
    key, hash = candidate.public_key(), response.signature_hash_algorithm
    signed = (response.signature, response.tbs_response_bytes)
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(*signed)
        elif isinstance(key, ec.EllipticCurvePublicKey) and hash is not None:
            key.verify(*signed, ec.ECDSA(hash))
        elif isinstance(key, rsa.RSAPublicKey) and hash is not None:
            if response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
                raise Unusable("signs by a method that is not understood (RSASSA-PSS)")
            key.verify(*signed, padding.PKCS1v15(), hash)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _authorized(candidate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> x509.Certificate | None:
    """Check that the issuer lets somebody answer in its place (RFC 6960, 4.2.2.2); see `_signer`."""
    try:
        candidate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        raise Unusable("signs with a certificate that the authority of the certificate has not issued") from None
    if isinstance(candidate.signature_hash_algorithm, WEAK):
        raise Unusable("signs with a certificate whose own signature is weak")
    check_dates(candidate, now)
    check_key(candidate)
    for extension in candidate.extensions:
        value = extension.value
        if isinstance(value, x509.KeyUsage) and not value.digital_signature:
            raise Unusable("signs with a certificate that must not sign (keyUsage)")
    try:
        purposes = candidate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        purposes = x509.ExtendedKeyUsage([])
    if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        raise Unusable("signs with a certificate that is not for responders (extendedKeyUsage)")
    unchecked = any(isinstance(one.value, x509.OCSPNoCheck) for one in candidate.extensions)
    return None if unchecked else candidate
