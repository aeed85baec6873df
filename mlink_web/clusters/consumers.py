"""The live page of the cluster: the drawing and the tables as the page shows them, every second or two."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.template.loader import render_to_string

from mlink_web.clusters.views import state_of
from mlink_web.console import commands
from mlink_web.console.consumers import LivePage
from mlink_web.console.node import NodeUnavailable


class Cluster(LivePage):
    """Nodes, links and what happened."""

    async def state(self) -> dict[str, Any]:
        """See LivePage; `html` is what the page has between its head and its foot."""
        try:
            answer = await commands.aanswer("cluster report")
        except (commands.Refused, NodeUnavailable) as error:
            return {"error": str(error)}
        return {"html": await database_sync_to_async(_html)(answer), "error": ""}


def _html(answer: commands.Answer) -> str:
    return render_to_string("clusters/_state.html", {"state": state_of(answer)})
