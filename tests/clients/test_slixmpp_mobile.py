"""A phone and a laptop on a real node: push, client state, carbons and resumption together, with slixmpp over TLS. The
push service is a client too, at its full address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, tostring

from slixmpp import Iq
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from tests.clients.conftest import Login
from tests.clients.slix import STEP_SECONDS, Slix
from tests.live import LiveNode, User
from tests.patience import in_time
from tests.push_service import Notification, read
from xmpp_engine.xml import ns
from xmpp_engine.xml.parser import parse_document

NewUser = Callable[[], User]


class Service:
    """A push service over a client's connection: it reads, keeps and answers."""

    def __init__(self, client: Slix) -> None:
        self.received: list[Notification] = []
        self.client = client
        path = f"{{{ns.CLIENT}}}iq/{{{ns.PUBSUB}}}pubsub"
        client.register_handler(Callback("published", MatchXPath(path), self._published))

    def _published(self, iq: Iq) -> None:
        self.received.append(read(parse_document(tostring(iq.xml)), str(iq["from"])))
        iq.reply(clear=True).send()

    async def hears(self, count: int) -> Notification:
        """The newest push, once there are so many."""
        await self.client.until(lambda: len(self.received) >= count, f"{count} pushes, there are {self.received}")
        return self.received[-1]


async def enable(client: Slix, service: Slix, node: str) -> None:
    """Register a device."""
    iq: Any = client.make_iq_set()
    iq.append(Element(f"{{{ns.PUSH}}}enable", {"jid": str(service.boundjid), "node": node}))
    await iq.send()


def bodies(client: Slix) -> list[str]:
    """What a device has, with the copies of what others got."""
    found = []
    for message in client.messages:
        inner = message["carbon_received"] if message.xml.find(f"{{{ns.CARBONS}}}received") is not None else message
        if inner["body"]:
            found.append(inner["body"])
    return found


async def test_messages_come_once_to_each_device(login: Login, user: NewUser, live_node: LiveNode) -> None:
    app = await login(user(), "app", presence=False)
    service = Service(app)
    owner, friend = user(), user()
    laptop, phone = await login(owner, "laptop"), await login(owner, "phone")
    for device in (laptop, phone):
        await device.plugin["xep_0280"].enable()
        device.add_event_handler("carbon_received", device.messages.append)
    await enable(phone, app, "phone")
    romeo = await login(friend)

    # Awake: nothing is pushed.
    romeo.send_message(owner.jid, "one")
    await laptop.hears("one")
    await phone.hears("one")
    assert service.received == []

    # Inactive: the message comes, and a push with it.
    phone.plugin["xep_0352"].send_inactive()
    await phone.plugin["xep_0199"].send_ping(phone.boundjid.domain)
    romeo.send_message(owner.jid, "two")
    await phone.hears("two")
    push = await service.hears(1)
    assert (push.node, push.summary) == ("phone", {"message-count": "1"})
    assert push.sender == phone.boundjid.domain

    # Asleep: the message waits, the push is sent, and the phone comes back for it.
    resumed = phone.event_future("session_resumed")
    await asyncio.sleep(5.1)  # pushes to one device keep a distance
    phone.plugin["xep_0198"].send_ack()
    await phone.plugin["xep_0199"].send_ping(phone.boundjid.domain)
    phone.transport.abort()
    await phone.until(lambda: not phone.is_connected(), "the loss")
    romeo.send_message(str(laptop.boundjid), "three")
    await laptop.hears("three")
    push = await service.hears(2)
    assert push.node == "phone"
    phone.connect("127.0.0.1", live_node.c2s_port)
    await in_time(resumed, STEP_SECONDS)
    await phone.until(lambda: "three" in bodies(phone), "what waited")
    romeo.send_message(owner.jid, "four")
    await phone.hears("four")
    await laptop.hears("four")
    assert bodies(laptop) == ["one", "two", "three", "four"]
    assert bodies(phone) == ["one", "two", "three", "four"]
    assert len(service.received) == 2

    # Gone: the push is for the account.
    await phone.go()
    await asyncio.sleep(5.1)
    romeo.send_message(owner.jid, "five")
    await laptop.hears("five")
    assert (await service.hears(3)).node == "phone"
