"""Requests to see private conversations, where two must agree: somebody asks, a second officer with the right to
approve grants it for some hours or refuses. Nobody decides on his own request. Wrong input raises ValueError with a
sentence; each step stands in the audit log, in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from archive.oversight import access, scopes
from archive.oversight.criteria import MAX_LISTED, domain_of
from archive.oversight.models import Request
from mlink_web.audit import log

State = Request.State
MAX_REASON: Final = 2_000
#: Requests of one person that may wait.
MAX_WAITING: Final = 20
PAGE: Final = 50


def ask(
    user: Any,
    people: Sequence[str],
    start: float,
    end: float,
    reason: str,
    *,
    together: bool = False,
    origin: str = "",
) -> Request:
    """Ask for the conversations of these people (or with `together`, those between them) in a time."""
    if not people or len(people) > MAX_LISTED:
        raise ValueError(f"Name one to {MAX_LISTED} people.")
    if together and len(set(people)) != 2:
        raise ValueError("A conversation between people is between two of them.")
    if end < start:
        raise ValueError("The time ends before it begins.")
    if not reason.strip() or len(reason) > MAX_REASON:
        raise ValueError(f"Say why, in at most {MAX_REASON:,} characters.")
    reach = scopes.scope_of(user).domains
    if reach is not None and not all(domain_of(person) in reach for person in people):
        raise ValueError("You are an officer of other domains than these people's.")
    who = user.get_username()
    with transaction.atomic():
        if Request.objects.filter(asker_account=user.pk, state=State.WAITING).count() >= MAX_WAITING:
            raise ValueError(f"{MAX_WAITING} of your requests wait already.")
        row = Request.objects.create(
            asker=who,
            asker_account=user.pk,
            people=sorted(set(people)),
            together=together,
            start=start,
            end=end,
            reason=reason.strip(),
            created=time.time(),
        )
        _noted(row, who, "asked", origin, reason=row.reason, start=start, end=end)
    return row


def may_decide(user: Any, row: Request) -> bool:
    """Whether somebody may grant or refuse a request: he has the right over the domains of all whom it names, and it is
    another's."""
    rights = access.rights_of(user)
    if "approve" not in rights or row.asker_account == user.pk or row.asker == user.get_username():
        return False
    reach = scopes.scope_of(user, "approve").domains
    return reach is None or all(domain_of(person) in reach for person in row.people)


def may_see(user: Any, row: Request) -> bool:
    """Whether somebody may look at a request."""
    return row.asker_account == user.pk or may_decide(user, row)


def decide(user: Any, row: Request, *, grant: bool, note: str = "", origin: str = "") -> Request:
    """Grant a request for the hours of the options, or refuse it."""
    if not may_decide(user, row):
        raise ValueError("Another officer decides on this request.")
    if len(note) > MAX_REASON:
        raise ValueError(f"A note has at most {MAX_REASON:,} characters.")
    now = time.time()
    values: dict[str, Any] = {
        "state": State.GRANTED if grant else State.REFUSED,
        "decided_by": user.get_username(),
        "decided": now,
        "note": note.strip(),
        "expires": now + access.options().hours * 3_600 if grant else 0.0,
    }
    with transaction.atomic():
        if not Request.objects.filter(pk=row.pk, state=State.WAITING).update(**values):
            raise ValueError("This request is decided already.")
        _noted(row, user.get_username(), "granted" if grant else "refused", origin, note=note.strip(), asker=row.asker)
    row.refresh_from_db()
    return row


def withdraw(user: Any, row: Request, *, origin: str = "") -> None:
    """Take back one's own request, or end a grant before its time: the asker's own matter, or who may decide."""
    if not may_see(user, row):
        raise ValueError("This is not your request.")
    with transaction.atomic():
        open_ = Request.objects.filter(pk=row.pk, state__in=(State.WAITING, State.GRANTED))
        if not open_.update(state=State.WITHDRAWN, expires=0.0):
            raise ValueError("There is nothing to take back any more.")
        _noted(row, user.get_username(), "ended", origin, asker=row.asker)


def own(user: Any) -> QuerySet[Request]:
    """One's own requests, the newest first."""
    return Request.objects.filter(asker_account=user.pk).order_by("-pk")


def to_decide(user: Any) -> list[Request]:
    """Requests that wait for this officer, the oldest first."""
    waiting = Request.objects.filter(state=State.WAITING).exclude(asker_account=user.pk).order_by("pk")[: 4 * PAGE]
    return [row for row in waiting if may_decide(user, row)][:PAGE]


def decided(user: Any) -> list[Request]:
    """Others' requests that are decided and that he may see, the newest first."""
    rows = Request.objects.exclude(state=State.WAITING).exclude(asker_account=user.pk).order_by("-pk")[: 4 * PAGE]
    return [row for row in rows if may_decide(user, row)][:PAGE]


def _noted(row: Request, who: str, what: str, origin: str, **details: Any) -> None:
    people = " ".join(row.people)
    log.record(who, f"private archive {what}", people, origin=origin, request=row.pk, **details)
