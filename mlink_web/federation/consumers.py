"""The live pages of federation: streams and queues once a second, and a test of a peer step by step."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from mlink_web.audit import log as audit
from mlink_web.console import commands
from mlink_web.console.access import may_use_console
from mlink_web.console.consumers import NO_LAYER, SIGNED_OUT, LivePage, is_same_origin
from mlink_web.console.node import NodeUnavailable
from mlink_web.federation.forms import ProbeForm
from mlink_web.federation.rows import as_step, listed, verdict
from mlink_web.federation.views.probe import PROBE_SECONDS

log = logging.getLogger("mlink.console")


class Streams(LivePage):
    """The streams to and from other servers, and what waits for them."""

    async def state(self) -> dict[str, Any]:
        """See LivePage."""
        try:
            answer = await commands.aanswer("s2s rows")
            return listed(answer.value, answer.warning)
        except (commands.Refused, NodeUnavailable) as error:
            return {"streams": [], "queues": [], "total": 0, "error": str(error)}


class Probe(AsyncWebsocketConsumer):
    """One test of a peer: a message for each step that ended, `{"done": verdict}` at the end, or `{"error": sentence}`.
    It is started by connecting, with `domain` and `sender` in the query; only our own pages can do that."""

    channel_layer_alias = NO_LAYER

    async def connect(self) -> None:
        """Accept administrators on our own pages; close on others."""
        self.work: asyncio.Task[None] | None = None
        if not is_same_origin(self.scope):
            await self.close()
            return
        await self.accept()
        user = self.scope.get("user")
        if not await database_sync_to_async(may_use_console)(user):
            await self.close(SIGNED_OUT)
            return
        self.work = asyncio.create_task(self.run(user.get_username()), name="test of a peer")

    async def disconnect(self, code: int) -> None:
        """Nobody looks any more."""
        if self.work is not None:
            self.work.cancel()

    async def run(self, who: str) -> None:
        """The test of one page."""
        asked = {n: v[0] for n, v in parse_qs(self.scope.get("query_string", b"").decode("latin-1")).items()}
        domain, sender, error = await database_sync_to_async(_asked)(asked)
        if error:
            await self.tell({"error": error})
            return
        steps: list[dict[str, Any]] = []

        async def progress(step: dict[str, Any]) -> None:
            steps.append(step)
            await self.tell({"step": as_step(step)})

        outcome: dict[str, Any] = {}
        try:
            await commands.aask("peer test", PROBE_SECONDS, progress=progress, domain=domain, sender=sender)
            outcome = verdict(steps, domain)
        except (commands.Refused, NodeUnavailable) as refusal:
            error = str(refusal)
        try:
            await self.note(who, domain, sender, bool(outcome.get("ok")), error)
        except audit.NotWritten as unwritten:
            log.warning("%s", unwritten)
            error = "The audit log takes nothing now, so what was found is not shown as done."
        await self.tell({"error": error} if error else {"done": outcome})

    async def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the page."""
        await self.send(text_data=json.dumps(message))

    async def note(self, who: str, domain: str, sender: str, reached: bool, error: str) -> None:
        """Record who tested what; raises NotWritten."""
        origin = str((self.scope.get("client") or ["unknown"])[0])
        details = {"sender": sender, "reached": reached, **({"why": error} if error else {})}
        await database_sync_to_async(audit.record)(who, "tested peer", domain, origin=origin, **details)


def _asked(given: dict[str, str]) -> tuple[str, str, str]:
    """Domain, sender, and a sentence where they do not do."""
    form = ProbeForm({"domain": given.get("domain", ""), "sender": given.get("sender", "")})
    if form.is_valid():
        return form.cleaned_data["domain"], form.cleaned_data["sender"], ""
    return "", "", " ".join(text for texts in form.errors.values() for text in texts)
