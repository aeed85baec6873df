"""Commands on what is archived."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

from archive import tally
from archive.selection import services
from archive.selection.forms import options_of
from archive.selection.models import Decision
from mlink_web.conf.models import Domain
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
WORD: Final = Argument("word", "always, never, or own for the own choice or configuration")
#: Decisions that are listed.
SHOWN: Final = 10_000


@registry.command("archive domains", "Show what the domains archive.", permission="read")
def archive_domains() -> list[dict[str, Any]]:
    """Change it by `domain set NAME modules '{"archive": {...}, "room_archive": {...}}'`, or in the console."""
    found = []
    for domain in Domain.objects.all():
        people, rooms = options_of(domain)
        found.append(
            {
                "domain": domain.name,
                "default": domain.archive,
                "people": people.users,
                "kinds": ", ".join(people.kinds),
                "rooms": rooms.rooms,
            }
        )
    return found


@registry.command("archive decisions", "List the people and rooms for which it is decided.", permission="read")
def archive_decisions() -> list[dict[str, Any]]:
    """By kind and address."""
    return [
        {"address": row.address, "kind": row.kind, "archived": "always" if row.kept else "never", "by": row.who}
        for row in Decision.objects.all()[:SHOWN]
    ]


@registry.command(
    "archive user",
    "Decide whether a person's messages are archived, over his own preferences.",
    Argument("jid", "bare address"),
    WORD,
)
def archive_user(jid: str, word: str) -> str:
    """Running nodes follow at once."""
    return _done(services.decide("user", jid, word, who="command"), word)


@registry.command(
    "archive room",
    "Decide whether a room is archived, over its configuration.",
    Argument("room", "address of the room"),
    WORD,
)
def archive_room(room: str, word: str) -> str:
    """Who is inside is told."""
    return _done(services.decide("room", room, word, who="command"), word)


@registry.command("archive recount", "Have the numbers of messages by owner and day made anew, in the background.")
def archive_recount() -> str:
    """Meanwhile charts and counts of long archives tell of the newest messages only."""
    tally.forget(connection)
    return "The node counts anew, some ten thousand messages a second."


def _done(address: str, word: str) -> str:
    if word == "own":
        return f"{address} is archived by its own choice or configuration."
    return f"{address} is {word} archived."
