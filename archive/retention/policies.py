"""How long a message is kept in whose archive (ARC-10): the only judge of it.

Each archive decides for itself: the sender's, the recipient's, or the room's. For one archive the most specific policy
counts, in this order:

    1  the label of the message (the display marking of XEP-0258)
    2  the room, or the person whose archive it is
    3  the domain of that room or person, the longest that fits
    4  everything

Of two that are as specific, the one for this kind of conversation counts before the one for all. A policy for a person
speaks of his own archive only: what he said in rooms is the rooms'. Where no policy speaks, messages are kept for ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from archive.document import element_of
from archive.records import Record
from archive.retention import holds
from archive.retention.models import Keeping, Policy, Rules
from xmpp_engine.api import StreamError

#: Policies that there may be, and days that one may name.
MOST: Final = 2_000
MAX_DAYS: Final = 36_500
MAX_VALUE: Final = 3_000
MAX_NOTE: Final = 2_000
_LABELS: Final = "urn:xmpp:sec-label:0"
CHAT: Final = Policy.Kind.CHAT.value
ROOM: Final = Policy.Kind.ROOM.value


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy says: `days` is None for ever; `files` is whether day files lose the message too."""

    days: int | None
    files: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One archive in which a message stands: `account` is its owner's number or None for a room, `owner` the owner's
    address, `kind` CHAT or ROOM."""

    account: int | None
    owner: str
    kind: str


@dataclass(slots=True)
class Book:
    """All policies, arranged for looking one up. Keys are (subject, value, kind)."""

    rules: dict[tuple[str, str, str], Rule] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: BaseDatabaseWrapper) -> Book:
        """The policies as they stand in the database."""
        return cls.of(Policy.objects.using(connection.alias).all()[:MOST])

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Book:
        """A book of these policies, stored or not."""
        return cls(
            {(one.subject, key(one.subject, one.value), one.kind): Rule(one.days, one.files) for one in policies}
        )

    def with_policy(self, policy: Policy) -> Book:
        """This book with one more policy, or another one for the same."""
        return Book({**self.rules, **Book.of([policy]).rules})

    @property
    def labels(self) -> bool:
        """Whether a label matters, so that stanzas must be read."""
        return any(subject == Policy.Subject.LABEL for subject, _value, _kind in self.rules)

    @property
    def days(self) -> list[int]:
        """The numbers of days after which something goes, the longest first."""
        return sorted({rule.days for rule in self.rules.values() if rule.days is not None}, reverse=True)

    def rule(self, owner: str, kind: str, label: str = "") -> Rule | None:
        """The policy that counts for a message of this kind in the archive of this owner; None where none speaks."""
        found = self.rules
        for subject, value in _subjects(owner, kind, label):
            for wanted in (kind, ""):
                rule = found.get((subject, value, wanted))
                if rule is not None:
                    return rule
        return None


def _subjects(owner: str, kind: str, label: str) -> Iterator[tuple[str, str]]:
    if label:
        yield Policy.Subject.LABEL.value, key(Policy.Subject.LABEL, label)
    yield (Policy.Subject.ROOM.value if kind == ROOM else Policy.Subject.USER.value), owner
    for domain in holds.domains_of(owner):
        yield Policy.Subject.DOMAIN.value, domain
    yield Policy.Subject.EVERYTHING.value, ""


def key(subject: str, value: str) -> str:
    """A value as policies are looked up by: labels without regard to case and blanks."""
    return " ".join(value.casefold().split()) if subject == Policy.Subject.LABEL else value


def sides(record: Record) -> list[Side]:
    """The archives in which a message stands."""
    if record.room:
        return [Side(None, record.recipient, ROOM)]
    found = []
    if record.sender_account:
        found.append(Side(record.sender_account, record.sender, CHAT))
    if record.recipient_account and record.recipient_account != record.sender_account:
        found.append(Side(record.recipient_account, record.recipient, CHAT))
    return found


def label_of(xml: str) -> str:
    """The display marking of a stored stanza (XEP-0258, 4), "" for none."""
    if _LABELS not in xml:
        return ""
    try:
        label = element_of(xml).find(_LABELS, "securitylabel")
    except StreamError:
        return ""
    return "" if label is None else (label.child_text(_LABELS, "displaymarking") or "").strip()


def check(subject: str, value: str, kind: str, days: int | None, note: str = "") -> Policy:
    """A policy of what somebody asked for, not stored; raises ValueError with a sentence."""
    if subject not in Policy.Subject.values:
        raise ValueError(f"A policy speaks of one of {', '.join(Policy.Subject.values)}, not {subject!r}.")
    if kind not in Policy.Kind.values:
        raise ValueError(f"The kind is chat, room or nothing, not {kind!r}.")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise ValueError(f"Messages are kept 1 to {MAX_DAYS} days, or for ever.")
    if len(note) > MAX_NOTE:
        raise ValueError(f"A note has at most {MAX_NOTE} characters.")
    value = value.strip()
    if len(value) > MAX_VALUE:
        raise ValueError(f"The name is longer than {MAX_VALUE} characters.")
    if subject in (Policy.Subject.ROOM, Policy.Subject.USER):
        value = holds.canonical(value)
        own = ROOM if subject == Policy.Subject.ROOM else CHAT
        if kind not in ("", own):
            raise ValueError("A policy for a room speaks of what is said in it, one for a person of his own archive.")
        kind = ""
    elif subject == Policy.Subject.DOMAIN:
        value = holds.canonical_domain(value)
    elif subject == Policy.Subject.LABEL:
        if not value:
            raise ValueError("Say which label: the text that it shows.")
        value = " ".join(value.split())
    else:
        value = ""
    return Policy(subject=subject, value=value, kind=kind, days=days, note=note.strip())


def save(policy: Policy, by: str) -> Policy:
    """Store a policy in place of the one for the same, if there is one. The caller has it written into the audit log in
    the same transaction. Raises ValueError with a sentence."""
    with transaction.atomic():
        same = [
            old
            for old in Policy.objects.filter(subject=policy.subject, kind=policy.kind)
            if key(old.subject, old.value) == key(policy.subject, policy.value)
        ]
        if not same and Policy.objects.count() >= MOST:
            raise ValueError(f"There are {MOST} policies already.")
        for old in same:
            old.delete()
        policy.pk = None
        policy.changed, policy.changed_by = time.time(), by
        policy.save(force_insert=True)
        holds.bump()
    return policy


def remove(policy: Policy) -> None:
    """Take a policy away: what only it spoke of is kept for ever, or as a less specific one says."""
    with transaction.atomic():
        policy.delete()
        holds.bump()


def keep_retracted(domain: str, wanted: bool, by: str) -> None:
    """Whether officers keep what is retracted in this domain ("" for all); raises ValueError with a sentence."""
    domain = holds.canonical_domain(domain) if domain.strip() else ""
    with transaction.atomic():
        if not wanted:
            Keeping.objects.filter(domain=domain).delete()
        elif not Keeping.objects.filter(domain=domain).exists():
            if Keeping.objects.count() >= MOST:
                raise ValueError(f"There are {MOST} such domains already.")
            Keeping.objects.create(domain=domain, by=by, since=time.time())


def version(connection: BaseDatabaseWrapper) -> int:
    """A number that grows when a policy changes or a hold is released."""
    return Rules.objects.using(connection.alias).filter(pk=1).values_list("version", flat=True).first() or 0
