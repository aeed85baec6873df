"""What was ordered, as a value that a job carries, and the source that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import ids
from archive.export.sources import NotAllowed, Officer, Own, Source
from archive.oversight.criteria import Criteria
from mlink_web.accounts.models import Account

FORMATS: Final = {"pdf": "PDF/A", "xml": "XML", "jsonl": "JSON lines"}
TYPES: Final = {
    "pdf": "application/pdf",
    "xml": "application/xml",
    "jsonl": "application/jsonl",
    "zip": "application/zip",
}


@dataclass(frozen=True, slots=True)
class Order:
    """An export as it was ordered. `who` is the bare address of who did, `made` when (seconds since the epoch): what
    came into the archive later is not part of it. Of one's own archive `talks`, `start`, `end`, `words` and `chosen`
    (ids as texts) say what is wanted, of all archives the `criteria` of an officer's search. `facts` say it for
    people. Of PDF/A files `attach` is whether the XML is inside, `earlier` whether earlier versions of corrected
    messages are shown, `sign` whether they are signed."""

    who: str
    format: str
    zone: str
    made: float
    officers: bool = False
    talks: list[list[str]] = field(default_factory=list)
    start: float | None = None
    end: float | None = None
    words: str = ""
    chosen: list[str] = field(default_factory=list)
    criteria: dict[str, Any] = field(default_factory=dict)
    facts: list[list[str]] = field(default_factory=list)
    reason: str = ""
    attach: bool = True
    earlier: bool = False
    sign: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the job's parameters."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Order:
        """Back from there."""
        return cls(**given)

    @property
    def time_zone(self) -> tzinfo:
        """In which times are shown."""
        return zone_of(self.zone)

    @property
    def title(self) -> str:
        """What stands on the cover."""
        return "Messages of the archive" if self.officers else f"Messages of {self.who}"

    @property
    def stem(self) -> str:
        """What names of its files begin with."""
        kind = "archive" if self.officers else "messages"
        return f"{kind}-{datetime.fromtimestamp(self.made, UTC):%Y%m%d-%H%M%S}"

    def source(self, connection: BaseDatabaseWrapper) -> Source:
        """Where its messages come from; raises NotAllowed where whoever ordered it may not have them now."""
        before = ids.first_after(self.made)
        account = find_account(connection, self.who)
        if account is None:
            raise NotAllowed("The account of who ordered the export is gone.")
        if self.officers:
            from archive.export import access

            return Officer(connection, access.scoped(account, Criteria.from_json(self.criteria)), before=before)
        return Own(
            connection,
            account,
            talks=[(peer, room) for peer, room in self.talks],
            start=self.start,
            end=self.end,
            words=self.words,
            chosen=[id for text in self.chosen if (id := ids.from_text(text)) is not None],
            before=before,
        )


def find_account(connection: BaseDatabaseWrapper, address: str) -> Account | None:
    """The account of a bare address, None where there is none."""
    return Account.objects.using(connection.alias).filter(username=address).first()


def zone_of(name: str) -> tzinfo:
    """The time zone of that name, UTC for one that is not known."""
    try:
        return ZoneInfo(name) if name and len(name) < 64 else UTC
    except (OSError, ValueError, KeyError):
        return UTC
