"""The report of an import: in words for the page, and as a file for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS

from mlink_web.portability.models import Entry, Import

COLUMNS: Final = ("in the files", "here", "outcome", "taken", "notes")
#: Outcomes in the words of a report, and of a trial.
WORDS: Final = {"made": "made", "changed": "changed", "same": "unchanged", "skipped": "skipped", "refused": "refused"}
TRIAL_WORDS: Final = {
    "made": "would be made",
    "changed": "would be changed",
    "same": "would not change",
    "skipped": "would be skipped",
    "refused": "would be refused",
}


#: What is counted, of which there is one only.
_ONE: Final = {
    "contacts": "contact",
    "contacts removed": "contact removed",
    "requests": "request",
    "blocked": "blocked address",
    "offline messages": "offline message",
    "messages": "message",
    "messages joined": "message joined",
    "messages there already": "message there already",
    "nodes": "node",
    "items": "item",
    "rooms": "room",
    "rooms there already": "room there already",
    "affiliations": "affiliation",
    "groups": "group",
    "topics": "topic",
    "nodes of services": "node of a service",
    "nodes of services there already": "node of a service there already",
    "items of services": "item of a service",
}


def counted(counts: Mapping[str, int]) -> str:
    """What was taken of an account, as a list in words."""
    listed = ((what, number) for what, number in counts.items() if what != "account" and number)
    return ", ".join(f"{number:,} {_ONE.get(what, what) if number == 1 else what}" for what, number in listed)


def rows(row: Import, using: str = DEFAULT_DB_ALIAS) -> Iterator[tuple[str, ...]]:
    """The lines of the file."""
    words = TRIAL_WORDS if row.dry else WORDS
    for entry in Entry.objects.using(using).filter(run_id=row.pk).order_by("seq").iterator(chunk_size=1_000):
        yield (
            entry.source,
            entry.target,
            words.get(entry.outcome, entry.outcome),
            counted(entry.counts),
            " ".join(entry.troubles),
        )


def write_csv(row: Import, path: Path, using: str = DEFAULT_DB_ALIAS) -> None:
    """The report as CSV in UTF-8: a line for each account, then the notes about the files."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for line in rows(row, using):
            writer.writerow(map(_cell, line))
        for note in row.summary.get("notes", ()):
            writer.writerow(map(_cell, ("", "", "", "", note)))


def _cell(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def sentences(summary: Mapping[str, Any], *, dry: bool) -> list[str]:
    """The summary in sentences."""
    words = TRIAL_WORDS if dry else WORDS
    accounts: Mapping[str, int] = summary.get("accounts", {})
    lines = [
        f"{number:,} account{'' if number == 1 else 's'} {words.get(outcome, outcome)}."
        for outcome, number in accounts.items()
    ]
    if not accounts:
        lines.append("There is no account in the files.")
    for title, key in (("Of accounts", "counts"), ("Beside accounts", "extension")):
        found = counted(summary.get(key, {}))
        if found:
            lines.append(f"{title}: {found}.")
    domains = summary.get("domains", [])
    if domains:
        lines.append(f"Domains {'that would be added' if dry else 'added'}: {', '.join(domains)}.")
    return lines


def as_text(row: Import, using: str = DEFAULT_DB_ALIAS) -> str:
    """The whole report as text, for the command."""
    out = io.StringIO()
    out.write("\n".join(sentences(row.summary, dry=row.dry)) + "\n")
    for source, target, outcome, taken, notes in rows(row, using):
        name = target if target == source or not target else f"{source} -> {target}"
        out.write(f"{name or source}: {outcome}{f' ({taken})' if taken else ''}{f' {notes}' if notes else ''}\n")
    for note in row.summary.get("notes", ()):
        out.write(f"{note}\n")
    return out.getvalue()
