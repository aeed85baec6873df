"""SASL2 (XEP-0388) with what a client may ask for in the same breath: resumption (XEP-0198, 9), a resource (XEP-0386)
and a token (XEP-0484).

        client  <authenticate mechanism>  initial-response, user-agent, resume, bind, request-token, fast
        server  <success>                 additional-data, authorization-identifier, resumed | failed, bound, token

`read` takes the request apart before anything is checked; `conclude` runs after the proof and writes one success for
all of it, then the features of the stream, which is not opened anew. Resumption comes first, and only where it fails
is a resource bound; a token is made before both, because a session that has begun may write at any moment.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.prep import resourcepart
from xmpp_engine.observe.log import refused
from xmpp_engine.sasl import fast
from xmpp_engine.sasl.mechanism import Failure, Success
from xmpp_engine.stanza.build import timestamp
from xmpp_engine.storage.devices import FAST, MAX_RESOURCE, MAX_TEXT, PASSWORD, TokenRow, reference
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.config.schema import StreamLimits
    from xmpp_engine.stream.negotiate import Negotiation
    from xmpp_engine.stream.role import Bound, HostLike, Resumed
    from xmpp_engine.stream.role_c2s import C2SRole

CHALLENGE: Final = f"<challenge xmlns='{ns.SASL2}'>".encode() + b"%b</challenge>"
_UUID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\\Z")


class Request:
    """What stands in an `<authenticate/>` beside the mechanism. `device` is the reference of the client's id, "" for
    none; `agent` is (software, device) as it names them; `token` the mechanism that it wants a token for."""

    __slots__ = ("agent", "bind", "device", "fast", "resume", "token")

    def __init__(self) -> None:
        self.device = ""
        self.agent: tuple[str, str] = ("", "")
        self.bind: Element | None = None
        self.resume: Element | None = None
        self.fast: fast.FastRequest | None = None
        self.token = ""


def offer(mechanisms: tuple[str, ...], tokens: tuple[str, ...], host: HostLike) -> Element:
    """The `<authentication/>` of the stream features."""
    bind = Element(ns.BIND2, "bind")
    if host.table.bind_inline:
        listed = (Element(ns.BIND2, "feature", {"var": space}) for space in sorted(host.table.bind_inline))
        bind.append(Element(ns.BIND2, "inline", None, *listed))
    inline = Element(ns.SASL2, "inline", None, bind, Element(ns.SM, "sm"))
    inline.append(Element(ns.FAST, "fast", None, *(Element(ns.FAST, "mechanism", None, name) for name in tokens)))
    listed = (Element(ns.SASL2, "mechanism", None, name) for name in mechanisms)
    return Element(ns.SASL2, "authentication", None, *listed, inline)


def initial_response(element: Element) -> str | None:
    """The text of the initial response, None where there is none (an empty one is an empty response)."""
    return element.child_text(ns.SASL2, "initial-response")


def read(element: Element) -> Request | Failure:
    """Take an `<authenticate/>` apart; a failure for what the specifications do not allow."""
    request = Request()
    agent = element.find(ns.SASL2, "user-agent")
    if agent is not None:
        id = agent.get("id")
        if id is not None:
            if not _UUID.match(id):
                return Failure("malformed-request", "the id of the user agent is not a UUID")
            request.device = reference("agent", id.lower())
        software = agent.child_text(ns.SASL2, "software") or ""
        device = agent.child_text(ns.SASL2, "device") or ""
        request.agent = (_plain(software), _plain(device))
    request.bind = element.find(ns.BIND2, "bind")
    request.resume = element.find(ns.SM, "resume")
    wanted = element.find(ns.FAST, "request-token")
    if wanted is not None:
        request.token = wanted.get("mechanism") or ""
    token = element.find(ns.FAST, "fast")
    if token is not None:
        if not request.device:
            return Failure("malformed-request", "a token needs the id of the user agent")
        try:
            count = fast.count_of(token.get("count"))
        except ValueError as error:
            return Failure("malformed-request", str(error))
        request.fast = fast.FastRequest(request.device, count, token.get("invalidate") in ("1", "true"))
    return request


def _plain(text: str) -> str:
    """What a client says of itself, as one short line that cannot move a cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())[:MAX_TEXT]


