"""Subscribing, unsubscribing, and the options of a subscription (XEP-0060, 6.1 to 6.4).

Who subscribes again with other options has one more subscription, told from the others by its subid; with the same
options he has the one that he had. A subscription that lasts as long as the subscriber is online is in memory only,
for it would be over after a restart.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, approval, notify, options_form
from xmpp_engine.pubsub.errors import refusal, unsupported
from xmpp_engine.pubsub.node import Node
from xmpp_engine.storage.pubsub import MAX_CHANGES, Subscription, SubscriptionState
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

_CHANCE: Final = 9


async def subscribe(
    service: PubSubService, name: str, jid: Jid, who: Jid | None, values: dict[str, Any] | None = None
) -> Subscription:
    """Subscribe a JID; `who` asks, None for the server itself. `values` are options, None where none were given. The
    state of the returned subscription says whether an owner must approve it. Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        waits = await _admit(node, jid, who)
        config = node.config
        if not config.subscribe and not (who is None or access.is_owner(node, who)):
            raise unsupported("subscribe", "one cannot subscribe to this node")
        now = service.services.clock.time()
        _check_values(service, values or {})
        options, expire = options_form.settled(
            values or {}, now, service.options.lease_seconds, temporary=config.tempsub
        )
        mine = [entry for entry in node.subscriptions_of(jid) if entry.jid == jid.full]
        for entry in mine:
            if entry.state == "pending" and waits:
                raise refusal("not-authorized", "pending-subscription", "the owners have not answered yet")
            if values is None or entry.options == options:
                return await _again(node, entry, entry.expire if values is None else expire, waits)
        _check_collection(node, mine, options)
        _check_room(node, jid, waits)
        state: SubscriptionState = "pending" if waits else "subscribed"
        entry = Subscription(jid.full, secrets.token_urlsafe(_CHANCE), state, options, expire)
        await put(node, entry)
        if waits:
            approval.ask(node, entry)
        else:
            await begun(node, entry)
        return entry


async def unsubscribe(service: PubSubService, name: str, jid: Jid, who: Jid | None, subid: str = "") -> Subscription:
    """End a subscription (6.2); returns it as it was. Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        need_self(node, jid, who)
        entry = find(node, jid, subid)
        await drop(node, entry)
        notify.owners(node, entry, "none")
        return entry


async def configure(
    service: PubSubService, name: str, jid: Jid, who: Jid, subid: str, values: dict[str, Any]
) -> Subscription:
    """Set the options of a subscription (6.3.5). Raises StanzaError, StoreUnavailable."""
    async with service.at(name) as node:
        need_self(node, jid, who)
        entry = find(node, jid, subid)
        _check_values(service, values)
        present = {**entry.options, "expire": entry.options.get("expire", entry.expire)}
        options, expire = options_form.settled(
            {**present, **values},
            service.services.clock.time(),
            service.options.lease_seconds,
            temporary=node.config.tempsub,
        )
        others = [other for other in node.subscriptions_of(jid) if other.jid == jid.full and other is not entry]
        _check_collection(node, others, options)
        changed = Subscription(entry.jid, entry.subid, entry.state, options, expire)
        if changed.state == "unconfigured":
            changed.state = "subscribed"
        if changed != entry:
            forget_presence(node, entry)
            await put(node, changed)
        return changed


async def add(node: Node, jid: Jid) -> Subscription:
    """Subscribe a JID in a turn of the node, as its owner wants it. Raises StanzaError, StoreUnavailable."""
    _check_room(node, jid, False)
    lease = node.service.options.lease_seconds
    options, expire = options_form.settled({}, node.service.services.clock.time(), lease, temporary=node.config.tempsub)
    entry = Subscription(jid.full, secrets.token_urlsafe(_CHANCE), "subscribed", options, expire)
    await put(node, entry)
    await begun(node, entry)
    return entry


async def begun(node: Node, entry: Subscription) -> None:
    """A subscription is in force: owners may want to know, and the last item is sent (6.1.7)."""
    notify.owners(node, entry)
    jid = Jid.parse(entry.jid)
    if node.kind == "collection" or node.config.send_last_published_item == "never":
        return
    if entry.options.get("deliver", True) and await access.receives(node, jid):
        await notify.last_item(node, jid)


async def put(node: Node, entry: Subscription) -> None:
    """Store a subscription, unless it ends with somebody's presence, and take it in. Raises StoreUnavailable."""
    service = node.service
    if entry.options.get("expire") == "presence":
        before = node.record.subscriptions.get(entry.subid)
        if before is not None and before.options.get("expire") != "presence":
            await service.services.stores.pubsub.put_subscriptions(node.number, (), (entry.subid,))
        jid = Jid.parse(entry.jid)
        service.temporary.setdefault(jid.bare, set()).add((node.name, entry.subid))
        service.presences.watch(jid)
    else:
        try:
            await service.services.stores.pubsub.put_subscriptions(node.number, (entry,), ())
        except ValueError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        if entry.options.get("show-values") or node.config.presence_based_delivery:
            service.presences.watch(Jid.parse(entry.jid))
    node.put_subscription(entry)
    if node.kind == "collection":
        service.nodes.stamp += 1


