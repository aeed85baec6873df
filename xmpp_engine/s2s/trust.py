"""The judge of certificates between servers: whether a chain may speak for a domain, and a sentence that says why.

    pins of the peer      its key must be one of them; then no authority is asked
    keys in secured DNS   where there are some, of those we connect to: one must fit (dane.py)
    what it is            dates, strength of keys, purpose (path.py)
    whom it speaks for    names (names.py)
    who says so           a path to an authority of the peer, of the configuration or the system (path.py, anchors.py)
    whether still         lists of revoked certificates (revocation.py) and responders (ocsp.py), each off, soft or hard

Cheap questions come first. All that takes long runs in threads, a few at once; a judgement is remembered for a minute,
so a flood of streams with one certificate costs one judgement a minute. `judge` never raises: what cannot be judged is
refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.s2s import dane
from xmpp_engine.s2s import path as paths
from xmpp_engine.s2s.anchors import AnchorFiles, Anchors
from xmpp_engine.s2s.dane import NOTHING, Dane
from xmpp_engine.s2s.names import UNREADABLE, matching, names_of
from xmpp_engine.s2s.ocsp import Responders
from xmpp_engine.s2s.path import Refused
from xmpp_engine.s2s.revocation import Finding, RevocationLists, is_authority, name_of

log = logging.getLogger("mlink.s2s.trust")

#: Judgements that are remembered, for how many seconds, and where a list or an answer was missing.
REMEMBERED: Final = 2_000
SECONDS: Final = 60.0
SECONDS_WITHOUT_LIST: Final = 10.0
#: Judgements under way at once: they take the processor from the loop.
CONCURRENT: Final = 4
#: Names of a certificate that are told, and characters of each of its texts and of a reason: a stranger may fill a
#: hundred kilobytes with them, and what is judged is remembered.
NAMES_SHOWN: Final = 20
LONGEST: Final = 256
LONGEST_REASON: Final = 512


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of it. `reason` is a sentence also for what was accepted; `code` is "" for that, else one of expired,
    not-yet-valid, self-signed, unknown-authority, wrong-name, revoked, no-revocation-list, no-ocsp-answer,
    wrong-purpose, pin, tlsa, weak, malformed. `expires` is the end of the path (UTC, seconds), `fingerprint` SHA-256 of
    the certificate. `revocation` is a sentence on what lists and responders have said, "" where none was asked; `tlsa`
    is the record of secured DNS that fits."""

    accepted: bool
    reason: str
    code: str = ""
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    expires: float = 0.0
    fingerprint: str = ""
    pinned: bool = False
    chain_length: int = 0
    revocation: str = ""
    tlsa: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be judged besides the chain."""

    domain: str
    peer: PeerConfig
    initiating: bool
    authorities: str
    dane: Dane


_Key = tuple[bytes, str, bool, Dane, str, str, bool, tuple[str, ...], str]
_Found = tuple[Judgement, list[x509.Certificate], Anchors]
_UNKNOWN: Final = frozenset({"no-revocation-list", "no-ocsp-answer"})
#: Codes of certificates that are good but for what lists and responders say.
REVOCATION: Final = frozenset({"revoked", *_UNKNOWN})


class Trust:
    """Judges for the whole engine. `run_blocking` calls a function in a thread, as asyncio.to_thread does."""

    def __init__(
        self,
        clock: Clock,
        run_blocking: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        lists: RevocationLists | None = None,
        responders: Responders | None = None,
    ) -> None:
        self._clock = clock
        self._run = run_blocking
        self._lists = lists or RevocationLists(clock, run_blocking)
        self._responders = responders or Responders(clock, self._lists, run_blocking)
        self._anchors = AnchorFiles()
        self._authorities = ""
        self._judged: dict[_Key, tuple[float, Judgement]] = {}
        self._judging: dict[_Key, asyncio.Task[Judgement]] = {}
        self._slots = asyncio.Semaphore(CONCURRENT)

    def configure(self, config: S2sConfig) -> None:
        """Take the authorities of a snapshot; judgements made before are forgotten."""
        self._authorities = config.authorities
        self._judged.clear()
        # Those under way go on for who waits for them, and are not remembered.
        self._judging = {}

    async def judge(
        self, chain: Sequence[bytes], domain: str, peer: PeerConfig, *, initiating: bool, keys: Dane = NOTHING
    ) -> Judgement:
        """Whether a chain (DER, leaf first) speaks for a domain. `initiating`: the other side started the stream.
        `keys` is what secured DNS says of the keys of a server that we connect to."""
        digest = hashlib.sha256(b"".join(hashlib.sha256(der).digest() for der in chain)).digest()
        terms = (peer.revocation, peer.ocsp, peer.strict_purpose, peer.pins, peer.authorities)
        key = (digest, domain, initiating, keys, *terms)
        known = self._judged.get(key)
        if known is not None and known[0] > self._clock.now():
            return known[1]
        judging = self._judging
        task = judging.get(key)
        if task is None:
            case = _Case(domain, peer, initiating, peer.authorities or self._authorities, keys)
            task = asyncio.ensure_future(self._remembered(key, chain, case))
            judging[key] = task
            task.add_done_callback(lambda _: judging.pop(key, None))
        # Whoever gives up does not take the judgement away from others.
        return await asyncio.shield(task)

    async def _remembered(self, key: _Key, chain: Sequence[bytes], case: _Case) -> Judgement:
        try:
            judgement, until = await self._judge(chain, case)
        except Exception as error:
            log.exception("a certificate for %s could not be judged", case.domain)
            return Judgement(False, f"the certificate could not be judged ({type(error).__name__})", "malformed")
        # After a new snapshot the task is no longer in the table.
        if self._judging.get(key) is asyncio.current_task():
            seconds = SECONDS_WITHOUT_LIST if judgement.code in _UNKNOWN else SECONDS
            if len(self._judged) >= REMEMBERED:
                self._shrink()
            left = max(until - self._clock.time(), 0.0)
            self._judged[key] = (self._clock.now() + min(seconds, left), judgement)
        return judgement

    async def _judge(self, chain: Sequence[bytes], case: _Case) -> tuple[Judgement, float]:
        """The judgement, and until when (UTC) it can hold."""
        async with self._slots:
            judgement, path, anchors = await self._run(self._look, chain, case)
        if not path:
            return judgement, judgement.expires if judgement.accepted else float("inf")
        # Not in a slot: what is asked comes over the network, and a stalled address must not stop all others.
        return await self._still_good(judgement, path, anchors, case.peer)

    async def _still_good(
        self, judgement: Judgement, path: list[x509.Certificate], anchors: Anchors, peer: PeerConfig
    ) -> tuple[Judgement, float]:
        """The judgement by what lists and responders say, as strictly as the peer's record has it."""
        asked: list[tuple[str, str, Coroutine[Any, Any, Finding]]] = []
        if peer.revocation != "off":
            asked.append((peer.revocation, "not on the list of its authority", self._lists.check(path, anchors)))
        if peer.ocsp != "off":
            check = self._responders.check(path, anchors, strict=peer.ocsp == "hard")
            asked.append((peer.ocsp, "cleared by its responder", check))
        found = await asyncio.gather(*(check for _, _, check in asked))
        until = min([judgement.expires, *(finding.until for finding in found)])
        told = [finding.text or good for finding, (_, good, _) in zip(found, asked, strict=True)]
        judgement = replace(judgement, revocation=_cut("; ".join(told), LONGEST_REASON))
        # What is revoked by one comes before what could not be found out by the other.
        for finding, (policy, _, _) in sorted(
            zip(found, asked, strict=True), key=lambda pair: pair[0].code != "revoked"
        ):
            if finding.code == "revoked" or (finding.code and policy == "hard"):
                reason = _cut(finding.text, LONGEST_REASON)
                return replace(judgement, accepted=False, code=finding.code, reason=reason), until
            if finding.code:
                reason = _cut(f"{judgement.reason}; {finding.text}", LONGEST_REASON)
                judgement = replace(judgement, reason=reason)
        return judgement, until

    def _look(self, chain: Sequence[bytes], case: _Case) -> _Found:
        """All but revocation, with the path for which that is to be asked, empty for none; in a thread."""
        described = Judgement(False, "", chain_length=len(chain))
        try:
            certificates = paths.load(chain)
            described = _described(certificates[0], len(chain))
            if case.peer.pins:
                return self._pinned(certificates[0], described, case.peer), [], Anchors()
            if case.dane.associations:
                return self._secured(certificates, described, case)
            path, anchors = self._path(certificates, case)
            return _accepted(described, path), path, anchors
        except Refused as refused:
            return replace(described, code=refused.code, reason=_cut(refused.text, LONGEST_REASON)), [], Anchors()
        except UNREADABLE as error:
            # `cryptography` parses extensions as they are asked for.
            reason = _cut(f"the certificate cannot be read: {error}", LONGEST_REASON)
            return replace(described, code="malformed", reason=reason), [], Anchors()

    def _secured(self, certificates: list[x509.Certificate], described: Judgement, case: _Case) -> _Found:
        """By the records of secured DNS, one of which must fit; raises Refused."""
        own = dane.own_key(certificates, case.dane)
        if own is not None:
            paths.check_key(certificates[0])
            reason = f"secured DNS names it (TLSA {own})"
            return replace(described, accepted=True, reason=reason, tlsa=str(own)), [], Anchors()
        found: dane.Association | None
        below = dane.own_authority(certificates, case.dane, paths.utc(self._clock.time()))
        if below is not None:
            found, path, anchors = below
            self._check_path(path, certificates, self._check_leaf(certificates[0], case), case)
        else:
            path, anchors = self._path(certificates, case) if dane.asks_authorities(case.dane) else ([], Anchors())
            found = dane.constrained(path, case.dane)
        if found is None:
            records = ", ".join(str(one) for one in case.dane.associations)
            raise Refused("tlsa", f"its certificate is not the one that secured DNS names (TLSA {records})")
        judgement = _accepted(described, path)
        reason = _cut(f"{judgement.reason}; secured DNS names it (TLSA {found})", LONGEST_REASON)
        return replace(judgement, reason=reason, tlsa=str(found)), path, anchors

    def _path(self, certificates: list[x509.Certificate], case: _Case) -> tuple[list[x509.Certificate], Anchors]:
        """The path to an authority that is known here; raises Refused."""
        name = self._check_leaf(certificates[0], case)
        anchors = self._anchors.read(case.authorities)
        path = paths.build(certificates, anchors, paths.utc(self._clock.time()))
        self._check_path(path, certificates, name, case)
        return path, anchors

    def _check_path(
        self, path: list[x509.Certificate], certificates: list[x509.Certificate], name: str, case: _Case
    ) -> None:
        if len(path) > 1 and is_authority(certificates[0]):
            raise Refused("wrong-purpose", f"{name_of(certificates[0])} is the certificate of an authority")
        paths.check_constraints(path, name)
        paths.check_chained_purpose(path, initiating=case.initiating, strict=case.peer.strict_purpose)

    def _check_leaf(self, leaf: x509.Certificate, case: _Case) -> str:
        """The name for which it speaks: the domain, or the host that secured DNS names for that; raises Refused."""
        paths.check_dates(leaf, paths.utc(self._clock.time()))
        paths.check_key(leaf)
        paths.check_purpose(leaf, initiating=case.initiating, strict=case.peer.strict_purpose)
        names = names_of(leaf)
        for name in filter(None, (case.domain, case.dane.host)):
            if matching(names, name):
                return name
        shown = ", ".join(names.all[:NAMES_SHOWN]) or "nobody: it has no alternative names"
        raise Refused("wrong-name", f"the certificate does not speak for {case.domain}; it speaks for {shown}")

    def _pinned(self, leaf: x509.Certificate, described: Judgement, peer: PeerConfig) -> Judgement:
        """The key is what was agreed on; names, purposes and authorities are not asked."""
        pin = pin_of(leaf)
        if not any(pin == wanted.lower().replace(":", "") for wanted in peer.pins):
            raise Refused("pin", f"its key is none of those that are pinned for {peer.domain or 'all'}: {pin}")
        paths.check_dates(leaf, paths.utc(self._clock.time()))
        paths.check_key(leaf)
        reason = f"its key is pinned; valid until {paths.utc(described.expires):%Y-%m-%d}"
        return replace(described, accepted=True, pinned=True, reason=reason)

    def _shrink(self) -> None:
        """Drop what is over, and the oldest if that is not enough."""
        now = self._clock.now()
        over = [key for key, (until, _) in self._judged.items() if until <= now]
        for key in over or list(self._judged)[: REMEMBERED // 10]:
            del self._judged[key]


def pin_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the key of a certificate (SubjectPublicKeyInfo), hexadecimal: what `PeerConfig.pins` holds."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def _accepted(described: Judgement, path: Sequence[x509.Certificate]) -> Judgement:
    expires = min(one.not_valid_after_utc.timestamp() for one in path)
    reason = f"valid until {paths.utc(expires):%Y-%m-%d}, issued by {described.issuer}"
    return replace(described, accepted=True, reason=reason, expires=expires)


def _described(leaf: x509.Certificate, length: int) -> Judgement:
    """What a certificate says of itself, not accepted yet."""
    try:
        names = tuple(_cut(name, LONGEST) for name in names_of(leaf).all[:NAMES_SHOWN])
    except ValueError:
        names = ()
    return Judgement(
        False,
        "",
        subject=_cut(leaf.subject.rfc4514_string(), LONGEST),
        issuer=_cut(leaf.issuer.rfc4514_string(), LONGEST),
        names=names,
        expires=leaf.not_valid_after_utc.timestamp(),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        chain_length=length,
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
