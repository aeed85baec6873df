"""What follows from who comes online and who goes (XEP-0060, 12.3, 12.13): last items, subscriptions that end, items of
publishers that go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import access, notify, publish, subscribe
from xmpp_engine.storage.pubsub import RemoveItems
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: People whose arrival is looked at together, and last items that one of them gets.
_ARRIVING: Final = 2_000
_LAST_ITEMS: Final = 100
#: Items that are looked at together.
_ITEMS: Final = 100


def came(service: PubSubService, jid: Jid) -> None:
    """A client has come online: it gets the last items of the nodes that send them then."""
    if not service.nodes.on_presence:
        return
    if service.arriving >= _ARRIVING:
        return  # Too many at once: they find the items at the node.
    service.arriving += 1
    service.services.tasks.spawn("last items", _send_last(service, jid))


def went(service: PubSubService, jid: Jid) -> None:
    """A client has gone offline: what lasted as long as it was here ends."""
    ended = service.temporary.get(jid.bare)
    if ended:
        for name, subid in list(ended):
            service.services.tasks.spawn("end of a subscription", _end(service, name, subid, jid))
    if service.nodes.purge_offline:
        service.services.tasks.spawn("items of who went", _purge(service, jid))


def sweep(service: PubSubService) -> None:
    """End what lasts as long as somebody is online for those of this server who never were."""
    services = service.services
    for bare in list(service.temporary):
        jid = Jid.parse(bare)
        account = services.accounts.resident.get(bare)
        elsewhere = services.whereabouts is not None and services.whereabouts.crossing.online(bare)
        if jid.domain in services.router.hosts and not elsewhere and (account is None or not account.sessions):
            went(service, jid)


async def _send_last(service: PubSubService, jid: Jid) -> None:
    try:
        await _send_all(service, jid)
    except StanzaError:
        pass
    except Exception as error:
        refused.error("the last items for %s are missing: %s", jid, error)
    finally:
        service.arriving -= 1


async def _send_all(service: PubSubService, jid: Jid) -> None:
    sent = 0
    rows = await service.services.stores.pubsub.subscriptions_of(service.domain, jid.bare)
    wanted: dict[str, list[str]] = {}
    for name, entry in rows:
        if entry.state == "subscribed" and entry.options.get("deliver", True) and entry.jid in (jid.full, jid.bare):
            wanted.setdefault(name, []).append(entry.subid)
    for name, subids in wanted.items():
        if name not in service.nodes.on_presence:
            continue
        async with service.at(name) as node:
            if node.record.last is not None and service.presences.online(jid) and await access.receives(node, jid):
                await notify.last_item(node, jid, subids)
                sent += 1
        if sent >= _LAST_ITEMS:
            return


async def _end(service: PubSubService, name: str, subid: str, jid: Jid) -> None:
    try:
        async with service.at(name) as node:
            entry = node.record.subscriptions.get(subid)
            if entry is not None and not service.presences.online(Jid.parse(entry.jid)):
                await subscribe.drop(node, entry)
                notify.owners(node, entry, "none")
    except StanzaError:
        return  # The node is gone.
    except Exception as error:
        refused.error("a subscription of %s does not end: %s", jid, error)


async def _purge(service: PubSubService, jid: Jid) -> None:
    """Remove the items that somebody published who is offline now, where the node wants it."""
    if service.presences.online(jid.to_bare()):
        return
    for name in list(service.nodes.purge_offline):
        try:
            async with service.at(name) as node:
                await _purge_node(service, node.name, jid)
        except StanzaError:
            continue
        except Exception as error:
            refused.error("the items of %s do not go from %s: %s", jid, name[:200], error)


async def _purge_node(service: PubSubService, name: str, jid: Jid) -> None:
    node = service.nodes.resident[name]
    store = service.services.stores.pubsub
    before = ""
    while True:
        page = await store.items(node.number, limit=_ITEMS, before=before)
        ids = [item.id for item in page.items if item.publisher.partition("/")[0] == jid.bare]
        if ids:
            await service.shared.writer.write([RemoveItems(node.number, tuple(ids))])
            await publish.removed(node, ids)
            if node.config.notify_retract:
                await notify.retracts(node, ids)
        if len(page.items) < _ITEMS:
            return
        # The next page ends where this one began; if that item is gone, at the first that is left of it.
        before = next((item.id for item in page.items if item.id not in ids), before)
