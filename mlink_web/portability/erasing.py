"""Erasing an account: order, job, certificate.

    goes     the account with all that hangs on it (as when it is removed), its side of the archive and its day files,
             its shared files, the files that it had made
    stays    what belongs to others or to the organisation: `STAYS` says what and why

A legal hold refuses it, and so does not knowing whether there is one. The account is disabled when the erasure is
ordered, so nothing is added meanwhile; each step may be done again, so a worker that dies is no harm.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction

from archive import indexing, query, removal
from archive.dayfiles import removed, turns
from archive.filters import Filter
from archive.oversight.access import may_oversee
from archive.retention import holds
from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job
from mlink_web.portability import own
from mlink_web.portability.models import Erasure
from mlink_web.uploads import services as uploads

if TYPE_CHECKING:
    from mlink_web.jobs.work import Work

log = logging.getLogger("mlink.portability")

KIND: Final = "erasure"
MAX_REASON: Final = 1_000
#: What is not touched, and why; shown before, and in the certificate.
STAYS: Final = (
    (
        "messages in the archives of those with whom the person wrote",
        "They are copies that belong to the other side, as letters belong to who received them. The address stays in"
        " them: an archive that was changed afterwards would prove nothing any more.",
    ),
    (
        "what the person said in rooms",
        "It belongs to the room. A single message is taken out by redaction, a room's archive by clearing it or by its"
        " retention.",
    ),
    ("forms that the person submitted", "They are records of their topic and are kept as long as that says."),
    ("bans", "That somebody is banned from a room or node is a decision of its owners about the address."),
    ("reports of abuse by or about the person", "They are needed to tell a repeated abuse."),
    ("day files of others, and exports that others made", "They follow their own retention."),
    ("the audit log", "It says who did what on this server, and cannot be changed."),
    (
        "contact list entries of others",
        "The name that others gave stays theirs; the subscriptions end, as with any removed account.",
    ),
)


class CannotErase(ValueError):
    """The account is not erased; the text is a sentence."""


def may_see(user: Any, _job: Any) -> bool:
    """Whoever may decide what is kept sees erasures."""
    return may_oversee(user, "retain")


def hold_on(account: Account) -> str:
    """Why a legal hold forbids the erasure, "" where none does. Whatever goes wrong forbids it."""
    try:
        hold = holds.is_held(account=account.username)
    except Exception:
        log.exception("whether %s is held cannot be found out", account.username)
        return "Whether a legal hold covers this account cannot be found out now; nothing is erased."
    if hold is None:
        return ""
    since = time.strftime("%Y-%m-%d", time.gmtime(hold.placed)) if hold.placed else ""
    return f"A legal hold covers this account{f' since {since}' if since else ''}: {hold.reason}"


def check(account: Account, by: str) -> None:
    """Raise CannotErase where the account must not be erased."""
    if account.username == by:
        raise CannotErase("You cannot erase your own account.")
    held = hold_on(account)
    if held:
        raise CannotErase(held)
    if account.is_superuser and account.is_active:
        others = Account.objects.filter(is_superuser=True, state=Account.State.ACTIVE).exclude(pk=account.pk)
        if not others.exists():
            raise CannotErase(f"{account.username} is the last administrator; make another one first.")


def order(account: Account, by: str, reason: str, record: Callable[..., object]) -> Erasure:
    """Have an account erased, which is disabled at once. `record` writes the audit entry (what, target, details) in the
    same transaction. Raises CannotErase and jobs.TooMany."""
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise CannotErase(f"An erasure needs a reason, of at most {MAX_REASON:,} characters.")
    with transaction.atomic():
        check(account, by)
        if Erasure.objects.filter(account=account.pk, state=Erasure.State.WAITING).exists():
            raise CannotErase(f"The erasure of {account.username} is under way.")
        record("erasure ordered", account.username, reason=reason)
        row = Erasure.objects.create(
            address=account.username,
            account=account.pk,
            ordered_by=by,
            ordered=time.time(),
            reason=reason,
            kept=[{"what": what, "why": why} for what, why in STAYS],
        )
        accounts.disable(account)
        job = jobs.order(
            KIND,
            by,
            f"Erasure of {account.username}",
            {"erasure": row.pk},
            total=own.messages(account)[0],
            unit="messages",
        )
        row.job = job.token
        row.save(update_fields=("job",))
    return row


def run(work: Work) -> None:
    """The job."""
    row = Erasure.objects.filter(pk=work.parameters.get("erasure", 0)).first()
    if row is None or row.state == Erasure.State.DONE:
        return
    try:
        _Eraser(work, row).run()
    except CannotErase as error:
        row.state, row.trouble, row.finished = Erasure.State.REFUSED, str(error), time.time()
        with transaction.atomic():
            audit.record(row.ordered_by, "erasure refused", row.address, reason=str(error))
            row.save(update_fields=("state", "trouble", "finished"))
        raise work.Refused(str(error)) from None


class _Eraser:
    """One erasure, from wherever it is."""

    def __init__(self, work: Work, row: Erasure) -> None:
        self._work = work
        self._row = row
        self._removed: Counter[str] = Counter(row.removed)

    def run(self) -> None:
        """All of it."""
        account = Account.objects.filter(pk=self._row.account).first()
        if account is not None and account.username != self._row.address:
            raise CannotErase("The account has another address by now.")
        if account is not None:
            held = hold_on(account)
            if held:
                raise CannotErase(held)
            self._note_kinds(account)
        held_messages = self._messages()
        self._files()
        self._exports()
        if account is not None:
            try:
                accounts.remove(account)
            except ValueError as error:
                raise CannotErase(str(error)) from None
        # What was on its way while the account still was there.
        held_messages = self._messages()
        if not held_messages:
            self._day_files()
        self._finish(held_messages)

    def _note_kinds(self, account: Account) -> None:
        """What the removal takes with it, counted before: the certificate names it."""
        counted = {kind.name: kind.number for kind in own.kinds(account)}
        for name in ("messages", "files", "exports", "forms", "reports of abuse"):
            counted.pop(name, None)
        for name, number in counted.items():
            if number:
                self._removed[name] = max(number, self._removed[name])
        self._save()

    def _messages(self) -> int:
        """The account's side of the archive, slice by slice; returns how many messages a hold keeps."""
        after, held = 0, 0
        wanted = Filter(self._row.account)
        while True:
            if not indexing.current(connection, words=False):
                indexing.catch_up(connection, words=False)
            rows, more = query.page(connection, Filter(wanted.account, after=after), removal.SLICE)
            if rows:
                outcome = removal.remove_slice(connection, [row.id for row in rows], side=self._row.account)
                self._removed["messages"] += outcome.changed
                held += len(outcome.held)
                after = rows[-1].id
                self._save()
            self._work.note(self._removed["messages"])
            if not more:
                return held

    def _files(self) -> None:
        while True:
            some = list(uploads.files().filter(account_id=self._row.account)[: uploads.SLICE])
            gone = sum(uploads.remove(file) for file in some)
            self._removed["files"] += gone
            self._save()
            self._work.note(self._removed["messages"])
            if len(some) < uploads.SLICE:
                if gone < len(some):
                    raise OSError("a shared file could not be removed")
                return

    def _exports(self) -> None:
        """Files that the person had made: of messages, of forms, of everything."""
        for job in Job.objects.filter(owner=self._row.address).exclude(token=self._row.job):
            jobs.cancel(job)
            jobs.remove(job)
            self._removed["exports"] += 1
        self._save()

    def _day_files(self) -> None:
        """The person's own files of days. Where those cannot be changed now, the certificate says so."""
        try:
            gone = removed.of_person(self._row.address)
        except (turns.Busy, turns.Unusable, OSError) as error:
            log.error("the day files of %s stay: %s", self._row.address, error)
            self._row.kept = [*self._row.kept, {"what": "the person's day files", "why": f"{error}"}]
            return
        self._removed["day files"] += len(gone)
        self._save()

    def _save(self) -> None:
        self._row.removed = {name: number for name, number in self._removed.items() if number}
        self._row.save(update_fields=("removed",))

    def _finish(self, held: int) -> None:
        row = self._row
        if held:
            why = "A legal hold covers them. They go by retention once it is released."
            row.kept = [*row.kept, {"what": f"{held:,} message{'' if held == 1 else 's'}", "why": why}]
        row.state, row.finished = Erasure.State.DONE, time.time()
        with transaction.atomic():
            audit.record(row.ordered_by, "erasure done", row.address, removed=row.removed, held=held)
            row.save(update_fields=("state", "finished", "kept"))