async def drop(node: Node, entry: Subscription) -> None:
    """Forget a subscription, in the store first. Raises StoreUnavailable."""
    await drop_all(node, (entry,))


async def drop_all(node: Node, entries: Sequence[Subscription]) -> None:
    """Forget subscriptions, in the store first. Raises StoreUnavailable."""
    service = node.service
    stored = [entry.subid for entry in entries if entry.options.get("expire") != "presence"]
    for start in range(0, len(stored), MAX_CHANGES):
        removed = stored[start : start + MAX_CHANGES]
        await service.services.stores.pubsub.put_subscriptions(node.number, (), removed)
    for entry in entries:
        forget_presence(node, entry)
        node.drop_subscription(entry.subid)
    if node.kind == "collection":
        service.nodes.stamp += 1


def forget_presence(node: Node, entry: Subscription) -> None:
    """A subscription does not end with somebody's presence any more."""
    bare = Jid.parse(entry.jid).bare
    among = node.service.temporary.get(bare)
    if among is not None:
        among.discard((node.name, entry.subid))
        if not among:
            del node.service.temporary[bare]


def find(node: Node, jid: Jid, subid: str) -> Subscription:
    """The one subscription of a JID that is meant (6.2.3). Raises StanzaError."""
    mine = [entry for entry in node.subscriptions_of(jid) if entry.jid == jid.full]
    if not mine:
        raise refusal("unexpected-request", "not-subscribed", "this address is not subscribed", type="cancel")
    if subid:
        for entry in mine:
            if entry.subid == subid:
                return entry
        raise refusal("not-acceptable", "invalid-subid", "there is no such subscription")
    if len(mine) > 1:
        raise refusal("bad-request", "subid-required", "there are several subscriptions of this address")
    return mine[0]


def need_self(node: Node, jid: Jid, who: Jid | None) -> None:
    """Raise StanzaError (`forbidden`) where somebody acts for another address than his own."""
    if who is not None and jid.bare != who.bare and not node.service.is_operator(who):
        raise StanzaError("forbidden", "that is not your subscription")


async def _admit(node: Node, jid: Jid, who: Jid | None) -> bool:
    """Whether an owner must approve the subscription; raises StanzaError where it cannot be."""
    if who is None:
        return False
    if jid.bare != who.bare and not node.service.is_operator(who):
        raise refusal("bad-request", "invalid-jid", "one subscribes oneself")
    waits = await access.need_subscribe(node, who)
    return waits and not any(e.state != "pending" and e.jid == jid.full for e in node.subscriptions_of(jid))


async def _again(node: Node, entry: Subscription, expire: float, waits: bool) -> Subscription:
    """Somebody subscribes as he is subscribed already: it lasts as long as he says now, and who waited and need not
    any more is subscribed."""
    state: SubscriptionState = "subscribed" if entry.state == "pending" and not waits else entry.state
    if state == entry.state and expire == entry.expire:
        return entry
    changed = Subscription(entry.jid, entry.subid, state, entry.options, expire)
    await put(node, changed)
    if state != entry.state:
        await begun(node, changed)
    return changed


def _check_values(service: PubSubService, values: dict[str, Any]) -> None:
    """Raise StanzaError where somebody's presence cannot be known."""
    if service.jid.local and values.get("expire") == "presence":
        raise options_form.invalid("an account does not know the presence of all who subscribe")


def _check_collection(node: Node, mine: list[Subscription], options: dict[str, Any]) -> None:
    """Two subscriptions to a collection for one kind of events say the same (XEP-0248, 6.1.3)."""
    if node.kind != "collection":
        return
    wanted = options.get("subscription_type", "nodes")
    if any(entry.options.get("subscription_type", "nodes") == wanted for entry in mine):
        raise StanzaError("conflict", "you are subscribed to these events already")


def _check_room(node: Node, jid: Jid, waits: bool) -> None:
    options = node.service.options
    if len(node.record.subscriptions) >= options.max_subscriptions:
        raise refusal(
            "policy-violation", "too-many-subscriptions", "the node has as many subscriptions as it may", type="wait"
        )
    if len(node.subscriptions_of(jid)) >= options.subscriptions_per_user:
        raise refusal(
            "policy-violation", "too-many-subscriptions", "you have as many subscriptions as you may", type="wait"
        )
    if waits and sum(1 for _entry in node.pending()) >= options.max_pending:
        raise refusal("policy-violation", "too-many-subscriptions", "too many wait for approval", type="wait")
