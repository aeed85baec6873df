"""Messages that expired leave the XML day files too, where their policy says so: after they are gone from the database,
and for certain, whatever happens in between."""

from __future__ import annotations

import logging
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive.dayfiles import removed, turns
from archive.retention.models import Leaving

log = logging.getLogger("mlink.archive")

#: Messages handed over at a time.
PAGE: Final = 500


def follow(connection: BaseDatabaseWrapper) -> int:
    """Hand over what waits; returns how many messages that were. While the files cannot be changed it goes on waiting,
    and keeps nothing else from going on."""
    whole = 0
    waiting = Leaving.objects.using(connection.alias).order_by("id")
    while found := list(waiting.values_list("id", flat=True)[:PAGE]):
        try:
            removed.apply(found, alias=connection.alias)
        except (turns.Busy, turns.Unusable, turns.Lost, OSError) as trouble:
            log.warning("what has expired cannot be taken out of the day files yet: %s", trouble)
            return whole
        Leaving.objects.using(connection.alias).filter(id__in=found).delete()
        whole += len(found)
    return whole
