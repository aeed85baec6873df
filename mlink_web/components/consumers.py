"""The live page of components: their state once a second."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async

from mlink_web.components.models import Component
from mlink_web.components.rows import listed
from mlink_web.console import commands
from mlink_web.console.consumers import LivePage
from mlink_web.console.node import NodeUnavailable


class Components(LivePage):
    """All components, connected or not."""

    async def state(self) -> dict[str, Any]:
        """See LivePage."""
        found = await database_sync_to_async(lambda: list(Component.objects.all()))()
        try:
            answer = await commands.aanswer("component status")
            return {**listed(found, answer.value, warning=answer.warning), "total": len(found)}
        except (commands.Refused, NodeUnavailable) as error:
            return {**listed(found, None, str(error)), "total": len(found)}
