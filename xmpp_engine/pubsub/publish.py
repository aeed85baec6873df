"""Publishing and taking back (XEP-0060, 7; 8.5).

A publication is checked, gets its place in the next commit, and is told and answered when that is on disk. While it
waits, others of the same node may follow it: what they change is only the items, whose order the commit keeps. Where
more must be known of the items first, as of a node that is full, it takes the node alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import access, config_form, errors, notify, recipients
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.payload import with_payload
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import MAX_ITEM_ID_BYTES, MAX_PAGE, Item, PurgeItems, PutItem, RemoveItems
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: An item to be published, with its payload as an element.
Draft = tuple[Item, Element | None]
#: Fields of a publication's options, or None.
Options = Mapping[str, Sequence[str]] | None

_IDS: Final = 12


def new_item_id() -> str:
    """An id for an item that came without one."""
    return secrets.token_urlsafe(_IDS)


async def publish(
    service: PubSubService, name: str, drafts: list[Draft], publisher: Jid, options: Options = None, *, trusted: bool
) -> list[Item]:
    """Publish items; returns them as stored. `trusted`: the server itself acts, and may. Raises StanzaError,
    StoreUnavailable."""
    node = await _find(service, name, publisher, options, trusted)
    shared = _quick(node, len(drafts))
    async with service.at(name, shared=shared, node=node) as node:
        if shared and not _quick(node, len(drafts)):
            # Something has changed meanwhile. The place in the order of publications stays.
            async with node.turn.alone():
                return await _publish(node, drafts, publisher, options, trusted)
        return await _publish(node, drafts, publisher, options, trusted)


async def retract(service: PubSubService, name: str, ids: Sequence[str], who: Jid | None, *, told: bool) -> None:
    """Take items back (7.2). `who` is None where the server itself acts. `told`: subscribers learn of it whatever the
    node says. Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        if node.kind == "collection" or not (node.config.keeps or service.publisher is not None):
            if who is not None:
                access.need_publish(node, who)
            raise errors.unsupported("persistent-items", "the node keeps no items")
        owner = who is None or access.is_owner(node, who)
        if who is not None and not owner:
            access.need_publish(node, who)
        ids = list(dict.fromkeys(ids))
        found = await service.services.stores.pubsub.get(node.number, ids)
        if len(found) < len(ids):
            raise StanzaError("item-not-found", "there is no such item")
        if who is not None and not owner and any(item.publisher.partition("/")[0] != who.bare for item in found):
            raise StanzaError("forbidden", "only who published an item, and owners, may take it back")
        await service.shared.writer.write([RemoveItems(node.number, tuple(ids))])
        await removed(node, ids)
        if told or node.config.notify_retract:
            await notify.retracts(node, ids)
        service.happened(node, gone=ids)


async def removed(node: Node, ids: Sequence[str]) -> None:
    """Items have gone from the store: the node's figures and its last item follow."""
    record = node.record
    record.items = max(0, record.items - len(set(ids)))
    if record.last is not None and record.last.id in ids:
        record.last = None
        try:
            page = await node.service.services.stores.pubsub.items(node.number, limit=1, before="")
        except StoreUnavailable as error:
            refused.error("the last item of %.200s is not known now: %s", node.name, error)
            return
        record.last = page.items[0] if page.items else None
        record.items = page.count


