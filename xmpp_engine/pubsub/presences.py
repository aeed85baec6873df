"""Whose presence a service knows (XEP-0060, 12.1 and 12.3): who is here is known anyway; others may send theirs to the
service, which asks those for it whose subscriptions depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.stanza.build import presence
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService
    from xmpp_engine.routing.host import Services

#: Addresses elsewhere whose presence is kept, and resources of each.
_PEOPLE: Final = 50_000
_RESOURCES: Final = 50


class Presences:
    """The presence of who may be subscribed to nodes of one service."""

    __slots__ = ("_far", "_service")

    def __init__(self, service: PubSubService) -> None:
        self._service = service
        #: Bare JIDs elsewhere: their full ones, each with what it shows.
        self._far: dict[str, dict[str, str]] = {}

    def shows(self, jid: Jid, wanted: frozenset[str]) -> bool:
        """Whether somebody is online and shows one of these; a full JID means that client."""
        services = self._service.services
        if jid.domain in services.router.hosts:
            return any(
                _show(shown.element) in wanted
                for resource, shown in shown_here(services, jid.bare)
                if not jid.resource or resource == jid.resource
            )
        known = self._far.get(jid.bare)
        if not known:
            return False
        if jid.resource:
            return known.get(jid.full, "") in wanted
        return any(show in wanted for show in known.values())

    def online(self, jid: Jid) -> bool:
        """Whether somebody is online at all."""
        services = self._service.services
        if jid.domain not in services.router.hosts:
            known = self._far.get(jid.bare, {})
            return jid.full in known if jid.resource else bool(known)
        return any(not jid.resource or resource == jid.resource for resource, _shown in shown_here(services, jid.bare))

    def watch(self, jid: Jid) -> None:
        """A subscription depends on the presence of somebody: ask him for it, unless he is here."""
        router = self._service.services.router
        if jid.domain not in router.hosts and jid.bare not in self._far:
            router.remote.send(presence(self._service.jid, jid.to_bare(), "subscribe"))

    def receive(self, stanza: Stanza) -> None:
        """Presence that was sent to the service."""
        sender = stanza.sender
        router = self._service.services.router
        if stanza.type == "subscribe":
            # Whoever wants it may know that the service is there.
            router.route(presence(self._service.jid, sender.to_bare(), "subscribed"))
            router.route(presence(self._service.jid, sender.to_bare()))
        elif stanza.type == "probe":
            router.route(presence(self._service.jid, sender))
        elif sender.domain in router.hosts:
            return
        elif stanza.type == "":
            known = self._far.get(sender.bare)
            if known is None:
                if len(self._far) >= _PEOPLE:
                    return
                known = self._far[sender.bare] = {}
            fresh = not known
            if sender.full in known or len(known) < _RESOURCES:
                known[sender.full] = _show(stanza.element)
            if fresh:
                self._service.came(sender)
        elif stanza.type in ("unavailable", "error"):
            known = self._far.get(sender.bare)
            if known is not None:
                known.pop(sender.full, None)
                if not known or not sender.resource:
                    del self._far[sender.bare]
            self._service.went(sender)


def shown_here(services: Services, bare: str) -> list[tuple[str, Stanza]]:
    """The available resources of an account of this server with what they show, on whichever node they are."""
    account = services.accounts.resident.get(bare)
    if account is None:
        return services.whereabouts.shown(bare) if services.whereabouts is not None else []
    return [(s.jid.resource, s.presence) for s in account.sessions.values() if s.presence is not None]


def _show(element: Element) -> str:
    return element.child_text(ns.CLIENT, "show") or "online"
