"""Proposing, approving and carrying out redactions. Each step is in the audit log before it takes effect.

    propose ----> working   where one officer is enough
       |
       `-------> proposed --> working   another officer agrees
                     `------> declined

A redaction that works has a job. Whatever ends that job before every place is done, another one is ordered
(`complete`), until they are.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection, transaction

from archive import events, records
from archive.oversight.access import may_oversee
from archive.redaction import places, tombstone
from archive.redaction.models import Options, Place, Redacted, Redaction
from archive.retention import holds
from archive.retention.models import Hold
from mlink_web.audit import log as audit
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job
from mlink_web.jobs.work import Work

log = logging.getLogger("mlink.archive")

KIND: Final = "archive redaction"
MOST: Final = 500
MAX_REASON: Final = 2_000
MAX_OPEN: Final = 500


class Refused(ValueError):
    """It may not be done; the text is a sentence."""


def second_needed() -> bool:
    """Whether a second officer must agree."""
    return bool(Options.objects.filter(pk=1).values_list("second", flat=True).first())


def need_second(wanted: bool, by: str, origin: str = "") -> None:
    """Change that; proposals that wait stay proposals."""
    with transaction.atomic():
        audit.record(by, "redactions: second officer", "on" if wanted else "off", origin=origin)
        Options.objects.update_or_create(pk=1, defaults={"second": wanted})


def propose(by: str, chosen: Mapping[int, str], reason: str, *, told: bool = False, origin: str = "") -> Redaction:
    """Order a redaction of these messages, each with how it came in (Redacted.How); where no second officer is needed
    it begins at once. Raises Refused, and NotWritten of the audit log."""
    reason = reason.strip()
    if not reason:
        raise Refused("A redaction needs a reason.")
    if len(reason) > MAX_REASON:
        raise Refused(f"The reason has at most {MAX_REASON} characters.")
    if not chosen:
        raise Refused("Choose at least one message.")
    if len(chosen) > MOST:
        raise Refused(f"At most {MOST} messages are redacted at a time.")
    if Redaction.objects.filter(state__in=(Redaction.State.PROPOSED, Redaction.State.WORKING)).count() >= MAX_OPEN:
        raise Refused("Too many redactions wait; decide some of them first.")
    found = _found(chosen)
    second = second_needed()
    with transaction.atomic():
        made = Redaction.objects.create(reason=reason, told=told, operator=by, created=time.time())
        Redacted.objects.bulk_create(
            Redacted(
                redaction=made,
                message=record.id,
                how=chosen[record.id],
                sender=record.sender,
                recipient=record.recipient,
                room=record.room,
            )
            for record in found
        )
        Place.objects.bulk_create(
            Place(redaction=made, name=name, order=order) for order, (name, _title, _go) in enumerate(places.PLACES)
        )
        audit.record(
            by,
            "redaction proposed" if second else "redaction ordered",
            str(made.pk),
            origin=origin,
            reason=reason,
            messages=[record.key for record in found],
        )
        if not second:
            _begin(made)
    return made


def approve(redaction: Redaction, by: str, note: str = "", *, origin: str = "") -> None:
    """A second officer agrees; raises Refused."""
    if by == redaction.operator:
        raise Refused("Whoever proposed a redaction cannot agree to it; another officer must.")
    _found({item.message: item.how for item in redaction.messages.all()})
    with transaction.atomic():
        _decide(redaction, by, note)
        audit.record(by, "redaction approved", str(redaction.pk), origin=origin, note=note.strip())
        _begin(redaction)


def decline(redaction: Redaction, by: str, note: str, *, origin: str = "") -> None:
    """An officer declines; who proposed it may take it back so. Raises Refused."""
    with transaction.atomic():
        _decide(redaction, by, note)
        audit.record(by, "redaction declined", str(redaction.pk), origin=origin, note=note.strip())
        redaction.state = Redaction.State.DECLINED
        redaction.save(update_fields=("state",))


def _decide(redaction: Redaction, by: str, note: str) -> None:
    note = note.strip()
    if len(note) > MAX_REASON:
        raise Refused(f"The note has at most {MAX_REASON} characters.")
    now = time.time()
    # One of two who decide at the same time.
    taken = Redaction.objects.filter(pk=redaction.pk, state=Redaction.State.PROPOSED, decided=None).update(
        second=by, decided=now, note=note
    )
    if not taken:
        raise Refused("It was decided already.")
    redaction.second, redaction.decided, redaction.note = by, now, note


def _found(chosen: Mapping[int, Any]) -> list[records.Record]:
    """The messages as they are; raises Refused where one is gone, redacted already or held."""
    wanted = sorted(chosen)
    found: list[records.Record] = []
    for start in range(0, len(wanted), 200):
        found += records.by_ids(connection, wanted[start : start + 200])
    if len(found) < len(wanted):
        raise Refused("A message is no longer in the archive; choose again.")
    kept = holds.held_ids(connection, found)
    if kept:
        guard = holds.Guard.read(connection)
        numbers = sorted({guard.hold_on(record) for record in found if record.id in kept} - {0})
        named = ", ".join(f"{hold.pk} ({hold.reason[:80]})" for hold in Hold.objects.filter(pk__in=numbers)[:5])
        raise Refused(
            f"{'A message is' if len(kept) == 1 else f'{len(kept)} messages are'} under legal hold {named}".strip()
            + ". What is held is not redacted until the hold is released."
        )
    return found


def is_open(record: records.Record) -> bool:
    """Whether a message can still be redacted: a redacted one cannot be again; a retracted one can, for a copy of it
    may be kept."""
    return not (events.is_tombstone(record.xml) and tombstone.number_of(record.xml))


def _begin(redaction: Redaction) -> None:
    """Order the job, in the caller's transaction."""
    redaction.state = Redaction.State.WORKING
    job = _order(redaction)
    redaction.job = job.token if job is not None else ""
    redaction.save(update_fields=("state", "job"))


