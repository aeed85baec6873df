"""Writes and verifies the chain of hashes over what people did.

Each entry's digest is SHA-256 over its fields and the digest of the entry before, so an entry that was changed, taken
out or put in later breaks the chain from there on. Who can write to the database could build a whole new chain: so
each digest is a log line too, which belongs somewhere else (docs/operator.md), and `verify` is given one to hold the
chain against. (Where a caller's transaction was rolled back, a later line has the same number and counts.)

Entries are written in the caller's transaction, and before what they tell of is shown or done: what cannot be written
down is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.http import HttpRequest

from mlink_web.audit.models import Entry, Head

logger = logging.getLogger("mlink.audit")

_PAGE: Final = 1_000
_TARGET: Final = 3_100
#: Characters of an entry's details: somebody who searches for a megabyte is noted with the beginning of it.
_DETAILS: Final = 16_384
_VALUE: Final = 2_000


class NotWritten(Exception):
    """The audit log takes nothing now; what was asked must not be done."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: how many entries are right, the number of the first that is wrong (0 for none) and why."""

    entries: int
    head: str
    wrong: int = 0
    why: str = ""

    @property
    def sound(self) -> bool:
        """Whether the chain is whole."""
        return not self.wrong


def record(who: str, did: str, target: str = "", *, origin: str = "", **details: Any) -> Entry:
    """Append to the chain, and tell the log. `who` is a bare address, `details` are values that JSON can hold. Raises
    NotWritten."""
    entry = append(who, did, target, origin, details)
    _tell(entry)
    return entry


def append(who: str, did: str, target: str, origin: str, details: Mapping[str, Any]) -> Entry:
    """The same without a line in the log, for programs whose log is what they show."""
    text = _details(details)
    try:
        with transaction.atomic():
            Head.objects.get_or_create(pk=1)
            # Whoever comes second waits here, until the first has committed.
            head = Head.objects.select_for_update().get(pk=1)
            entry = Entry(
                seq=head.seq + 1,
                stamp=round(time.time(), 3),
                who=_clean(who)[:_TARGET],
                origin=_clean(origin)[:200],
                did=_clean(did)[:200],
                target=_clean(target)[:_TARGET],
                details=text,
            )
            entry.digest = digest_of(entry, head.digest)
            entry.save(force_insert=True)
            Head.objects.filter(pk=1).update(seq=entry.seq, digest=entry.digest)
    except DatabaseError as error:
        raise NotWritten(f"the audit log could not be written: {error}") from error
    return entry


def of_request(request: HttpRequest, did: str, target: str = "", **details: Any) -> Entry:
    """The same for what somebody does on a page."""
    user = getattr(request, "user", None)
    who = user.get_username() if user is not None and user.is_authenticated else ""
    return record(who, did, target, origin=client_address(request), **details)


def client_address(request: HttpRequest) -> str:
    """The address the request came from; the HTTP server has replaced a trusted proxy's by its client's."""
    return str(request.META.get("REMOTE_ADDR", "")) or "unknown"


def digest_of(entry: Entry, before: str) -> str:
    """The digest of an entry that follows the digest `before`: SHA-256 over both as JSON, in hexadecimal digits."""
    fields = [
        before,
        entry.seq,
        f"{entry.stamp:.3f}",
        entry.who,
        entry.origin,
        entry.did,
        entry.target,
        entry.details,
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def verify(expected: tuple[int, str] | None = None, progress: Callable[[int], None] = lambda _done: None) -> Verdict:
    """Go through the whole chain. `expected` is the number of an entry and its digest as noted elsewhere."""
    head = Head.objects.filter(pk=1).first() or Head()
    before, count = head.base_digest, head.base_seq
    if expected is not None and expected[0] <= count:
        return Verdict(0, before, expected[0], f"entry {expected[0]} has been taken away to a file")
    for entry in entries(count):
        if entry.seq != count + 1:
            return Verdict(count, before, count + 1, f"entry {count + 1} is missing")
        if entry.digest != digest_of(entry, before):
            return Verdict(count, before, entry.seq, f"entry {entry.seq} is not what was written")
        before, count = entry.digest, entry.seq
        if expected is not None and expected[0] == count and expected[1] != before:
            return Verdict(count - 1, before, count, f"entry {count} is not the one whose digest was noted")
        if count % _PAGE == 0:
            progress(count)
    # Entries that were appended meanwhile are no matter: the head was read before.
    if head.seq > count:
        return Verdict(count, before, count + 1, f"entries after {count} have been taken out")
    if expected is not None and expected[0] > count:
        return Verdict(count, before, count + 1, f"entry {expected[0]}, whose digest was noted, is missing")
    return Verdict(count, before)


def take_away(until: float, write: Callable[[str], Any]) -> int:
    """Hand the entries before that time (seconds since the epoch) to `write`, line by line, and forget them; returns
    how many they were. The chain goes on from the last of them, whose digest stays. The newest entry always stays."""
    whole = 0
    while True:
        with transaction.atomic():
            head = Head.objects.select_for_update().filter(pk=1).first()
            if head is None:
                return whole
            old = list(Entry.objects.filter(seq__lt=head.seq).order_by("seq")[:_PAGE])
            old = old[: next((place for place, entry in enumerate(old) if entry.stamp >= until), len(old))]
            if not old:
                return whole
            for entry in old:
                write(as_line(entry) + "\n")
            head.base_seq, head.base_digest = old[-1].seq, old[-1].digest
            head.save(update_fields=("base_seq", "base_digest"))
            Entry.objects.filter(seq__lte=old[-1].seq).delete()
        whole += len(old)


def entries(after: int = 0) -> Iterator[Entry]:
    """All entries in order, read page by page."""
    while True:
        page = list(Entry.objects.filter(seq__gt=after).order_by("seq")[:_PAGE])
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].seq


def as_line(entry: Entry) -> str:
    """An entry as a line of JSON, from which its digest can be worked out again."""
    fields = ("seq", "stamp", "who", "origin", "did", "target", "details", "digest")
    return json.dumps({name: getattr(entry, name) for name in fields}, ensure_ascii=False)


def _tell(entry: Entry) -> None:
    """The line in the log. Values are JSON strings, so that none can forge a second line."""
    shown = {"who": entry.who, "from": entry.origin, "did": entry.did, "to": entry.target}
    parts = [f"{name}={json.dumps(value, ensure_ascii=True)}" for name, value in shown.items()]
    details = json.loads(entry.details)
    parts += [f"{name}={json.dumps(str(value), ensure_ascii=True)}" for name, value in details.items()]
    logger.info("%s audit=%d:%s", " ".join(parts), entry.seq, entry.digest)


def _details(details: Mapping[str, Any]) -> str:
    text = json.dumps(details, ensure_ascii=True, sort_keys=True, default=str)
    if len(text) > _DETAILS:
        short = {name: _shortened(value) for name, value in details.items()}
        text = json.dumps(short, ensure_ascii=True, sort_keys=True, default=str)
    if len(text) > _DETAILS:
        text = json.dumps({"cut": text[: _DETAILS // 4]}, ensure_ascii=True)
    return text


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}… ({len(text)} characters)"


def _clean(text: str) -> str:
    """Without what no database takes: PostgreSQL has no place for NUL, UTF-8 none for lone surrogates."""
    return text.replace("\0", "").encode(errors="replace").decode()
