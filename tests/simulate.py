"""A cluster in one process lives through random histories, and what must hold is looked at: `python -m tests.simulate`.

    python -m tests.simulate --seeds 1000 --start 0      many seeds, one after the other; stops at the first failure
    python -m tests.simulate --start 4711 --seeds 1 -v   one seed, with everything that happens
    python -m tests.simulate --lossy 0.8 --blows 2       four of five histories with a bus that loses; more cuts, kills
    python -m tests.simulate --go-on                     a line for each failing seed, and on to the next

A history is decided by its seed: who signs in where, sends, acknowledges, loses the connection, resumes on another
node, is kicked; which nodes are cut off, frozen, killed and started anew; how much the bus loses and delays. At the end
everything is mended, everybody signs in again, and then holds:

    lost        no message that the server has acknowledged (XEP-0198) is missing: a client of the recipient has it.
                Where nodes were killed, it has it or it stands in the archive.
    doubled     no client has a message twice, be it as a carbon copy, unless it had not acknowledged it before its
                stream ended, or its sender had to send it again, or nobody can know: it acknowledged it just before a
                node died or came out of reach, or while that lasted.
    order       of one sender's stream a client's stream hears in the order sent, as long as nothing is broken
    directory   every node knows the same sessions, and has the same of every account as the store
    presence    who is there sees every contact as it is, with what it showed last

A failing history is shortened: the least number of steps with which it still fails is what is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
from collections import deque
from types import SimpleNamespace
from typing import Any

from tests.cluster_story import ClusterWorld, Node
from tests.story import Wire, elements
from xmpp_engine.addressing.jid import Jid
from xmpp_engine.plugin.module import Module
from xmpp_engine.plugin.phases import Phase
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import stanza_id
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import ArchiveRow, RosterItem
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError, StreamError

DOMAIN = "story.example"
STEPS = 60
NODES = ("n1", "n2", "n3")
USERS = ("ann", "ben", "cid")
RESOURCES = ("desk", "phone")
#: Seconds after the end of a disturbance for which nobody promises an order: nodes are still finding out.
TURMOIL = 8.0
#: Seconds before the beginning of a disturbance in which a node may not have told what it knows.
UNTOLD = 3.0
#: How often somebody shows something else, and how many have carbons.
SHOWING = 0.08
WITH_CARBONS = 0.5
#: How often a client loses its new connection while it resumes.
LOST_RESUMING = 0.1
#: In how many histories the bus loses and delays.
LOSSY = 0.3
#: What may happen in a step, and how often.
WEIGHTS = {
    "bind": 12.0,
    "send": 40.0,
    "read": 20.0,
    "ask": 8.0,
    "drop": 6.0,
    "leave": 2.0,
    "kick": 2.0,
    "cut": 1.5,
    "heal": 3.0,
    "freeze": 1.5,
    "thaw": 3.0,
    "kill": 0.7,
    "wait": 6.0,
    "csi": 3.0,
}
#: What of it is a blow to the cluster.
BLOWS = frozenset({"cut", "freeze", "kill"})
MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.stream_management.StreamManagementModule",
    "xmpp_engine.modules.client_state.ClientState",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.modules.subscription.Subscriptions",
    "xmpp_engine.modules.caps.Caps",
    "xmpp_engine.modules.carbons.Carbons",
    "tests.simulate.Keep",
    "xmpp_engine.modules.offline.Offline",
)


class Keep(Module):
    """The least archive: one row of each message, durable before its sender is told, and its id in the message."""

    name = "archive"

    def setup(self, reg: Registrar) -> None:
        reg.message_out(Phase.STORE, self.keep)

    def keep(self, stanza: Stanza, session: Session) -> None:
        """Write it down."""
        body = stanza.element.child_text(ns.CLIENT, "body")
        assert stanza.to is not None
        number = self.services.extras.setdefault("kept", [0])
        number[0] += 1
        whereabouts = self.services.whereabouts
        id = number[0] * 256 + (whereabouts.number if whereabouts is not None else 0)
        stanza.commit = self.services.ledger.archive(
            ArchiveRow(id, 0.0, session.account.bare, stanza.to.bare, session.account.id, 0, "chat", body or "", "", "")
        )
        stanza.element.append(stanza_id(str(id), stanza.to.to_bare()))
        stanza.changed()


class Sent:
    """One message: whose it is, and what has become of it."""

    def __init__(self, body: str, sender: Device, to: str, stream: int) -> None:
        self.body = body
        self.sender = sender
        self.to = to
        self.stream = stream
        self.acknowledged = False
        self.again = False
        self.turmoil = False
        #: For each device that has it: (its stream, whether it came late, position in the stream); of the sender's
        #: other devices too, which have copies.
        self.received: dict[str, list[tuple[int, bool, int]]] = {}


class Device:
    """A client that does what XEP-0198 says. `view` is what it has last seen of each full JID: what that shows, None
    where it is not available."""

    def __init__(self, user: str, resource: str) -> None:
        self.bare = f"{user}@{DOMAIN}"
        self.resource = resource
        self.full = f"{self.bare}/{resource}"
        self.wire: Wire | None = None
        self.node: Node | None = None
        self.stream = 0
        self.sm_id = ""
        #: Stanzas that came on this stream, how many of them the server knows we have, and what waits to be looked at.
        self.heard = 0
        self.confirmed = 0
        #: What the server has not acknowledged: messages, and other stanzas as texts.
        self.unacked: deque[Sent | str] = deque()
        self.acked_by_server = 0
        self.view: dict[str, str | None] = {}
        #: What it shows.
        self.status = ""
        self.priority = 0

    @property
    def online(self) -> bool:
        """Whether it has a connection as far as it knows."""
        return self.wire is not None and not self.wire.closed

    def presence(self) -> str:
        """What it sends to show itself."""
        priority = f"<priority>{self.priority}</priority>" if self.priority else ""
        return f"<presence><status>{self.status}</status>{priority}</presence>"


class Simulation:
    """One history. `problems` says what did not hold. `lossy` is the share of histories in which the bus loses,
    `blows` how many times as often the cluster is hit."""

    def __init__(
        self, seed: int, steps: int = STEPS, talk: bool = False, *, lossy: float = LOSSY, blows: float = 1.0
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.lossy = lossy
        self.weights = tuple(weight * blows if name in BLOWS else weight for name, weight in WEIGHTS.items())
        self.random = random.Random(seed)
        #: For what was added later: it leaves the histories of known seeds as they are.
        self.more = random.Random(~seed)
        self.talk = talk
        self.problems: list[str] = []
        self.devices = [Device(user, resource) for user in USERS for resource in RESOURCES]
        self.messages: dict[str, Sent] = {}
        self.killed = self.mending = False
        self.frozen: set[str] = set()
        self.cut = False
        self.quiet_since = 0.0
        #: What clients have acknowledged on each stream, and when.
        self.confirmed: dict[int, list[tuple[int, float]]] = {}
        #: Disturbances: from when to when.
        self.blows: list[tuple[float, float]] = []
        self._cut_since = self._frozen_since = 0.0
        self._streams = 0
        self._number = 0

    async def run(self) -> list[str]:
        """Live through it; returns the problems."""
        self.world = ClusterWorld(modules=MODULES)
        hub = self.world.hub
        hub._random = random.Random(self.seed)
        for name in NODES:
            await self.world.node(name)
        await self._befriend()
        if self.random.random() < self.lossy:
            hub.loss, hub.jitter = 0.03, 0.05
        try:
            for _ in range(self.steps):
                await self._step()
            await self._mend()
            await self._judge()
        finally:
            await self.world.end()
        return self.problems

    @property
    def everybody(self) -> list[Device]:
        """All clients."""
        return self.devices

    async def _befriend(self) -> None:
        stores = self.world.stores
        for user in USERS:
            await stores.accounts.create(f"{user}@{DOMAIN}", [])
        for user in USERS:
            data = await stores.accounts.load(f"{user}@{DOMAIN}")
            assert data is not None
            others = [RosterItem(f"{o}@{DOMAIN}", subscription="both", version=1) for o in USERS if o != user]
            await stores.rosters.put(data.account_id, others, 1)

    def _say(self, text: str) -> None:
        if self.talk:
            print(f"{self.world.clock.now():16.2f}  {text}", flush=True)

    # One step

    async def _step(self) -> None:
        if self.more.random() < SHOWING:
            self._show(self.more.choice(self.devices))
        choice = self.random.choices(tuple(WEIGHTS), self.weights)[0]
        device = self.random.choice(self.devices)
        if choice == "bind":
            if not device.online:
                await self._connect(device, self._place())
        elif choice == "send":
            self._send(device)
            if self.random.random() < 0.5:
                return  # without a pause
        elif choice == "read":
            self._read(device, acknowledge=self.random.random() < 0.7)
        elif choice == "ask":
            if self._can_talk(device):
                self._write(device, f"<r xmlns='{ns.SM}'/>")
        elif choice in ("drop", "leave"):
            self._drop(device, clean=choice == "leave")
        elif choice == "kick":
            session = self._session(device)
            if session is not None and self._can_talk(device):
                self._say(f"kick {device.full}")
                session.kick(StreamError("policy-violation", "kicked"))
        elif choice == "csi":
            if self._can_talk(device):
                self._write(device, f"<{self.random.choice(('active', 'inactive'))} xmlns='{ns.CSI}'/>")
        elif choice == "wait":
            await self.world.pass_time(self.random.choice((0.3, 1.0, 3.0, 8.0)))
        else:
            await self._disturb(choice)
        if self.random.random() < 0.7:
            await self.world.settle()

    async def _disturb(self, choice: str) -> None:
        world = self.world
        names = list(world.nodes)
        name = self.random.choice(names)
        now = world.clock.now()
        if choice == "cut" and not self.cut:
            self._say(f"cut {name}")
            self.cut = True
            self._cut_since = now
            world.cut(name)
        elif choice == "heal" and self.cut:
            self._say("heal")
            self.cut = False
            self.blows.append((self._cut_since, now))
            world.heal()
        elif choice == "freeze" and not self.frozen:
            self._say(f"freeze {name}")
            self.frozen.add(name)
            self._frozen_since = now
            world.freeze(name)
        elif choice == "thaw" and self.frozen:
            name = self.frozen.pop()
            self._say(f"thaw {name}")
            self.blows.append((self._frozen_since, now))
            world.thaw(name)
        elif choice == "kill" and name not in self.frozen:
            self._say(f"kill {name}")
            self.killed = True
            for device in self.everybody:
                if device.node is world.nodes[name]:
                    device.wire = device.node = None
            world.kill(name)
            if self.random.random() < 0.5:
                await world.pass_time(self.random.choice((0.5, 7.0)))
            await world.node(name)
            self.blows.append((now, world.clock.now()))
        else:
            return
        self.quiet_since = world.clock.now()

    @property
    def _broken(self) -> bool:
        return self.cut or bool(self.frozen) or self.world.clock.now() < self.quiet_since + TURMOIL

    def _place(self) -> str:
        return self.random.choice([name for name in self.world.nodes if name not in self.frozen])

    def _can_talk(self, device: Device) -> bool:
        return device.online and device.node is not None and device.node.name not in self.frozen

    def _session(self, device: Device) -> Session | None:
        if device.node is None or not device.node.alive:
            return None
        return device.node.services.registry.full.get(device.full)

    # What devices do

    async def _connect(self, device: Device, place: str) -> None:
        node = self.world.nodes[place]
        wire = Wire(node)
        facts = SimpleNamespace(mechanism="STORY", device="", agent=None, method=0)
        bare = Jid.parse(device.bare)
        if device.sm_id:
            (request,) = elements(f"<resume xmlns='{ns.SM}' previd='{device.sm_id}' h='{device.heard}'/>")
            resuming = asyncio.ensure_future(node.binder.resume(wire, bare, request, facts))
            if self.more.random() < LOST_RESUMING and not self.mending:
                await self._lose(device, wire, resuming)
                return
            resumed = await self._finish(resuming)
            self._say(f"resume {device.full} on {place}: {resumed}")
            answer = wire.inbox.popleft() if wire.inbox else Element("", "nothing")
            handled = answer.attrs.get("h")
            if resumed:
                device.wire, device.node = wire, node
                self._confirm(device)
                self._server_has(device, int(handled or 0))
                for sent in device.unacked:
                    self._again(device, sent)
                return
            if handled is not None:
                self._server_has(device, int(handled))
        self._streams += 1
        device.stream, device.sm_id, device.heard, device.confirmed, device.acked_by_server = self._streams, "", 0, 0, 0
        device.wire = wire = Wire(node)
        device.node = node
        self._forget(device)
        binding = asyncio.ensure_future(node.binder.bind(wire, bare, device.resource, facts))
        try:
            await self._finish(binding)
        except StanzaError as error:
            self._say(f"{device.full} cannot bind on {place}: {error}")
            device.wire = device.node = None
            return
        self._say(f"bind {device.full} on {place}")
        self._write(device, f"<enable xmlns='{ns.SM}' resume='true'/>")
        await self.world.settle()
        enabled = next((element for element in wire.inbox if element.name == "enabled"), None)
        if enabled is None:
            device.wire = None
            return
        device.sm_id = enabled.attrs["id"]
        # What came before is not counted, but it has come.
        while (element := wire.inbox.popleft()) is not enabled:
            self._take(device, element)
        device.heard = 0
        left = [sent for sent in device.unacked if isinstance(sent, Sent)]
        device.unacked.clear()
        first = [f"<iq type='set' id='c'><enable xmlns='{ns.CARBONS}'/></iq>"] * (self.more.random() < WITH_CARBONS)
        for sent in (*first, device.presence(), *left):
            device.unacked.append(sent)
            self._again(device, sent)

    def _forget(self, device: Device) -> None:
        """Its new session knows nothing of the old one."""
        device.view.clear()

    async def _lose(self, device: Device, wire: Wire, resuming: asyncio.Future[Any]) -> None:
        """It does not learn what became of its resumption."""
        if self.more.random() < 0.5:
            wire.closed = True
        resumed = await self._finish(resuming)
        self._say(f"{device.full} loses its connection while it resumes: {resumed}")
        lost = wire.on_lost
        wire.closed = True
        if lost is not None:
            lost("reset", False)

    def _again(self, device: Device, sent: Sent | str) -> None:
        if isinstance(sent, str):
            self._write(device, sent)
        else:
            sent.again = True
            sent.stream = device.stream
            self._write(device, self._xml(sent))

    async def _finish(self, task: asyncio.Future[Any]) -> Any:
        """Let it end, moving the clock where it waits for that."""
        for _ in range(200):
            await self.world.settle()
            if task.done():
                break
            self.world.clock.advance(0.25)
        return await task

    def _xml(self, sent: Sent) -> str:
        return f"<message to='{sent.to}' type='chat' id='{sent.body}'><body>{sent.body}</body></message>"

    def _write(self, device: Device, xml: str) -> None:
        if device.wire is None:
            return
        for element in elements(xml):
            if device.wire.closed or device.wire.on_element is None:
                return
            try:
                device.wire.on_element(element)
            except StreamError as error:
                device.wire.close(error)

    def _send(self, device: Device) -> None:
        if not self._can_talk(device) or not device.sm_id:
            return
        user = self.random.choice([user for user in USERS if not device.bare.startswith(user)])
        to = f"{user}@{DOMAIN}"
        if self.random.random() < 0.4:
            to += f"/{self.random.choice(RESOURCES)}"
        self._send_to(device, to)

    def _send_to(self, device: Device, to: str) -> None:
        self._number += 1
        sent = Sent(f"m{self._number}", device, to, device.stream)
        sent.turmoil = self._broken
        self.messages[sent.body] = sent
        device.unacked.append(sent)
        self._say(f"{device.full} sends {sent.body} to {to}")
        self._write(device, self._xml(sent))

    def _show(self, device: Device) -> None:
        if self._can_talk(device) and device.sm_id:
            self._number += 1
            device.status = f"p{self._number}"
            self._say(f"{device.full} shows {device.status}")
            device.unacked.append(device.presence())
            self._write(device, device.presence())

    def _confirm(self, device: Device) -> None:
        device.confirmed = device.heard
        self.confirmed.setdefault(device.stream, []).append((device.heard, self.world.clock.now()))

    def _read(self, device: Device, *, acknowledge: bool) -> None:
        wire = device.wire
        if wire is None:
            return
        while wire.inbox:
            self._take(device, wire.inbox.popleft())
        if acknowledge and self._can_talk(device) and device.sm_id:
            self._confirm(device)
            self._write(device, f"<a xmlns='{ns.SM}' h='{device.heard}'/>")

    def _take(self, device: Device, element: Element) -> None:
        if element.ns == ns.SM:
            if element.name == "a":
                self._server_has(device, int(element.attrs["h"]))
            return
        if element.name not in ("message", "presence", "iq"):
            return
        device.heard += 1
        sender = element.attrs.get("from", "")
        if element.name == "presence" and "/" in sender:
            gone = element.attrs.get("type") is not None
            device.view[sender] = None if gone else element.child_text(ns.CLIENT, "status") or ""
        elif element.name == "message":
            copied = _copied(element)
            sent = self.messages.get((copied or element).child_text(ns.CLIENT, "body") or "")
            if sent is not None and element.attrs.get("type") == "chat":
                late = element.find(ns.DELAY, "delay") is not None
                self._say(f"{device.full} has {sent.body}{' late' if late else ''}{' as a copy' if copied else ''}")
                sent.received.setdefault(device.full, []).append((device.stream, late, device.heard))

    def _server_has(self, device: Device, handled: int) -> None:
        for _ in range(min(handled - device.acked_by_server, len(device.unacked))):
            sent = device.unacked.popleft()
            if isinstance(sent, Sent):
                sent.acknowledged = True
        device.acked_by_server = max(handled, device.acked_by_server)

    def _drop(self, device: Device, *, clean: bool) -> None:
        wire = device.wire
        if wire is None or not self._can_talk(device):
            return
        self._say(f"{device.full} {'leaves' if clean else 'loses its connection'}")
        if self.random.random() < 0.5:
            self._read(device, acknowledge=False)
        if wire.closed or wire.on_lost is None:
            return
        lost = wire.on_lost
        wire.closed = True
        lost("closed by the client" if clean else "reset", clean)
        if clean:
            self._read(device, acknowledge=False)
            device.sm_id = ""

    # The end

    async def _mend(self) -> None:
        self._say("everything is mended")
        self.mending = True
        self.world.hub.loss = self.world.hub.jitter = 0.0
        now = self.world.clock.now()
        self.blows += [(self._cut_since, now)] * self.cut + [(self._frozen_since, now)] * bool(self.frozen)
        for name in list(self.frozen):
            self.world.thaw(name)
        self.frozen.clear()
        self.cut = False
        self.world.heal()
        await self.world.notice()
        await self.world.pass_time(4.0)
        for _ in range(3):
            for device in self.everybody:
                self._read(device, acknowledge=True)
                if not device.online:
                    await self._connect(device, self._place())
                self._write(device, f"<active xmlns='{ns.CSI}'/>")
            for _ in range(4):
                await self.world.pass_time(1.5)
                for device in self.everybody:
                    self._read(device, acknowledge=True)
                    if self._can_talk(device):
                        self._write(device, f"<r xmlns='{ns.SM}'/>")
        await self.world.settle()
        for device in self.everybody:
            self._read(device, acknowledge=True)

    def _problem(self, text: str) -> None:
        self._say(f"PROBLEM {text}")
        self.problems.append(text)

    async def _judge(self) -> None:
        """Look at what must hold."""
        self._check()

    def _check(self) -> None:
        archived = {row.body for row in self.world.stores.memory.archive.values()}
        for sent in self.messages.values():
            mine = {full for full in sent.received if full.startswith(sent.to.partition("/")[0])}
            if sent.acknowledged and not mine and not (self.killed and sent.body in archived):
                self._problem(f"lost: {sent.body} of {sent.sender.full} to {sent.to}")
            for full, times in sent.received.items():
                if len(times) > 1 and not sent.again and not self._can_double(*times[0]):
                    self._problem(f"doubled: {sent.body} at {full}")
        self._check_order()
        self._check_directories()
        self._check_presence()

    def _can_double(self, stream: int, _late: bool, position: int) -> bool:
        """Whether nobody may have learned that a message came, which was at this position of a stream."""
        when = next((when for heard, when in self.confirmed.get(stream, ()) if heard >= position), None)
        return when is None or any(begin - UNTOLD <= when <= end + TURMOIL for begin, end in self.blows)

    def _check_order(self) -> None:
        last: dict[tuple[int, str, int], tuple[int, str]] = {}
        heard: list[tuple[int, int, Sent, str, int]] = []
        for sent in self.messages.values():
            if sent.again or sent.turmoil:
                continue
            for full, times in sent.received.items():
                stream, late, position = times[0]
                if not late:
                    heard.append((stream, position, sent, full, int(sent.body[1:])))
        heard.sort(key=lambda entry: (entry[0], entry[1]))
        for stream, _position, sent, full, number in heard:
            key = (sent.stream, full, stream)
            if key in last and last[key][0] > number:
                self._problem(f"order: {full} has {last[key][1]} before {sent.body}")
            last[key] = (number, sent.body)

    def _check_directories(self) -> None:
        seen: dict[str, dict[str, tuple[Any, ...]]] = {}
        for name, node in self.world.nodes.items():
            whereabouts = node.services.whereabouts
            assert whereabouts is not None
            whole = {
                s.jid.full: (name, s.since, s.priority, s.presence is not None, s.interested)
                for s in node.services.registry.full.values()
            }
            for bare, e in whereabouts.directory.all():
                whole[f"{bare}/{e.resource}"] = (e.node, e.since, e.priority, e.presence is not None, bool(e.flags & 1))
            seen[name] = whole
            for account in node.services.accounts.resident.values():
                known = {full.partition("/")[2] for full in whole if full.partition("/")[0] == account.bare}
                if set(account.sessions) != known:
                    self._problem(f"sessions: {name} has {sorted(account.sessions)} of {account.bare}, not {known}")
                stored = self.world.stores.memory.accounts[account.bare].data
                if account.roster != stored.roster:
                    self._problem(f"roster: {name} has another one of {account.bare}")
        first = seen[NODES[0]]
        for name, whole in seen.items():
            if whole != first:
                different = {full for full in whole.keys() | first.keys() if whole.get(full) != first.get(full)}
                self._problem(f"directory: {name} and {NODES[0]} differ on {sorted(different)}")

    def _check_presence(self) -> None:
        for device in self.everybody:
            if not device.online:
                self._problem(f"presence: {device.full} is not back")
                continue
            for other in self.everybody:
                if other is not device:
                    self._check_sight(device, other)

    def _check_sight(self, device: Device, other: Device) -> None:
        seen, shown = device.view.get(other.full), other.status if other.online else None
        if seen != shown:
            self._problem(f"presence: {device.full} sees {other.full} as {seen}, not {shown}")


def _copied(message: Element) -> Element | None:
    """The message of which this one is a carbon copy."""
    for name in ("received", "sent"):
        copy = message.find(ns.CARBONS, name)
        forwarded = copy.find(ns.FORWARD, "forwarded") if copy is not None else None
        if forwarded is not None:
            return forwarded.find(ns.CLIENT, "message")
    return None


def fails(
    seed: int, steps: int = STEPS, talk: bool = False, kind: type[Simulation] = Simulation, **harshness: float
) -> list[str]:
    """The problems of one history."""
    return asyncio.run(kind(seed, steps, talk, **harshness).run())


def shortest(seed: int, steps: int = STEPS, **how: Any) -> int:
    """The least number of steps with which a failing history still fails."""
    low, high = 1, steps
    while low < high:
        middle = (low + high) // 2
        if fails(seed, middle, **how):
            high = middle
        else:
            low = middle + 1
    return high if fails(seed, high, **how) else steps


def main(kind: type[Simulation] = Simulation) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(description="Random histories of a cluster.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--lossy", type=float, default=LOSSY, help="in how many histories the bus loses and delays")
    parser.add_argument("--blows", type=float, default=1.0, help="how many times as many cuts, freezes and kills")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first failure")
    parser.add_argument("-v", action="store_true", dest="talk")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    harshness = {"lossy": options.lossy, "blows": options.blows}
    failed = 0
    for seed in range(options.start, options.start + options.seeds):
        problems = fails(seed, options.steps, options.talk, kind, **harshness)
        if not problems:
            continue
        failed += 1
        if options.go_on:
            print(f"seed {seed}:", "; ".join(problems), flush=True)
            continue
        steps = shortest(seed, options.steps, kind=kind, **harshness) if not options.talk else options.steps
        problems = problems if options.talk else fails(seed, steps, kind=kind, **harshness)
        print(f"seed {seed} fails with {steps} steps:", *problems, sep="\n  ")
        how = "".join(f" --{name} {value}" for name, value in harshness.items() if value != parser.get_default(name))
        name = sys.modules["__main__"].__spec__.name
        print(f"python -m {name} --start {seed} --seeds 1 --steps {steps}{how} -v")
        return 1
    print(f"{options.seeds} histories,", f"{failed} fail" if failed else "nothing wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
