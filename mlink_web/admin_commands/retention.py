"""Commands on how long messages are kept, on legal holds, and on redactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection

from archive import ids
from archive.redaction import related as relations
from archive.redaction import services
from archive.redaction.models import Redacted, Redaction
from archive.retention import holds, policies
from archive.retention.expiry import Expiry
from archive.retention.models import Hold, Policy
from archive.retention.policies import Book
from archive.retention.preview import preview
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import row_number, yes_or_no

registry: Final = Registry()
WHO: Final = "command line"
MAX_LISTED: Final = 1_000
SUBJECT: Final = Argument("subject", "label, room, user, domain or everything")
VALUE: Final = Argument("value", "text of the label, address or domain; - for everything")
KIND: Final = Argument("kind", "chat or room: only conversations of this kind", option=True, default="")
DAYS: Final = Argument("days", "a number, or forever")
NUMBER: Final = Argument("number", "its number in the list")


@registry.command("archive retention list", "List how long messages are kept.", permission="read")
def retention_list() -> list[dict[str, Any]]:
    """The most specific counts: label, then room or user, then domain, then everything."""
    return [
        {
            "for": policy.subject,
            "which": policy.value,
            "kind": policy.kind,
            "days": policy.days if policy.days is not None else "forever",
            "day_files": "lose them" if policy.files else "keep them",
            "changed": _moment(policy.changed),
            "by": policy.changed_by,
        }
        for policy in Policy.objects.all()[:MAX_LISTED]
    ]


@registry.command(
    "archive retention preview",
    "Show what would go if messages were kept so long.",
    SUBJECT,
    VALUE,
    DAYS,
    KIND,
    permission="read",
)
def retention_preview(subject: str, value: str, days: str, kind: str) -> list[dict[str, Any]]:
    """With the other policies as they are."""
    wanted = policies.check(subject, _value(value), kind, _days(days))
    shown = preview(connection, Book.read(connection).with_policy(wanted))
    rows = [
        {"archive": one.address, "kept_days": one.days, "messages": one.messages}
        for one in sorted(shown.listed, key=lambda one: -one.messages)
    ]
    more = "" if shown.whole else ", and more that there was no time to count"
    rows.append({"archive": f"all {shown.owners}{more}", "kept_days": "", "messages": shown.messages})
    if shown.held:
        rows.append({"archive": "under legal holds, stay", "kept_days": "", "messages": shown.held})
    return rows


@registry.command(
    "archive retention set",
    "Say how long messages are kept.",
    SUBJECT,
    VALUE,
    DAYS,
    KIND,
    Argument("files", "yes: day files lose them too", option=True, default="no"),
    Argument("note", "why", option=True, default=""),
)
def retention_set(subject: str, value: str, days: str, kind: str, files: str, note: str) -> str:
    """In place of what was said for the same; look at the preview first."""
    wanted = policies.check(subject, _value(value), kind, _days(days), note)
    wanted.files = yes_or_no("files", files)
    policies.save(wanted, WHO)
    kept = "for ever" if wanted.days is None else f"{wanted.days} day(s)"
    return f"Messages of {wanted} are kept {kept}."


@registry.command("archive retention remove", "Take a policy away.", SUBJECT, VALUE, KIND)
def retention_remove(subject: str, value: str, kind: str) -> str:
    """Its messages are kept as the next less specific policy says, or for ever."""
    wanted = policies.check(subject, _value(value), kind, None)
    for policy in Policy.objects.filter(subject=wanted.subject, kind=wanted.kind):
        if policies.key(policy.subject, policy.value) == policies.key(wanted.subject, wanted.value):
            policies.remove(policy)
            return f"There is no policy for {wanted} any more."
    raise CommandError(f"There is no policy for {wanted}.")


@registry.command(
    "archive retention run",
    "Let go what is due, now.",
    Argument("seconds", "how long it may take", option=True, default="60"),
    local=True,
)
def retention_run(seconds: str) -> dict[str, Any]:
    """Otherwise it is done every ten minutes."""
    done = Expiry(connection, seconds=float(min(row_number(seconds), 86_400))).run()
    return {
        "looked_at": done.seen,
        "removed": done.removed,
        "from_one_archive": done.sides,
        "held": done.held,
        "complete": done.complete,
    }


@registry.command(
    "archive hold list", "List legal holds.", Argument("state", "active or all", default="active"), permission="read"
)
def hold_list(state: str) -> list[dict[str, Any]]:
    """The newest first."""
    if state not in ("active", "all"):
        raise CommandError("The state is active or all.")
    found = Hold.objects.all() if state == "all" else Hold.objects.filter(released=None)
    return [
        {
            "number": hold.pk,
            "covers": hold.covers,
            "from": _moment(hold.start),
            "until": _moment(hold.end),
            "reason": hold.reason,
            "placed": _moment(hold.placed),
            "by": hold.placed_by,
            "released": _moment(hold.released),
        }
        for hold in found[:MAX_LISTED]
    ]


@registry.command(
    "archive hold place",
    "Keep messages whatever policies, clean-ups and redactions say.",
    Argument("scope", "account, talk, room, domain or all"),
    Argument("address", "the account, room or domain; - for all", default=""),
    Argument("peer", "with talk: the other one", default=""),
    Argument("reason", "the matter for which they must be kept", option=True),
    Argument("from", "first day, as 2026-01-31 (UTC)", option=True, default=""),
    Argument("until", "last day", option=True, default=""),
)
def hold_place(scope: str, address: str, peer: str, reason: str, until: str, **more: str) -> str:
    """In force at once."""
    start, end = _day("from", more["from"]), _day("until", until)
    hold = holds.place(
        WHO,
        scope,
        _value(address),
        peer,
        reason=reason,
        start=start,
        end=None if end is None else end + 86_400 - 0.001,
    )
    return f"Hold {hold.pk} is in force: nothing of {hold.covers} is removed or redacted."


@registry.command(
    "archive hold release",
    "Release a legal hold.",
    NUMBER,
    Argument("reason", "why", option=True),
    local=True,
)
def hold_release(number: str, reason: str) -> str:
    """What is due goes with the next runs."""
    hold = Hold.objects.filter(pk=row_number(number)).first()
    if hold is None:
        raise CommandError(f"There is no hold {number}.")
    holds.release(hold, WHO, reason)
    return f"Hold {hold.pk} is released."


@registry.command("archive redact list", "List redactions.", permission="read")
def redact_list() -> list[dict[str, Any]]:
    """The newest first."""
    return [_row(one) for one in Redaction.objects.prefetch_related("messages")[:MAX_LISTED]]


@registry.command("archive redact show", "Show one redaction.", NUMBER, permission="read")
def redact_show(number: str) -> dict[str, Any]:
    """With what became of it in each place."""
    found = Redaction.objects.filter(pk=row_number(number)).first()
    if found is None:
        raise CommandError(f"There is no redaction {number}.")
    messages = [f"{item.key} {item.state} {item.sha256}".strip() for item in found.messages.all()]
    places = {place.name: f"{place.state}: {place.result}".rstrip(": ") for place in found.places.all()}
    return {**_row(found), "note": found.note, "messages": messages, **places}


@registry.command(
    "archive redact message",
    "Take messages out of every place that has them.",
    Argument("ids", "archive ids, separated by commas"),
    Argument("reason", "it stands in the record", option=True),
    Argument("related", "no: without corrections and quotations of them", option=True, default="yes"),
    Argument("tell", "yes: readers are told the reason", option=True, default="no"),
    local=True,
)
def redact_message(reason: str, related: str, tell: str, **more: str) -> str:
    """Where a second officer must agree it is only proposed."""
    chosen = _messages(more["ids"], with_related=yes_or_no("related", related))
    made = services.propose(WHO, chosen, reason, told=yes_or_no("tell", tell))
    what = "waits for a second officer" if made.state == Redaction.State.PROPOSED else "is under way"
    return f"Redaction {made.pk} of {len(chosen)} message(s) {what}."


def _messages(text: str, *, with_related: bool) -> dict[int, str]:
    found = [ids.from_text(part) for part in text.replace(",", " ").split()]
    wanted: Sequence[int] = [id for id in found if id is not None]
    if len(wanted) < len(found) or not wanted:
        raise CommandError("These are no ids of messages: they have 16 hexadecimal digits.")
    chosen = dict.fromkeys(wanted, str(Redacted.How.CHOSEN))
    if with_related:
        for record, how in relations.related(connection, wanted):
            chosen.setdefault(record.id, how)
    return chosen


def _row(one: Redaction) -> dict[str, Any]:
    return {
        "number": one.pk,
        "state": one.state,
        "messages": one.messages.count(),
        "reason": one.reason,
        "by": one.operator,
        "second": one.second,
        "ordered": _moment(one.created),
        "carried_out": _moment(one.finished),
    }


def _value(text: str) -> str:
    return "" if text == "-" else text


def _days(text: str) -> int | None:
    return None if text == "forever" else row_number(text)


def _day(name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise CommandError(f"{name} is a day such as 2026-01-31.") from None


def _moment(seconds: float | None) -> str | None:
    if not seconds:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
