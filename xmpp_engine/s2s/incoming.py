"""Incoming: a stream that another server has opened (RFC 6120, 4 to 6; XEP-0178, 0220, 0288).

    header -> features(starttls) -> TLS -> header -> [certificate judged] -> features(EXTERNAL?, dialback?, bidi)
        -> <auth mechanism='EXTERNAL'> -> header -> features      the pair of the header is proven
        -> <db:result>                                            any pair, as often as wanted
        -> <db:verify>                                            questions about our own keys

EXTERNAL is offered only to who has shown a certificate that is good for the domain in its header; to all others
dialback, where their record allows it.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.prep import domainpart
from xmpp_engine.s2s.management import FEATURE
from xmpp_engine.s2s.peer_stream import PeerStream
from xmpp_engine.stream.negotiate import check_version
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import ListenerConfig
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.trust import Judgement

_PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()
_SUCCESS: Final = f"<success xmlns='{ns.SASL}'/>".encode()
_FEATURES: Final = "<stream:features>%s</stream:features>"
_STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'/>"
_STARTTLS_REQUIRED: Final = f"<starttls xmlns='{ns.TLS}'><required/></starttls>"
_MECHANISMS: Final = f"<mechanisms xmlns='{ns.SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"
_DIALBACK: Final = f"<dialback xmlns='{ns.DIALBACK_FEATURE}'><errors/></dialback>"
_BIDI: Final = f"<bidi xmlns='{ns.BIDI_FEATURE}'/>"
#: Attempts with EXTERNAL on one stream.
_ATTEMPTS: Final = 3


class Incoming(PeerStream):
    """One stream that came in."""

    direction = "in"

    def __init__(self, federation: Federation, listener: ListenerConfig) -> None:
        super().__init__(federation, "", "")
        self._listener = listener
        self._external = False
        self._attempts = 0

    # The header

    def opened(self, root: Element) -> None:
        """See Role."""
        remote, local = self._addresses(root)
        if not self.federation.serves(local):
            raise self.refuse("host-unknown", f"{local} is not served here")
        if self.local and (self.local, self.remote) != (local, remote):
            raise self.refuse("not-authorized", "the stream was opened again for other domains")
        self.local = local
        if remote and self.federation.serves(remote, whatever=True):
            raise self.refuse("invalid-from", f"{remote} is served here")
        if remote and not self.peer.enabled:
            raise self.refuse("policy-violation", f"there is to be no connection with {remote}")
        stream = self.stream
        stream.peer_id = remote
        stream.open()
        chain = stream.transport.peer_chain()
        if remote and chain and self.judgement is None and self.peer.authentication != "dialback-only":
            self.federation.services.tasks.spawn(f"certificate of {remote}", self._judge(chain))
        else:
            self._offer()

    def _addresses(self, root: Element) -> tuple[str, str]:
        """`from`, which may be missing, and `to` of the header."""
        try:
            check_version(root.attrs.get("version"))
        except StreamError as error:
            raise self.refuse(error.condition, error.text) from None
        text = root.attrs.get("from", "")
        try:
            remote = domainpart(text) if text else ""
        except ValueError:
            raise self.refuse("invalid-from", "the stream comes from an address that is no domain") from None
        self.remote = self.remote or remote
        wanted = root.attrs.get("to")
        if not wanted:
            raise self.refuse("improper-addressing", "the stream is opened to nobody")
        try:
            return remote, domainpart(wanted)
        except ValueError:
            raise self.refuse("host-unknown", "the stream is opened to an address that is no domain") from None

    async def _judge(self, chain: tuple[bytes, ...]) -> None:
        remote = self.remote
        judgement: Judgement = await self.federation.trust.judge(chain, remote, self.peer, initiating=True)
        if self.over:
            return
        self.judgement = judgement
        if not judgement.accepted and not self._dialback_allowed():
            self.stream.close(self.refuse("not-authorized", f"certificate of {remote}: {judgement.reason}"))
            return
        self._external = judgement.accepted
        self._offer()

    def _dialback_allowed(self) -> bool:
        return not self.federation.judge_claim(self.remote, self.local, self.stream.transport.secure)[0]

    # Features

    def _offer(self) -> None:
        stream = self.stream
        parts: list[str] = []
        if not stream.transport.secure and stream.transport.can_start_tls and self.federation.tls:
            parts.append(_STARTTLS_REQUIRED if self._needs_tls() else _STARTTLS)
        if stream.transport.secure or not self._needs_tls():
            if self._external and not self.authentication:
                parts.append(_MECHANISMS)
            if not self.remote or self._dialback_allowed():
                parts.append(_DIALBACK)
            if not self.authentication:
                parts.append(_BIDI)
            # With dialback stanzas may come without other features before them, so it is offered here (XEP-0198, 3).
            if self.authentication or stream.transport.secure:
                parts.append(FEATURE)
        stream.write((_FEATURES % "".join(parts)).encode())
        if self.authentication:
            self.ready()

    def _needs_tls(self) -> bool:
        return self._listener.tls == "required" or self.peer.tls == "required"

    # Elements

    def control(self, element: Element) -> None:
        """See PeerStream."""
        key = (element.ns, element.name)
        if key == (ns.TLS, "starttls"):
            self._start_tls()
            return
        if not self.stream.transport.secure and self._needs_tls() and element.ns != ns.STREAM:
            raise self.refuse("policy-violation", "TLS is needed first")
        if key == (ns.SASL, "auth"):
            self._authenticate(element)
        elif key == (ns.BIDI, "bidi"):
            self.both_ways()
        else:
            super().control(element)

    def _start_tls(self) -> None:
        stream = self.stream
        if stream.transport.secure or not stream.transport.can_start_tls or not self.federation.tls:
            stream.write(f"<failure xmlns='{ns.TLS}'/>".encode())
            stream.close()
            return
        stream.write(_PROCEED)
        # Whatever came behind the request came in clear and must not count as protected.
        stream.restart()
        stream.transport.start_tls(self.federation.tls, self.local)

    def secured(self) -> None:
        """See Role; the peer opens the stream anew."""

    def _authenticate(self, element: Element) -> None:
        """SASL EXTERNAL (XEP-0178, 3); the certificate was judged before it was offered."""
        if self.authentication:
            raise self.refuse("policy-violation", "the stream is authenticated already")
        if element.attrs.get("mechanism") != "EXTERNAL" or not self._external:
            self._fail("invalid-mechanism", "EXTERNAL was not offered")
            return
        try:
            text = element.text.strip()
            wanted = b64decode(text, validate=True).decode() if text not in ("", "=") else ""
        except ValueError:
            self._fail("incorrect-encoding", "the authorization identity is not base64")
            return
        try:
            right = not wanted or domainpart(wanted) == self.remote
        except ValueError:
            right = False
        if not right:
            self._fail("invalid-authzid", f"the stream of {self.remote} wants to speak for {wanted[:64]}")
            return
        self.proven(self.remote, self.local, "EXTERNAL")
        self.stream.write(_SUCCESS)
        self.stream.restart()

    def _fail(self, condition: str, text: str) -> None:
        self.note(condition, text)
        self.stream.write(f"<failure xmlns='{ns.SASL}'><{condition}/></failure>".encode())
        self._attempts += 1
        if self._attempts >= _ATTEMPTS:
            error = StreamError("policy-violation", "too many failed attempts to authenticate")
            error.told = True
            self.stream.close(error)
