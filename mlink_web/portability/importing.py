"""Imports: what the job and the command do, in three steps over the same files.

    accounts    one after the other, each with all that is small, in a transaction of its own
    messages    their archives and the items of their nodes, some hundreds in a transaction
    extension   rooms, nodes of services, topics and groups, where the files have them

What became of each account stands in a row (`models.Entry`) that is written in the account's transaction: an import
that is cut off goes on behind it, on any machine. Everything may be repeated: what is there is not added twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from archive import indexing
from mlink_web.portability import mapping, names, reading, sources
from mlink_web.portability.extension_import import Extension
from mlink_web.portability.intake import Intake
from mlink_web.portability.messages import Messages
from mlink_web.portability.models import Entry, Import
from mlink_web.portability.names import shown
from mlink_web.portability.published import Published
from mlink_web.portability.sources import BadSource
from mlink_web.portability.taken import MADE, REFUSED, SKIPPED, Taken
from mlink_web.portability.taking import Taker, address_of

log = logging.getLogger("mlink.portability")

#: Messages between two notes of how far it is.
_NOTED: Final = 200
#: Sentences about the files themselves that are kept.
_MAX_NOTES: Final = 500

#: Called with how many accounts are done, of how many (0 for unknown), and whether an account has just been finished;
#: may raise to end the import.
Note = Callable[[int, int], None]


def key_of(bare: str) -> str:
    """By what an address is found among the entries."""
    return hashlib.sha256(bare.encode()).hexdigest()[:40]


class Run:
    """One import."""

    def __init__(self, row: Import, path: Path, note: Note, alias: str = DEFAULT_DB_ALIAS) -> None:
        self._row = row
        self._path = path
        self._note = note
        self._alias = alias
        self._addresses = mapping.of_document(row.mapping)
        self._notes: list[str] = list(row.summary.get("notes", []))
        self._users = 0
        self._done = 0
        self._entries = Entry.objects.using(alias).filter(run_id=row.pk)

    def run(self) -> dict[str, Any]:
        """Do it, or go on with it; returns the summary, which is stored too. Raises BadSource, and what the database
        and `note` raise."""
        source = sources.open_source(self._path)
        try:
            mains = sources.mains(source)
            taker = Taker(self._alias, self._row.policy, dry=self._row.dry, make_domains=self._row.make_domains)
            self._accounts(source, mains, taker)
            self._contents(source, mains)
            extension = self._extension(source)
        finally:
            source.close()
        if not self._row.dry:
            indexing.catch_up(connections[self._alias], words=True)
        return self._finish(taker, extension)

    # Accounts

    def _accounts(self, source: sources.Source, mains: list[str], taker: Taker) -> None:
        wanted = {reading.PARTS, reading.OFFLINE, reading.OWNER}
        intake: Intake | None = None
        entry: Entry | None = None
        for event in reading.Reader(source, wanted).read(mains):
            if isinstance(event, reading.User):
                self._users += 1
                entry, intake = self._begin(event)
            elif isinstance(event, reading.UserEnd):
                if intake is not None and entry is not None:
                    self._take(taker, entry, intake, whole=event.whole)
                intake = entry = None
                self._note(self._users, 0)
            elif isinstance(event, reading.Trouble):
                self._trouble(event, intake)
            elif intake is None:
                continue
            elif isinstance(event, reading.Part):
                intake.part(event.element)
            elif isinstance(event, reading.Entry):
                (intake.message if event.kind == reading.OFFLINE else intake.owner)(event.element)

    def _begin(self, user: reading.User) -> tuple[Entry | None, Intake | None]:
        """An account begins: None for one that an earlier try has taken."""
        present = self._entries.filter(seq=self._users).first()
        if present is not None:
            return None, None
        entry = Entry(run_id=self._row.pk, seq=self._users, source=f"{user.name[:1_023]}@{user.host[:1_023]}")
        try:
            bare = address_of(user.name, user.host, self._addresses)
            if self._entries.filter(key=key_of(bare), target=bare).exists():
                raise ValueError(f"{bare} stands in the import twice; the first one counts.")
        except ValueError as error:
            entry.outcome, entry.troubles, entry.step = REFUSED, [str(error)], Entry.Step.DONE
            entry.save(using=self._alias, force_insert=True)
            return None, None
        entry.target, entry.key = bare, key_of(bare)
        return entry, Intake(self._addresses, bare, user.where, user.password)

    def _take(self, taker: Taker, entry: Entry, intake: Intake, *, whole: bool) -> None:
        if not whole:
            intake.trouble("Some of it could not be read; what was read is taken.")
        with transaction.atomic(using=self._alias):
            taken = taker.take(intake)
            entry.outcome, entry.number = taken.outcome, taken.number
            entry.counts, entry.troubles = dict(taken.counts), taken.troubles
            if taken.outcome in (REFUSED, SKIPPED):
                entry.step = Entry.Step.DONE
            entry.save(using=self._alias, force_insert=True)

    def _trouble(self, event: reading.Trouble, intake: Intake | None) -> None:
        if intake is not None:
            intake.trouble(event.sentence)
        elif len(self._notes) < _MAX_NOTES:
            sentence = f"{event.where}: {event.sentence}"
            if sentence not in self._notes:
                self._notes.append(sentence)

    # Messages and items

    def _contents(self, source: sources.Source, mains: list[str]) -> None:
        messages = Messages(self._alias, self._addresses, dry=self._row.dry)
        published = Published(self._alias, self._addresses, dry=self._row.dry)
        total, self._done = self._users, 0
        entry: Entry | None = None
        taken = Taken("", "")
        read = 0
        try:
            for event in reading.Reader(source, {reading.ARCHIVE, reading.ITEM}).read(mains):
                if isinstance(event, reading.User):
                    self._done += 1
                    entry = self._entries.filter(seq=self._done, step=Entry.Step.ACCOUNT).first()
                    if entry is not None:
                        taken = Taken(entry.target, entry.outcome, entry.number)
                        messages.begin(entry.target, entry.number)
                        published.begin(taken, replace=self._row.policy == "replace" or entry.outcome == MADE)
                elif isinstance(event, reading.UserEnd):
                    if entry is not None:
                        messages.flush()
                        published.flush()
                        self._finished(entry, taken, messages)
                    entry = None
                    self._note(total + self._done, 2 * total)
                elif isinstance(event, reading.Entry) and entry is not None:
                    if event.kind == reading.ARCHIVE:
                        messages.take(event.element)
                    else:
                        published.take(event.node, event.element)
                    read += 1
                    if read % _NOTED == 0:
                        self._note(total + self._done, 2 * total)
        finally:
            messages.close()

    def _finished(self, entry: Entry, taken: Taken, messages: Messages) -> None:
        counts = Counter(entry.counts)
        counts.update(taken.counts)
        found = messages.counts
        counts.update({"messages": found.added, "messages joined": found.joined})
        if found.same:
            counts["messages there already"] += found.same
        for reason, number in found.left_out.most_common(20):
            taken.troubles.append(f"{number:,} archived message{'' if number == 1 else 's'} left out: {reason}")
        entry.counts = {what: number for what, number in counts.items() if number}
        entry.troubles = [*entry.troubles, *taken.troubles][:100]
        if entry.outcome == "same" and (taken.counts or found.added or found.joined):
            entry.outcome = "changed"
        entry.step = Entry.Step.DONE
        entry.save(using=self._alias, update_fields=("counts", "troubles", "step", "outcome"))

    # The rest

    def _extension(self, source: sources.Source) -> dict[str, int]:
        extension = Extension(self._alias, self._addresses, self._row.policy, dry=self._row.dry)
        for name in sources.extensions(source):
            try:
                with source.open(name) as file:
                    extension.take(file, lambda: self._note(2 * self._users, 2 * self._users))
            except BadSource as error:
                self._notes.append(f"{shown(name)}: {error}")
        self._notes += extension.troubles
        return dict(extension.counts)

    def _finish(self, taker: Taker, extension: dict[str, int]) -> dict[str, Any]:
        outcomes: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for entry in self._entries.order_by("seq").iterator(chunk_size=1_000):
            outcomes[entry.outcome] += 1
            counts.update(entry.counts)
        summary = {
            "accounts": dict(outcomes),
            "counts": dict(counts),
            "extension": extension,
            "domains": taker.made_domains,
            "notes": self._notes[:_MAX_NOTES],
        }
        self._row.summary = summary
        self._row.save(using=self._alias, update_fields=("summary",))
        return summary


def media_name(name: str) -> str:
    """The name of an uploaded file as it may be shown and kept: its last part."""
    return names.shown(name.replace("\\", "/").rpartition("/")[2] or "import", 200).strip('"')
