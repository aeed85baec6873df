"""What owners do with a node as a whole: its configuration, its end, and who is what to it (XEP-0060, 8.2 to 8.4, 8.9).

Lists of subscriptions and affiliations as requests are in `lists.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.pubsub import access, collections, config_form, notify
from xmpp_engine.pubsub.config import NodeConfig, to_values
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.pubsub.nodes import REDIRECT
from xmpp_engine.stanza import forms
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.pubsub import MAX_PAGE, NodeAffiliation, NodeExists, NodeRecord, PurgeItems
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Bytes of the address that a deleted node has moved to.
_URI_BYTES = 2_000


# Configuration


async def form(node: Node, kind: str = "form") -> Element:
    """The configuration as a form (8.2.2)."""
    children = node.service.nodes.children.get(node.name, ())
    groups = await _groups(node) if kind == "form" else ()
    fields = config_form.fields(node.config, node.kind, children, groups)
    return forms.render(kind, ns.PUBSUB_NODE_CONFIG, fields)


async def submit(service: PubSubService, name: str, who: Jid, submitted: Mapping[str, Sequence[str]]) -> None:
    """Configure a node as an owner's form says (8.2.4). Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        access.need_owner(node, who)
        try:
            asked = config_form.apply(node.config, submitted)
        except config_form.FieldError as error:
            if error.field == config_form.ACCESS_MODEL:
                raise refusal("not-acceptable", "unsupported-access-model", str(error)) from None
            raise StanzaError("not-acceptable", str(error)) from None
        becomes = asked.kind or node.kind
        if node.kind == "collection" and becomes == "leaf":
            raise refusal("not-allowed", "invalid-options", "a collection does not become a leaf")
        if becomes == "leaf" and asked.children:
            raise refusal("not-allowed", "invalid-options", "a leaf has no children")
        if asked.children is not None:
            await collections.check_children(node, asked.children, who)
        await collections.check_parents(service, name, asked.config.collection, node.config.collection, who)
        if becomes != node.kind:
            await _become_collection(node)
        await reconfigure(node, asked.config, who)
    if asked.children is not None and becomes == "collection":
        # Each child has a turn of its own: two collections that want each other would wait for ever.
        await collections.set_children(node, asked.children, who)


async def reconfigure(node: Node, config: NodeConfig, who: Jid | None = None) -> None:
    """Take another configuration, in a turn of the node: what it keeps no more goes, who wants to know is told. `who`
    is whose rights count for the collections. Raises StanzaError, StoreUnavailable."""
    service = node.service
    old = node.config
    if node.kind == "collection":
        config = replace(config, persist_items=False)
    if config == old:
        return
    if config.collection == old.collection:
        await take(node, config)
    else:
        async with service.tree:
            await collections.check_parents(service, node.name, config.collection, old.collection, who)
            await take(node, config)
    if not config.keeps and old.keeps:
        await service.shared.writer.write([PurgeItems(node.number)])
        node.record.items = 0
        if config.notify_retract:
            await notify.purged(node)
    elif config.keeps:
        await _trim(node)
    await collections.moved(node, old.collection)
    if config.notify_config:
        await notify.configured(node, await form(node, "result") if config.deliver_payloads else None)
    service.happened(node)


async def take(node: Node, config: NodeConfig) -> None:
    """Store a configuration and take it. Raises StoreUnavailable."""
    service = node.service
    values = to_values(config, service.defaults(node.kind))
    try:
        await service.services.stores.pubsub.configure(node.number, values)
    except ValueError as error:
        raise StanzaError("not-acceptable", str(error)) from None
    node.record.config = values
    node.config = config
    node.changed()
    service.nodes.listed(node)
    if node.kind == "collection":
        service.nodes.stamp += 1


async def _trim(node: Node) -> None:
    """Remove the items that the node keeps no more, the oldest ones. They are told as those for which a new item comes,
    as long as they are not too many to be told one by one."""
    keep = node.keep
    if node.record.items <= keep:
        return
    store = node.service.services.stores.pubsub
    removed = await store.trim(node.number, keep)
    telling = removed
    while len(removed) >= MAX_PAGE:
        removed = await store.trim(node.number, keep)
        telling = []
    node.record.items = keep
    if telling and node.config.notify_retract and node.config.publish_node_full == "retract-oldest":
        await notify.retracts(node, telling)


