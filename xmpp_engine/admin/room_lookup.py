"""What all commands on rooms share: finding a room and its service, asking it, and a room as they show it."""

from __future__ import annotations

from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Argument, CommandError
from xmpp_engine.admin.values import stamp
from xmpp_engine.plugin.room_administration import Hosting, RoomAdministration, RoomFacts
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml.errors import StanzaError

ROOM: Final = Argument("room", "address of the room, name@service")
REASON: Final = Argument("reason", "what people in the room are told", option=True, default="")


async def ask(wish: Any) -> Any:
    """Await a wish to a service; its refusals become sentences."""
    try:
        return await wish
    except StanzaError as error:
        text = error.text or {
            "item-not-found": "There is no such room.",
            "conflict": "There is such a room already.",
        }.get(error.condition, f"The room refuses this: {error.condition}.")
        raise CommandError(text) from None
    except StoreUnavailable as error:
        raise CommandError(f"The database does not answer: {error}.") from None


def find(engine: Hosting, room: str) -> tuple[RoomAdministration, str, str]:
    """(service, local part, canonical address) of a room; raises CommandError."""
    try:
        jid = Jid.parse(room.strip())
    except ValueError:
        jid = None
    if jid is None or not jid.local or jid.resource:
        raise CommandError(f"{room.strip()!r} is not the address of a room; it looks like name@service.")
    return service_of(engine, jid.domain), jid.local, jid.bare


def service_of(engine: Hosting, domain: str) -> RoomAdministration:
    """The multi-user chat service of this domain; raises CommandError."""
    services = engine.room_services()
    try:
        return services[domain]
    except KeyError:
        known = ", ".join(sorted(services)) or "none"
        raise CommandError(f"There is no room service {domain!r}; there are: {known}.") from None


def row(facts: RoomFacts, service: str) -> dict[str, Any]:
    """One room as commands show it."""
    return {
        "room": f"{facts.local}@{service}",
        "name": facts.name,
        "occupants": facts.occupants,
        "affiliated": facts.affiliated,
        "persistent": facts.persistent,
        "public": facts.public,
        "waits": facts.waits,
        "last_activity": stamp(facts.last_activity),
    }
