"""The lists of subscriptions and affiliations: one's own (XEP-0060, 5.6 and 5.7), and those of a node, which owners
read and change (8.8 and 8.9).

A change of many entries does what can be done; what cannot stands in the error as it still is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import access, approval, notify, owner, subscribe
from xmpp_engine.pubsub.node import Node
from xmpp_engine.stanza import paging, rsm
from xmpp_engine.storage.pubsub import NodeAffiliation, Subscription
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

_AFFILIATIONS: Final = frozenset(get_args(NodeAffiliation))
#: Entries of one answer.
_PAGE: Final = 2_000
_STATES: Final = frozenset({"none", "pending", "unconfigured", "subscribed"})


# One's own


async def own_subscriptions(service: PubSubService, who: Jid, name: str | None, parent: Element) -> list[Element]:
    """The asker's subscriptions, all or those to one node. `parent` is what the request stands in."""
    listed = Element(ns.PUBSUB, "subscriptions", {"node": name} if name else {})
    found: dict[str, tuple[str, Subscription]] = {}
    if name:
        node = await service.settled(name)
        found = {entry.subid: (name, entry) for entry in node.subscriptions_of(who)}
    else:
        for node_name, entry in await service.services.stores.pubsub.subscriptions_of(service.domain, who.bare):
            found[entry.subid] = (node_name, entry)
        for node_name, subid in sorted(service.temporary.get(who.bare, ())):
            node_in_memory = service.nodes.get(node_name)
            kept = node_in_memory.record.subscriptions.get(subid) if node_in_memory is not None else None
            if kept is not None:
                found[subid] = (node_name, kept)
    rows = []
    for node_name, entry in found.values():
        attrs = {"node": node_name, "jid": entry.jid, "subscription": entry.state, "subid": entry.subid}
        rows.append((entry.subid, Element(ns.PUBSUB, "subscription", attrs)))
    return _listed(listed, rows, parent)


async def own_affiliations(service: PubSubService, who: Jid, name: str | None, parent: Element) -> list[Element]:
    """What the asker is to all nodes, or to one; nothing is told of who is none (5.7)."""
    listed = Element(ns.PUBSUB, "affiliations", {"node": name} if name else {})
    if name:
        node = await service.settled(name)
        found = [(name, access.affiliation_of(node, who))]
    else:
        found = await service.services.stores.pubsub.affiliations_of(service.domain, who.bare)
    rows = [
        (node_name, Element(ns.PUBSUB, "affiliation", {"node": node_name, "affiliation": affiliation}))
        for node_name, affiliation in found
        if affiliation != "none"
    ]
    return _listed(listed, rows, parent)


# Those of a node


async def subscriptions(service: PubSubService, name: str, who: Jid, parent: Element) -> list[Element]:
    """Who is subscribed to a node (8.8.1)."""
    node = await service.settled(name)
    access.need_owner(node, who)
    listed = Element(ns.PUBSUB_OWNER, "subscriptions", {"node": name})
    entries = node.record.subscriptions.values()
    rows = [(entry.subid, _subscription(entry)) for entry in entries if entry.state != "pending"]
    return _listed(listed, rows, parent)


async def affiliations(service: PubSubService, name: str, who: Jid, parent: Element) -> list[Element]:
    """What everybody is to a node (8.9.1)."""
    node = await service.settled(name)
    access.need_owner(node, who)
    listed = Element(ns.PUBSUB_OWNER, "affiliations", {"node": name})
    rows = [
        (jid, Element(ns.PUBSUB_OWNER, "affiliation", {"jid": jid, "affiliation": affiliation}))
        for jid, affiliation in node.record.affiliations.items()
    ]
    return _listed(listed, rows, parent)


async def set_subscriptions(service: PubSubService, name: str, who: Jid, request: Element) -> None:
    """Change subscriptions (8.8.2). Raises StanzaError with what could not be changed, StoreUnavailable."""
    asked = request.find_all(ns.PUBSUB_OWNER, "subscription")
    _bounded(service, asked)
    failed = Element(ns.PUBSUB_OWNER, "subscriptions", {"node": name})
    async with service.at(name) as node:
        access.need_owner(node, who)
        for element in asked:
            try:
                await _set_subscription(node, element)
            except StanzaError:
                failed.children.extend(_unchanged(node, element))
    _fail(failed)


