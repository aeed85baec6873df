"""The job that takes a domain apart, step by step.

A worker may be killed at any moment. Each step does only what is still there to be done, so it may be begun again; when
one is finished, its line in the audit log, the row and the job's checkpoint are written in one transaction, so that it
is told of once and not begun again.

Accounts go near the end: the steps before them find by them what is theirs. The domain itself goes last.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.core.files.base import File
from django.core.files.storage import storages
from django.db import connection, transaction

from archive import ids, removal
from archive.export import making
from archive.export.criteria import facts_of
from archive.export.models import Export
from archive.export.ordered import TYPES, Order, zone_of
from archive.export.sources import Officer
from archive.oversight import search
from archive.records import Record
from fdp import services as forms
from fdp.models import Topic
from mlink_web.accounts import services as accounts
from mlink_web.audit import log as audit
from mlink_web.clusters import numbers
from mlink_web.conf import services as configuration
from mlink_web.conf import snapshot
from mlink_web.conf.models import Domain
from mlink_web.delegation import deleting
from mlink_web.delegation.models import DomainDeletion
from mlink_web.groups.models import Group
from mlink_web.invitations.models import Invitation
from mlink_web.jobs.models import Job
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from mlink_web.pubsub.models import Service
from mlink_web.pubsub.nodes import remove as remove_node
from mlink_web.uploads import services as uploads

if TYPE_CHECKING:
    from mlink_web.jobs.work import Work

#: Nodes look at the configuration every two seconds; one that starts meanwhile has read it before it can be asked.
SETTLE_SECONDS: Final = 5.0
#: Seconds that a node may take to let go of the domain.
CLOSE_SECONDS: Final = 120.0
SLICE: Final = 100
FORMAT: Final = "jsonl"


def run(work: Work) -> None:
    """The job."""
    row = DomainDeletion.objects.filter(pk=work.parameters.get("deletion", 0)).first()
    if row is None:
        return
    if row.state == DomainDeletion.State.DONE:
        # The worker before died when only its file was still to be handed over.
        Deletion(work, row).keep_file()
        return
    try:
        Deletion(work, row).run()
    except deleting.CannotDelete as error:
        _refused(row, str(error))
        raise work.Refused(str(error)) from None
    except work.Cancelled:
        # Another worker may have it, and then it is his.
        if not Job.objects.filter(pk=work.job.pk, state=Job.State.WORKING).exclude(holder=work.job.holder).exists():
            _refused(row, "It was cancelled. What is gone stays gone; order it anew to finish it.")
        raise


def _refused(row: DomainDeletion, why: str) -> None:
    with transaction.atomic():
        audit.record(row.ordered_by, "domain deletion stopped", row.name, reason=why, removed=row.removed)
        DomainDeletion.objects.filter(pk=row.pk).update(
            state=DomainDeletion.State.REFUSED, trouble=why, finished=time.time()
        )


class Deletion:
    """One deletion, from wherever it is."""

    def __init__(self, work: Work, row: DomainDeletion) -> None:
        self._work = work
        self._row = row
        self._removed: Counter[str] = Counter(row.removed)
        self._done: list[str] = list(work.checkpoint.get("done", []))
        self._domain = Domain.objects.filter(pk=row.domain, name=row.name).first()
        self._hosts = deleting.hosts_of(self._domain) if self._domain is not None else []
        self._held = int(work.checkpoint.get("held", 0))

    def run(self) -> None:
        """All of it."""
        exports = self._row.archive == DomainDeletion.Archive.EXPORT
        steps: list[tuple[str, Callable[[Domain], None]]] = [("closed", self._close)]
        if exports:
            steps += [("archive exported", self._export), ("archive removed", self._archive)]
        steps += [
            ("files removed", self._files),
            ("rooms removed", self._rooms),
            ("nodes removed", self._nodes),
            ("topics removed", self._topics),
            ("invitations removed", self._invitations),
            ("users removed", self._users),
        ]
        if self._domain is not None:
            for name, step in steps:
                if name not in self._done:
                    self._look_for_holds(self._domain)
                    step(self._domain)
                    self._finish_step(name)
        self._remove_domain()
        self.keep_file()

    def _look_for_holds(self, domain: Domain) -> None:
        domain.refresh_from_db()
        if domain.enabled:
            raise deleting.CannotDelete("Somebody has switched the domain on again; nothing more is deleted.")
        held = deleting.hold_on(domain)
        if held:
            raise deleting.CannotDelete(held)

    def _finish_step(self, name: str) -> None:
        with transaction.atomic():
            audit.record(self._row.ordered_by, f"domain deletion: {name}", self._row.name, **self._told(name))
            self._done.append(name)
            self._save()

    def _told(self, name: str) -> dict[str, Any]:
        numbers = {kind: number for kind, number in self._removed.items() if name.startswith(kind.partition(" ")[0])}
        return {**numbers, "held": self._held} if name == "archive removed" else numbers

    def _save(self) -> None:
        """How far it is, so that whoever takes over goes on from here."""
        self._row.removed = {kind: number for kind, number in self._removed.items() if number}
        DomainDeletion.objects.filter(pk=self._row.pk).update(removed=self._row.removed)
        file = self._work.checkpoint.get("file")
        checkpoint = {"done": self._done, "held": self._held, **({"file": file} if file else {})}
        self._work.note(sum(self._removed.values()), checkpoint=checkpoint)

    # The steps

    def _close(self, domain: Domain) -> None:
        """Wait until no node serves the domain any more: what a node has in memory it would write again."""
        begun = time.monotonic()
        while time.time() < self._row.ordered + SETTLE_SECONDS or is_served(domain.name):
            if time.monotonic() > begun + CLOSE_SECONDS:
                raise deleting.CannotDelete("A node still serves the domain; nothing is deleted. Its log says why.")
            self._work.note(0)
            time.sleep(0.2)

    def _export(self, _domain: Domain) -> None:
        """The archive in a file, which is in the storage of results before anything is removed."""
        criteria = deleting.criteria_of(self._hosts)
        order = Order(
            self._row.ordered_by,
            FORMAT,
            "UTC",
            self._row.ordered,
            officers=True,
            criteria=criteria.to_json(),
            facts=[list(fact) for fact in facts_of(criteria, zone_of("UTC"))],
            reason=self._row.reason,
            earlier=True,
        )
        token = f"domain-{self._work.job.token}"
        export = Export.objects.filter(token=token).first() or making.remember(
            order, token, f"Archive of {self._row.name}, which is deleted"
        )
        source = Officer(connection, criteria, before=ids.first_after(order.made))
        folder = self._work.folder / "export"
        folder.mkdir(exist_ok=True)
        try:
            made = making.produce(
                order, export, folder, lambda _done, _total: self._work.note(0), source=lambda: source
            )
        except making.Refused as refusal:
            making.failed(export)
            raise deleting.CannotDelete(str(refusal)) from None
        making.ready(export, made)
        store = storages["exports"]
        store.delete(self._work.job.token)
        with made.path.open("rb") as file:
            store.save(self._work.job.token, File(file))
        self._removed["archive messages exported"] = made.messages
        self._work.checkpoint = {**self._work.checkpoint, "file": f"{self._row.name}-{made.name}"}

    def _archive(self, _domain: Domain) -> None:
        """What stands in the archives of its people and rooms; the other side's copies and what is held stay."""
        hosts = set(self._hosts)
        self._held = 0
        walk = search.walk(connection, deleting.criteria_of(self._hosts))
        while some := list(islice(walk, removal.SLICE)):
            outcome = removal.take(connection, dict(wanted for record in some for wanted in sides(record, hosts)))
            self._removed["archive messages removed"] += outcome.changed
            self._held += len(outcome.held)
            self._save()

    def _files(self, domain: Domain) -> None:
        for pk in list(deleting.files(domain.pk).values_list("account_id", flat=True).distinct()):
            self._removed["files"] += uploads.remove_all(pk)
            self._save()
        if deleting.files(domain.pk).exists():
            raise OSError("a shared file could not be removed")

    def _rooms(self, _domain: Domain) -> None:
        while some := list(deleting.rooms(self._hosts).values_list("pk", flat=True)[:SLICE]):
            with transaction.atomic():
                deleting.rooms(self._hosts).filter(pk__in=some).delete()
                self._removed["rooms"] += len(some)
                self._save()

    def _nodes(self, _domain: Domain) -> None:
        while some := list(deleting.nodes(self._hosts).values_list("pk", flat=True)[:SLICE]):
            with transaction.atomic():
                for number in some:
                    remove_node(connection, number)
                self._removed["nodes"] += len(some)
                self._save()
        Service.objects.filter(address__in=self._hosts).delete()

    def _topics(self, _domain: Domain) -> None:
        for topic in Topic.objects.filter(service__in=self._hosts, removed=0):
            forms.remove_topic(topic)
            self._removed["topics"] += 1
        self._save()

    def _invitations(self, domain: Domain) -> None:
        self._removed["invitations"] += Invitation.objects.filter(domain=domain.name).delete()[0]
        self._save()

    def _users(self, domain: Domain) -> None:
        while some := list(deleting.accounts(domain.pk).order_by("pk")[:SLICE]):
            for account in some:
                try:
                    accounts.remove(account)
                except ValueError as error:
                    raise deleting.CannotDelete(str(error)) from None
                self._removed["users"] += 1
            self._save()

    # The end

    def _remove_domain(self) -> None:
        with transaction.atomic():
            domain = self._domain
            paths = None
            if domain is not None:
                self._removed["groups"] = Group.objects.filter(domain=domain).count()
                paths = snapshot.certificate_paths(domain) if not domain.tls_certificate else None
                try:
                    configuration.remove_domain(domain)
                except ValueError as error:
                    raise deleting.CannotDelete(str(error)) from None
            row = self._row
            if self._held:
                why = "A legal hold covers them. They go by retention once it is released."
                row.kept = [*row.kept, {"what": f"{self._held:,} messages", "why": why}]
            if row.archive == DomainDeletion.Archive.KEEP:
                kept = {"what": "the archive of the domain", "why": "It was to be kept; it goes by retention."}
                row.kept = [kept, *row.kept]
            row.removed = {kind: number for kind, number in self._removed.items() if number}
            row.state, row.finished = DomainDeletion.State.DONE, time.time()
            audit.record(row.ordered_by, "domain deletion: done", row.name, removed=row.removed, held=self._held)
            row.save(update_fields=("state", "finished", "kept", "removed"))
        # Those that the node has made itself; whoever brought his own keeps them.
        for path in paths or ():
            path.unlink(missing_ok=True)

    def keep_file(self) -> None:
        """The exported archive is the job's result, also where another worker has made it."""
        name = self._work.checkpoint.get("file")
        if not name:
            return
        path: Path = self._work.folder / f"export.{FORMAT}"
        with storages["exports"].open(self._work.job.token) as stored, path.open("wb") as file:
            for chunk in stored.chunks():
                file.write(chunk)
        self._work.keep(path, name, TYPES[FORMAT])


def sides(record: Record, hosts: set[str]) -> list[tuple[int, int | None]]:
    """Whose side of a message goes with these hosts: None for all of it."""
    ours = [address.rpartition("@")[2] in hosts for address in (record.sender, record.recipient)]
    if record.room:
        return [(record.id, None)] if ours[1] else []
    if all(ours):
        return [(record.id, None)]
    number = record.sender_account if ours[0] else record.recipient_account
    other = record.recipient_account if ours[0] else record.sender_account
    # Where nobody else keeps it, it goes whole, also when its own side is not known by number any more.
    return [(record.id, number if other else None)] if number or not other else []


def is_served(name: str) -> bool:
    """Whether a node of the cluster, or the node of this data folder, serves the domain; True where that cannot be told
    of all that run."""
    if numbers.apart():
        return True
    client = EngineClient()
    try:
        served = name in asyncio.run(client.stats())["domains"]
    except NodeDown:
        return bool(numbers.running())
    except (EngineError, OSError):
        return True
    return served or bool(client.warnings)
