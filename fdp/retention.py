"""Submissions that their topic keeps no longer go, in slices: first from the node, then from the archive. A node that
stops in between finds them again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from fdp.storage import SLICE
from xmpp_engine.api import StanzaError

if TYPE_CHECKING:
    from fdp.service import FormsService

log = logging.getLogger("mlink.forms")
#: Slices of one look; what remains is for the next one.
MAX_SLICES: Final = 20


async def expire(forms: FormsService) -> int:
    """Remove what has expired; returns how many. Raises StoreUnavailable."""
    removed = 0
    for _ in range(MAX_SLICES):
        found = await forms.store.expired([forms.domain], forms.services.clock.time())
        for topic, ids in found:
            if topic.active:
                await _retract(forms, topic.submitted_node, ids)
            await forms.store.remove(topic.id, ids)
            removed += len(ids)
            log.info("%d submission(s) of %s on %s have expired", len(ids), topic.suffix, forms.domain)
        if all(len(ids) < SLICE for _topic, ids in found):
            break
    return removed


async def _retract(forms: FormsService, name: str, ids: list[str]) -> None:
    try:
        node = await forms.pubsub.node(name)
        # Their publishers may have taken some back.
        present = [item.id for item in await forms.services.stores.pubsub.get(node.number, ids)]
        if present:
            await forms.pubsub.retract(name, present, notify=False)
    except StanzaError as error:
        if error.condition not in ("item-not-found", "gone"):
            raise
