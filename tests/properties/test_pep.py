"""Whatever happens to an account's nodes, its roster and its contacts: who may hear of events knows the last item,
never hears of an older one behind a newer one, and nobody else hears anything."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.engine.pubsub.pep_stage import PERSONAL, answered, capable, done, events, explains, payload, publishing
from tests.story import MODULES, Client, World
from xmpp_engine.xml import ns

OWNER, CONTACTS = "ada", ("ben", "cat")
GROUP = {"access_model": "roster", "roster_groups_allowed": "Friends"}
NODES: dict[str, dict[str, str]] = {"urn:presence": {}, "urn:open": {"access_model": "open"}, "urn:group": GROUP}
CAPS, QUERY = capable(*NODES)


class Contact:
    """Somebody who wants to hear of everything, and what he may hear."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.online = self.grouped = self.blocked = False
        self.subscribed = True
        #: The number of the newest item heard of, by node, since he came online.
        self.heard: dict[str, int] = {}

    def may(self, node: str) -> bool:
        return self.online and self.subscribed and not self.blocked and (node != "urn:group" or self.grouped)


class Events(RuleBasedStateMachine):
    """Random actions; what was heard is read before access changes, and checked now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.number = 0
        self.last: dict[str, int] = {}

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.engine.stop())
        self.loop.close()

    @initialize()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        self.world = World(modules=(*(name for name in MODULES if name not in PERSONAL), *PERSONAL))
        await self.world.engine.start()
        self.owner = await self.world.login(OWNER, "r")
        self.contacts = {}
        for name in CONTACTS:
            client = await self.world.login(name, "r")
            await self.world.contacts(self.owner, client)
            self.contacts[name] = Contact(client)

    async def read(self) -> None:
        """Take note of all that was heard; it must have been allowed, and newer than what was heard before."""
        await self.world.settle()
        for contact in self.contacts.values():
            for _from, node, ids in events(await contact.client.receives_all()):
                assert contact.may(node), (contact.client.bare, node)
                for id in ids:
                    if id.isdigit():
                        assert int(id) >= contact.heard.get(node, 0), "an older item behind a newer one"
                        contact.heard[node] = int(id)

    @rule(node=st.sampled_from(sorted(NODES)), turns=st.integers(0, 4))
    def publish(self, node: str, turns: int) -> None:
        """An item, perhaps with others on their way."""
        self.number += 1
        self.last[node] = self.number
        item = publishing(node, payload(node, str(self.number)), str(self.number), NODES[node])
        self.run(self._send(self.owner, item, turns))

    async def _send(self, client: Client, xml: str, turns: int = 0) -> None:
        """Send, and let so many turns of the loop pass."""
        client.send(xml)
        for _ in range(turns):
            await asyncio.sleep(0)

    @rule(node=st.sampled_from(sorted(NODES)))
    def purge(self, node: str) -> None:
        """All items go."""
        self.run(self._purge(node))

    async def _purge(self, node: str) -> None:
        await self.world.settle()
        await answered(
            self.owner, f"<iq type='set' id='p'><pubsub xmlns='{ns.PUBSUB_OWNER}'><purge node='{node}'/></pubsub></iq>"
        )
        self.last.pop(node, None)

    @rule(name=st.sampled_from(CONTACTS), turns=st.integers(0, 8))
    def come(self, name: str, turns: int) -> None:
        """A contact comes online, while things are under way."""
        contact = self.contacts[name]
        if not contact.online:
            self.run(self.read())
            contact.online = True
            contact.heard = {}
            self.run(self._come(contact, turns))

    async def _come(self, contact: Contact, turns: int) -> None:
        await self._send(contact.client, f"<presence>{CAPS}</presence>", turns)
        if not self.world.module("caps")._known:
            contact.client.wire.inbox.extend(await explains(contact.client, QUERY))

    @rule(name=st.sampled_from(CONTACTS))
    def go(self, name: str) -> None:
        """A contact goes offline."""
        contact = self.contacts[name]
        if contact.online:
            self.run(self.read())
            self.run(self._send(contact.client, "<presence type='unavailable'/>"))
            contact.online = False

    @rule(name=st.sampled_from(CONTACTS))
    def subscription(self, name: str) -> None:
        """The contact may not see the owner's presence any more, or may again."""
        contact = self.contacts[name]
        self.run(self.read())
        if contact.subscribed:
            self.run(self._send(self.owner, f"<presence to='{contact.client.bare}' type='unsubscribed'/>"))
        else:
            self.run(self._send(contact.client, f"<presence to='{self.owner.bare}' type='subscribe'/>"))
            self.run(self.world.settle())
            self.run(self._send(self.owner, f"<presence to='{contact.client.bare}' type='subscribed'/>"))
        contact.subscribed = not contact.subscribed

    @rule(name=st.sampled_from(CONTACTS))
    def group(self, name: str) -> None:
        """The contact comes into the group, or leaves it."""
        contact = self.contacts[name]
        self.run(self.read())
        inside = "" if contact.grouped else "<group>Friends</group>"
        item = f"<item jid='{contact.client.bare}'>{inside}</item>"
        self.run(done(self.owner, f"<iq type='set' id='g'><query xmlns='{ns.ROSTER}'>{item}</query></iq>"))
        contact.grouped = not contact.grouped

    @rule(name=st.sampled_from(CONTACTS))
    def block(self, name: str) -> None:
        """The owner blocks the contact, or frees him."""
        contact = self.contacts[name]
        self.run(self.read())
        act = "unblock" if contact.blocked else "block"
        item = f"<item jid='{contact.client.bare}'/>"
        self.run(done(self.owner, f"<iq type='set' id='b'><{act} xmlns='{ns.BLOCKING}'>{item}</{act}></iq>"))
        contact.blocked = not contact.blocked

    @rule()
    def unload(self) -> None:
        """The owner's nodes go out of memory, as they do when there is too much of others."""
        accounts = self.world.module("pep").accounts
        service = accounts.resident(self.owner.bare)
        if service is not None and service.idle and not accounts._users:
            accounts.forget(self.owner.bare)

    @rule()
    def check(self) -> None:
        """Everybody who may knows the last item of each node."""
        self.run(self.read())
        for contact in self.contacts.values():
            for node, number in self.last.items():
                if contact.may(node):
                    assert contact.heard.get(node) == number, (contact.client.bare, node)


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
