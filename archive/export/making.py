"""Exports of messages as jobs: ordering them, what the worker does, and what happens when files are fetched or go.

Every order stands in the audit log before there is a job, every download before the first byte. `held.py` remembers
what each file held when it is gone.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import F
from django.http import HttpRequest

from archive.export import access, gathering, held, producing, writing
from archive.export.criteria import facts_of
from archive.export.models import Export
from archive.export.ordered import FORMATS, Order
from archive.export.sources import MOST_IDS, MOST_TALKS, NotAllowed, Source
from archive.ids import text_of
from mlink_web.audit import log as audit
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job
from mlink_web.pdfa import signing

log = logging.getLogger("mlink.archive")

KIND: Final = "archive export"
#: Messages of one export of one's own archive.
MOST_OWN: Final = 200_000
_REASON: Final = 1_000
#: What a file takes, what a message in it beside its stanza, and for how many bytes of file a byte of stanza stands.
_SIZES: Final = {"pdf": (15_000, 90, 0.3), "xml": (500, 230, 1.0), "jsonl": (0, 260, 1.5)}
#: While a file is made, the disk holds so many times its messages, and so much must stay free.
_SCRATCH: Final = 3
_SPARE: Final = 64 * 1024 * 1024
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: By how much an estimate may be too high.
_DOUBT: Final = 10
#: Seconds between checkpoints, and for which a worker waits for another one that still has the folder.
_CHECKPOINT: Final = 3.0
_PATIENCE: Final = 300.0


class Refused(ValueError):
    """The export cannot be ordered; the text is a sentence for who wants it."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many messages an export will hold, about unless it is `exact`, and about how many bytes its file will
    have."""

    messages: int
    bytes: int
    exact: bool = True


def own_order(
    account: Any,
    *,
    talks: Sequence[tuple[str, str]] = (),
    start: float | None = None,
    end: float | None = None,
    words: str = "",
    ids: Sequence[int | str] = (),
    format: str = "pdf",
    zone: str = "",
) -> Order:
    """What a person wants of his own archive: the conversations (peer, room), one of them "", none for all; times in
    seconds since the epoch; words as he types them; ids, as numbers or texts, where very messages were chosen. Raises
    Refused."""
    if format not in FORMATS:
        raise Refused("Choose a format.")
    if len(talks) > MOST_TALKS or len(ids) > MOST_IDS:
        raise Refused(f"At most {MOST_TALKS:,} conversations or {MOST_IDS:,} messages can be chosen.")
    order = Order(
        str(account),
        format,
        zone,
        time.time(),
        talks=[[peer, room] for peer, room in talks],
        start=start,
        end=end,
        words=words,
        chosen=[id if isinstance(id, str) else text_of(id) for id in ids],
        sign=format == "pdf" and can_sign(),
    )
    return replace(order, facts=_own_facts(order))


def officer_order(
    user: Any,
    criteria: Any,
    format: str = "pdf",
    *,
    reason: str = "",
    zone: str = "",
    attach: bool = True,
    earlier: bool = True,
    sign: bool = False,
) -> Order:
    """What an officer wants of all archives: `criteria` of his search (`archive.oversight.search.Criteria`), and why.
    Raises Refused."""
    if format not in FORMATS:
        raise Refused("Choose a format.")
    if not reason.strip():
        raise Refused("Say why the messages are exported.")
    if sign and format == "pdf" and not can_sign():
        raise Refused("The server has no key to sign with.")
    try:
        criteria = access.scoped(user, criteria)
    except NotAllowed as refusal:
        raise Refused(str(refusal)) from None
    order = Order(
        user.get_username(),
        format,
        zone,
        time.time(),
        officers=True,
        criteria=criteria.to_json(),
        reason=" ".join(reason.split())[:_REASON],
        attach=attach,
        earlier=earlier,
        sign=sign and format == "pdf",
    )
    return replace(order, facts=[list(fact) for fact in facts_of(criteria, order.time_zone)])


def can_sign() -> bool:
    """Whether files can be signed."""
    return signing.is_configured()


def estimate(order: Order) -> Estimate:
    """About what will come of an order; raises Refused where it may not be had."""
    return estimates(order)[order.format]


def estimates(order: Order) -> dict[str, Estimate]:
    """The same in each format."""
    try:
        expected = order.source(connection).estimate()
    except NotAllowed as refusal:
        raise Refused(str(refusal)) from None
    return {
        format: Estimate(
            expected.messages, base + round(expected.messages * (overhead + share * expected.mean)), expected.exact
        )
        for format, (base, overhead, share) in _SIZES.items()
    }


def place(order: Order, *, origin: str = "") -> Job:
    """Have an order made. Raises Refused and jobs.services.TooMany, both ValueError with a sentence."""
    expected = estimate(order)
    most = gathering.MOST if order.officers else MOST_OWN
    if not expected.messages:
        raise Refused("There is no such message: nothing would be in the file.")
    number = f"{'' if expected.exact else 'about '}{expected.messages:,} message{'s' * (expected.messages != 1)}"
    # One that is not exact may be far off; collecting counts again.
    if expected.messages > (most if expected.exact else _DOUBT * most):
        raise Refused(f"These are {number}; an export holds at most {most:,}. Narrow it.")
    try:
        return _placed(order, _about(order, number), expected.messages, origin)
    except audit.NotWritten as error:
        log.error("an export was refused: %s", error)
        raise Refused("The audit log takes nothing now, so nothing is exported. Try again later.") from None


def _placed(order: Order, about: str, messages: int, origin: str) -> Job:
    with transaction.atomic():
        audit.record(
            order.who,
            "archive export ordered" if order.officers else "own archive export ordered",
            about,
            origin=origin,
            format=order.format,
            messages=messages,
            reason=order.reason,
            asked=order.facts,
        )
        job = jobs.order(KIND, order.who, about, order.to_json(), total=messages, unit="messages")
        remember(order, job.token, about)
    return job


def remember(order: Order, token: str, about: str) -> Export:
    """The row of an export that is going to be made."""
    return Export.objects.create(
        token=token,
        owner=order.who,
        officers=order.officers,
        format=order.format,
        about=about[:500],
        criteria=order.facts,
        reason=order.reason,
        created=order.made,
    )


def order_own(account: Any, *, origin: str = "", **wanted: Any) -> Job:
    """Have a file made of a person's own archive: see `own_order` and `place`."""
    return place(own_order(account, **wanted), origin=origin)


