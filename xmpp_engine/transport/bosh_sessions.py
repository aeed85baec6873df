"""All BOSH sessions of a node: creation (XEP-0124, 7), finding by sid, limits per address.

The HTTP endpoint hands in the bytes of each POST and gets an `Exchange` that has an answer or will have one.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from xmpp_engine.config.schema import HttpConfig, ListenerConfig, StreamLimits
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.transport.admission import Admission, admission_key
from xmpp_engine.transport.base import Accept
from xmpp_engine.transport.bosh import (
    POLLING_SECONDS,
    BoshOptions,
    BoshSession,
    Exchange,
    SessionOwner,
    number,
    parse_body,
    terminate,
)
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.parser import XmlLimits

if TYPE_CHECKING:
    from xmpp_engine.transport.flush import DirtySet

log = logging.getLogger("mlink.transport")

#: The version of XEP-0124 that we speak.
_VERSION: Final = (1, 11)
_VERSION_FORMAT: Final = re.compile(r"\A(\d{1,3})\.(\d{1,3})\Z")
#: Content types that a client may ask our answers to have; anything else could make a browser run them.
_CONTENT_TYPES: Final = frozenset({"text/xml", "text/xml; charset=utf-8", "application/xml; charset=utf-8"})
_DEFAULT_CONTENT_TYPE: Final = "text/xml; charset=utf-8"
_LARGEST_RID: Final = 9_007_199_254_740_000
#: What a body adds to the stanza in it.
BODY_OVERHEAD: Final = 1_024


class BoshSessions(SessionOwner):
    """The table of sessions. `config` is asked anew for each session, `accept` makes its stream."""

    def __init__(self, clock: Clock, dirty: DirtySet, accept: Accept, config: Callable[[], HttpConfig]) -> None:
        self._clock = clock
        self._dirty = dirty
        self._accept = accept
        self._config = config
        self._admission = Admission()
        self._sessions: dict[str, BoshSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def request(self, data: bytes, address: str, secure: bool) -> Exchange:
        """The bytes of one POST from a client at `address`. Never raises for what the client sent."""
        exchange = Exchange()
        config = self._config()
        limits = config.limits
        body = parse_body(data, _body_limits(limits))
        if body is None:
            log.info("BOSH request of %s refused: not a body", address or "?")
            exchange.answer(terminate("bad-request"))
            return exchange
        sid = body.get("sid")
        session = self._sessions.get(sid) if sid else None
        known = session is not None and session.is_authenticated
        if not known and len(data) > limits.preauth_bytes + BODY_OVERHEAD:
            if session is not None:
                session.refuse("policy-violation", "too much before authentication", exchange)
            else:
                log.info("BOSH request of %s refused: too large before authentication", address or "?")
                exchange.answer(terminate("policy-violation"))
        elif session is not None:
            session.request(body, exchange)
        elif sid:
            exchange.answer(terminate("item-not-found"))
        else:
            self._create(body, address, secure, config, exchange)
        return exchange

    def _create(self, body: Element, address: str, secure: bool, config: HttpConfig, exchange: Exchange) -> None:
        rid = number(body.get("rid"), _LARGEST_RID)
        if rid is None:
            exchange.answer(terminate("bad-request"))
            return
        if not body.get("to"):
            exchange.answer(terminate("improper-addressing"))
            return
        key = admission_key(address)
        if not self._admission.admit(key, config.bosh_sessions_per_address, config.limits.unauthenticated_per_address):
            log.warning("BOSH session of %s refused: too many from that address", address)
            exchange.answer(terminate("policy-violation"))
            return
        options = _options(body, config)
        sid = secrets.token_urlsafe(18)
        session = BoshSession(sid, rid, options, self._clock, self._dirty, self, _first(body, sid, rid, options))
        session.address = session.peer = address
        session.secure = secure
        self._sessions[sid] = session
        try:
            session.receiver = self._accept(session, http_listener("bosh", config))
            session.begin(body, exchange)
        except Exception:
            log.exception("a BOSH session could not be created")
            session.abort()
            exchange.answer(terminate("internal-server-error"))

    def session_authenticated(self, session: BoshSession) -> None:
        """See `SessionOwner`."""
        self._admission.authenticated(admission_key(session.address))

    def session_gone(self, session: BoshSession) -> None:
        """See `SessionOwner`."""
        if self._sessions.pop(session.sid, None) is not None:
            self._admission.gone(admission_key(session.address), session.is_authenticated)


def http_listener(name: str, config: HttpConfig) -> ListenerConfig:
    """An HTTP endpoint as a listener for `Accept`. `optional` lets passwords pass where the transport is not secure,
    `required` does not; TLS itself ends before us."""
    return ListenerConfig(
        name=name,
        address="",
        port=0,
        tls="optional" if config.allow_plain_http else "required",
        limits=config.limits,
    )


@lru_cache(maxsize=16)
def _body_limits(limits: StreamLimits) -> XmlLimits:
    return XmlLimits(limits.stanza_bytes + BODY_OVERHEAD, limits.depth + 1, limits.attributes)


def _options(body: Element, config: HttpConfig) -> BoshOptions:
    """Settle what the client asked for (XEP-0124, 7.1): never more than it, never more than the configuration."""
    wait = number(body.get("wait"), 1_000_000_000)
    hold = number(body.get("hold"), 1_000_000_000)
    content = (body.get("content") or "").strip().lower()
    return BoshOptions(
        wait=config.bosh_wait if wait is None else min(wait, config.bosh_wait),
        hold=1 if hold is None else min(hold, 1),
        inactivity=config.bosh_inactivity,
        max_pause=config.bosh_max_pause,
        write_limit=config.limits.write_buffer_bytes,
        ack=body.get("ack") == "1",
        content_type=content if content in _CONTENT_TYPES else _DEFAULT_CONTENT_TYPE,
    )


def _first(body: Element, sid: str, rid: int, options: BoshOptions) -> dict[str, str]:
    """Attributes of the answer to the creation (XEP-0124, 7.2)."""
    attrs = {
        "sid": sid,
        "wait": str(options.wait),
        "hold": str(options.hold),
        "requests": str(options.requests),
        "inactivity": str(options.inactivity),
        "maxpause": str(options.max_pause),
        "ver": ".".join(map(str, _agreed_version(body.get("ver")))),
        "charsets": "UTF-8",
        "secure": "true",
    }
    if options.polling:
        attrs["polling"] = str(POLLING_SECONDS)
    if options.ack:
        attrs["ack"] = str(rid)
    if not body.get("secure"):
        del attrs["secure"]
    return attrs


def _agreed_version(text: str | None) -> tuple[int, int]:
    """The lower of both sides' versions."""
    match = _VERSION_FORMAT.match(text or "")
    return min(_VERSION, (int(match[1]), int(match[2]))) if match else _VERSION
