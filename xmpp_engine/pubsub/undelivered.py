"""Notifications that come back as errors (XEP-0060, 12.2).

Who is gone for good is unsubscribed at once; who cannot be reached for other reasons after many errors in a row. That
somebody of this server has no client that would take a message is no reason: he comes back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import notify, subscribe
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

_NUMBER: Final = re.compile(r"[0-9a-f]{1,15}")
_GONE: Final = frozenset({"gone", "item-not-found"})
#: Errors in a row after which somebody is unsubscribed, and addresses that are counted.
_BOUNCES: Final = 20
_COUNTED: Final = 20_000


def receive(service: PubSubService, stanza: Stanza) -> None:
    """A message of type error. Its id names the node that the notification was of."""
    error = stanza.element.find(ns.CLIENT, "error")
    conditions = (
        {child.name for child in error.elements() if child.ns == ns.STANZA_ERRORS} if error is not None else set()
    )
    number = (stanza.id or "").partition("-")[0]
    node = service.nodes.by_number.get(int(number, 16)) if _NUMBER.fullmatch(number) else None
    if node is None or not node.subscriptions_of(stanza.sender):
        return
    if not conditions & _GONE:
        if stanza.sender.domain in service.services.router.hosts:
            return
        if len(service.bounces) >= _COUNTED and stanza.sender.bare not in service.bounces:
            service.bounces.clear()
        count = service.bounces[stanza.sender.bare] = service.bounces.get(stanza.sender.bare, 0) + 1
        if count < _BOUNCES:
            return
        del service.bounces[stanza.sender.bare]
    service.services.tasks.spawn("end of a subscription", _unsubscribe(service, node.name, stanza))


async def _unsubscribe(service: PubSubService, name: str, stanza: Stanza) -> None:
    sender = stanza.sender
    try:
        async with service.at(name) as node:
            for entry in node.subscriptions_of(sender):
                if entry.jid == sender.full or entry.jid == sender.bare:
                    await subscribe.drop(node, entry)
                    notify.owners(node, entry, "none")
                    refused.info("%s is not subscribed to %s any more: he cannot be reached", sender, name[:200])
    except StanzaError:
        return  # The node is gone.
