"""The SASL profiles of XMPP (RFC 6120, 6, and XEP-0388), with the channel bindings of XEP-0440, the downgrade
protection of XEP-0474 and the limits of XEP-0478.

Both profiles carry the same mechanisms: here is what they share, and the elements of the older one; those of SASL2 are
in `feature_sasl2.py`. One of them is under way at a time, and an attempt with either counts.

Drives one mechanism after the other: decodes what the client sends, awaits what a mechanism waits for, answers. A
failed attempt is counted and logged once, answered the later the more have failed (`sasl/throttle.py`). Three guesses
close the stream, and so do six attempts that failed for any reason: a client may go through the whole list of
mechanisms before it comes to one that it can do.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.sasl import downgrade, external, fast
from xmpp_engine.sasl.mechanism import (
    BINDINGS,
    Challenge,
    Failure,
    Mechanism,
    Outcome,
    Success,
    Wait,
    offered,
    refusal,
)
from xmpp_engine.sasl.plain import Plain
from xmpp_engine.sasl.scram import Scram
from xmpp_engine.storage.devices import TokenRow
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Credentials
from xmpp_engine.stream import feature_sasl2 as sasl2
from xmpp_engine.stream.negotiate import Feature, Negotiation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.stream.role_c2s import C2SRole

log = logging.getLogger("mlink.auth")

_GUESSES: Final = 3
#: The first and five retries, the most that RFC 6120, 6.4.5 allows.
_ATTEMPTS: Final = 6
_CHALLENGE: Final = f"<challenge xmlns='{ns.SASL}'>".encode() + b"%b</challenge>"
_SUCCESS: Final = f"<success xmlns='{ns.SASL}'>".encode() + b"%b</success>"
_SUCCESS_WITHOUT_DATA: Final = f"<success xmlns='{ns.SASL}'/>".encode()


class Sasl(Feature):
    """Authentication of a client; also the context its mechanisms run in (`sasl.mechanism.Context`)."""

    __slots__ = (
        "_attempts",
        "_guesses",
        "_mechanism",
        "_names",
        "_negotiation",
        "_request",
        "_role",
        "_two",
        "bindings",
        "certificate",
        "domain",
        "iterations",
        "secret",
    )
    names = frozenset(
        {(ns.SASL, name) for name in ("auth", "response", "abort")}
        | {(ns.SASL2, name) for name in ("authenticate", "response", "abort")}
    )

    def __init__(self, role: C2SRole, negotiation: Negotiation) -> None:
        self._role = role
        self._negotiation = negotiation
        self._mechanism: Mechanism | None = None
        self._attempts = 0
        self._guesses = 0
        #: Whether the attempt under way, or the last one, came by SASL2; and what it asked for.
        self._two = False
        self._request: sasl2.Request | None = None
        #: The mechanisms as this stream was offered them.
        self._names: tuple[str, ...] = ()
        self.domain = ""
        self.bindings: tuple[str, ...] = ()
        self.certificate: tuple[str, ...] = ()
        self.secret = role.service.secret
        self.iterations = role.service.iterations

    # The offer

    def wanted(self) -> bool:
        """See Feature."""
        return self._role.account is None

    def alone(self) -> bool:
        """See Feature."""
        return True

    def key(self) -> Hashable:
        """See Feature."""
        stream = self._role.stream
        transport = stream.transport
        self.bindings = tuple(kind for kind in BINDINGS if transport.channel_binding(kind) is not None)
        certificate = transport.peer_certificate()
        if certificate is not None and stream.host is not None:
            self.certificate = external.addresses(certificate, stream.host.domain)
        self._names = self._offered()
        return self._names, self.bindings, stream.limits, transport.secure

    def offer(self) -> Iterable[Element]:
        """See Feature."""
        names = self._names
        host = self._role.stream.host
        if names and host is not None and self._role.stream.transport.secure:
            yield sasl2.offer(names, fast.offered(self.bindings), host)
        if names:
            yield Element(ns.SASL, "mechanisms", None, *(Element(ns.SASL, "mechanism", None, name) for name in names))
        if names and self.bindings:
            kinds = (Element(ns.CHANNEL_BINDING, "channel-binding", {"type": kind}) for kind in self.bindings)
            yield Element(ns.CHANNEL_BINDING, "sasl-channel-binding", None, *kinds)
        if names and host is not None:
            for feature in host.table.early_features:
                element = feature(host)
                if element is not None:
                    yield element
        limits = self._role.stream.limits
        yield sasl2.limits_element(limits, min(limits.preauth_bytes, limits.stanza_bytes))

    def _offered(self) -> tuple[str, ...]:
        host = self._role.stream.host
        if host is None:
            return ()
        names = offered(host.config.mechanisms, self.bindings, self._protected())
        return (external.NAME, *names) if self.certificate else names

    def _protected(self) -> bool:
        return self._role.stream.transport.secure or self._role.service.clear

    # What the client sends

    def handle(self, element: Element) -> None:
        """See Feature."""
        if self._role.account is not None:
            raise StreamError("unsupported-stanza-type", "the stream is authenticated already")
        name = element.name
        mechanism = self._mechanism
        two = element.ns == ns.SASL2
        if mechanism is not None and two != self._two:
            raise StreamError("policy-violation", "two authentications at once")
        self._two = two
        self._negotiation.exchanging = False
        if name == "abort":
            self._apply(Failure("aborted"))
        elif name == "auth" or name == "authenticate":
            self._begin(element)
        elif mechanism is None:
            self._apply(Failure("malformed-request", "no authentication is under way"))
        else:
            data = _decoded(element.text, empty=not two)
            self._apply(data if isinstance(data, Failure) else mechanism.respond(data or b""))

    def _begin(self, element: Element) -> None:
        if self._mechanism is not None:
            self._apply(Failure("malformed-request", "an authentication is under way"))
            return
        name = element.get("mechanism") or ""
        stream = self._role.stream
        host = stream.host
        assert host is not None
        self._request = None
        if self._two:
            wrong = self._read_request(element)
            if wrong is not None:
                self._apply(wrong)
                return
        if name not in self._names and (self._request is None or self._request.fast is None):
            self._apply(refusal(name, host.config.mechanisms, self._protected()))
            return
        if self._role.service.throttle.refuses(stream.transport.peer):
            self._apply(Failure("temporary-auth-failure", "too many failures from this address"))
            return
        text = sasl2.initial_response(element) if self._two else element.text or None
        data = None if text is None else _decoded(text, empty=not self._two)
        if isinstance(data, Failure):
            self._apply(data)
            return
        self.domain = host.domain
        if self._request is not None and self._request.fast is not None:
            self._mechanism = fast.HashedToken(name, self, self._request.fast)
        elif name == external.NAME:
            self._mechanism = external.External(name, self)
        else:
            self._mechanism = (Plain if name == "PLAIN" else Scram)(name, self)
        self._apply(self._mechanism.begin(data))

    def _read_request(self, element: Element) -> Failure | None:
        """Take what a SASL2 client asks for beside the authentication; a failure where that makes no sense."""
        if not self._role.stream.transport.secure:
            return Failure("encryption-required", "SASL2 needs TLS")
        request = sasl2.read(element)
        if isinstance(request, Failure):
            return request
        name = element.get("mechanism") or ""
        if (request.fast is not None) != (name in fast.MECHANISMS):
            return Failure("malformed-request", "a token goes with a mechanism for tokens, and only with one")
        if request.fast is not None and name not in fast.offered(self.bindings):
            return Failure("invalid-mechanism", "this connection has no channel binding")
        self._request = request
        return None

    # Outcomes

    def _apply(self, outcome: Outcome) -> None:
        """Answer, in the call that read the element; what must wait goes on in a task."""
        if type(outcome) is Challenge:
            self._negotiation.exchanging = self._two
            self._role.stream.write((sasl2.CHALLENGE if self._two else _CHALLENGE) % b64encode(outcome.data))
        elif type(outcome) is Wait:
            self._negotiation.run(self._role.service.binder, "sign-in", self._wait(outcome))
        elif type(outcome) is Success:
            wrong = self._misplaced(outcome)
            if wrong is not None:
                self._fail(wrong)
            elif self._request is not None:
                self._negotiation.run(self._role.service.binder, "sign-in", self._conclude(outcome, self._request))
            else:
                self._succeed(outcome)
        else:
            assert isinstance(outcome, Failure)
            self._fail(outcome)

    async def _wait(self, outcome: Outcome) -> None:
        while isinstance(outcome, Wait):
            try:
                result = await outcome.work
            except _Throttled:
                outcome = Failure("temporary-auth-failure", "too many failures for this account")
            except StoreUnavailable as error:
                outcome = Failure("temporary-auth-failure", f"the accounts cannot be read: {error}")
            except Exception:
                log.exception("an authentication could not be finished")
                outcome = Failure("temporary-auth-failure", "an internal error")
            else:
                outcome = outcome.then(result)
        stream = self._role.stream
        if stream.closed:
            return
        if type(outcome) is Success:
            wrong = self._misplaced(outcome)
            if wrong is not None:
                outcome = wrong
            elif self._request is not None:
                await self._conclude(outcome, self._request)
                return
        if type(outcome) is Failure:
            self._fail(outcome)
            return
        self._apply(outcome)
        self._negotiation.release(self._role.handle)

    def _misplaced(self, success: Success) -> Failure | None:
        """SASL2 opens no second stream whose header could be checked: the first one must have named this account, if
        any (XEP-0388, 2.3)."""
        stream = self._role.stream
        if self._two and stream.peer_id and Jid.parse(stream.peer_id).bare != success.account.bare:
            return Failure("invalid-authzid", "the stream header names another account")
        return None

    def _succeed(self, success: Success) -> None:
        stream = self._role.stream
        mechanism = self._mechanism
        assert mechanism is not None
        self._mechanism = None
        self._role.service.throttle.succeeded(stream.transport.peer, success.account.bare)
        stream.write(_SUCCESS_WITHOUT_DATA if success.data is None else _SUCCESS % b64encode(success.data))
        self._role.authenticated(success, mechanism.name)
        self._negotiation.restart()

    async def _conclude(self, success: Success, request: sasl2.Request) -> None:
        """SASL2: what was asked for beside the authentication, and one answer to all of it."""
        role = self._role
        mechanism = self._mechanism
        assert mechanism is not None
        self._mechanism = self._request = None
        role.service.throttle.succeeded(role.stream.transport.peer, success.account.bare)
        role.authenticated(success, mechanism.name, request)
        used = mechanism.row if isinstance(mechanism, fast.HashedToken) else None
        await sasl2.conclude(role, self._negotiation, success, request, used, fast.offered(self.bindings))
        self._negotiation.release(role.handle)

    def _fail(self, failure: Failure) -> None:
        """Log and count; answer at once or, where that makes guessing slow, later."""
        stream = self._role.stream
        service = self._role.service
        account = self._mechanism.account if self._mechanism is not None else None
        name = account.bare if account is not None else ""
        self._mechanism = self._request = None
        self._attempts += 1
        service.counters.count("sasl_failures_total", failure.condition)
        log.info(
            "sign-in of %s from %s over %s refused: %s%s",
            name or "?",
            stream.transport.peer or "?",
            stream.transport.name,
            failure.condition,
            f" ({failure.text})" if failure.text else "",
        )
        delay = 0.0
        if failure.guess:
            self._guesses += 1
            delay = service.throttle.failed(stream.transport.peer, name)
        if delay:
            self._negotiation.hold()
            service.clock.call_later(delay, self._answer_late, failure)
        else:
            self._answer(failure)
            self._negotiation.go_on(self._role.handle)

    def _answer_late(self, failure: Failure) -> None:
        self._answer(failure)
        self._negotiation.go_on(self._role.handle)

    def _answer(self, failure: Failure) -> None:
        stream = self._role.stream
        space = ns.SASL2 if self._two else ns.SASL
        element = Element(space, "failure", None, Element(ns.SASL, failure.condition))
        if failure.text and failure.condition not in _SILENT:
            element.add(space, "text", {XML_LANG: "en"}, failure.text)
        stream.send(element)
        if self._guesses >= _GUESSES or self._attempts >= _ATTEMPTS:
            stream.close(StreamError("policy-violation", "too many failed attempts to authenticate"))

    # What mechanisms ask for

    def binding(self, kind: str) -> bytes | None:
        """See `Context`."""
        return self._role.stream.transport.channel_binding(kind)

    async def credentials(self, account: Jid) -> Credentials | None:
        """See `Context`; refuses to look where too much has failed."""
        if self._role.service.throttle.refuses(self._role.stream.transport.peer, account.bare):
            raise _Throttled
        return await self._role.service.binder.credentials(self._role.stream.host, account.bare)

    async def spend_token(self, account: Jid, stored_key: bytes) -> bool:
        """See `Context`."""
        return await self._role.service.binder.spend_token(account.bare, stored_key)

    def now(self) -> float:
        """See `Context`."""
        return self._role.service.clock.time()

    def downgrade_hash(self, hash: str) -> str:
        """See `Context`; both profiles offer the same mechanisms, those for tokens stand elsewhere."""
        return downgrade.hashed(hash, self._names, self.bindings)

    async def fast_tokens(self, account_id: int, device: str) -> list[TokenRow]:
        """See `Context`."""
        return await self._role.service.binder.devices.tokens(account_id, device)

    async def use_fast_token(self, row: TokenRow, count: int | None) -> bool:
        """See `Context`."""
        return await self._role.service.binder.devices.use_token(row, count)

    async def drop_fast_token(self, row: TokenRow) -> bool:
        """See `Context`."""
        return await self._role.service.binder.devices.drop_token(row)

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Context`."""
        return await self._role.service.binder.run_blocking(function, *arguments)


#: Failures whose cause is for our log only.
_SILENT: Final = frozenset({"temporary-auth-failure"})


class _Throttled(Exception):
    """Too many failures for this account from here."""


def _decoded(text: str, *, empty: bool = True) -> bytes | Failure:
    """The bytes of a SASL element's content; with `empty`, "=" stands for none (RFC 6120, 6.4.2)."""
    if empty and text == "=":
        return b""
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        return Failure("incorrect-encoding", "not base64")