async def conclude(
    role: C2SRole,
    negotiation: Negotiation,
    success: Success,
    request: Request,
    used: TokenRow | None,
    tokens: tuple[str, ...],
) -> None:
    """Do what the request asks for and write the answer; the caller releases the stream. `used` is the token that
    signed in, `tokens` the mechanisms for tokens that were offered."""
    stream = role.stream
    binder = role.service.binder
    answer = Element(ns.SASL2, "success")
    if success.data is not None:
        answer.add(ns.SASL2, "additional-data", text=b64encode(success.data).decode())
    name = Element(ns.SASL2, "authorization-identifier")
    answer.append(name)
    token = await _token(role, success, request, used, tokens)
    if stream.closed:
        return
    taken: Bound | Resumed | None = None
    if request.resume is not None:
        result, taken = await binder.resume_inline(stream, success.account, request.resume, role.facts())
        answer.append(result)
    resumed = taken is not None
    if taken is None and request.bind is not None and not stream.closed:
        resource = _resource(role.service.secret, success.account.bare, request)
        try:
            bound = await binder.bind_inline(stream, success.account, resource, request.bind, role.facts())
        except StanzaError as error:
            # Authenticated all the same: the client may bind in the old way.
            refused.info("%s could not bind inline: %s", success.account.bare, error)
            answer.append(Element(ns.BIND2, "failed", None, error.element()))
        else:
            taken = bound
            answer.append(bound.answer)
    if stream.closed:
        return
    if token is not None:
        answer.append(token)
    name.append(taken.jid.full if taken is not None else success.account.bare)
    stream.send(answer)
    if not resumed:
        role.offer_after(bound=taken is not None)
    if taken is not None:
        taken.begin()
        role.finished()


async def _token(
    role: C2SRole, success: Success, request: Request, used: TokenRow | None, tokens: tuple[str, ...]
) -> Element | None:
    """A `<token/>` where one was asked for, or where the one that signed in is due to be replaced. Only a password
    gets one: a one-time password is good for a minute and a certificate until it expires, and a token that is renewed
    again and again would outlive both."""
    service = role.service
    now = service.clock.time()
    mechanism = ""
    if success.method == FAST:
        # A token may be renewed, not turned into one that asks for less; one that has just ended has no heir.
        if used is not None and (request.token in tokens or now - used.issued >= fast.ROTATE):
            mechanism = used.mechanism
    elif request.token in tokens and success.method == PASSWORD:
        mechanism = request.token
    if not mechanism or not request.device:
        return None
    row = fast.fresh(success.credentials.account_id, request.device, mechanism, now)
    try:
        if not await service.binder.devices.add_token(row, used):
            return None
    except StoreUnavailable as error:
        refused.warning("%s gets no token: %s", success.account.bare, error)
        return None
    text = fast.text_of(service.secret, success.credentials, row)
    return Element(ns.FAST, "token", {"token": text, "expiry": timestamp(row.expires)})


def _resource(secret: bytes, bare: str, request: Request) -> str:
    """The resource of a client: its tag, and a part of ours that stays the same for the same device."""
    tag = request.bind.child_text(ns.BIND2, "tag") if request.bind is not None else None
    tag = tag or ""
    if request.device:
        own = hmac.digest(secret, f"resource\0{bare}\0{request.device}\0{tag}".encode(), "sha256")[:9]
    else:
        own = secrets.token_bytes(9)
    text = urlsafe_b64encode(own).decode()
    if tag and len(tag) <= MAX_RESOURCE:
        try:
            return resourcepart(f"{tag}/{text}")
        except ValueError:
            pass
    return text


def limits_element(limits: StreamLimits, size: int) -> Element:
    """XEP-0478: what the stream may carry at this moment."""
    element = Element(ns.LIMITS, "limits")
    element.add(ns.LIMITS, "max-bytes", text=str(size))
    if limits.idle_seconds:
        element.add(ns.LIMITS, "idle-seconds", text=str(int(2 * limits.idle_seconds)))
    return element
