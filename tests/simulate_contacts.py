"""The simulator's people with more of a life: strangers, requests, removals, priorities (`tests/simulate.py`).

    python -m tests.simulate_contacts --seeds 1000 --lossy 0.8        options are those of `tests.simulate`

Two more users are nobody's contacts at first. Everybody asks to see others, allows it, takes it back, names and removes
contacts, shows presence to strangers, and says with which priority messages are wanted. What is decided for that comes
from a random stream of its own. Beside all that `tests/simulate.py` looks at, it holds at the end:

    roster      every node has the same contacts and version of an account as the store, and a client that has asked for
                its roster and says which version it knows has the same
    presence    who may see somebody does, and nobody else: unless that one has shown himself to him, now
    priority    a message to a bare JID comes to all resources that want messages, and to those alone
"""

from __future__ import annotations

import random
import sys
from typing import Any

from tests.simulate import DOMAIN, RESOURCES, STEPS, USERS, Device, Simulation, main
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

STRANGERS = ("dan", "eve")
#: How often something of this happens in a step, and what.
OFTEN = 0.5
WHAT = {"move": 8.0, "subscribe": 10.0, "name": 2.0, "remove": 2.0, "direct": 6.0, "priority": 3.0, "roster": 3.0}
ANSWERS = ("subscribe", "subscribed", "subscribe", "subscribed", "unsubscribe", "unsubscribed")
PRIORITIES = (-1, 0, 0, 5)


class Contact(Device):
    """A client with a roster of its own. `book` is that as it knows it: what each item says, by bare JID; None before
    it has asked. `directed` are those to whom it has shown presence, with the status and since when."""

    def __init__(self, user: str, resource: str) -> None:
        super().__init__(user, resource)
        self.book: dict[str, tuple[str, ...]] | None = None
        self.version = ""
        self.directed: dict[str, tuple[str, float]] = {}
        #: All that it has shown to those, None for that it is not available, since it was bound.
        self.told: dict[str, set[str | None]] = {}
        #: Messages of the last round that have come.
        self.got: list[str] = []