def order_officer(user: Any, criteria: Any, format: str = "pdf", *, origin: str = "", **options: Any) -> Job:
    """Have a file made of what an officer's search finds: see `officer_order` and `place`."""
    return place(officer_order(user, criteria, format, **options), origin=origin)


def run(work: Any) -> None:
    """What the worker does (`mlink_web.jobs.work.Work`)."""
    order = Order.from_json(work.parameters)
    export = Export.objects.get(token=work.job.token)
    folder: Path = work.folder
    teller = _Teller(work)
    with (folder / "lock").open("w") as lock:
        _alone(lock, work)
        try:
            made = produce(order, export, folder, teller)
        except work.Cancelled:
            # Another worker may have it, and then it is his.
            if not Job.objects.filter(pk=work.job.pk, state=Job.State.WORKING).exclude(holder=work.job.holder).exists():
                failed(export)
            raise
        except Refused as refusal:
            failed(export)
            raise work.Refused(str(refusal)) from None
        except BaseException:
            failed(export)
            raise
        ready(export, made)
        work.keep(made.path, made.name, made.type)


def produce(
    order: Order, export: Export, folder: Path, tell: producing.Told, *, source: Callable[[], Source] | None = None
) -> producing.Made:
    """Make the file in this folder, of the order's source or of another one, which is made anew whenever rights are to
    be judged. Raises Refused with a sentence for what stands in the way."""
    chosen = source or (lambda: order.source(connection))
    try:
        _has_room(chosen(), folder)
        return producing.produce(connection, order, chosen, export, folder, tell)
    except (NotAllowed, gathering.TooLarge, producing.Unsettled) as refusal:
        raise Refused(str(refusal)) from None
    except signing.Trouble as trouble:
        log.error("export %s could not be signed: %s", export.pk, trouble)
        raise Refused(
            "The file could not be signed, so it is not handed out; the administrators' log says why."
        ) from None
    except (OSError, sqlite3.OperationalError) as error:
        if not is_full(error):
            raise
        log.warning("export %s: no room on the disk: %s", export.pk, error)
        shutil.rmtree(folder, ignore_errors=True)
        raise Refused(_NO_ROOM) from None


