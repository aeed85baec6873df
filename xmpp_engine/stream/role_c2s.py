"""Client to server: what all client streams of a listener share (`C2S`), and the role of one of them (`C2SRole`).

A listener calls `accept` for each connection, whatever its transport, and gives what comes to the Stream it returns.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.config.schema import StreamLimits, TlsMode
from xmpp_engine.observe.counters import Counters
from xmpp_engine.runtime.clock import Clock, Timer
from xmpp_engine.sasl.keys import ITERATIONS
from xmpp_engine.sasl.mechanism import Success
from xmpp_engine.sasl.throttle import Throttle
from xmpp_engine.stream.feature_bind import Bind
from xmpp_engine.stream.feature_sasl import Sasl
from xmpp_engine.stream.feature_sasl2 import Request
from xmpp_engine.stream.feature_tls import StartTls
from xmpp_engine.stream.framing import BODIES, CLIENT_STREAM, FRAMES, Framing
from xmpp_engine.stream.negotiate import FeatureCache, Negotiation, check_header
from xmpp_engine.stream.role import Binder, HostLike, LoginFacts
from xmpp_engine.stream.stream import Stream
from xmpp_engine.stream.sweeper import Sweeper
from xmpp_engine.transport.base import Transport
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError

#: iq stanzas answered before authentication: in-band registration, and a ping each half minute while a form is filled
#: in.
_EARLY: Final = 20
#: For a process that is given no secret: pretended salts then last as long as it does.
_SECRET: Final = secrets.token_bytes(32)


class C2S:
    """What the client streams of one listener or endpoint share.

    `tls` is the listener's mode; `contexts` is handed to `transport.start_tls`, None where TLS cannot be started.
    `clear` allows to sign in without TLS (by default where TLS is `optional` or `none`). `secret` makes the answers for
    unknown accounts; it should outlive a restart. `before_login(stream, iq)` may answer an iq before authentication and
    returns whether it did. `limits` and `contexts` may be replaced while running and hold for streams accepted from
    then on. `refusal(transport name)` is what a client is told instead of signing in, None where it may: a server that
    is about to stop sends it elsewhere.
    """

    __slots__ = (
        "before_login",
        "binder",
        "cache",
        "clear",
        "clock",
        "contexts",
        "counters",
        "iterations",
        "limits",
        "refusal",
        "secret",
        "sweeper",
        "throttle",
        "tls",
    )

    def __init__(
        self,
        binder: Binder,
        clock: Clock,
        counters: Counters,
        throttle: Throttle,
        sweeper: Sweeper,
        *,
        tls: TlsMode = "required",
        limits: StreamLimits | None = None,
        contexts: Any = None,
        clear: bool | None = None,
        secret: bytes = _SECRET,
        iterations: int = ITERATIONS,
        before_login: Callable[[Stream, Element], bool] | None = None,
        refusal: Callable[[str], StreamError | None] = lambda _transport: None,
    ) -> None:
        self.binder = binder
        self.clock = clock
        self.counters = counters
        self.throttle = throttle
        self.sweeper = sweeper
        self.tls = tls
        self.limits = limits or StreamLimits()
        self.contexts = contexts
        self.clear = tls in ("optional", "none") if clear is None else clear
        self.secret = secret
        self.iterations = iterations
        self.before_login = before_login
        self.refusal = refusal
        self.cache = FeatureCache()

    def accept(self, transport: Transport, framing: Framing | None = None) -> Stream:
        """A stream for a new connection, to be given what the transport reads."""
        if framing is None:
            framing = BODIES if transport.name == "bosh" else FRAMES if transport.framed else CLIENT_STREAM
        stream = Stream(transport, framing, C2SRole(self), self.clock, self.limits)
        self.sweeper.add(stream)
        return stream


class C2SRole:
    """One client stream on its way to a session. `account` is who it is, once authenticated."""

    __slots__ = ("_early", "_facts", "_negotiation", "_registering", "_timer", "account", "service", "stream")

    stream: Stream

    def __init__(self, service: C2S) -> None:
        self.service = service
        self.account: Jid | None = None
        self._facts: LoginFacts | None = None
        self._negotiation: Negotiation | None = None
        self._timer: Timer | None = None
        self._early = 0
        self._registering = False

    # What Stream calls

    @property
    def counters(self) -> Counters:
        """See Role."""
        return self.service.counters

    @property
    def domain(self) -> str:
        """See Role."""
        host = self.service.binder.default_host()
        return host.domain if host is not None else ""

    def attach(self, stream: Stream) -> None:
        """See Role."""
        service = self.service
        self.stream = stream
        negotiation = self._negotiation = Negotiation(stream, service.cache)
        negotiation.features = (
            StartTls(self, negotiation, service.contexts, service.tls == "required"),
            Sasl(self, negotiation),
            Bind(self, negotiation),
        )
        self._timer = service.clock.call_later(stream.limits.negotiation_seconds, self._late)

    def opened(self, root: Element) -> None:
        """See Role."""
        stream = self.stream
        host = stream.host
        check_header(stream, root, self.service.binder)
        # Not before TLS: whoever is in between could send the client anywhere.
        refusal = self.service.refusal(stream.transport.name)
        if refusal is not None and (stream.transport.secure or self.account is not None):
            raise refusal
        if self.account is not None:
            self._check_identity(host)
        stream.open()
        assert self._negotiation is not None
        self._negotiation.offer()

    def handle(self, element: Element) -> None:
        """See Role."""
        if self._negotiation is not None:
            self._negotiation.handle(element)

    def secured(self) -> None:
        """See Role; the new stream begins when the client opens it."""

    def lost(self) -> None:
        """See Role."""
        self._settle()
        self.service.sweeper.discard(self.stream)

    # What the features call

    def authenticated(self, success: Success, mechanism: str, request: Request | None = None) -> None:
        """The client is who it says; `request` is what it asked for by SASL2."""
        transport = self.stream.transport
        self.account = success.account
        credentials = success.credentials
        self._facts = LoginFacts(
            mechanism,
            credentials.account_id,
            credentials.is_admin,
            transport.peer,
            transport.name,
            transport.secure,
            self.stream.lang,
            request.device if request is not None else "",
            success.method,
            request.agent if request is not None else None,
        )
        self.stream.authenticated()
        transport.authenticated()

    def facts(self) -> LoginFacts:
        """How it signed in."""
        assert self._facts is not None
        self._facts.lang = self.stream.lang
        return self._facts

    def offer_after(self, *, bound: bool) -> None:
        """SASL2: the features of the authenticated stream, without those of binding where that is done."""
        negotiation = self._negotiation
        if negotiation is not None:
            for feature in negotiation.features:
                if isinstance(feature, Bind):
                    feature.bound = bound
            negotiation.offer()

    def before_login(self, iq: Element) -> bool:
        """Whether somebody answered an iq of a stream that is not authenticated. What a stranger registers with is as
        secret as what others sign in with, so it goes by the same rule for TLS."""
        answer = self.service.before_login
        self._early += 1
        protected = self.stream.transport.secure or self.service.clear
        return answer is not None and protected and self._early <= _EARLY and answer(self.stream, iq)

    def registering(self) -> None:
        """The form of registration was sent. Who fills it in has the time for it, once: asking again gives no more."""
        if self._timer is None or self._registering:
            return
        self._registering = True
        self._timer.cancel()
        self._timer = self.service.clock.call_later(self.stream.limits.registration_seconds, self._late)

    def finished(self) -> None:
        """A session has taken the stream over: nothing of the negotiation is needed any more."""
        self._settle()

    # Inside

    def _settle(self) -> None:
        """Free what only negotiation needs."""
        if self._negotiation is not None:
            # The features point back to it; without that the memory goes at once.
            self._negotiation.features = ()
            self._negotiation = None
        self._facts = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_identity(self, before: HostLike | None) -> None:
        """The header after authentication must be for the same domain and the same account (RFC 6120, 4.9.3.9)."""
        stream = self.stream
        if before is not None and stream.host is not None and stream.host.domain != before.domain:
            stream.host = before
            raise StreamError("not-authorized", "the stream is authenticated for another domain")
        assert self.account is not None
        if stream.peer_id and Jid.parse(stream.peer_id).bare != self.account.bare:
            raise StreamError("invalid-from", "the stream belongs to another account")

    def _late(self) -> None:
        self._timer = None
        self.stream.close(StreamError("connection-timeout", "the negotiation took too long"))
