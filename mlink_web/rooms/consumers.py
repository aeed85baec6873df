"""The live pages of rooms: who is in a room, and how many are in each room of the list."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async

from mlink_web.console import commands
from mlink_web.console.consumers import LivePage
from mlink_web.console.node import NodeUnavailable
from mlink_web.rooms import listing
from mlink_web.rooms.rows import OCCUPANTS_SHOWN, as_occupant, list_query


class Room(LivePage):
    """The occupants of one room."""

    within_domains = True

    async def state(self) -> dict[str, Any]:
        """See LivePage; `gone` where the room is not there any more."""
        room = self.scope["url_route"]["kwargs"]["room"]
        if not self.reach.covers(room):
            return {"list": [], "total": 0, "gone": True, "error": "There is no such room."}
        try:
            found = await commands.aask("room occupants", room=room)
        except commands.Refused as error:
            return {"list": [], "total": 0, "gone": True, "error": self.reach.told(str(error))}
        except NodeUnavailable as error:
            return {"list": [], "total": 0, "error": str(error)}
        return {"list": [as_occupant(row) for row in found[:OCCUPANTS_SHOWN]], "total": len(found), "error": ""}


class Rooms(LivePage):
    """How many are in each room of one page of the list."""

    within_domains = True

    async def state(self) -> dict[str, Any]:
        """See LivePage."""
        asked = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        query = list_query({name: values[0] for name, values in asked.items()})
        try:
            if self.reach.everything:
                found = await commands.aask("room page", **query.arguments())
            else:
                found = (await database_sync_to_async(listing.page)(self.reach, query)).value
        except (commands.Refused, NodeUnavailable) as error:
            return {"rooms": {}, "total": 0, "error": self.reach.told(str(error))}
        counts = {row["room"]: row["occupants"] for row in found["rooms"]}
        return {"rooms": counts, "total": found["total"], "error": ""}
