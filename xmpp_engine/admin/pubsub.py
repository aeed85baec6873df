"""Commands on the publish-subscribe services of a running node: what `xmppctl`, the console and administrators' clients
do with them.

A service is named by its domain, or by the bare address of an account, which is a service as well (XEP-0163). Fields of
a node's configuration go by the names of the form that its owners get, whole (`pubsub#title`) or without the part
before the hash (`title`). What is asked of a service stands in `plugin/pubsub_administration.py`.
"""

from __future__ import annotations

from typing import Any, Final, cast, get_args

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.pubsub_lookup import (
    NODE,
    SERVICE,
    asked,
    item_row,
    node_details,
    node_row,
    page_of_items,
    resolve,
    service_row,
    subscription_row,
)
from xmpp_engine.admin.values import bare_address, described, parse, whole_number
from xmpp_engine.plugin.pubsub_administration import PubSubHosting
from xmpp_engine.storage.pubsub import NodeAffiliation, NodeKind

registry: Final = Registry()

AFFILIATIONS: Final = get_args(NodeAffiliation)
KINDS: Final = get_args(NodeKind)
MAX_PAGE: Final = 500
ITEM: Final = Argument("item", "id of the item")
JID: Final = Argument("jid", "address of the subscriber")
SUBID: Final = Argument("subid", "which of its subscriptions, if there are several", option=True, default="")


@registry.command("pubsub services", "List the publish-subscribe services.", permission="read", where="node")
async def pubsub_services(engine: PubSubHosting) -> list[dict[str, Any]]:
    """Those with a domain of their own; subscriptions are those of nodes in memory."""
    return [service_row(service.facts()) for _domain, service in sorted(engine.pubsub_services().items())]


@registry.command(
    "pubsub nodes",
    "List the nodes of a service.",
    SERVICE,
    Argument("search", "only those with this in their name or title", option=True, default=""),
    Argument("start", "how many to leave out", option=True, default="0"),
    Argument("limit", f"how many to show, at most {MAX_PAGE}", option=True, default=str(MAX_PAGE)),
    permission="read",
    where="node",
)
async def pubsub_nodes(
    engine: PubSubHosting, service: str, search: str, start: str, limit: str
) -> list[dict[str, Any]]:
    """In the order of their names."""
    first, most = whole_number("start", start, 10**9), whole_number("limit", limit, MAX_PAGE)
    async with asked(engine, service) as found:
        return [node_row(facts) for facts in (await found.nodes(search, first, most))[1]]


@registry.command(
    "pubsub page",
    "List a part of the nodes of a service, with their number.",
    SERVICE,
    Argument("search", "only those with this in their name or title", option=True, default=""),
    Argument("start", "how many to leave out", option=True, default="0"),
    Argument("limit", f"how many to show, at most {MAX_PAGE}", option=True, default="50"),
    permission="read",
    where="node",
)
async def pubsub_page(engine: PubSubHosting, service: str, search: str, start: str, limit: str) -> dict[str, Any]:
    """`total` and `nodes`: what a page of the console shows."""
    first, most = whole_number("start", start, 10**9), whole_number("limit", limit, MAX_PAGE)
    async with asked(engine, service) as found:
        total, nodes = await found.nodes(search, first, most)
        return {"total": total, "nodes": [node_row(facts) for facts in nodes]}


@registry.command("pubsub node", "Show a node.", SERVICE, NODE, permission="read", where="node")
async def pubsub_node(engine: PubSubHosting, service: str, node: str) -> dict[str, Any]:
    """What it is and what it has."""
    async with asked(engine, service) as found:
        return node_details(await found.details(node))


@registry.command("pubsub config", "Show the configuration of a node.", SERVICE, NODE, permission="read", where="node")
async def pubsub_config(engine: PubSubHosting, service: str, node: str) -> list[dict[str, Any]]:
    """The fields of the owners' form."""
    async with asked(engine, service) as found:
        return described(await found.form(node))


@registry.command(
    "pubsub form",
    "Show the configuration that a new node of a service has.",
    SERVICE,
    Argument("kind", f"one of {', '.join(KINDS)}", default="leaf"),
    permission="read",
    where="node",
)
async def pubsub_form(engine: PubSubHosting, service: str, kind: str) -> list[dict[str, Any]]:
    """The fields of the form with the service's defaults."""
    async with asked(engine, service) as found:
        return described(await found.new_form(_kind(kind)))


