"""OneScheduler: starts what is due (CELERY_BEAT_SCHEDULE) on one node at a time, however many have workers.

    takes the row where it is free     nobody has it, or who had it was silent for LEASE_SECONDS
    renews it every LOOK_SECONDS       and notes when each thing was last started
    starts nothing without it          also where it cannot be renewed, once it has run out by the process's own clock

A node that is killed is replaced within LEASE_SECONDS and LOOK_SECONDS; when it comes back under its name before that,
it takes its own row again at once. Whoever takes over knows when each thing was last started: nothing is started early,
and what was missed is started at once. What was started in the seconds after the last note may be started twice, which
all tasks bear; they bear running at the same time too, for a queue hands them to whichever worker is free.
"""

from __future__ import annotations

import logging
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Final

from celery import beat
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseError
from django.db.models import Q

from mlink_web.clusters.models import Scheduler

log = logging.getLogger("mlink.scheduler")

LEASE_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 5.0


class Lease:
    """The row, as one process sees it."""

    def __init__(self, node: str, alias: str = DEFAULT_DB_ALIAS) -> None:
        self._node = node
        self.alias = alias
        self._token = secrets.token_hex(16)
        self._has = False
        #: Of a process of this node before us; one that lives on must not take it back from us again and again.
        self._may_inherit = True

    def renew(self, runs: dict[str, float]) -> dict[str, float] | None:
        """Keep the row and note when things were last started, or take it where it is free. Returns None where
        somebody else has it, else what the row says of that. Raises what the database raises."""
        rows = Scheduler.objects.using(self.alias)
        now = time.time()
        mine = {"until": now + LEASE_SECONDS, "runs": runs}
        if self._has and rows.filter(pk=1, holder=self._token).update(**mine):
            return runs
        self._has = False
        row, _made = rows.get_or_create(pk=1)
        # A clock that was set back must not keep the row for years.
        free = Q(until__lt=now) | Q(until__gt=now + 2 * LEASE_SECONDS)
        if self._may_inherit:
            free |= Q(node=self._node)
        taken = rows.filter(free, pk=1).update(holder=self._token, node=self._node, until=now + LEASE_SECONDS)
        self._may_inherit = False
        if not taken:
            return None
        self._has = True
        row.refresh_from_db()
        return {name: float(when) for name, when in row.runs.items()}

    def rest(self) -> None:
        """Needs the connection no more for now."""
        connections[self.alias].close()


class OneScheduler(beat.Scheduler):
    """Celery's scheduler, while it has the row."""

    def __init__(self, *arguments: Any, lease: Lease | None = None, **options: Any) -> None:
        self._lease = lease or Lease(settings.MLINK_NODE_NAME)
        self._look_at = self._until = 0.0
        self.leads = False
        super().__init__(*arguments, **options)

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Start one thing that is due; returns the seconds to wait until the next call."""
        self._look()
        if not self.leads:
            return LOOK_SECONDS
        return min(super().tick(*arguments, **options), LOOK_SECONDS)

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            runs = {name: entry.last_run_at.timestamp() for name, entry in self.schedule.items()}
            try:
                found = self._lease.renew(runs)
            except DatabaseError as error:
                log.info("the scheduler waits for the database: %s", " ".join(str(error).split()))
            else:
                self.leads = found is not None
                self._until = now + LEASE_SECONDS
                if found is not None and found is not runs:
                    self._go_on_from(found)
            finally:
                self._lease.rest()
        if self.leads and time.monotonic() >= self._until:
            self.leads = False

    def _go_on_from(self, runs: dict[str, float]) -> None:
        """Whoever had it before started things at these times."""
        now = time.time()
        for name, entry in self.schedule.items():
            if name in runs:
                entry.last_run_at = datetime.fromtimestamp(min(runs[name], now), UTC)
        # The order in which things are due is another one now.
        self._heap = None
