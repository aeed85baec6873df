"""Searches by their addresses, the steps by which a search was narrowed, and saved ones.

A search's token is made from the search, so its page can be linked to, shared with another officer and gone back to;
the rows that are not saved and were not used for long are forgotten.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from django.db import transaction

from archive.oversight.criteria import EVERYTHING, KINDS, Criteria, words_text
from archive.oversight.models import SavedSearch, Search
from mlink_web.accounts.models import Account

#: Searches that are remembered, and days for which one is that nobody uses.
_KEPT: Final = 20_000
_DAYS: Final = 180
MAX_SAVED: Final = 200
_TOKEN: Final = 24


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a trail: the search up to it, by its token, and what it added as a sentence."""

    token: str
    says: str
    last: bool


def keep(criteria: Criteria) -> str:
    """Remember a search, without what its user may see, and all steps before it; returns its token."""
    plain = replace(criteria, scope=EVERYTHING)
    now = time.time()
    with transaction.atomic():
        for prefix in prefixes(plain):
            row = {"criteria": prefix.to_json(), "used": now}
            Search.objects.update_or_create(token=token_of(prefix), defaults=row)
        if Search.objects.count() > _KEPT:
            oldest = Search.objects.order_by("used").values_list("pk", flat=True)[: _KEPT // 10]
            Search.objects.filter(pk__in=list(oldest)).delete()
        Search.objects.filter(used__lt=now - _DAYS * 86_400).delete()
    return token_of(plain)


def find(token: str) -> Criteria | None:
    """A search that is remembered."""
    if len(token) != _TOKEN or not token.isascii() or not token.isalnum():
        return None
    row = Search.objects.filter(token=token).first()
    if row is None:
        return None
    try:
        return replace(Criteria.from_json(row.criteria), scope=EVERYTHING)
    except ValueError:
        return None


def token_of(criteria: Criteria) -> str:
    """The token of a search without its scope."""
    text = json.dumps(replace(criteria, scope=EVERYTHING).to_json(), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_TOKEN]


def prefixes(criteria: Criteria) -> list[Criteria]:
    """The search after its first step, after its second, and so on."""
    steps = criteria.steps
    return [replace(step, within=steps[:number]) for number, step in enumerate(steps)]


def steps(criteria: Criteria, zone: tzinfo) -> list[Step]:
    """The trail for people."""
    found = prefixes(criteria)
    return [Step(token_of(each), says(each, zone), each is found[-1]) for each in found]


def says(step: Criteria, zone: tzinfo) -> str:
    """What one step asks for."""
    parts = []
    if step.words or step.exclusions:
        parts.append(words_text(step.words, step.exclusions))
    if step.people:
        joined = " and ".join(step.people) if step.together else " or ".join(step.people)
        parts.append(f"between {joined}" if step.together and len(step.people) > 1 else f"by or to {joined}")
    if step.rooms:
        parts.append(f"in {' or '.join(step.rooms)}")
    if step.domains:
        parts.append(f"of {' or '.join(step.domains)}")
    if step.kinds:
        parts.append(" or ".join(KINDS.get(kind, kind).lower() for kind in step.kinds))
    if step.start is not None:
        parts.append(f"from {_moment(step.start, zone)}")
    if step.end is not None:
        parts.append(f"until {_moment(step.end, zone)}")
    if step.attachment is not None:
        parts.append("with a file" if step.attachment else "without files")
    return ", ".join(parts) or "Everything"


def saved(account: Any) -> tuple[list[SavedSearch], list[SavedSearch]]:
    """One's own saved searches, and those that others share."""
    own = list(SavedSearch.objects.filter(owner_id=account.pk)[:MAX_SAVED])
    shared = SavedSearch.objects.select_related("owner").filter(shared=True).exclude(owner_id=account.pk)
    return own, list(shared[:MAX_SAVED])


def save(account: Account, name: str, criteria: Criteria, *, shared: bool) -> SavedSearch:
    """Save a search under a name; one of the same name is replaced. Raises ValueError."""
    name = " ".join(name.split())
    if not name or len(name) > 100:
        raise ValueError("Give the search a name of at most 100 characters.")
    if SavedSearch.objects.filter(owner=account).exclude(name=name).count() >= MAX_SAVED:
        raise ValueError(f"At most {MAX_SAVED} searches can be saved.")
    values = {"criteria": replace(criteria, scope=EVERYTHING).to_json(), "shared": shared, "created": time.time()}
    return SavedSearch.objects.update_or_create(owner=account, name=name, defaults=values)[0]


def opened(row: SavedSearch) -> str | None:
    """The token of a saved search, None for one that cannot be read any more."""
    try:
        return keep(Criteria.from_json(row.criteria))
    except ValueError:
        return None


def _moment(seconds: float, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    if (moment.hour, moment.minute, moment.second) in ((0, 0, 0), (23, 59, 59)):
        return f"{moment:%Y-%m-%d}"
    return f"{moment:%Y-%m-%d %H:%M}"
