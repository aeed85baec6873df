"""The live pages of the console: one message a second over a WebSocket, for administrators only. Those of single
domains get what they may see where a page says so (`LivePage.within_domains`).

Each connection asks the node by itself: there are a handful of administrators, and a page that nobody looks at must
cost nothing. Whether the person may still look is checked again every RECHECK seconds, so that a disabled administrator
does not watch on.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from mlink_web.accounts.models import Account
from mlink_web.console import node
from mlink_web.console.access import NOTHING, Reach, reach_of

PERIOD = 1.0
#: Up to this many sessions are listed once a second, twice as many every two seconds, and so on.
EACH_SECOND = 2_000
#: Seconds between two looks at some domains.
OF_DOMAINS = 3.0
RECHECK = 10
#: A live page hears nothing of a channel layer: with none it neither waits for Redis nor needs it.
NO_LAYER = ""
#: Close code that tells the page not to try again (4000 and up are the application's).
SIGNED_OUT = 4401


def is_same_origin(scope: dict[str, Any]) -> bool:
    """Whether the page that opens the WebSocket came from the host that it connects to.

    Browsers always send Origin and do not keep other sites' pages from connecting with our cookie, so this is what
    keeps them out. A request without Origin is refused: it comes from no page of ours.
    """
    headers = dict(scope.get("headers", ()))
    origin = urlsplit(headers.get(b"origin", b"").decode("latin-1"))
    host = headers.get(b"host", b"").decode("latin-1")
    return origin.scheme in ("http", "https") and bool(host) and origin.netloc.lower() == host.lower()


@database_sync_to_async
def reach_now(pk: int) -> Reach:
    """How far the account's administration reaches now, by the database."""
    return reach_of(Account.objects.filter(pk=pk).first())


class LivePage(AsyncWebsocketConsumer):
    """Sends what `state` returns, once a second, while the page is open. What the page sends is ignored."""

    channel_layer_alias = NO_LAYER
    #: Whether administrators of single domains may look: then `state` keeps to `self.reach`.
    within_domains = False
    reach: Reach = NOTHING

    def admits(self, reach: Reach) -> bool:
        """Whether who reaches so far may look at this page."""
        return reach.everything or (self.within_domains and bool(reach))

    async def connect(self) -> None:
        """Accept administrators on our own pages; close on others."""
        self.feed: asyncio.Task[None] | None = None
        user = self.scope.get("user")
        if not is_same_origin(self.scope):
            await self.close()
            return
        # Accepted first in any case: only then does the page see the close code.
        await self.accept()
        self.reach = await database_sync_to_async(reach_of)(user)
        if not self.admits(self.reach):
            await self.close(SIGNED_OUT)
            return
        self.feed = asyncio.create_task(self.run(user.pk), name="console live page")

    async def disconnect(self, code: int) -> None:
        """Stop asking the node."""
        if self.feed is not None:
            self.feed.cancel()

    async def run(self, pk: int) -> None:
        """The loop of one connection; ends with it."""
        turn = 0
        while True:
            turn += 1
            if turn % RECHECK == 0:
                self.reach = await reach_now(pk)
                if not self.admits(self.reach):
                    await self.close(SIGNED_OUT)
                    return
            state = await self.state()
            await self.send(text_data=json.dumps(state))
            # Listing costs the node about 10 us a session: a full house is looked at less often.
            busy = max(1.0, state.get("total", 0) / EACH_SECOND)
            # Of some domains only few of those that the node lists are counted here.
            await asyncio.sleep(PERIOD * (busy if self.reach.everything else max(OF_DOMAINS, busy)))

    async def state(self) -> dict[str, Any]:
        """What the page shows; `error` with a sentence where the node does not answer."""
        raise NotImplementedError


class Sessions(LivePage):
    """The list of connected sessions."""

    within_domains = True

    async def state(self) -> dict[str, Any]:
        """See LivePage."""
        return await node.asessions(reach=self.reach)


class Overview(LivePage):
    """The figures of the node, with the messages per second since the last time."""

    within_domains = True
    last: tuple[float, int] | None = None

    async def state(self) -> dict[str, Any]:
        """See LivePage."""
        figures = await node.afigures(self.reach)
        figures["rate"] = None
        if figures.get("error") or "messages" not in figures:
            self.last = None
            return figures
        now, total = asyncio.get_running_loop().time(), figures["messages"]
        if self.last is not None and total >= self.last[1] and now > self.last[0]:
            figures["rate"] = (total - self.last[1]) / (now - self.last[0])
        self.last = (now, total)
        return figures
