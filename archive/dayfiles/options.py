"""How files are made: settings of the machine, rows of the database.

MLINK_ARCHIVE_FILES   the folder, MLINK_HOME/archive by default; all machines that run workers see the same one
per domain            on or off; off until somebody says otherwise: two copies of what two people say to each other
                      cost twice its size, and are a record to be kept, which is for people to decide
time zone, gzip       for all domains
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from archive import ids
from archive.dayfiles.days import DEFAULT_ZONE, Calendar
from archive.dayfiles.models import DomainChoice, Options, Stretch, Writer


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is in force."""

    choices: dict[str, bool] = field(default_factory=dict)
    calendar: Calendar = field(default_factory=Calendar)
    compress: bool = False
    since: dict[str, int] = field(default_factory=dict)

    @property
    def any_on(self) -> bool:
        """Whether any domain has files."""
        return any(self.choices.values())

    def is_on(self, domain: str) -> bool:
        """Whether the messages of a domain are written: as is said of it, or of what it is a part of."""
        return self.choices.get(self._named(domain), False)

    def began(self, domain: str) -> int:
        """From which id on a domain's messages are all written."""
        return self.since.get(self._named(domain), ids.MAX_ID)

    def _named(self, domain: str) -> str:
        """What is said about a domain is said of this one, "" for none."""
        while domain and domain not in self.choices:
            domain = domain.partition(".")[2]
        return domain


def folder() -> Path:
    """The archive's folder."""
    return Path(settings.MLINK_ARCHIVE_FILES)


def read(alias: str) -> Chosen:
    """What is in force now."""
    row = Options.objects.using(alias).filter(pk=1).first() or Options()
    rows = list(DomainChoice.objects.using(alias).all())
    choices, since = {one.domain: one.on for one in rows}, {one.domain: one.since for one in rows if one.on}
    return Chosen(choices, Calendar(row.zones), row.compress, since)


def set_domain(alias: str, domain: str, on: bool, now: float) -> None:
    """Switch a domain's files on or off. From when they are on, the whole current day is written."""
    with transaction.atomic(using=alias):
        before = read(alias)
        calendar = before.calendar
        low = calendar.bounds(calendar.day_of(ids.first_at(now)))[0]
        was_on = before.is_on(domain)
        since = min(low, before.began(domain)) if was_on else low
        DomainChoice.objects.using(alias).update_or_create(domain=domain, defaults={"on": on, "since": since})
        writer, _made = Writer.objects.using(alias).get_or_create(pk=1)
        if on and not was_on:
            # While no domain had files nobody followed; and what was followed today had nothing of this one.
            upto = max(writer.upto, low - 1)
            Writer.objects.using(alias).filter(pk=1).update(upto=upto)
            if upto >= low:
                Stretch.objects.using(alias).create(low=low, high=upto, domain=domain)


def set_zone(alias: str, name: str, now: float) -> date:
    """Let days begin in another time zone; returns the first such day, the one after tomorrow at the latest, for days
    that have begun stay as they are. Raises ValueError for a zone that does not exist."""
    try:
        zone = ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"There is no time zone {name!r}.") from None
    with transaction.atomic(using=alias):
        row, _made = Options.objects.using(alias).get_or_create(pk=1)
        calendar = Calendar(row.zones)
        today = calendar.day_of(ids.first_at(now))
        first = today + timedelta(days=2)
        kept = [[day, other] for day, other in row.zones if date.fromisoformat(day) < first]
        if Calendar(kept).zone_of(first) != zone.key:
            kept.append([first.isoformat(), zone.key])
        row.zones = kept
        row.save(using=alias, update_fields=("zones",))
    return first


def zone(alias: str) -> str:
    """The zone that was chosen last."""
    row = Options.objects.using(alias).filter(pk=1).first()
    return row.zones[-1][1] if row is not None and row.zones else DEFAULT_ZONE


def set_compress(alias: str, on: bool) -> None:
    """Compress files when they are closed, or do not; those that are closed stay as they are."""
    Options.objects.using(alias).update_or_create(pk=1, defaults={"compress": on})
