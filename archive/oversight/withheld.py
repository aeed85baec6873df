"""How much of a search's result is kept from an officer until a second one agrees: a number, and of which domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from archive import records
from archive.oversight import search
from archive.oversight.criteria import PRIVATE, Criteria, domain_of

#: Hits that are counted.
COUNTED: Final = 500


@dataclass(frozen=True, slots=True)
class Withheld:
    """Private messages that were found and are not shown; there may be more than `count` unless that is `exact`."""

    count: int
    exact: bool
    domains: list[str]


def count(connection: BaseDatabaseWrapper, criteria: Criteria) -> Withheld | None:
    """What the scope of a search keeps back, None for nothing. Raises search.TooSlow."""
    scope = criteria.scope
    if scope.private:
        return None
    private = Criteria(kinds=PRIVATE, within=criteria.steps, scope=replace(scope, private=True))
    chosen = search.chosen_ids(connection, private, COUNTED + 1)
    found = [row for row in records.by_ids(connection, chosen[:COUNTED]) if not scope.admits(row)]
    exact = len(chosen) <= COUNTED
    if not found and exact:
        return None
    domains = {domain_of(side) for row in found for side in (row.sender, row.recipient)}
    return Withheld(len(found), exact, sorted(domains)[:20])