@registry.command(
    "pubsub create",
    "Make a node.",
    SERVICE,
    NODE,
    Argument("owner", "bare address of its owner; none if not given", option=True, default=""),
    Argument("kind", f"one of {', '.join(KINDS)}", option=True, default="leaf"),
    Argument("options", "key=value;key=value ..., or a JSON object", option=True, default=""),
    where="node",
)
async def pubsub_create(
    engine: PubSubHosting, service: str, node: str, owner: str, kind: str, options: str
) -> dict[str, Any]:
    """Its owner need not be there."""
    who = ""
    if owner:
        jid = bare_address(owner, "owner")
        if not jid.local:
            raise CommandError("A node is owned by a person, not by a domain.")
        who = jid.bare
    async with asked(engine, service) as found:
        values = resolve(await found.new_form(_kind(kind)), parse(options))
        await found.create(node, _kind(kind), who, values)
    return {"service": service, "node": node, "owner": who}


def _kind(text: str) -> NodeKind:
    if text not in KINDS:
        raise CommandError(f"A node is one of {', '.join(KINDS)}.")
    return cast(NodeKind, text)


@registry.command(
    "pubsub configure",
    "Change some of the configuration of a node.",
    SERVICE,
    NODE,
    Argument("values", "key=value;key=value ..., or a JSON object; `pubsub config` lists them"),
    where="node",
)
async def pubsub_configure(engine: PubSubHosting, service: str, node: str, values: str) -> dict[str, Any]:
    """Submit the owners' form, or part of it."""
    async with asked(engine, service) as found:
        submitted = resolve(await found.form(node), parse(values))
        await found.configure(node, submitted)
    return {"service": service, "node": node, "changed": sorted(submitted)}


@registry.command(
    "pubsub delete",
    "Delete a node for good.",
    SERVICE,
    NODE,
    Argument("redirect", "xmpp: address of a node to go to instead", option=True, default=""),
    where="node",
)
async def pubsub_delete(engine: PubSubHosting, service: str, node: str, redirect: str) -> dict[str, Any]:
    """With its items and its lists; subscribers are told as the node says."""
    if redirect and not redirect.startswith("xmpp:"):
        raise CommandError("Another node is named as xmpp:service?;node=name.")
    async with asked(engine, service) as found:
        await found.delete(node, redirect)
    return {"service": service, "node": node, "deleted": True}


@registry.command("pubsub purge", "Remove all items of a node.", SERVICE, NODE, where="node")
async def pubsub_purge(engine: PubSubHosting, service: str, node: str) -> dict[str, Any]:
    """Subscribers are told as the node says."""
    async with asked(engine, service) as found:
        await found.purge(node)
    return {"service": service, "node": node, "purged": True}


@registry.command(
    "pubsub items",
    "List items of a node, the oldest of them first.",
    SERVICE,
    NODE,
    Argument("before", "only those older than this item; without any place the newest ones", option=True, default=""),
    Argument("after", "only those newer than this item", option=True, default=""),
    Argument("start", "from this place on, counted from the oldest", option=True, default=""),
    Argument("limit", f"how many to show, at most {MAX_PAGE}", option=True, default="50"),
    permission="read",
    where="node",
)
async def pubsub_items(
    engine: PubSubHosting, service: str, node: str, before: str, after: str, start: str, limit: str
) -> dict[str, Any]:
    """Long payloads are cut off; `pubsub item` shows one whole."""
    most = whole_number("limit", limit, MAX_PAGE)
    place = place_of(before, after, start)
    async with asked(engine, service) as found:
        return page_of_items(await found.items(node, most, **place))


def place_of(before: str, after: str, start: str) -> dict[str, Any]:
    """Where a page of items begins, for the store; raises CommandError."""
    if sum(bool(text) for text in (before, after, start)) > 1:
        raise CommandError("Items are listed before one, after one, or from a place on.")
    if after:
        return {"after": after}
    if start:
        return {"index": whole_number("start", start, 10**9)}
    return {"before": before}


@registry.command("pubsub item", "Show an item of a node.", SERVICE, NODE, ITEM, permission="read", where="node")
async def pubsub_item(engine: PubSubHosting, service: str, node: str, item: str) -> dict[str, Any]:
    """With its whole payload."""
    async with asked(engine, service) as found:
        return item_row(await found.item(node, item), 0)


@registry.command(
    "pubsub publish",
    "Publish an item.",
    SERVICE,
    NODE,
    Argument("payload", "one XML element with its namespace", logged=False, default=""),
    Argument("item", "its id; made if not given", option=True, default=""),
    Argument("publisher", "address of who publishes; the service's own if not given", option=True, default=""),
    where="node",
)
async def pubsub_publish(
    engine: PubSubHosting, service: str, node: str, payload: str, item: str, publisher: str
) -> dict[str, Any]:
    """Stored, and told to subscribers."""
    if publisher:
        try:
            publisher = Jid.parse(publisher.strip()).full
        except ValueError as error:
            raise CommandError(f"publisher: {publisher.strip()!r} is not an XMPP address: {error}.") from None
    async with asked(engine, service) as found:
        made = await found.publish(node, item, payload, publisher)
    return {"service": service, "node": node, "item": made.id}


