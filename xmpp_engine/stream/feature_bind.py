"""Resource binding (RFC 6120, 7), and resumption in its place (XEP-0198, 5). What a bind means is decided by the
binder."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Final

from xmpp_engine.stream.feature_sasl2 import limits_element
from xmpp_engine.stream.negotiate import Feature, Negotiation
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError
from xmpp_engine.xml.writer import encode

if TYPE_CHECKING:
    from xmpp_engine.stream.role_c2s import C2SRole

#: Attempts to bind or resume; a client needs two at most.
_ATTEMPTS: Final = 10
_IQ: Final = (ns.CLIENT, "iq")


class Bind(Feature):
    """The last feature: after it the stream belongs to a session."""

    __slots__ = ("_attempts", "_negotiation", "_role", "bound")
    names = frozenset({_IQ, (ns.SM, "resume"), (ns.SM, "enable")})

    def __init__(self, role: C2SRole, negotiation: Negotiation) -> None:
        self._role = role
        self._negotiation = negotiation
        self._attempts = 0
        #: Whether a resource was bound inline (XEP-0386): then the features say what else there is.
        self.bound = False

    def wanted(self) -> bool:
        """See Feature."""
        return self._role.account is not None

    def key(self) -> Hashable:
        """See Feature."""
        return self._role.stream.limits, self.bound

    def offer(self) -> Iterable[Element]:
        """See Feature; the session of RFC 3921 is a courtesy to old clients, what modules add comes behind."""
        stream = self._role.stream
        own = [
            Element(ns.BIND, "bind"),
            Element(ns.SESSION, "session", None, Element(ns.SESSION, "optional")),
            Element(ns.SM, "sm"),
            limits_element(stream.limits, stream.limits.stanza_bytes),
        ]
        host = stream.host
        assert host is not None
        added = [element for make in host.table.stream_features if (element := make(host)) is not None]
        if self.bound:
            own = own[2:]
        taken = {(element.ns, element.name) for element in added}
        return [element for element in own if (element.ns, element.name) not in taken] + added

    def handle(self, element: Element) -> None:
        """See Feature."""
        if self._role.account is None:
            if self._negotiation.exchanging:
                raise StreamError("policy-violation", "nothing else may come during the authentication")
            if element.name == "iq" and self._role.before_login(element):
                return
            raise StreamError("not-authorized", "stanzas may come once a resource is bound")
        if element.name == "enable":
            self._role.stream.write(_failed("unexpected-request"))
            return
        self._attempts += 1
        if self._attempts > _ATTEMPTS:
            raise StreamError("policy-violation", "too many attempts to bind")
        binder = self._role.service.binder
        if element.name == "resume":
            self._negotiation.run(binder, "resume", self._resume(element))
            return
        request = element.find(ns.BIND, "bind")
        if request is None or element.get("type") != "set":
            raise StreamError("not-authorized", "stanzas may come once a resource is bound")
        self._negotiation.run(binder, "bind", self._bind(element.get("id"), request))

    async def _bind(self, id: str | None, request: Element) -> None:
        role = self._role
        stream = role.stream
        account = role.account
        if stream.closed or account is None:
            return
        resource = request.child_text(ns.BIND, "resource") or None
        try:
            jid = await role.service.binder.bind(stream, account, resource, role.facts())
        except StanzaError as error:
            stream.send(_answer("error", id, error.element()))
        else:
            answer = Element(ns.BIND, "bind")
            answer.add(ns.BIND, "jid", text=jid.full)
            stream.send(_answer("result", id, answer))
            role.finished()
        self._negotiation.release(role.handle)

    async def _resume(self, element: Element) -> None:
        role = self._role
        account = role.account
        if role.stream.closed or account is None:
            return
        if await role.service.binder.resume(role.stream, account, element, role.facts()):
            role.finished()
        self._negotiation.release(role.handle)


def _answer(type: str, id: str | None, payload: Element) -> Element:
    attrs = {"type": type}
    if id is not None:
        attrs["id"] = id
    return Element(ns.CLIENT, "iq", attrs, payload)


def _failed(condition: str) -> bytes:
    return encode(Element(ns.SM, "failed", None, Element(ns.STANZA_ERRORS, condition)))