async def purge(service: PubSubService, name: str, who: Jid | None) -> None:
    """Remove all items (8.5). Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        if who is not None:
            access.need_owner(node, who)
        if node.kind == "collection" or not (node.config.keeps or service.publisher is not None):
            raise errors.unsupported("persistent-items", "the node keeps no items")
        await service.shared.writer.write([PurgeItems(node.number)])
        node.record.items = 0
        node.record.last = None
        if node.config.notify_retract:
            await notify.purged(node)
        service.happened(node)


async def _find(service: PubSubService, name: str, publisher: Jid, options: Options, trusted: bool) -> Node:
    """The node, made where publishing makes nodes (7.1.4): with the default configuration but for the options."""
    try:
        return await service.nodes.fetch(name)
    except StanzaError as error:
        if error.condition != "item-not-found" or trusted or not service.options.auto_create:
            raise
        if not service.may_create(publisher):
            raise
    base = service.fresh(name, "leaf")
    config = base
    if options is not None:
        try:
            config = config_form.apply(base, options).config
        except config_form.FieldError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        unmet = config_form.differing(config, options)
        if unmet:
            raise refusal("conflict", "precondition-not-met", f"the field {unmet} cannot be so")
    try:
        return await service.make_node(name, config, creator=publisher)
    except StanzaError as error:
        if error.condition != "conflict":
            raise
        return await service.nodes.fetch(name)  # Somebody else was first.


def _quick(node: Node, count: int) -> bool:
    """Whether a publication need not wait for anything but its commit: it is known who hears of it, and nothing must be
    known of the items that are there. `record.items` is never less than what there is."""
    if node.service.publisher is not None or recipients.current(node) is None:
        return False
    return not node.config.keeps or _blind(node, count)


def _blind(node: Node, count: int) -> bool:
    """Whether items can be stored without looking at those that are there."""
    config = node.config
    if config.publish_node_full != "reject" and (
        config.publish_node_full == "discard-oldest" or not config.notify_retract or node.keep == 1
    ):
        return True
    return node.record.items + count <= node.keep


async def _publish(node: Node, drafts: list[Draft], publisher: Jid, options: Options, trusted: bool) -> list[Item]:
    if not trusted:
        access.need_publish(node, publisher)
    if node.kind == "collection":
        raise errors.unsupported("publish", "a collection holds no items")
    if options is not None:
        unmet = config_form.differing(node.config, options)
        if unmet:
            raise refusal("conflict", "precondition-not-met", f"the field {unmet} is not so")
    _check(node, drafts)
    if recipients.current(node) is None:
        await recipients.plan(node)  # What fails here fails before anything is stored.
    now = node.service.services.clock.time()
    expire = node.config.item_expire
    for item, _payload in drafts:
        item.publisher = publisher.full
        item.published = now
        item.expire = now + expire if isinstance(expire, int) and expire else 0.0
    items = [item for item, _payload in drafts]
    retracted: list[str] = []
    if node.service.publisher is not None:
        texts = [item.payload for item in items]
        items = await node.service.publisher(node, items, publisher)
        if not items:
            # It has them already: nothing is new, and nobody is told.
            return [item for item, _payload in drafts]
        if [item.payload for item in items] != texts:
            drafts = [with_payload(item) for item in items]
        retracted = await _trimmed(node, len(items))
    elif node.config.keeps:
        await node.service.admit(node, items)
        retracted = await _store(node, items)
    if items:
        node.record.last = items[-1]
    await notify.items(node, drafts, retracted)
    node.service.happened(node, items, publisher)
    return items


async def _store(node: Node, items: list[Item]) -> list[str]:
    """Store the items; returns the ids of those that went for them and are to be told."""
    keep = node.keep
    if len(items) > keep:
        raise refusal("not-allowed", "max-items-exceeded", f"the node keeps {keep} items")
    retracted: list[str] = []
    if _blind(node, len(items)):
        node.record.items = min(keep, node.record.items + len(items))
    else:
        retracted = await _make_room(node, items, keep)
    sequences = await node.service.shared.writer.write([PutItem(node.number, item, keep) for item in items])
    if -1 in sequences:
        raise errors.no_node()
    for item, sequence in zip(items, sequences, strict=True):
        item.sequence = sequence
    return retracted


async def _make_room(node: Node, items: list[Item], keep: int) -> list[str]:
    """The ids of the items that must go for these; raises StanzaError where none may."""
    store = node.service.services.stores.pubsub
    ids = {item.id for item in items}
    again = {item.id for item in await store.get(node.number, list(ids))}
    new = len(ids) - len(again)
    page = await store.items(node.number, limit=min(MAX_PAGE, new + len(again)))
    surplus = page.count + new - keep
    if surplus > 0 and node.config.publish_node_full == "reject":
        node.record.items = page.count
        raise refusal("conflict", "node-full", "the node holds as many items as it may")
    node.record.items = min(keep, page.count + new)
    if surplus <= 0 or keep == 1:
        return []
    return [item.id for item in page.items if item.id not in ids][:surplus]


async def _trimmed(node: Node, count: int) -> list[str]:
    """After a publisher of its own stored items: remove those beyond what the node keeps."""
    node.record.items += count
    keep = node.keep
    if not keep or node.record.items <= keep:
        return []
    removed = await node.service.services.stores.pubsub.trim(node.number, keep)
    node.record.items = keep
    quiet = node.config.publish_node_full != "retract-oldest" or not node.config.notify_retract or keep == 1
    return [] if quiet else removed


def _check(node: Node, drafts: list[Draft]) -> None:
    """Whether what is published is what the node takes (7.1.3)."""
    config = node.config
    if len(drafts) > node.service.options.items_per_publish:
        raise refusal("not-allowed", "max-items-exceeded", "too many items at a time")
    if not drafts:
        if config.keeps:
            raise refusal("bad-request", "item-required", "there is no item")
        if config.deliver_payloads:
            raise refusal("bad-request", "payload-required", "there is no payload")
        return
    if not config.keeps and not config.deliver_payloads:
        raise refusal("bad-request", "item-forbidden", "the node tells that something happened, and holds nothing")
    if len({item.id for item, _payload in drafts}) != len(drafts):
        raise StanzaError("bad-request", "two items have the same id")
    most = min(config.max_payload_size, node.service.options.payload_bytes)
    for item, payload in drafts:
        if len(item.id.encode()) > MAX_ITEM_ID_BYTES:
            raise StanzaError("not-acceptable", "the id of an item is too long")
        if payload is None:
            if config.deliver_payloads:
                raise refusal("bad-request", "payload-required", "an item has no payload")
        elif config.type and payload.ns != config.type:
            raise refusal("bad-request", "invalid-payload", f"the payloads of this node are of {config.type}")
        if len(item.payload.encode()) > most:
            raise refusal("not-acceptable", "payload-too-big", f"a payload has at most {most} bytes")