@registry.command(
    "pubsub retract",
    "Take an item back.",
    SERVICE,
    NODE,
    ITEM,
    Argument("notify", "yes to tell subscribers whatever the node says", option=True, default="no"),
    where="node",
)
async def pubsub_retract(engine: PubSubHosting, service: str, node: str, item: str, notify: str) -> dict[str, Any]:
    """Subscribers are told as the node says, or in any case."""
    if notify not in ("yes", "no"):
        raise CommandError("notify is yes or no.")
    async with asked(engine, service) as found:
        await found.retract(node, item, notify=notify == "yes")
    return {"service": service, "node": node, "item": item, "retracted": True}


@registry.command(
    "pubsub subscriptions", "List who is subscribed to a node.", SERVICE, NODE, permission="read", where="node"
)
async def pubsub_subscriptions(engine: PubSubHosting, service: str, node: str) -> list[dict[str, Any]]:
    """Those that wait for approval come first."""
    async with asked(engine, service) as found:
        entries = await found.subscriptions(node)
    return [subscription_row(entry) for entry in sorted(entries, key=lambda one: (one.state != "pending", one.jid))]


@registry.command("pubsub subscribe", "Subscribe somebody to a node.", SERVICE, NODE, JID, where="node")
async def pubsub_subscribe(engine: PubSubHosting, service: str, node: str, jid: str) -> dict[str, Any]:
    """Who is subscribed is told."""
    who = _subscriber(jid)
    async with asked(engine, service) as found:
        return subscription_row(await found.subscribe(node, who))


@registry.command("pubsub unsubscribe", "End a subscription to a node.", SERVICE, NODE, JID, SUBID, where="node")
async def pubsub_unsubscribe(engine: PubSubHosting, service: str, node: str, jid: str, subid: str) -> dict[str, Any]:
    """Who was subscribed, or waited for approval, is told."""
    return await _decide(engine, service, node, jid, subid, allowed=False)


@registry.command(
    "pubsub approve", "Approve a subscription that waits for it.", SERVICE, NODE, JID, SUBID, where="node"
)
async def pubsub_approve(engine: PubSubHosting, service: str, node: str, jid: str, subid: str) -> dict[str, Any]:
    """As an owner of the node would."""
    return await _decide(engine, service, node, jid, subid, allowed=True)


async def _decide(
    engine: PubSubHosting, service: str, node: str, jid: str, subid: str, *, allowed: bool
) -> dict[str, Any]:
    who = _subscriber(jid)
    async with asked(engine, service) as found:
        changed = await found.decide(node, who, subid, allowed=allowed)
    if not changed:
        raise CommandError(f"{who} {'does not wait for approval' if allowed else 'is not subscribed'}.")
    return {"service": service, "node": node, "jid": who, "changed": changed}


def _subscriber(text: str) -> str:
    try:
        return Jid.parse(text.strip()).full
    except ValueError as error:
        raise CommandError(f"jid: {text.strip()!r} is not an XMPP address: {error}.") from None


@registry.command(
    "pubsub affiliations", "List the affiliations of a node.", SERVICE, NODE, permission="read", where="node"
)
async def pubsub_affiliations(engine: PubSubHosting, service: str, node: str) -> list[dict[str, Any]]:
    """Owners first, outcasts last."""
    async with asked(engine, service) as found:
        entries = await found.affiliations(node)
    return affiliation_rows(entries)


def affiliation_rows(entries: dict[str, NodeAffiliation]) -> list[dict[str, Any]]:
    """The list of a node as commands show it."""
    ordered = sorted(entries.items(), key=lambda entry: (AFFILIATIONS.index(entry[1]), entry[0]))
    return [{"jid": jid, "affiliation": affiliation} for jid, affiliation in ordered]


@registry.command(
    "pubsub affiliate",
    "Change the affiliation of an address with a node.",
    SERVICE,
    NODE,
    Argument("jid", "bare address, or a domain"),
    Argument("affiliation", f"one of {', '.join(AFFILIATIONS)}"),
    where="node",
)
async def pubsub_affiliate(
    engine: PubSubHosting, service: str, node: str, jid: str, affiliation: str
) -> dict[str, Any]:
    """Make somebody an owner, publisher, member, nothing, or keep them out."""
    person = bare_address(jid, "jid").bare
    if affiliation not in AFFILIATIONS:
        raise CommandError(f"An affiliation is one of {', '.join(AFFILIATIONS)}.")
    async with asked(engine, service) as found:
        await found.affiliate(node, person, cast(NodeAffiliation, affiliation))
    return {"service": service, "node": node, "jid": person, "affiliation": affiliation}
