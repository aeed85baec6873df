"""Making nodes (XEP-0060, 8.1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.pubsub import collections, config_form, notify, owner
from xmpp_engine.pubsub.config import NodeConfig, to_values
from xmpp_engine.pubsub.errors import refusal
from xmpp_engine.pubsub.node import Node
from xmpp_engine.stanza import forms
from xmpp_engine.storage.pubsub import NodeAffiliation, NodeExists, NodeKind, NodeRecord
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

if TYPE_CHECKING:
    from xmpp_engine.pubsub.service import PubSubService

#: Bytes of chance in the name of a node that came without one.
_CHANCE: Final = 15


async def request(service: PubSubService, name: str, who: Jid, form: Element | None) -> tuple[Node, bool]:
    """Make a node for somebody, as his form wants it; without a name it gets one (8.1.2). Returns it, and whether its
    name was made here."""
    instant = not name
    if instant:
        name = secrets.token_urlsafe(_CHANCE)
    kind: NodeKind = "leaf"
    config = service.fresh(name, kind)
    children: tuple[str, ...] = ()
    if form is not None:
        config, kind, children = _configured(service, name, form)
    allow(service, who, name)
    if not instant:
        service.check_name(name)
    node = await make(service, name, config, creator=who.bare, kind=kind, who=who)
    if children:
        try:
            await collections.set_children(node, children, who)
        except StanzaError:
            await owner.delete(service, name, None)
            raise
    return node, instant


def allow(service: PubSubService, who: Jid, name: str) -> None:
    """Raise StanzaError where somebody may not make a node of this name now."""
    if not service.may_create(who):
        raise StanzaError("forbidden", "you may not make nodes here")
    if service.is_operator(who):
        return
    if not service.creations.take(who.bare, service.services.clock.now()):
        raise StanzaError("policy-violation", "too many nodes are made at a time", type="wait")
    line = service.nodes.directory.get(name)
    taken = 1 if line is not None and line.redirect and line.creator == who.bare else 0  # The place of an old one.
    if service.nodes.created.get(who.bare, 0) - taken >= service.options.nodes_per_user:
        raise refusal("not-allowed", "max-nodes-exceeded", "you have made as many nodes as you may")


async def make(
    service: PubSubService,
    name: str,
    config: NodeConfig,
    *,
    creator: str = "",
    kind: NodeKind = "leaf",
    affiliations: Mapping[str, NodeAffiliation] | None = None,
    who: Jid | None = None,
) -> Node:
    """Make and store a node, and tell those who listen to its collections. `creator` owns it. `who` is whose rights
    count for the collections, None for the server's own."""
    nodes = service.nodes
    await nodes.ready()
    await nodes.made(name)
    service.check_name(name)
    line = nodes.directory.get(name)
    if line is not None and not line.redirect:
        raise StanzaError("conflict", "there is a node of this name")
    if line is None and len(nodes.directory) >= service.options.max_nodes:
        raise refusal("resource-constraint", "max-nodes-exceeded", "the service has as many nodes as it may")
    granted: dict[str, NodeAffiliation] = {jid: a for jid, a in (affiliations or {}).items() if a != "none"}
    if creator:
        granted.setdefault(creator, "owner")
    if len(granted) > service.options.max_affiliations:
        raise StanzaError("resource-constraint", "the list is too long")
    record = NodeRecord(
        service.domain,
        name,
        kind=kind,
        config=to_values(config, service.defaults(kind)),
        creator=creator,
        created=service.services.clock.time(),
        affiliations=granted,
    )
    if nodes.children.get(name):
        await collections.orphan(service, name)  # What is left of a collection of this name.
    if not config.collection:
        return await _store(service, record, config)
    async with service.tree:
        await collections.check_parents(service, name, config.collection, (), who)
        node = await _store(service, record, config)
    await notify.about(node, Element(ns.PUBSUB_EVENT, "create", {"node": name}))
    return node


async def _store(service: PubSubService, record: NodeRecord, config: NodeConfig) -> Node:
    """Store a new node and take it in, in place of the sign that tells where an old one went."""
    store = service.services.stores.pubsub
    nodes = service.nodes
    if record.name in nodes.making:  # Somebody else began while this one had to wait.
        raise StanzaError("conflict", "a node of this name is being made")
    made = nodes.making[record.name] = asyncio.get_running_loop().create_future()
    try:
        moved = nodes.forget_redirect(record.name)
        if moved:
            await store.remove(moved)
        record.number = await store.create(record)
        node = Node(service, record, config)
        nodes.put(node)
    except NodeExists:
        raise StanzaError("conflict", "there is a node of this name") from None
    except ValueError as error:
        raise StanzaError("not-acceptable", str(error)) from None
    finally:
        del nodes.making[record.name]
        made.set_result(None)
    return node


def _configured(service: PubSubService, name: str, form: Element) -> tuple[NodeConfig, NodeKind, tuple[str, ...]]:
    """What a form asks for. The defaults are those of the kind that it names."""
    submitted = forms.read(form, ns.PUBSUB_NODE_CONFIG)
    base = service.fresh(name, "leaf")
    try:
        asked = config_form.apply(base, submitted)
        kind = asked.kind or "leaf"
        if kind == "collection":
            asked = config_form.apply(service.defaults("collection"), submitted)
    except config_form.FieldError as error:
        if error.field == config_form.ACCESS_MODEL:
            raise refusal("not-acceptable", "unsupported-access-model", str(error)) from None
        raise StanzaError("not-acceptable", str(error)) from None
    children = asked.children or ()
    if children and kind == "leaf":
        raise refusal("not-allowed", "invalid-options", "a leaf has no children")
    config = asked.config
    if kind == "collection":
        config = replace(config, persist_items=False)
    return config, kind, children
