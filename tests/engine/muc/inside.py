"""What tests of rooms begin with: a room that is open, and people inside it."""

from __future__ import annotations

from typing import Any

from xmpp_engine.muc.room import Room
from xmpp_engine.muc.service import RoomService

SERVICE = "conference.story.example"
ROOM = f"hall@{SERVICE}"
MODULES = (
    "xmpp_engine.modules.disco.Disco",
    "xmpp_engine.modules.stream_management.StreamManagementModule",
    "xmpp_engine.modules.blocking.Blocking",
    "xmpp_engine.modules.roster.Roster",
    "xmpp_engine.modules.presence.Presence",
    "xmpp_engine.modules.carbons.Carbons",
    "xmpp_engine.modules.vcard.VCard",
    "xmpp_engine.modules.ping.Ping",
    "xmpp_engine.muc.module.Muc",
)
USER = "http://jabber.org/protocol/muc#user"


def enter(nick: str, inner: str = "", children: str = "", room: str = ROOM) -> str:
    """The presence that enters; `inner` goes into its `<x/>`."""
    x = f"<x xmlns='http://jabber.org/protocol/muc'>{inner}</x>"
    return f"<presence to='{room}/{nick}' id='join'>{x}{children}</presence>"


def says(text: str, id: str = "m") -> str:
    """A groupchat message."""
    return f"<message to='{ROOM}' type='groupchat' id='{id}'><body>{text}</body></message>"


def x(inner: str) -> str:
    """The room's `<x/>`."""
    return f"<x xmlns='{USER}'>{inner}</x>"


def status(*codes: int) -> str:
    """Status codes."""
    return "".join(f"<status code='{code}'/>" for code in codes)


def refusal(condition: str, type: str = "") -> str:
    """An `<error/>`."""
    attr = f" type='{type}'" if type else ""
    return f"<error{attr}><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


async def begin(story: Any, **options: Any) -> RoomService:
    """The world with a chat service of these options."""
    world = await story.begin(modules=MODULES, options={"muc": {"services": {"conference": options}}})
    return world.module("muc").chat[SERVICE]  # type: ignore[no-any-return]


async def hall(story: Any, *people: str, options: dict[str, Any] | None = None, **config: Any) -> list[Any]:
    """A room of alice, configured, with these people inside (their names are their nicknames); inboxes are empty."""
    service = await begin(story, **(options or {}))
    clients = [await story(person) for person in ("alice", *people)]
    clients[0].send(enter("alice"))
    await story.world.settle()
    room = service.rooms["hall"]
    room.reconfigure(room.with_config(**config))
    for client, person in zip(clients[1:], people, strict=True):
        client.send(enter(person))
    for client in clients:
        await client.receives_all()
    return clients


def room_of(story: Any) -> Room:
    """The resident room."""
    found = story.world.module("muc").room(ROOM)
    assert found is not None
    return found  # type: ignore[no-any-return]


async def drain(*clients: Any) -> None:
    """Let everything arrive and forget it."""
    for client in clients:
        await client.receives_all()
