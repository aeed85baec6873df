"""Outgoing: a stream that we open to another server (RFC 6120, 4 to 6; XEP-0178, 0220, 0288, 0368).

    header -> features -> STARTTLS -> [its certificate judged] -> header -> features     `negotiated`
        -> `prove`: bidi, then SASL EXTERNAL where the certificate is good, else or after a refusal dialback
        -> `verify`: a question about a dialback key, which needs no proof

The coroutines of this class belong to whoever wants something of the stream; the elements of the other side answer
them through futures. When the stream ends, all of them fail with the reason.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from xmpp_engine.s2s.failure import Failure, refused
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.s2s.trust import REVOCATION
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import PeerConfig
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.resolver import Target

_STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'/>".encode()
_EXTERNAL: Final = f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>".encode()
_BIDI: Final = f"<bidi xmlns='{ns.BIDI}'/>".encode()
#: Pairs of domains that one stream of ours speaks for: other servers have their bounds too.
PAIRS: Final = 100


class Outgoing(PeerStream):
    """One stream that goes out, from `local` to `remote`."""

    direction = "out"

    def __init__(self, federation: Federation, local: str, remote: str, peer: PeerConfig, target: Target) -> None:
        super().__init__(federation, local, remote)
        self._policy = peer
        self.target = target
        #: What the other side offers.
        self.offers_external = False
        self.offers_dialback = False
        self.offers_errors = False
        self.offers_bidi = False
        self.offers_management = False
        self._sasl: asyncio.Future[None] | None = None
        #: What is told of the connection when it has ended already.
        self.address = ""
        self.facts: dict[str, str] = {}
        self._succeeded = False
        #: Whether our header is written and theirs has not come.
        self._header_due = False
        #: Why the other side did not take our certificate, "" where it did or was not shown it.
        self.refused_external = ""
        self.negotiated: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: One proof at a time: SASL and a restart of the stream must not meet anything else.
        self._turn = asyncio.Lock()

    @property
    def peer(self) -> PeerConfig:
        """See PeerStream: what held when it was opened."""
        return self._policy

    # Negotiation

    def opened(self, root: Element) -> None:
        """See Role."""
        stream = self.stream
        if not self._header_due:
            # Whoever does not wait for ours would be talked to before his certificate is judged.
            raise self.refuse("policy-violation", "the other server opened its stream before ours")
        self._header_due = False
        stream.id = root.attrs.get("id", "")
        if not stream.id:
            raise self.refuse("bad-format", "the stream header of the other server has no id")
        if root.attrs.get("version", "0.9").startswith("0"):
            # A server older than RFC 3920 has no features and nothing but dialback.
            if self._needs_tls:
                self.fail(refused(f"{self.remote} knows no TLS", "tls"))
                return
            self.offers_dialback = True
            self._negotiated()

    def control(self, element: Element) -> None:
        """See PeerStream."""
        key = (element.ns, element.name)
        if key == (ns.STREAM, "features"):
            self._features(element)
        elif element.ns == ns.TLS:
            self._tls(element)
        elif element.ns == ns.SASL:
            self._sasl_answer(element)
        else:
            super().control(element)

    def _features(self, element: Element) -> None:
        stream = self.stream
        if not stream.transport.secure:
            if element.find(ns.TLS, "starttls") is not None:
                stream.write(_STARTTLS)
                return
            if self._needs_tls:
                self.fail(refused(f"{self.remote} offers no TLS", "tls"))
                return
        dialback = element.find(ns.DIALBACK_FEATURE, "dialback")
        if not self._succeeded:
            mechanisms = element.find(ns.SASL, "mechanisms")
            offered = mechanisms.find_all(ns.SASL, "mechanism") if mechanisms is not None else []
            self.offers_external = any(one.text.strip() == "EXTERNAL" for one in offered)
            self.offers_bidi = element.find(ns.BIDI_FEATURE, "bidi") is not None
        # COMPAT: servers that know dialback and not its stream feature declare its namespace in their header.
        self.offers_dialback = dialback is not None or stream.declares(ns.DIALBACK)
        self.offers_errors = dialback is not None and next(dialback.elements(), None) is not None
        self.offers_management = element.find(ns.SM, "sm") is not None
        self._negotiated()

    def _negotiated(self) -> None:
        if not self.negotiated.done():
            self.negotiated.set_result(None)
        if self._succeeded and self._sasl is not None and not self._sasl.done():
            self._sasl.set_result(None)

    def _tls(self, element: Element) -> None:
        stream = self.stream
        if element.name != "proceed" or stream.transport.secure or not stream.transport.can_start_tls:
            self.fail(Failure("remote-server-timeout", f"{self.remote} refused STARTTLS", step="tls"))
            return
        stream.restart()
        try:
            dialer = self.federation.tls.dial(self.local, self.remote, direct=False)
        except LookupError as error:
            self.fail(Failure("remote-server-timeout", str(error), step="tls"))
            return
        stream.transport.start_tls(dialer, self.remote)

    def secured(self) -> None:
        """See Role."""
        self.facts = self.stream.transport.tls_facts()
        self.federation.services.tasks.spawn(f"certificate of {self.remote}", self.judge())

    def began(self) -> None:
        """The connection is there: speak first."""
        self.stream.peer_id = self.remote
        self.address = self.stream.transport.peer
        if self.stream.transport.secure:
            self.secured()
        else:
            self._open()

    def _open(self) -> None:
        self._header_due = True
        self.stream.open()

    async def judge(self) -> None:
        """Judge the certificate, then open the stream."""
        chain = self.stream.transport.peer_chain()
        if chain:
            self.judgement = await self.federation.trust.judge(
                chain, self.remote, self._policy, initiating=False, keys=self.target.dane
            )
        if self.over:
            return
        if self.needs_certificate and not self.trusted:
            text = self.judgement.reason if self.judgement is not None else "it shows none"
            code = self.judgement.code if self.judgement is not None else ""
            step = "revocation" if code in REVOCATION else "dane" if code == "tlsa" else "certificate"
            self.fail(refused(f"certificate of {self.remote}: {text}", step))
            return
        self._open()

    @property
    def _needs_tls(self) -> bool:
        """Whoever stands between us could leave STARTTLS out, and with it the certificate that is needed."""
        return self._policy.tls == "required" or self.needs_certificate

    @property
    def busy(self) -> bool:
        """See PeerStream: SASL too, for which the other side may have to fetch lists of revoked certificates."""
        return self.exchange.busy or self._turn.locked()

    @property
    def needs_certificate(self) -> bool:
        """Whether nothing but a certificate that is good will do."""
        secured = bool(self.target.dane.associations)
        return self._policy.authentication == "certificate" or bool(self._policy.pins) or secured

    @property
    def trusted(self) -> bool:
        """Whether the other server's certificate is good."""
        return self.judgement is not None and self.judgement.accepted

    # Proofs

    def can_prove(self, local: str, remote: str, peer: PeerConfig) -> bool:
        """Whether a further pair of domains can be proven on this stream, that is by dialback (XEP-0220, 2.6)."""
        if self.over or not self.authentication or not self.offers_dialback or len(self.accepted_pairs) >= PAIRS:
            return False
        if peer.authentication == "certificate" or peer.pins:
            return False
        return remote == self.remote or self.offers_errors

    async def prove(self, local: str, remote: str) -> None:
        """Have the other side accept stanzas of `local` for `remote`; raises Failure."""
        await asyncio.shield(self.negotiated)
        async with self._turn:
            if self.over:
                raise Failure("remote-server-timeout", "the stream has ended")
            if (local, remote) in self.accepted_pairs:
                return
            if self.offers_bidi and not self.bidi and not self.authentication:
                self.both_ways()
                self.stream.write(_BIDI)
            first = not self.authentication and (local, remote) == (self.local, self.remote)
            if first and self._external_fits() and await self._external():
                await self._manage()
                return
            if self._policy.authentication == "certificate":
                raise refused(f"{self.remote} does not let us prove by certificate who we are")
            if not self.offers_dialback:
                raise Failure("remote-server-timeout", f"{self.remote} offers no way to prove who we are", final=True)
        # Not in turn: the other side may have to ask us first, and we it, on this very stream.
        await self.exchange.ask(local, remote)
        if first:
            await self._manage()

    async def _manage(self) -> None:
        """Stream management, where the other side offers it."""
        if self.offers_management and not self.over:
            self.management.begin()
            await self.management.settled()

    def _external_fits(self) -> bool:
        return (
            self.offers_external
            and self.trusted
            and not self.refused_external
            and self._policy.authentication != "dialback-only"
            and self.federation.tls.has_certificate(self.local)
        )

    async def _external(self) -> bool:
        """SASL EXTERNAL; False where the other side refuses it and the stream goes on."""
        self._sasl = asyncio.get_running_loop().create_future()
        self.stream.write(_EXTERNAL)
        try:
            await asyncio.shield(self._sasl)
        except Failure as failure:
            if failure.external:
                self.refused_external = self.refused_external or failure.text
                if not self.over:
                    return False
            raise
        return True

    def _sasl_answer(self, element: Element) -> None:
        future = self._sasl
        if future is None or future.done() or self._succeeded:
            raise self.refuse("unsupported-stanza-type", "an answer of SASL to nothing")
        if element.name == "success":
            self._succeeded = True
            self.accepted(self.local, self.remote, "EXTERNAL")
            self.stream.restart()
            self._open()
        elif element.name == "challenge":
            # COMPAT: who asks for the authorization identity once more gets the empty one again.
            self.stream.write(f"<response xmlns='{ns.SASL}'>=</response>".encode())
        else:
            condition = next((child.name for child in element.elements()), "")
            text = self.refused_external = f"{self.remote} refused our certificate: {condition}"
            self.federation.refusals.add(
                "out", self.local, self.remote, self.stream.transport.peer, condition or "failure", text
            )
            future.set_exception(Failure("remote-server-timeout", text, final=True, external=True))
            future.exception()

    async def verify(self, local: str, remote: str, id: str, key: str) -> bool:
        """Ask about a dialback key, see Exchange.verify; raises Failure."""
        await asyncio.shield(self.negotiated)
        async with self._turn:
            pass  # not in the middle of SASL
        return await self.exchange.verify(local, remote, id, key)

    # The end

    def fail(self, failure: Failure) -> None:
        """See PeerStream."""
        if self._sasl is not None and not self._sasl.done() and not self.refused_external:
            # Some end the stream instead of a failure of SASL.
            failure.external = True
        self._tell(failure)
        super().fail(failure)

    def _gone(self, reason: str, clean: bool) -> None:
        error = self.stream.error
        step = "tls" if "TLS" in reason else "authentication"
        failure = Failure("remote-server-timeout", f"the stream ended: {error or reason}", step=step)
        if self._sasl is not None and not self._sasl.done():
            failure.external = True
        self._tell(failure)
        super()._gone(reason, clean)

    def _tell(self, failure: Failure) -> None:
        for future in (self.negotiated, self._sasl):
            if future is not None and not future.done():
                future.set_exception(failure)
                future.exception()  # nobody may be waiting

    def _late(self) -> None:
        """The other side is too slow."""
        self._timer = None
        if not self.authentication and not self.exchange.busy and not self.negotiated.done():
            self.stream.close(StreamError("connection-timeout", f"{self.remote} is too slow"))