async def _become_collection(node: Node) -> None:
    """A leaf becomes a collection: its items go (XEP-0248, 6.4)."""
    service = node.service
    config = replace(node.config, persist_items=False)
    values = to_values(config, service.defaults("collection"))
    await service.services.stores.pubsub.become_collection(node.number, values)
    node.record = replace(node.record, kind="collection", config=values, items=0, last=None)
    node.config = config
    node.index()
    service.nodes.listed(node)


# The end


async def delete(service: PubSubService, name: str, who: Jid | None, redirect: str = "") -> None:
    """Delete a node (8.4). `who` is None where the server itself acts. Raises StanzaError, StoreUnavailable."""
    if len(redirect.encode()) > _URI_BYTES:
        raise StanzaError("not-acceptable", "the address is too long")
    async with service.at(name) as node:
        if who is not None:
            access.need_owner(node, who)
        store = service.services.stores.pubsub
        await store.remove(node.number)
        if node.config.notify_delete:
            await notify.deleted(node, redirect)
        number = 0
        if redirect:
            mark = NodeRecord(
                service.domain,
                name,
                config={REDIRECT: redirect},
                creator=node.record.creator,
                created=service.services.clock.time(),
            )
            try:
                number = await store.create(mark)
            except (NodeExists, StoreUnavailable) as error:
                refused.error("where %.200s of %s has gone is not stored: %s", name, service.domain, error)
                redirect = ""
        service.nodes.drop(node, redirect, number)
        forget_temporary(node)
        service.happened(node)
    if node.kind == "collection":
        service.nodes.stamp += 1
        await collections.orphan(service, name)


def forget_temporary(node: Node) -> None:
    """The node is gone: nobody's presence matters to it any more."""
    temporary = node.service.temporary
    for bare in node.by_bare:
        among = temporary.get(bare)
        if among is not None:
            among.difference_update([entry for entry in among if entry[0] == node.name])
            if not among:
                del temporary[bare]


# Affiliations


async def affiliate(node: Node, entries: dict[str, NodeAffiliation]) -> None:
    """Set affiliations, in a turn of the node. Who waits for approval and may now, or may not at all, gets his answer;
    outcasts lose their subscriptions. Raises StanzaError, StoreUnavailable."""
    service = node.service
    record = node.record
    changes = {jid: now for jid, now in entries.items() if record.affiliations.get(jid, "none") != now}
    if not changes:
        return
    after = {**record.affiliations, **changes}
    if node.owners() and "owner" not in after.values():
        raise StanzaError("not-acceptable", "a node needs an owner")
    after = {jid: affiliation for jid, affiliation in after.items() if affiliation != "none"}
    if len(after) > max(service.options.max_affiliations, len(record.affiliations)):
        raise StanzaError("resource-constraint", "the list is too long")
    try:
        await service.services.stores.pubsub.put_affiliations(node.number, changes)
    except ValueError as error:
        raise StanzaError("not-acceptable", str(error)) from None
    record.affiliations = after
    node.changed()
    if node.kind == "collection":
        service.nodes.stamp += 1
    from xmpp_engine.pubsub import approval

    for jid, now in changes.items():
        notify.affiliation(node, jid, now)
        await approval.affiliated(node, jid, now)


def forget(node: Node, bare: str) -> None:
    """An account was removed: the store has forgotten what it was to the node, but for a ban."""
    if node.record.affiliations.get(bare) != "outcast":
        node.record.affiliations.pop(bare, None)
    for subid in list(node.by_bare.get(bare, ())):
        node.drop_subscription(subid)
    node.changed()
    if node.kind == "collection":
        node.service.nodes.stamp += 1


# Contacts of owners


async def knows(node: Node, who: Jid, groups: frozenset[str] | None) -> bool:
    """Whether somebody sees the presence of an owner of the node, or is in one of these groups of his contacts. Raises
    StoreUnavailable."""
    services = node.service.services
    for owner in node.owners():
        jid = Jid.parse(owner)
        host = services.router.hosts.get(jid.domain)
        account = await services.accounts.load(owner, host) if host is not None and jid.local else None
        item = account.roster.get(who.bare) if account is not None else None
        if item is None:
            continue
        if groups is None and item.subscription in ("from", "both"):
            return True
        if groups is not None and groups.intersection(item.groups) and item.subscription in ("from", "both"):
            return True
    return False


async def _groups(node: Node) -> list[str]:
    """The groups of the owners' contacts, to choose from."""
    services = node.service.services
    found: dict[str, None] = {}
    for owner in node.owners():
        account = services.accounts.resident.get(owner)
        for item in account.roster.values() if account is not None else ():
            found.update(dict.fromkeys(item.groups))
    return sorted(found)[:500]
