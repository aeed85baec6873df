"""Items and subscriptions whose time is over (XEP-0060, 8.2 and 12.18). The store removes them, some at a time;
nodes in memory follow, and subscribers are told as the node says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import notify, publish
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.shared import Shared
    from xmpp_engine.routing.host import Services

#: Rows of one look, looks of one sweep, and seconds between two sweeps of one engine.
_ROWS: Final = 1_000
_LOOKS: Final = 10
_SECONDS: Final = 20.0


async def sweep(shared: Shared, services: Services) -> None:
    """Once for all domains of an engine: whoever comes too soon after another does nothing."""
    now = services.clock.now()
    if now - shared.swept < _SECONDS:
        return
    shared.swept = now
    try:
        await _items(shared, services)
        await _subscriptions(shared, services)
    except Exception as error:
        refused.error("what has expired at nodes cannot be removed now: %s", error)


async def _items(shared: Shared, services: Services) -> None:
    for _ in range(_LOOKS):
        rows = await services.stores.pubsub.expire(services.clock.time(), _ROWS)
        gone: dict[tuple[str, str], list[str]] = {}
        for address, name, id in rows:
            gone.setdefault((address, name), []).append(id)
        for (address, name), ids in gone.items():
            service = shared.find(address)
            if service is None:
                continue
            try:
                async with service.at(name) as node:
                    await publish.removed(node, ids)
                    if node.config.notify_retract:
                        await notify.retracts(node, ids)
            except StanzaError:
                continue  # The node is gone too.
        if len(rows) < _ROWS:
            return


async def _subscriptions(shared: Shared, services: Services) -> None:
    for _ in range(_LOOKS):
        rows = await services.stores.pubsub.expire_subscriptions(services.clock.time(), _ROWS)
        for address, name, subid in rows:
            service = shared.find(address)
            node = service.nodes.get(name) if service is not None else None
            if service is None or node is None:
                continue
            async with node.turn:
                entry = node.drop_subscription(subid)
                if entry is not None:
                    notify.subscription(node, entry, "none")
                    notify.owners(node, entry, "none")
                    if node.kind == "collection":
                        service.nodes.stamp += 1
        if len(rows) < _ROWS:
            return
