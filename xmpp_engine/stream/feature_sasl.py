"""The SASL profile of XMPP (RFC 6120, 6), with the channel bindings of XEP-0440 and the limits of XEP-0478.

Drives one mechanism after the other: decodes what the client sends, awaits what a mechanism waits for, answers. A
failed attempt is counted and logged once, answered the later the more have failed (`sasl/throttle.py`), and after three
the stream is closed.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
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
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.types import Credentials
from xmpp_engine.stream.negotiate import Feature, Negotiation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import XML_LANG, Element
from xmpp_engine.xml.errors import StreamError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import StreamLimits
    from xmpp_engine.stream.role_c2s import C2SRole

log = logging.getLogger("mlink.auth")

_ATTEMPTS: Final = 3
_CHALLENGE: Final = f"<challenge xmlns='{ns.SASL}'>".encode() + b"%b</challenge>"
_SUCCESS: Final = f"<success xmlns='{ns.SASL}'>".encode() + b"%b</success>"
_SUCCESS_WITHOUT_DATA: Final = f"<success xmlns='{ns.SASL}'/>".encode()


class Sasl(Feature):
    """Authentication of a client; also the context its mechanisms run in (`sasl.mechanism.Context`)."""

    __slots__ = ("_attempts", "_mechanism", "_negotiation", "_role", "bindings", "domain", "iterations", "secret")
    names = frozenset({(ns.SASL, name) for name in ("auth", "response", "abort")})

    def __init__(self, role: C2SRole, negotiation: Negotiation) -> None:
        self._role = role
        self._negotiation = negotiation
        self._mechanism: Mechanism | None = None
        self._attempts = 0
        self.domain = ""
        self.bindings: tuple[str, ...] = ()
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
        transport = self._role.stream.transport
        self.bindings = tuple(kind for kind in BINDINGS if transport.channel_binding(kind) is not None)
        return self._offered(), self.bindings, self._role.stream.limits

    def offer(self) -> Iterable[Element]:
        """See Feature."""
        names = self._offered()
        if names:
            yield Element(ns.SASL, "mechanisms", None, *(Element(ns.SASL, "mechanism", None, name) for name in names))
        if names and self.bindings:
            kinds = (Element(ns.CHANNEL_BINDING, "channel-binding", {"type": kind}) for kind in self.bindings)
            yield Element(ns.CHANNEL_BINDING, "sasl-channel-binding", None, *kinds)
        host = self._role.stream.host
        if names and host is not None:
            for feature in host.table.early_features:
                element = feature(host)
                if element is not None:
                    yield element
        limits = self._role.stream.limits
        yield limits_element(limits, min(limits.preauth_bytes, limits.stanza_bytes))

    def _offered(self) -> tuple[str, ...]:
        host = self._role.stream.host
        return offered(host.config.mechanisms, self.bindings, self._protected()) if host is not None else ()

    def _protected(self) -> bool:
        return self._role.stream.transport.secure or self._role.service.clear

    # What the client sends

    def handle(self, element: Element) -> None:
        """See Feature."""
        if self._role.account is not None:
            raise StreamError("unsupported-stanza-type", "the stream is authenticated already")
        name = element.name
        mechanism = self._mechanism
        if name == "abort":
            self._apply(Failure("aborted"))
        elif name == "auth":
            self._begin(element)
        elif mechanism is None:
            self._apply(Failure("malformed-request", "no authentication is under way"))
        else:
            data = _decoded(element.text)
            self._apply(data if isinstance(data, Failure) else mechanism.respond(data or b""))

    def _begin(self, element: Element) -> None:
        if self._mechanism is not None:
            self._apply(Failure("malformed-request", "an authentication is under way"))
            return
        name = element.get("mechanism") or ""
        stream = self._role.stream
        host = stream.host
        assert host is not None
        if name not in self._offered():
            self._apply(refusal(name, host.config.mechanisms, self._protected()))
            return
        if self._role.service.throttle.refuses(stream.transport.peer):
            self._apply(Failure("temporary-auth-failure", "too many failures from this address"))
            return
        text = element.text
        data = b"" if text == "=" else _decoded(text) if text else None
        if isinstance(data, Failure):
            self._apply(data)
            return
        self.domain = host.domain
        self._mechanism = (Plain if name == "PLAIN" else Scram)(name, self)
        self._apply(self._mechanism.begin(data))

    # Outcomes

    def _apply(self, outcome: Outcome) -> None:
        """Answer, in the call that read the element; what must wait goes on in a task."""
        if type(outcome) is Challenge:
            self._role.stream.write(_CHALLENGE % b64encode(outcome.data))
        elif type(outcome) is Wait:
            self._negotiation.run(self._role.service.binder, "sign-in", self._wait(outcome))
        elif type(outcome) is Success:
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
        if type(outcome) is Failure:
            self._fail(outcome)
            return
        self._apply(outcome)
        self._negotiation.release(self._role.handle)

    def _succeed(self, success: Success) -> None:
        stream = self._role.stream
        mechanism = self._mechanism
        assert mechanism is not None
        self._mechanism = None
        self._role.service.throttle.succeeded(stream.transport.peer, success.account.bare)
        stream.write(_SUCCESS_WITHOUT_DATA if success.data is None else _SUCCESS % b64encode(success.data))
        self._role.authenticated(success.account, success.credentials, mechanism.name)
        self._negotiation.restart()

    def _fail(self, failure: Failure) -> None:
        """Log and count; answer at once or, where that makes guessing slow, later."""
        stream = self._role.stream
        service = self._role.service
        account = self._mechanism.account if self._mechanism is not None else None
        name = account.bare if account is not None else ""
        self._mechanism = None
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
        if failure.condition in _GUESSES:
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
        element = Element(ns.SASL, "failure", None, Element(ns.SASL, failure.condition))
        if failure.text and failure.condition not in _SILENT:
            element.add(ns.SASL, "text", {XML_LANG: "en"}, failure.text)
        stream.send(element)
        if self._attempts >= _ATTEMPTS:
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

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Context`."""
        return await self._role.service.binder.run_blocking(function, *arguments)


#: Failures that say something about a guess, and failures whose cause is for our log only.
_GUESSES: Final = frozenset({"not-authorized", "account-disabled", "credentials-expired", "invalid-authzid"})
_SILENT: Final = frozenset({"temporary-auth-failure"})


class _Throttled(Exception):
    """Too many failures for this account from here."""


def limits_element(limits: StreamLimits, size: int) -> Element:
    """XEP-0478: what the stream may carry at this moment."""
    element = Element(ns.LIMITS, "limits")
    element.add(ns.LIMITS, "max-bytes", text=str(size))
    if limits.idle_seconds:
        element.add(ns.LIMITS, "idle-seconds", text=str(int(2 * limits.idle_seconds)))
    return element


def _decoded(text: str) -> bytes | Failure:
    """The bytes of a SASL element's content; "=" stands for none (RFC 6120, 6.4.2)."""
    if text == "=":
        return b""
    try:
        return a2b_base64(text, strict_mode=True)
    except ValueError:
        return Failure("incorrect-encoding", "not base64")