def _order(redaction: Redaction) -> Job | None:
    try:
        return jobs.order(
            KIND,
            redaction.operator,
            f"Redaction {redaction.pk}",
            {"redaction": redaction.pk},
            total=len(places.PLACES),
            unit="places",
        )
    except jobs.TooMany:
        return None  # `complete` orders it when there is room


def run(work: Work) -> None:
    """The job: goes to all places that are not done. A place that cannot be gone to now does not keep it from the
    others."""
    redaction = Redaction.objects.filter(pk=work.parameters["redaction"]).first()
    if redaction is None or redaction.state != Redaction.State.WORKING:
        return
    troubles = []
    done = 0
    for name, title, go in places.PLACES:
        place = Place.objects.get(redaction=redaction, name=name)
        if place.state != Place.State.DONE:
            try:
                place.result = go(connection, redaction)
                place.state = Place.State.DONE
            except places.NotYet as trouble:
                place.result, place.state = str(trouble), Place.State.TROUBLE
            except Exception:
                log.exception("redaction %s could not be carried out in %s", redaction.pk, name)
                place.result, place.state = "It failed; the administrators' log says why.", Place.State.TROUBLE
            place.changed = time.time()
            place.save(update_fields=("result", "state", "changed"))
            if place.state == Place.State.TROUBLE:
                troubles.append(title)
                if name == "database":
                    break  # nothing else may be gone to before
        done += place.state == Place.State.DONE
        work.note(done, checkpoint={"place": name})
    if troubles:
        raise work.Refused(f"Not done yet: {', '.join(troubles)}. It is tried again in a minute.")
    with transaction.atomic():
        gone = redaction.messages.values_list("message", "sha256", "state")
        lines = "".join(f"{message:016x} {digest or state}\n" for message, digest, state in gone)
        audit.record(
            redaction.operator,
            "redaction carried out",
            str(redaction.pk),
            second=redaction.second,
            messages=len(gone),
            digest=hashlib.sha256(lines.encode()).hexdigest(),
            places={place.name: place.result for place in redaction.places.all()},
        )
        redaction.state, redaction.finished = Redaction.State.DONE, time.time()
        redaction.save(update_fields=("state", "finished"))


def complete() -> int:
    """Order jobs for redactions whose job is over and that are not done; returns how many."""
    ordered = 0
    for pk in Redaction.objects.filter(state=Redaction.State.WORKING).values_list("pk", flat=True):
        with transaction.atomic():
            # The worker of another node may be at it too.
            redaction = Redaction.objects.select_for_update().filter(pk=pk, state=Redaction.State.WORKING).first()
            if redaction is None:
                continue
            under_way = Job.objects.filter(token=redaction.job, state__in=(Job.State.WAITING, Job.State.WORKING))
            if redaction.job and under_way.exists():
                continue
            job = _order(redaction)
            if job is not None:
                redaction.job = job.token
                redaction.save(update_fields=("job",))
                ordered += 1
    return ordered


def may_see(user: Any, _job: Job) -> bool:
    """Officers who redact see the jobs of each other."""
    return may_oversee(user, "redact") or may_oversee(user, "approve")
