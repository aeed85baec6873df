"""The host names under which the pages answer: those of the environment, and every domain that the server serves.

Django asks for the list at each request, so a domain that is added in the console has its pages within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from django.core.exceptions import AppRegistryNotReady, SynchronousOnlyOperation
from django.db import DatabaseError

_SECONDS: Final = 10.0


class ServedHosts(list[str]):
    """Django's ALLOWED_HOSTS: what it is made with, and the enabled domains with the names below them."""

    _found: tuple[str, ...] = ()
    _looked = float("-inf")

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from self._served()

    def _served(self) -> tuple[str, ...]:
        now = time.monotonic()
        if now - self._looked > _SECONDS:
            try:
                from mlink_web.conf.models import Domain  # no models before the settings are there

                names = Domain.objects.filter(enabled=True).values_list("name", flat=True)
                self._found = tuple(host for name in names for host in (name, f".{name}"))
                self._looked = now
            except (AppRegistryNotReady, SynchronousOnlyOperation, DatabaseError):
                pass  # what was found last stands
        return self._found
