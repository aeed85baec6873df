"""What administrators do with the nodes of a service (`plugin/pubsub_administration.py`): the server itself acts, which
may do everything that an owner may.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.pubsub_administration import NodeDetails, NodeFacts, ServiceFacts
from xmpp_engine.pubsub import approval, collections, config_form, create, notify, owner, subscribe
from xmpp_engine.pubsub.config import NodeConfig
from xmpp_engine.pubsub.config_form import FieldError
from xmpp_engine.stanza.forms import Field
from xmpp_engine.storage.pubsub import (
    MAX_PAGE,
    Item,
    ItemPage,
    NodeAffiliation,
    NodeKind,
    NodeSummary,
    Subscription,
)
from xmpp_engine.xml.errors import StanzaError, StreamError
from xmpp_engine.xml.parser import STORED_LIMITS, parse_document
from xmpp_engine.xml.writer import write

if TYPE_CHECKING:
    from xmpp_engine.pubsub.node import Node
    from xmpp_engine.pubsub.service import PubSubService


class Administration:
    """One service's nodes; see `PubSubAdministration`."""

    def __init__(self, service: PubSubService) -> None:
        self._service = service
        self._store = service.services.stores.pubsub

    def facts(self) -> ServiceFacts:
        """See the protocol."""
        service = self._service
        figures = service.overview()
        name = service.options.name if not service.jid.local else ""
        return ServiceFacts(
            service.domain,
            name,
            figures["nodes"],
            figures["resident"],
            figures["subscriptions"],
            figures["notifications"],
        )

    async def nodes(self, search: str, start: int, limit: int) -> tuple[int, list[NodeFacts]]:
        """See the protocol."""
        nodes = self._service.nodes
        await nodes.ready()
        names = nodes.names()
        wanted = search.casefold()
        found = [name for name in names if not wanted or wanted in f"{name}\n{nodes.directory[name].title}".casefold()]
        return len(found), await self._listed(names, found[start : start + limit])

    async def _listed(self, names: list[str], chosen: list[str]) -> list[NodeFacts]:
        """These nodes with their figures: from the store, by pages that begin at the first that is still to come."""
        missing = dict.fromkeys(chosen)
        rows: dict[str, NodeSummary] = {}
        last = ""
        while missing:
            place = bisect_left(names, next(iter(missing)))
            after = max(last, names[place - 1] if place else "")
            page = await self._store.nodes(self._service.domain, after, min(MAX_PAGE, 4 * len(missing)))
            if not page:
                break
            last = page[-1].name
            rows.update((row.name, row) for row in page if row.name in missing)
            # What is not in its place any more was deleted meanwhile.
            missing = {name: None for name in missing if name > last}
        return [self._facts(rows[name]) for name in chosen if name in rows]

    def _facts(self, row: NodeSummary) -> NodeFacts:
        line = self._service.nodes.directory.get(row.name)
        return NodeFacts(
            row.name,
            row.kind,
            line.title if line is not None else "",
            line.access_model if line is not None else "",
            row.creator,
            row.created,
            row.items,
            row.subscribers,
        )

    async def details(self, name: str) -> NodeDetails:
        """See the protocol."""
        node = await self._service.node(name)
        record, config = node.record, node.config
        count = (await self._store.items(node.number, limit=0)).count if node.kind == "leaf" else 0
        entries = list(record.subscriptions.values())
        facts = NodeFacts(
            name,
            node.kind,
            config.title,
            config.access_model,
            record.creator,
            record.created,
            count,
            sum(entry.state == "subscribed" for entry in entries),
        )
        return NodeDetails(
            facts,
            node.number,
            config.description,
            config.publish_model,
            node.keep if node.kind == "leaf" else 0,
            sum(entry.state == "pending" for entry in entries),
            len(record.affiliations),
            config.collection,
            tuple(sorted(self._service.nodes.children.get(name, ()))),
        )

    async def form(self, name: str) -> Sequence[Field]:
        """See the protocol."""
        return self._fields(await self._service.node(name))

    def _fields(self, node: Node) -> Sequence[Field]:
        children = sorted(node.service.nodes.children.get(node.name, ()))
        return config_form.fields(node.config, node.kind, children, node.config.roster_groups_allowed)

    async def new_form(self, kind: NodeKind) -> Sequence[Field]:
        """See the protocol."""
        return config_form.fields(self._service.defaults(kind), kind)

    async def create(self, name: str, kind: NodeKind, owner: str, values: Mapping[str, Sequence[str]]) -> None:
        """See the protocol."""
        base = self._service.defaults(kind)
        asked = self._read(config_form.fields(base, kind), base, values)
        if asked.kind not in (None, kind):
            raise ValueError("What the node holds is said twice.")
        config = replace(asked.config, persist_items=False) if kind == "collection" else asked.config
        if asked.children and kind == "leaf":
            raise ValueError("Only a collection has other nodes.")
        node = await create.make(self._service, name, config, creator=owner, kind=kind)
        if asked.children:
            await collections.set_children(node, asked.children, None)

    async def configure(self, name: str, values: Mapping[str, Sequence[str]]) -> None:
        """See the protocol."""
        service = self._service
        async with service.at(name) as node:
            asked = self._read(self._fields(node), node.config, values)
            if asked.kind not in (None, node.kind):
                raise ValueError("What a node holds stays as it was made.")
            if asked.children is not None and node.kind == "collection":
                await collections.check_children(node, asked.children, None)
            await collections.check_parents(service, name, asked.config.collection, node.config.collection, None)
            await owner.reconfigure(node, asked.config)
        if asked.children is not None and node.kind == "collection":
            await collections.set_children(node, asked.children, None)

    def _read(
        self, fields: Sequence[Field], base: NodeConfig, values: Mapping[str, Sequence[str]]
    ) -> config_form.Submission:
        try:
            return config_form.apply(base, values)
        except FieldError as error:
            labels = {field.var: field.label for field in fields}
            label = labels.get(error.field, error.field)
            raise ValueError(f"{label}: {str(error).removeprefix(error.field).strip()}") from None

    async def delete(self, name: str, redirect: str) -> None:
        """See the protocol."""
        await self._service.delete_node(name, redirect=redirect)

    async def purge(self, name: str) -> None:
        """See the protocol."""
        await self._service.purge_node(name)

    async def items(
        self, name: str, limit: int, *, after: str | None = None, before: str | None = None, index: int | None = None
    ) -> ItemPage:
        """See the protocol."""
        node = await self._service.node(name)
        try:
            return await self._store.items(node.number, limit=limit, after=after, before=before, index=index)
        except LookupError:
            raise StanzaError("item-not-found", "there is no such item any more") from None

    async def item(self, name: str, item_id: str) -> Item:
        """See the protocol."""
        node = await self._service.node(name)
        found = await self._store.get(node.number, [item_id])
        if not found:
            raise StanzaError("item-not-found", "there is no such item")
        return found[0]

    async def publish(self, name: str, item_id: str, payload: str, publisher: str) -> Item:
        """See the protocol."""
        text = ""
        if payload.strip():
            try:
                element = parse_document(payload.strip().encode(), STORED_LIMITS)
            except StreamError as error:
                raise ValueError(f"The payload is not one XML element: {error.text or error.condition}.") from None
            if not element.ns:
                raise ValueError("The payload has no namespace: write it as xmlns='...' in its first tag.")
            text = write(element)
        who = Jid.parse(publisher) if publisher else self._service.jid
        return (await self._service.publish(name, [Item(item_id, text)], who))[0]

    async def retract(self, name: str, item_id: str, *, notify: bool) -> None:
        """See the protocol."""
        await self._service.retract(name, [item_id], notify=notify)

    async def subscriptions(self, name: str) -> list[Subscription]:
        """See the protocol."""
        node = await self._service.node(name)
        return [replace(entry, options=dict(entry.options)) for entry in node.record.subscriptions.values()]

    async def subscribe(self, name: str, jid: str) -> Subscription:
        """See the protocol."""
        who = Jid.parse(jid)
        async with self._service.at(name) as node:
            if node.affiliation_of(who) == "outcast":
                raise StanzaError("not-allowed", "this address is kept out of the node")
            if any(entry.jid == who.full for entry in node.subscriptions_of(who)):
                raise StanzaError("conflict", "this address is subscribed already, or waits for approval")
            entry = await subscribe.add(node, who)
            notify.subscription(node, entry)
            return replace(entry)

    async def decide(self, name: str, jid: str, subid: str, *, allowed: bool) -> int:
        """See the protocol."""
        who = Jid.parse(jid)
        changed = 0
        async with self._service.at(name) as node:
            for entry in node.subscriptions_of(who):
                if entry.jid != who.full or (subid and entry.subid != subid):
                    continue
                if allowed and entry.state == "pending":
                    await approval.approve(node, entry)
                elif allowed:
                    continue
                else:
                    await approval.deny(node, entry)
                changed += 1
        return changed

    async def affiliations(self, name: str) -> dict[str, NodeAffiliation]:
        """See the protocol."""
        return dict((await self._service.node(name)).record.affiliations)

    async def affiliate(self, name: str, jid: str, affiliation: NodeAffiliation) -> None:
        """See the protocol."""
        await self._service.set_affiliations(name, {jid: affiliation})