async def set_affiliations(service: PubSubService, name: str, who: Jid, request: Element) -> None:
    """Change affiliations (8.9.2). Raises StanzaError with what could not be changed, StoreUnavailable."""
    asked = request.find_all(ns.PUBSUB_OWNER, "affiliation")
    _bounded(service, asked)
    failed = Element(ns.PUBSUB_OWNER, "affiliations", {"node": name})
    seen: set[str] = set()
    changes: list[tuple[str, NodeAffiliation]] = []
    for element in asked:
        jid = _jid(element)
        if jid.bare in seen:
            raise StanzaError("bad-request", "an address stands twice in the list")
        seen.add(jid.bare)
        word: Any = element.get("affiliation")
        if word is not None and word not in _AFFILIATIONS:
            raise StanzaError("bad-request", "there is no such affiliation")
        if word is not None:
            changes.append((jid.bare, word))
    # Owners come before those who go, so that a node can change hands in one request.
    changes.sort(key=lambda change: change[1] != "owner")
    async with service.at(name) as node:
        access.need_owner(node, who)
        try:
            await owner.affiliate(node, dict(changes))
        except StanzaError:
            # As a whole it cannot be; some of it may.
            for bare, word in changes:
                try:
                    await owner.affiliate(node, {bare: word})
                except StanzaError:
                    now = node.record.affiliations.get(bare, "none")
                    failed.add(ns.PUBSUB_OWNER, "affiliation", {"jid": bare, "affiliation": now})
    _fail(failed)


async def _set_subscription(node: Node, element: Element) -> None:
    state = element.get("subscription")
    if state is None:
        return
    jid = _jid(element)
    if state not in _STATES:
        raise StanzaError("not-acceptable", "there is no such state")
    subid = element.get("subid") or ""
    mine = [entry for entry in node.subscriptions_of(jid) if entry.jid == jid.full]
    if subid:
        mine = [entry for entry in mine if entry.subid == subid]
    if state == "none":
        if not mine:
            raise StanzaError("not-acceptable", "there is no such subscription")
        for entry in mine:
            await approval.deny(node, entry)
    elif not mine:
        await _add(node, jid, state, subid)
    else:
        for entry in mine:
            await _put(node, entry, state)


async def _add(node: Node, jid: Jid, state: str, subid: str) -> None:
    """An owner subscribes somebody."""
    if subid or state != "subscribed" or access.affiliation_of(node, jid) == "outcast":
        raise StanzaError("not-acceptable", "this subscription cannot be made")
    entry = await subscribe.add(node, jid)
    notify.subscription(node, entry)


async def _put(node: Node, entry: Subscription, state: str) -> None:
    if state == entry.state:
        return
    if state == "subscribed":
        await approval.approve(node, entry)
        return
    changed = Subscription(entry.jid, entry.subid, state, entry.options, entry.expire)  # type: ignore[arg-type]
    await subscribe.put(node, changed)
    notify.subscription(node, changed)


def _unchanged(node: Node, element: Element) -> list[Element | str]:
    """An entry that could not be changed, as it is."""
    try:
        jid = _jid(element)
    except StanzaError:
        return [Element(ns.PUBSUB_OWNER, "subscription", {"jid": element.get("jid") or "", "subscription": "none"})]
    mine = [entry for entry in node.subscriptions_of(jid) if entry.jid == jid.full]
    if not mine:
        return [Element(ns.PUBSUB_OWNER, "subscription", {"jid": jid.full, "subscription": "none"})]
    return [_subscription(entry) for entry in mine]


def _subscription(entry: Subscription) -> Element:
    attrs = {"jid": entry.jid, "subscription": entry.state, "subid": entry.subid}
    return Element(ns.PUBSUB_OWNER, "subscription", attrs)


def _jid(element: Element) -> Jid:
    try:
        return Jid.parse(element.get("jid") or "")
    except ValueError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def _bounded(service: PubSubService, asked: list[Element]) -> None:
    if len(asked) > service.options.max_changes:
        raise StanzaError("policy-violation", f"at most {service.options.max_changes} entries at a time")


def _listed(listed: Element, rows: list[tuple[str, Element]], parent: Element) -> list[Element]:
    """A list with these rows, or with a page of them (XEP-0059) where that is asked for or they are very many."""
    if len(rows) <= _PAGE and parent.find(ns.RSM, "set") is None:
        listed.children.extend(element for _key, element in rows)
        return [listed]
    rows.sort(key=lambda row: row[0])
    page = paging.answer(Element(ns.RSM, "page"), rows, rsm.parse(parent), _PAGE)
    *listed.children, answer = page.children
    assert isinstance(answer, Element)
    return [listed, answer]


def _fail(failed: Element) -> None:
    """Refuse with what could not be changed, if there is anything; the rest is done."""
    if failed.children:
        payload = Element(ns.PUBSUB_OWNER, "pubsub", None, failed)
        raise StanzaError("not-acceptable", "not all entries could be changed", payload=payload)