class Contacts(Simulation):
    """A history of people and their contacts."""

    def __init__(self, seed: int, steps: int = STEPS, talk: bool = False, **harshness: float) -> None:
        super().__init__(seed, steps, talk, **harshness)
        self.social = random.Random(seed ^ 0x5EED)
        self.devices = [Contact(user, resource) for user in USERS for resource in RESOURCES]
        self.strangers = [Contact(user, "desk") for user in STRANGERS]
        self.users = (*USERS, *STRANGERS)
        #: When something between two accounts was changed last.
        self.touched: dict[frozenset[str], float] = {}

    @property
    def everybody(self) -> list[Any]:
        """See Simulation."""
        return [*self.devices, *self.strangers]

    async def _befriend(self) -> None:
        await super()._befriend()
        for user in STRANGERS:
            await self.world.stores.accounts.create(f"{user}@{DOMAIN}", [])

    async def _step(self) -> None:
        if self.social.random() < OFTEN:
            await self._live(self.social.choices(tuple(WHAT), tuple(WHAT.values()))[0])
        await super()._step()

    async def _live(self, what: str) -> None:
        if what == "move":
            await self._move(self.social.choice(self.strangers))
            return
        device = self.social.choice(self.everybody)
        if not self._can_talk(device) or not device.sm_id:
            return
        other = self.social.choice([user for user in self.users if not device.bare.startswith(user)]) + f"@{DOMAIN}"
        if what == "subscribe":
            type = self.social.choice(ANSWERS)
            self._touch(device, other)
            self._tell(device, f"<presence to='{other}' type='{type}'/>")
        elif what == "name":
            name = f"n{self.social.randrange(1000)}"
            self._tell(device, _set(f"<item jid='{other}' name='{name}'/>"))
        elif what == "remove":
            self._touch(device, other)
            self._tell(device, _set(f"<item jid='{other}' subscription='remove'/>"))
        elif what == "direct":
            self._direct(device, f"{other}/{self.social.choice(RESOURCES)}", back=self.social.random() < 0.3)
        elif what == "roster":
            self._ask_for_roster(device)
        elif what == "priority":
            device.priority = self.social.choice(PRIORITIES)
            self._show(device)

    def _touch(self, device: Contact, other: str) -> None:
        self.touched[frozenset((device.bare, other))] = self.world.clock.now()

    def _tell(self, device: Contact, xml: str) -> None:
        self._say(f"{device.full} sends {xml}")
        device.unacked.append(xml)
        self._write(device, xml)

    async def _move(self, device: Contact) -> None:
        if device.online:
            if self.social.random() < 0.5:
                self._read(device, acknowledge=self._can_talk(device))
            else:
                self._drop(device, clean=self.social.random() < 0.3)
        else:
            await self._connect(device, self.social.choice([n for n in self.world.nodes if n not in self.frozen]))

    def _direct(self, device: Contact, to: str, *, back: bool) -> None:
        shown = device.told.setdefault(to, set())
        if back:
            device.directed.pop(to, None)
            shown.add(None)
            self._tell(device, f"<presence to='{to}' type='unavailable'/>")
        else:
            self._number += 1
            device.directed[to] = (f"d{self._number}", self.world.clock.now())
            shown.add(f"d{self._number}")
            self._tell(device, f"<presence to='{to}'><status>d{self._number}</status></presence>")

    def _ask_for_roster(self, device: Contact) -> None:
        self._tell(device, f"<iq type='get' id='roster'><query xmlns='{ns.ROSTER}' ver='{device.version}'/></iq>")

    def _forget(self, device: Device) -> None:
        super()._forget(device)
        device.directed, device.told = {}, {}  # type: ignore[attr-defined]

    def _take(self, device: Device, element: Element) -> None:
        super()._take(device, element)
        assert isinstance(device, Contact)
        body = element.child_text(ns.CLIENT, "body")
        if element.name == "message" and body is not None and body.startswith("last"):
            device.got.append(body)
        query = element.find(ns.ROSTER, "query")
        if element.name != "iq" or query is None:
            return
        if element.attrs["type"] == "result":
            device.book = {}
        elif device.book is None:
            return
        for item in query.find_all(ns.ROSTER, "item"):
            if item.attrs["subscription"] == "remove":
                device.book.pop(item.attrs["jid"], None)
            else:
                device.book[item.attrs["jid"]] = tuple(
                    item.attrs.get(name, "") for name in ("name", "subscription", "ask", "approved")
                )
        device.version = query.attrs["ver"]

    # The end

    async def _mend(self) -> None:
        await super()._mend()
        for device in self.everybody:
            if device.priority < 0:
                device.priority = 0
                self._show(device)
        await self._rest()
        for device in self.everybody:
            self._ask_for_roster(device)
        await self._rest()

    async def _rest(self) -> None:
        for _ in range(4):
            await self.world.pass_time(1.5)
            for device in self.everybody:
                self._read(device, acknowledge=True)
                self._write(device, f"<r xmlns='{ns.SM}'/>")
        await self.world.settle()
        for device in self.everybody:
            self._read(device, acknowledge=True)

    async def _judge(self) -> None:
        await super()._judge()
        self._check_rosters()
        await self._check_priorities()

    def _check_rosters(self) -> None:
        accounts = self.world.stores.memory.accounts
        for name, node in self.world.nodes.items():
            for account in node.services.accounts.resident.values():
                stored = accounts[account.bare].data
                if account.data.roster_version != stored.roster_version:
                    self._problem(
                        f"roster: {name} has version {account.data.roster_version} of {account.bare}, not "
                        f"{stored.roster_version}"
                    )
        for device in self.everybody:
            stored = accounts[device.bare].data
            should = {
                item.jid: (item.name, item.subscription, _said(item.ask, "subscribe"), _said(item.approved, "true"))
                for item in stored.roster.values()
                if item.listed
            }
            if device.book != should:
                self._problem(f"roster: {device.full} knows {device.book}, not {should}")

    def _sees(self, one: str, other: str) -> bool | None:
        """Whether one account sees the other, None where their rosters do not agree."""
        accounts = self.world.stores.memory.accounts
        mine, theirs = accounts[one].data.roster.get(other), accounts[other].data.roster.get(one)
        to = mine is not None and mine.subscription in ("to", "both")
        shown = theirs is not None and theirs.subscription in ("from", "both")
        return to if to == shown else None

    def _check_sight(self, device: Any, other: Any) -> None:
        seen = device.view.get(other.full)
        sees = device.bare == other.bare or self._sees(device.bare, other.bare)
        if sees and seen not in other.told.get(device.full, ()):
            super()._check_sight(device, other)
        elif sees is False and seen is not None and device.full not in other.directed:
            self._problem(f"presence: {device.full} sees {other.full} as {seen}, who has not shown it")

    async def _check_priorities(self) -> None:
        for device in self.everybody:
            device.priority = self.social.choice(PRIORITIES)
            self._show(device)
        await self._rest()
        asked: list[tuple[str, str]] = []
        for device in self.everybody:
            other = self.social.choice([user for user in self.users if not device.bare.startswith(user)]) + f"@{DOMAIN}"
            body = f"last{len(asked)}"
            asked.append((body, other))
            self._tell(device, f"<message to='{other}' type='chat'><body>{body}</body></message>")
        await self._rest()
        for body, other in asked:
            there = {device.full for device in self.everybody if device.bare == other and device.priority >= 0}
            have = {device.full for device in self.everybody if body in device.got}
            if there != have:
                self._problem(f"priority: {body} to {other} came to {sorted(have)}, not {sorted(there)}")


def _said(whether: bool, word: str) -> str:
    return word if whether else ""


def _set(item: str) -> str:
    return f"<iq type='set' id='set'><query xmlns='{ns.ROSTER}'>{item}</query></iq>"


if __name__ == "__main__":
    sys.exit(main(Contacts))
