"""What was answered about a room survives SIGKILL: configuration, lists and subject.

An iq result, and the end of an administrator's command, come once the change is stored. A subject is shown to the room
at once and stored some milliseconds later, so what counts for it here is the next answered change of the same room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from xml.etree.ElementTree import Element

import pytest

from tests.durability.client import Client
from tests.live import LiveNode
from tests.patience import in_time

ROOM = "cellar@conference.localhost"
OWNER_NS = "http://jabber.org/protocol/muc#owner"
ADMIN_NS = "http://jabber.org/protocol/muc#admin"
CONFIG = "http://jabber.org/protocol/muc#roomconfig"
JOIN = f"<presence to='{ROOM}/Olga'><x xmlns='http://jabber.org/protocol/muc'/></presence>"


def form(**values: str) -> str:
    """A filled-in configuration form."""
    fields = "".join(
        f"<field var='muc#roomconfig_{name}'><value>{value}</value></field>" for name, value in values.items()
    )
    kind = f"<field var='FORM_TYPE' type='hidden'><value>{CONFIG}</value></field>"
    return f"<query xmlns='{OWNER_NS}'><x xmlns='jabber:x:data' type='submit'>{kind}{fields}</x></query>"


def item(jid: str, affiliation: str) -> str:
    """A request for an affiliation."""
    return f"<query xmlns='{ADMIN_NS}'><item jid='{jid}' affiliation='{affiliation}'><reason>so</reason></item></query>"


class Guest:
    """A client that notes the subjects and errors that it is shown."""

    def __init__(self, node: LiveNode, user: str, password: str) -> None:
        self.subjects: list[str] = []
        self.client = Client(user, password, node.c2s_port, "desk", resumable=False, on_message=self._heard)
        self._came = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def _heard(self, message: Element) -> None:
        found = message.find("{jabber:client}subject")
        if found is not None and message.find("{jabber:client}body") is None:
            self.subjects.append(found.text or "")
            self._came.set()

    async def enter(self) -> None:
        """Sign in and enter the room; its subject ends that."""
        await self.client.connect()
        self._reading = asyncio.create_task(self.client.run())
        await self.say(JOIN)

    async def say(self, xml: str) -> None:
        """Send something that the room answers with a subject."""
        self._came.clear()
        self.client.send(xml)
        await in_time(self._came.wait(), 20)

    async def set(self, payload: str) -> None:
        """Ask the room for a change; it must be granted."""
        answer = await self.client.iq("set", payload, ROOM)
        assert answer.get("type") == "result", answer

    async def leave(self) -> None:
        """End without a word."""
        self.client.cut()
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_what_was_answered_about_a_room_survives(
    database: str, start_node: Callable[..., LiveNode], request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("fresh_postgres_url") if database == "postgres" else ""
    node = await asyncio.to_thread(lambda: start_node(MLINK_DATABASE_URL=url))
    user = await asyncio.to_thread(node.add_user, "olga")

    async def again(guest: Guest) -> Guest:
        """Kill the node at once, start it, come back."""
        await asyncio.to_thread(node.kill)
        await guest.leave()
        await asyncio.to_thread(node.start)
        fresh = Guest(node, user.jid, user.password)
        await fresh.enter()
        return fresh

    guest = Guest(node, user.jid, user.password)
    await guest.enter()
    await guest.set(form(roomname="The Shed", persistentroom="1"))
    await guest.say(f"<message to='{ROOM}' type='groupchat'><subject>Wine &amp; cheese</subject></message>")
    await guest.set(form(roomname="The Cellar", persistentroom="1", membersonly="1", whois="anyone"))

    guest = await again(guest)
    assert guest.subjects == ["Wine & cheese"]
    shown = await asyncio.to_thread(node.ctl_json, "room", "show", ROOM)
    assert (shown["name"], shown["members_only"], shown["persistent"]) == ("The Cellar", True, True)
    number = shown["number"]
    assert number > 0

    await guest.set(item("romeo@example.org", "member"))
    guest = await again(guest)
    await guest.set(item("romeo@example.org", "outcast"))
    guest = await again(guest)
    await guest.set(form(roomname="The Vault"))
    guest = await again(guest)
    lists = await asyncio.to_thread(node.ctl_json, "room", "affiliations", ROOM)
    assert {row["jid"]: (row["affiliation"], row["reason"]) for row in lists} == {
        user.jid: ("owner", ""),
        "romeo@example.org": ("outcast", "so"),
    }

    # The same by an administrator's command.
    await asyncio.to_thread(node.ctl, "room", "subject", ROOM, "Beer")
    guest = await again(guest)
    assert guest.subjects == ["Beer"]
    shown = await asyncio.to_thread(node.ctl_json, "room", "show", ROOM)
    assert (shown["name"], shown["members_only"], shown["number"]) == ("The Vault", True, number)

    # A destroyed room stays destroyed.
    await guest.set(f"<query xmlns='{OWNER_NS}'><destroy/></query>")
    await asyncio.to_thread(node.kill)
    await guest.leave()
    await asyncio.to_thread(node.start)
    assert await asyncio.to_thread(node.ctl_json, "room", "list") == []
    bad = [line for line in node.log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
    assert not bad, "\n".join(bad[:10])
