"""Romeo and addresses elsewhere that move: what the tests of XEP-0283 have in common."""

from __future__ import annotations

from typing import Any

from tests.story import Client, Story, World, elements
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.types import RosterItem, Subscription
from xmpp_engine.xml import ns

OLD, NEW, EVE = "juliet@im.example", "juliet@capulet.example", "eve@evil.example"
SEES: tuple[Subscription, ...] = ("from", "both")
SEES_NOT: tuple[Subscription, ...] = ("none", "to")


def notification(old: str = OLD, new: str = NEW, to: str = "romeo@story.example") -> str:
    """A request that says whom it replaces."""
    said = f"<moved xmlns='{ns.MOVED}'><old-jid>{old}</old-jid></moved>"
    return f"<presence type='subscribe' from='{new}' to='{to}' id='s1'>{said}</presence>"


def statement(now: str = NEW, item: str = "current", node: str = ns.MOVED) -> str:
    """What somebody who has moved publishes."""
    moved = f"<moved xmlns='{ns.MOVED}'><new-jid>{now}</new-jid></moved>"
    return f"<pubsub xmlns='{ns.PUBSUB}'><items node='{node}'><item id='{item}'>{moved}</item></items></pubsub>"


def gone(uri: str) -> str:
    """The error of an address that is no more."""
    return f"<error type='cancel'><gone xmlns='{ns.STANZA_ERRORS}'>{uri}</gone></error>"


REFUSAL = f"<error type='cancel'><item-not-found xmlns='{ns.STANZA_ERRORS}'/></error>"


class Stage:
    """Romeo, whose contacts are elsewhere."""

    def __init__(self, world: World, romeo: Client) -> None:
        self.world = world
        self.romeo = romeo

    def comes(self, xml: str) -> None:
        """Another server sends this."""
        for element in elements(xml):
            self.world.router.route(Stanza.parse(element))

    def sent(self) -> list[tuple[str, str, str]]:
        """Presence that went out since the last look: (to, type, kind of sender)."""
        found = [s for s in self.world.elsewhere.sent if s.kind == "presence"]
        self.world.elsewhere.sent = [s for s in self.world.elsewhere.sent if s.kind != "presence"]
        return [(str(s.to), s.type, s.sender.full) for s in found]

    def questions(self) -> list[Stanza]:
        """What old addresses are asked and have not answered."""
        return [s for s in self.world.elsewhere.sent if s.kind == "iq"]

    async def answers(self, payload: str, sender: str = "", question: Stanza | None = None) -> None:
        """An old address answers the first question, or this one."""
        asked = question or self.questions()[0]
        if not sender:
            self.world.elsewhere.sent.remove(asked)
        kind = "error" if payload.startswith("<error") else "result"
        self.comes(f"<iq type='{kind}' from='{sender or asked.to}' to='{asked.sender}' id='{asked.id}'>{payload}</iq>")
        await self.world.settle()

    async def stored(self) -> dict[str, RosterItem]:
        """What the database has."""
        await self.world.settle()
        data = await self.world.stores.accounts.load("romeo@story.example")
        assert data is not None
        return data.roster

    def state(self, jid: str) -> tuple[str, bool, bool]:
        """Subscription, own request, the contact's request."""
        item = self.world.services.accounts.resident["romeo@story.example"].roster.get(jid)
        return (item.subscription, item.ask, item.pending_in) if item else ("none", False, False)


async def meet(story: Story, subscription: Subscription = "both", **options: Any) -> Stage:
    """Romeo is online and has Juliet's old address in a group."""
    await story.begin(options={"moved": options} if options else None)
    romeo = await story("romeo")
    story.world.elsewhere.domains |= {"im.example", "capulet.example", "evil.example"}
    old = RosterItem(OLD, name="Juliet", subscription=subscription, groups=("Verona",))
    await story.world.module("roster").change(romeo.account, [old])
    await romeo.comes_online()
    story.world.elsewhere.sent.clear()
    return Stage(story.world, romeo)


def push(jid: str, subscription: str, name: str = "Juliet") -> str:
    item = f"<item jid='{jid}' subscription='{subscription}' name='{name}'><group>Verona</group></item>"
    return f"<iq type='set'><query xmlns='{ns.ROSTER}'>{item}</query></iq>"


def request(new: str = NEW) -> str:
    """The notification as a client gets it: nothing is taken out."""
    said = f"<moved xmlns='{ns.MOVED}'><old-jid>{OLD}</old-jid></moved>"
    return f"<presence type='subscribe' from='{new}' to='romeo@story.example' id='s1'>{said}</presence>"
