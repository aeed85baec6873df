"""Three nodes, one room, people who come, go, talk, change their names, are kicked and made something else, and links
that are cut and mended: when all are together again, every client sees the room that every node has.

Each history is made from a seed, which a failure names. A client's view is kept from what it receives and from nothing
else (`tests/properties/test_rooms.py`). Messages come to everybody on the sender's side of a cut exactly once, those
of one sender in his order.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from typing import Any

import pytest

from tests.cluster_story import ClusterWorld
from tests.engine.muc.inside import ROOM, SERVICE
from tests.engine.muc.replicas import MORE, state
from tests.properties.test_rooms import View
from tests.story import Client
from xmpp_engine.muc import affiliations
from xmpp_engine.muc.room import Room
from xmpp_engine.xml import ns
from xmpp_engine.xml.errors import StanzaError

NODES = ("n1", "n2", "n3")
PEOPLE = ("ann", "ben", "cat", "dan")
NICKS = ("a", "b", "c", "d", "e")
ENTER = f"<presence to='{ROOM}/{{}}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
SEEDS = int(os.environ.get("ROOM_SEEDS", "12"))
STEPS = 60
_CONFIGS: list[dict[str, Any]] = [
    {"moderated": True},
    {"moderated": False},
    {"whois": "anyone"},
    {"whois": "moderators"},
    {"name": "One"},
    {"name": "Two"},
    {"members_only": True},
    {"members_only": False},
]


class History:
    """One random history."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        #: Whether all nodes know which of them are there.
        self.stable = True
        self.clients: list[Client] = []
        self.places: dict[str, str] = {}
        self.views: dict[str, View] = {}
        self.texts: dict[str, list[str]] = {}
        self.sent = 0
        self.nodes = list(NODES)

    async def run(self) -> None:
        self.world = ClusterWorld(modules=MORE, options={"muc": {"services": {"conference": {"unload_seconds": 0}}}})
        for name in NODES:
            await self.world.node(name)
        for number in range(8):
            node = NODES[number % 3]
            client = await self.world.login(f"{PEOPLE[number % 4]} {node}")
            self.clients.append(client)
            self.places[client.full], self.views[client.full], self.texts[client.full] = node, View(), []
        owner = self.clients[0]
        owner.send(ENTER.format("owner"))
        await self.world.settle()
        self.room("n1").reconfigure(self.room("n1").with_config(persistent=True))
        end = self.random.randrange(STEPS) if self.random.random() < 0.3 else -1
        for step in range(STEPS):
            if step == end:
                await self.kill()
            await self.step()
            if self.random.random() < 0.5:
                await self.rest()
        self.world.heal()
        await self.world.notice()
        await self.world.notice()
        self.read()
        self.check()
        await self.world.end()

    def room(self, node: str) -> Room:
        room: Room | None = self.find(node)
        assert room is not None
        return room

    def find(self, node: str) -> Room | None:
        found: Room | None = self.world.nodes[node].module("muc").chat[SERVICE].rooms.get("hall")
        return found

    async def rest(self) -> None:
        """Everything that is under way arrives."""
        await self.world.settle()
        self.read()

    async def step(self) -> None:
        act = self.random.choices(
            (
                self.enter,
                self.part,
                self.rename,
                self.status,
                self.say,
                self.role,
                self.affiliate,
                self.configure,
                self.cut,
                self.sweep,
            ),
            (6, 2, 3, 2, 6, 3, 2, 1, 1, 2),
        )[0]
        if act == self.cut:
            await self.cut()
        elif act == self.sweep:
            await self.sweep()
        elif act == self.say and self.stable and self.random.random() < 0.5:
            await self.say_and_look()
        else:
            act()

    def anybody(self) -> Client:
        return self.random.choice(self.clients)

    def enter(self) -> None:
        self.anybody().send(ENTER.format(self.random.choice(NICKS)))

    def part(self) -> None:
        self.anybody().send(f"<presence to='{ROOM}/a' type='unavailable'/>")

    def rename(self) -> None:
        client = self.anybody()
        if self.views[client.full].own:
            client.send(f"<presence to='{ROOM}/{self.random.choice(NICKS)}'/>")

    def status(self) -> None:
        client = self.anybody()
        own = self.views[client.full].own
        if own:
            show = self.random.choice(("away", "xa", "chat"))
            client.send(f"<presence to='{ROOM}/{own}'><show>{show}</show></presence>")

    def say(self, client: Client | None = None) -> str:
        self.sent += 1
        client = client or self.anybody()
        body = f"{client.full} {self.sent}"
        client.send(f"<message to='{ROOM}' type='groupchat' id='m{self.sent}'><body>{body}</body></message>")
        return body

    async def say_and_look(self) -> None:
        """All on the sender's side get it, once."""
        await self.rest()
        client = self.anybody()
        body = self.say(client)
        await self.rest()
        room = self.find(self.places[client.full])
        if room is None or client.full not in room.users or room.users[client.full].role == "visitor":
            return
        for other in self.clients:
            node = self.places[other.full]
            near = node == self.places[client.full] or self.world.linked(node, self.places[client.full])
            inside = bool(self.views[other.full].own)
            assert self.texts[other.full].count(body) == (near and inside), f"{other.full} of {body}"
            assert (other.full in room.users) == (near and inside), f"{other.full} in the room of {client.full}"

    def somewhere(self) -> Room | None:
        return self.find(self.random.choice(self.nodes))

    def role(self) -> None:
        room = self.somewhere()
        if room is not None and room.occupants:
            occupant = self.random.choice(list(room.occupants.values()))
            room.set_role(occupant, self.random.choice(("moderator", "participant", "visitor", "none")), "so")

    def affiliate(self) -> None:
        room = self.somewhere()
        if room is not None:
            person = f"{self.random.choice(PEOPLE)}@story.example"
            affiliation: Any = self.random.choice(("owner", "admin", "member", "none", "none", "outcast"))
            with suppress(StanzaError):  # the last owner stays
                room.set_affiliation(person, affiliation, "so")

    def configure(self) -> None:
        room = self.somewhere()
        if room is not None:
            room.reconfigure(room.with_config(**self.random.choice(_CONFIGS)))

    async def kill(self) -> None:
        """A node dies, and whoever is connected to it."""
        node = self.random.choice(self.nodes)
        self.nodes.remove(node)
        self.world.kill(node)
        self.clients = [client for client in self.clients if self.places[client.full] != node]
        await self.world.notice()
        self.read()

    async def cut(self) -> None:
        """A link is cut, or mended; often long enough for all to know."""
        if self.world._cuts:
            self.world.heal()
        else:
            self.world.cut(self.random.choice(self.nodes))
        self.stable = False
        if self.random.random() < 0.8:
            await self.world.notice()
            self.read()
            self.stable = True

    async def sweep(self) -> None:
        """A node lets go of a room in which it serves nobody."""
        service = self.world.nodes[self.random.choice(self.nodes)].module("muc").chat[SERVICE]
        for _ in range(2):
            await service.sweep()

    def read(self) -> None:
        for client in self.clients:
            view = self.views[client.full]
            for stanza in client.wire.inbox:
                if not stanza.attrs.get("from", "").startswith(ROOM):
                    continue
                view.read(stanza)
                body = stanza.child_text(ns.CLIENT, "body") if stanza.name == "message" else None
                if body and stanza.find(ns.DELAY, "delay") is None and stanza.get("type") == "groupchat":
                    self.texts[client.full].append(body)
            client.wire.inbox.clear()

    def check(self) -> None:
        rooms = {node: self.find(node) for node in self.nodes}
        states = {node: state(room) for node, room in rooms.items() if room is not None}
        first = next(iter(states.values()), None)
        for node, found in states.items():
            assert found == first, node
        for node, room in rooms.items():
            kept = [one.stanza.element.child_text(ns.CLIENT, "body") for one in room.history] if room else []
            assert len(set(kept)) == len(kept), f"a message stands twice in the history of {node}"
        for client in self.clients:
            self.check_view(client, rooms[self.places[client.full]])
            got = self.texts[client.full]
            assert len(set(got)) == len(got), f"{client.full} got a message twice"
            for other in self.clients:
                numbers = [int(text.split()[1]) for text in got if text.split()[0] == other.full]
                assert numbers == sorted(numbers), f"{client.full} got what {other.full} said in another order"

    def check_view(self, client: Client, room: Room | None) -> None:
        view = self.views[client.full]
        occupant = room.users.get(client.full) if room is not None else None
        if room is None or occupant is None:
            assert view == View(), f"{client.full} believes to be inside"
            return
        assert not occupant.clients[client.full].node
        assert view.own == occupant.nick
        assert set(view.people) == set(room.occupants), client.full
        for nick, seen in view.people.items():
            other = room.occupants[nick]
            assert (seen.role, seen.affiliation) == (other.role, other.affiliation), f"{client.full} of {nick}"
            if other is not occupant and room.sees_jids(occupant):
                assert seen.jid == other.shown.jid.full, f"{client.full} of {nick}"


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_everybody_sees_the_same_room(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        # What many are told of many is told one by one, and everything may happen in between.
        monkeypatch.setattr(affiliations, "_SLICE", 1)
    await History(seed).run()
