"""After any sequence of actions what a subscriber has heard of a node is what the node holds.

Each client begins with the items it has read and keeps them by notifications alone: items come and go, nodes are
purged, configured, deleted and made anew, people are put on lists and taken off, and much of that happens at one
moment. Now and then every node leaves memory, so that what is compared came from the store.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.engine.pubsub.nodes import ENTRY, MODULES, OWNER, SERVICE, form, request
from tests.story import Client, World
from xmpp_engine.pubsub.service import PubSubService
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

PEOPLE = ("ann", "ben", "cat", "dan")
NODES = ("one", "two")
IDS = ("a", "b", "c", "d", "e")
CONFIGS: list[dict[str, Any]] = [
    {"max_items": 2},
    {"max_items": 3},
    {"max_items": "max"},
    {"access_model": "whitelist"},
    {"access_model": "open"},
    {"publish_model": "open"},
    {"publish_model": "publishers"},
    {"deliver_payloads": False},
    {"deliver_payloads": True},
    {"publish_node_full": "reject"},
    {"publish_node_full": "retract-oldest"},
]
#: A client's view of a node: ids of items, the oldest first.
View = list[str]
Seat = tuple[str, str]


class PubSub(RuleBasedStateMachine):
    """Random actions; the invariant looks at every view after each. ann makes the nodes and stays their owner."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients: dict[str, Client] = {}
        #: Views by person and node; who has none has no claim to know the node.
        self.views: dict[Seat, View] = {}
        #: Iqs under way, by id.
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.engine.stop())
        self.loop.close()

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    @property
    def service(self) -> PubSubService:
        found: PubSubService = self.world.module("pubsub").hosted[SERVICE]
        return found

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        self.world = World(modules=MODULES)
        await self.world.engine.start()
        for name in PEOPLE:
            client = self.clients[name] = await self.world.login(name, "r")
            await client.comes_online()
        for name in NODES:
            self._send(
                "ann", "set", f"<create node='{name}'/><configure>{form('node_config', max_items=3)}</configure>"
            )
        await self._settle()

    # What is sent, and what is heard

    def _send(self, who: str, type: str, inner: str, space: str | None = None) -> None:
        self.number += 1
        id = f"n{self.number}"
        text = request(type, inner, id=id) if space is None else request(type, inner, id=id, space=space)
        self.clients[who].send(text)

    async def _settle(self) -> None:
        await self.world.settle()
        for who, client in self.clients.items():
            for stanza in await client.receives_all():
                event = stanza.find(ns.PUBSUB_EVENT, "event") if stanza.name == "message" else None
                child = event.first() if event is not None else None
                if child is not None:
                    self._hear((who, child.attrs["node"]), child)

    def _hear(self, seat: Seat, child: Element) -> None:
        view = self.views.get(seat)
        if view is None:
            return
        if child.name == "delete" or child.get("subscription") == "none":
            del self.views[seat]
        elif child.name == "purge":
            view.clear()
        elif child.name == "items":
            for entry in child.elements():
                id = entry.attrs["id"]
                if entry.name == "item" or id in view:
                    if id in view:
                        view.remove(id)
                    if entry.name == "item":
                        view.append(id)

    def act(self, *sent: tuple[str, str, str | None]) -> None:
        """Requests at one moment: who, what, in which namespace."""
        self.run(self._act(sent))

    async def _act(self, sent: tuple[tuple[str, str, str | None], ...]) -> None:
        for who, inner, space in sent:
            self._send(who, "set", inner, space)
        await self._settle()

    async def _read(self, name: str) -> View | None:
        """What the owner reads of a node, None where it is not there."""
        answer = await self.clients["ann"].asks(request("get", f"<items node='{name}'/>", id="read"))
        payload = answer.first()
        if answer.get("type") == "error" or payload is None:
            return None
        return [item.attrs["id"] for item in payload.first().elements()]  # type: ignore[union-attr]

    # Actions

    @rule(who=st.sampled_from(PEOPLE), name=st.sampled_from(NODES))
    def subscribe(self, who: str, name: str) -> None:
        client = self.clients[who]
        self.act((who, f"<subscribe node='{name}' jid='{client.bare}'/>", None))
        answer = self.run(client.asks(request("get", f"<items node='{name}'/>", id="read")))
        node = self.service.nodes.get(name)
        if answer.get("type") == "result" and node is not None and node.is_subscribed(client.jid):
            self.views[who, name] = [item.attrs["id"] for item in answer.first().first().elements()]

    @rule(who=st.sampled_from(PEOPLE), name=st.sampled_from(NODES))
    def unsubscribe(self, who: str, name: str) -> None:
        self.act((who, f"<unsubscribe node='{name}' jid='{self.clients[who].bare}'/>", None))
        self.views.pop((who, name), None)

    @rule(items=st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(NODES), st.sampled_from(IDS)), max_size=6))
    def publish(self, items: list[tuple[str, str, str]]) -> None:
        self.act(*((who, _item(name, id), None) for who, name, id in items))

    @rule(
        actions=st.lists(
            st.tuples(
                st.sampled_from(["ann", "ann", "ben"]),
                st.sampled_from(NODES),
                st.sampled_from(["publish", "publish", "retract", "purge", "batch"]),
                st.sampled_from(IDS),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def much(self, actions: list[tuple[str, str, str, str]]) -> None:
        self.act(*((who, *_action(name, what, id)) for who, name, what, id in actions))

    @rule(who=st.sampled_from(PEOPLE), name=st.sampled_from(NODES), id=st.sampled_from(IDS))
    def retract(self, who: str, name: str, id: str) -> None:
        self.act((who, f"<retract node='{name}'><item id='{id}'/></retract>", None))

    @rule(
        name=st.sampled_from(NODES),
        values=st.sampled_from(CONFIGS),
        id=st.sampled_from(IDS),
        before=st.booleans(),
    )
    def configure(self, name: str, values: dict[str, Any], id: str, before: bool) -> None:
        change = ("ann", f"<configure node='{name}'>{form('node_config', **values)}</configure>", OWNER)
        item = ("ann", _item(name, id), None)
        closed = values.get("access_model") == "whitelist"
        if closed:
            for who in PEOPLE[1:]:
                # Who stands on no list hears no more, and does not learn that he will not.
                self.views.pop((who, name), None)
        self.act(*((item, change) if before else (change, item)))

    @rule(
        name=st.sampled_from(NODES),
        who=st.sampled_from(PEOPLE[1:]),
        what=st.sampled_from(["publisher", "member", "none", "outcast", "publish-only"]),
    )
    def affiliate(self, name: str, who: str, what: str) -> None:
        entry = f"<affiliation jid='{self.clients[who].bare}' affiliation='{what}'/>"
        self.act(("ann", f"<affiliations node='{name}'>{entry}</affiliations>", OWNER))
        node = self.service.nodes.get(name)
        if what == "publish-only" or (what == "none" and node is not None and node.config.access_model != "open"):
            self.views.pop((who, name), None)

    @rule(name=st.sampled_from(NODES), again=st.booleans(), id=st.sampled_from(IDS))
    def delete(self, name: str, again: bool, id: str) -> None:
        sent: list[tuple[str, str, str | None]] = [
            ("ann", f"<delete node='{name}'/>", OWNER),
            ("ann", _item(name, id), None),
        ]
        if again:
            sent.append(("ann", f"<create node='{name}'/>", None))
        self.act(*sent)

    @rule(name=st.sampled_from(NODES))
    def create(self, name: str) -> None:
        self.act(("ann", f"<create node='{name}'/>", None))

    @rule()
    def forget(self) -> None:
        """Every node leaves memory."""
        self.service.nodes.sweep(float("inf"))
        assert self.service.nodes.resident == {}

    @invariant()
    def views_are_right(self) -> None:
        for name in NODES if hasattr(self, "world") else ():
            held = self.run(self._read(name))
            for who in PEOPLE:
                view = self.views.get((who, name))
                if view is not None:
                    assert held is not None, f"{who} was not told that {name} is gone"
                    assert view == held, f"{who} knows {view} of {name}, which holds {held}"


def _item(name: str, id: str) -> str:
    return f"<publish node='{name}'><item id='{id}'>{ENTRY.format(id)}</item></publish>"


def _action(name: str, what: str, id: str) -> tuple[str, str | None]:
    if what == "retract":
        return f"<retract node='{name}'><item id='{id}'/></retract>", None
    if what == "purge":
        return f"<purge node='{name}'/>", OWNER
    if what == "batch":
        items = "".join(f"<item id='{one}'>{ENTRY.format(one)}</item>" for one in dict.fromkeys((id, "z")))
        return f"<publish node='{name}'>{items}</publish>", None
    return _item(name, id), None


TestPubSub = PubSub.TestCase
TestPubSub.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
