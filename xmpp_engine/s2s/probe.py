"""Probe: the way to another server, step by step, for an administrator who wants to know where it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.s2s import path as paths
from xmpp_engine.s2s.failure import Failure
from xmpp_engine.s2s.trust import REVOCATION, Judgement

if TYPE_CHECKING:
    from xmpp_engine.config.schema import PeerConfig
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.outgoing import Outgoing
    from xmpp_engine.s2s.resolver import Target

log = logging.getLogger("mlink.s2s")

Report = Callable[[str, bool, str, dict[str, Any]], Any]


async def probe(federation: Federation, domain: str, from_domain: str, report: Report) -> bool:
    """See `Federation.probe`."""
    try:
        return await _Probe(federation, report).run(domain, from_domain)
    except Failure as failure:
        report(failure.step, False, failure.text, {"condition": failure.condition})
    except Exception:
        log.exception("the test of %s failed", domain)
        report("peer", False, "the test itself failed; the log has the reason", {})
    return False


class _Probe:
    def __init__(self, federation: Federation, report: Report) -> None:
        self._federation = federation
        self._report = report
        #: Of the certificate of the server that is being tried.
        self._judgement: Judgement | None = None

    async def run(self, domain: str, from_domain: str) -> bool:
        federation, report = self._federation, self._report
        try:
            remote, local = domainpart(domain), domainpart(from_domain)
        except ValueError as error:
            report("peer", False, str(error), {})
            return False
        if not federation.config.s2s.enabled:
            report("peer", False, "federation is off", {})
            return False
        if federation.serves(remote, whatever=True):
            report("peer", False, f"{remote} is served here", {})
            return False
        peer = federation.calls.allowed(local, remote)
        report("peer", True, _policy(remote, peer), _facts(peer))
        targets = await federation.calls.targets(remote, peer)
        where = ", ".join(f"{one.host} port {one.port}{' (direct TLS)' if one.direct else ''}" for one in targets)
        details = [
            {"host": one.host, "port": one.port, "direct": one.direct, "addresses": list(one.addresses)}
            for one in targets
        ]
        report("dns", True, f"{remote} is at {where}", {"targets": details})
        for target in targets:
            self._judgement = None
            try:
                await self._try(local, remote, peer, target)
                return True
            except Failure as failure:
                told = {"condition": failure.condition, "host": target.host}
                if self._judgement is not None and failure.step in ("dane", "certificate", "revocation"):
                    told |= _judged(self._judgement)
                report(failure.step, False, failure.text, told)
        return False

    async def _try(self, local: str, remote: str, peer: PeerConfig, target: Target) -> None:
        """One server; raises Failure at the step that fails."""
        calls = self._federation.calls
        seen: list[Outgoing] = []
        if target.dane.text:
            records = [str(one) for one in target.dane.associations]
            self._report("dane", True, target.dane.text, {"host": target.host, "records": records})
        try:
            outgoing = await calls.call(local, remote, peer, target, seen.append)
        except Failure as failure:
            if seen and failure.step != "tcp":
                self._judgement = seen[0].judgement
                self._reached(seen[0], failure.step)
            raise
        try:
            self._reached(outgoing, "")
            offered = _offers(outgoing)
            try:
                await self._prove(outgoing, local, remote)
            except Failure as failure:
                if not failure.external or peer.authentication == "certificate":
                    raise
                # The stream went with the refusal: dialback over another one, as messages go (Calls.open_stream).
                refusal = outgoing.refused_external
                outgoing = await calls.call(local, remote, peer, target)
                outgoing.offers_external = False
                outgoing.refused_external = refusal
                await self._prove(outgoing, local, remote)
            text = f"{remote} takes stanzas of {local} ({outgoing.authentication})"
            details = {"method": outgoing.authentication, "bidi": outgoing.bidi, "offered": offered}
            if outgoing.refused_external:
                text += f". It does so by dialback only: {outgoing.refused_external}"
                details["certificate_refused"] = outgoing.refused_external
            self._report("authentication", True, text, details)
        finally:
            outgoing.stream.close()

    async def _prove(self, outgoing: Outgoing, local: str, remote: str) -> None:
        try:
            async with asyncio.timeout(self._federation.config.s2s.connect_seconds):
                await outgoing.prove(local, remote)
        except TimeoutError:
            raise Failure("remote-server-timeout", f"{remote} did not answer in time") from None

    def _reached(self, outgoing: Outgoing, failed: str) -> None:
        """Tell of the steps before the one that failed."""
        report = self._report
        transport = outgoing.stream.transport
        address = outgoing.address or outgoing.target.host
        report("tcp", True, f"{address} answers", {"address": address, "host": outgoing.target.host})
        if failed == "tls":
            return
        facts = outgoing.facts or transport.tls_facts()
        if failed and not facts:
            return
        if facts:
            report("tls", True, f"{facts.get('version', '')} with {facts.get('cipher', '')}", facts)
        else:
            report("tls", True, "there is none, and none is needed", {})
        if failed in ("dane", "certificate") or not facts:
            return
        judgement = outgoing.judgement
        if judgement is None:
            report("certificate", True, "it shows none; dialback does without", {})
            return
        asked_for = outgoing.needs_certificate
        if judgement.code in REVOCATION:
            text = f"valid until {paths.utc(judgement.expires):%Y-%m-%d}, issued by {judgement.issuer}"
        else:
            text = judgement.reason if judgement.accepted else f"{judgement.reason}; dialback does without"
        accepted = judgement.accepted or judgement.code in REVOCATION or not asked_for
        report("certificate", accepted, text, _judged(judgement))
        if failed != "revocation" and judgement.revocation:
            text = f"{judgement.revocation}{'' if judgement.accepted else '; dialback does without'}"
            report("revocation", judgement.accepted or not asked_for, text, {"code": judgement.code})


def _judged(judgement: Judgement) -> dict[str, Any]:
    names = ("accepted", "code", "reason", "subject", "issuer", "names", "expires", "fingerprint", "pinned")
    return {name: getattr(judgement, name) for name in names}


def _offers(outgoing: Outgoing) -> list[str]:
    offers = {
        "EXTERNAL": outgoing.offers_external,
        "dialback": outgoing.offers_dialback,
        "bidi": outgoing.offers_bidi,
    }
    return [name for name, offered in offers.items() if offered]


def _policy(remote: str, peer: PeerConfig) -> str:
    which = f"the record of {peer.domain}" if peer.domain else "the default"
    proof = {
        "certificate": "both sides prove by certificate who they are",
        "dialback": "certificates are preferred, dialback will do",
        "dialback-only": "dialback alone is used",
    }[peer.authentication]
    tls = "TLS is required" if peer.tls == "required" else "TLS is optional"
    return f"For {remote} {which} holds: {proof}, {tls}."


def _facts(peer: PeerConfig) -> dict[str, Any]:
    return {
        "record": peer.domain,
        "authentication": peer.authentication,
        "tls": peer.tls,
        "route": peer.route,
        "revocation": peer.revocation,
        "ocsp": peer.ocsp,
        "dane": peer.dane,
        "pins": len(peer.pins),
    }
