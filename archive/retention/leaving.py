"""Messages that expired leave the XML day files too, where their policy says so: after they are gone from the database,
and for certain, whatever happens in between."""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive.retention.models import Leaving

#: Messages handed over at a time.
PAGE: Final = 500


def follow(connection: BaseDatabaseWrapper) -> int:
    """Hand over what waits; returns how many messages that were."""
    whole = 0
    waiting = Leaving.objects.using(connection.alias).order_by("id")
    while found := list(waiting.values_list("id", flat=True)[:PAGE]):
        from archive.dayfiles import removed

        removed.apply(found)
        Leaving.objects.using(connection.alias).filter(id__in=found).delete()
        whole += len(found)
    return whole