_NO_ROOM: Final = "The server's disk has no room for this export. Narrow it, or ask the administrators to make room."


def is_full(error: Exception) -> bool:
    """Whether this says that a disk is full."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return "disk is full" in str(error)


def ready(export: Export, made: producing.Made) -> None:
    """Note what came of it."""
    Export.objects.filter(pk=export.pk).update(
        state=Export.State.READY,
        finished=time.time(),
        messages=made.messages,
        name=made.name,
        size=made.path.stat().st_size,
        sha256=writing.digest(made.path),
        signed=made.signed,
    )
    held.bound()


def failed(export: Export) -> None:
    """Note that nothing came of it: no file holds anything."""
    held.clear(export)
    Export.objects.filter(pk=export.pk).update(state=Export.State.FAILED, finished=time.time())


def ended(job: Job) -> None:
    """The job and its file go."""
    export = Export.objects.filter(token=job.token).first()
    if export is None:
        return
    if export.state == Export.State.READY and job.state == Job.State.READY:
        Export.objects.filter(pk=export.pk).update(state=Export.State.GONE)
    elif export.state != Export.State.GONE:
        failed(export)


def downloaded(request: HttpRequest, job: Job) -> None:
    """Somebody fetches the file: judged anew, and written down first."""
    export = Export.objects.filter(token=job.token).first()
    if export is None or not access.may_take(request.user, export, Order.from_json(job.parameters)):
        raise PermissionDenied
    with transaction.atomic():
        did = "archive export downloaded" if export.officers else "own archive export downloaded"
        audit.of_request(request, did, job.about, job=job.token, sha256=job.sha256, owner=job.owner)
        Export.objects.filter(pk=export.pk).update(fetched=F("fetched") + 1, fetched_last=time.time())


class _Teller:
    """Passes on how far it is; now and then as a checkpoint, so that a job which gets further is not given up."""

    def __init__(self, work: Any) -> None:
        self._work = work
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        checkpoint = None
        if now - self._last >= _CHECKPOINT:
            self._last = now
            checkpoint = {"done": done}
        self._work.note(done, total=total, checkpoint=checkpoint)


def _alone(lock: Any, work: Any) -> None:
    """Wait until no other worker of this machine is at the folder: one that was silent for long and lost the job finds
    that out when it next says how far it is. The lock of one that was killed is gone."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > until:
                raise work.Refused("Another worker holds the files of this export; order it anew.") from None
            work.note(work.job.done)
            time.sleep(0.5)


def _has_room(source: Source, folder: Path) -> None:
    expected = source.estimate()
    needed = _SCRATCH * min(expected.messages, gathering.MOST) * (expected.mean + 200)
    if expected.exact and shutil.disk_usage(folder).free < needed + _SPARE:
        raise Refused(_NO_ROOM)


def _about(order: Order, number: str) -> str:
    """The order in a line."""
    said = ", ".join(f"{name} {value}" if order.officers else value for name, value in order.facts)
    return f"{FORMATS[order.format]} of {number}: {said}"


def _own_facts(order: Order) -> list[list[str]]:
    """One's own order for people."""
    facts = []
    peers = [room or peer for peer, room in order.talks]
    if order.chosen:
        facts.append(["Chosen", f"{len(order.chosen):,} message{'s' * (len(order.chosen) != 1)}"])
    facts.append(["With", _listed(peers) if peers else "all conversations"])
    for name, seconds in (("From", order.start), ("Until", order.end)):
        if seconds is not None:
            facts.append(
                [name, f"{datetime.fromtimestamp(seconds, UTC).astimezone(order.time_zone):%Y-%m-%d %H:%M:%S}"]
            )
    if order.words:
        facts.append(["Words", order.words[:500]])
    return facts


def _listed(names: Iterable[str], most: int = 20) -> str:
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
