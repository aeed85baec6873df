"""What the console and the commands do with reports. Wrong input raises ValueError with a sentence for people."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from archive import ids
from archive.document import body_of, element_of
from archive.models import Message
from mlink_web.accounts.models import Account
from mlink_web.reports import store
from xmpp_engine.api import Jid, StreamError, stored_reports

Report = stored_reports.Report
MAX_NOTE = 2_000


@dataclass(frozen=True, slots=True)
class Reported:
    """A message that a report names: its id, and what the archive has of it, if it has it."""

    id: str
    stamp: float = 0.0
    body: str = ""
    found: bool = False


def find(number: int) -> Report:
    """One report; raises ValueError."""
    report = store.get(number)
    if report is None:
        raise ValueError(f"There is no report {number}.")
    return report


def messages_of(report: Report) -> list[Reported]:
    """The messages that it names. Only what stands in the reporter's own archive and was sent by whom it reports is
    shown: a report opens nobody else's conversations."""
    owner = Account.objects.filter(username=report.reporter).values_list("pk", flat=True).first()
    numbers = {id: ids.from_text(id) for id, by in report.messages if by in ("", report.reporter)}
    rows = {
        row.pk: row
        for row in Message.objects.filter(pk__in=[number for number in numbers.values() if number is not None])
        if owner is not None and row.recipient_account == owner and is_from(row.sender, report.reported)
    }
    found = []
    for id, _by in report.messages:
        row = rows.get(numbers.get(id) or 0)
        found.append(Reported(id) if row is None else Reported(id, row.stamp, _text(row.xml), found=True))
    return found


def is_from(sender: str, reported: str) -> bool:
    """Whether an archived sender is what a report is about: an address, or anybody of a domain."""
    try:
        one, other = Jid.parse(sender), Jid.parse(reported)
    except ValueError:
        return False
    return one.bare == other.bare if other.local else one.domain == other.domain


def _text(xml: str) -> str:
    try:
        return body_of(element_of(xml))
    except (StreamError, ValueError):
        return ""


def close(number: int, by: str, note: str) -> None:
    """Close an open report."""
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE} characters.")
    find(number)
    if not store.close(number, by, note.strip(), time.time()):
        raise ValueError(f"Report {number} is closed already.")


def local_account(report: Report) -> Account | None:
    """The account that it is about, where that is one of ours."""
    bare = report.reported.partition("/")[0]
    return Account.objects.select_related("domain").filter(username=bare).first()


def about_same(report: Report, domains: Collection[str] | None = None) -> int:
    """How many other reports there are about the same address; of some domains where they are given."""
    return store.about(report.reported, domains) - 1
