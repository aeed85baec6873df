"""From criteria to one boolean query of the full text, and what SQL has to look at besides (`archive/tokens.py` says
which tokens a row has)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from archive import fulltext, ids, tokens
from archive.oversight.criteria import KINDS, Criteria, Grant, Scope
from archive.text import Term

#: Time tokens that a query may name, some five months: each is looked at for each hit.
_TIMES: Final = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """A search as SQL takes it: `query` for MATCH or tsquery, "" where every row is wanted; `conditions` on the row
    itself with their values; the ids between which it lies. `nothing` is true where no row can be meant."""

    query: str = ""
    conditions: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    low: int = 0
    high: int = ids.MAX_ID
    nothing: bool = False

    def where(self) -> str:
        """The conditions, each with AND before it."""
        return "".join(f" AND {condition}" for condition in self.conditions)


@dataclass(slots=True)
class _Parts:
    """What is collected: groups of which one alternative each must hold, and what must not."""

    vendor: str
    groups: list[list[str]] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def any(self, found: Iterable[str]) -> None:
        """One of these tokens."""
        wanted = list(dict.fromkeys(self.token(each) for each in found))
        if wanted and wanted not in self.groups:
            self.groups.append(wanted)

    def token(self, name: str) -> str:
        """A token in the database's own spelling."""
        return fulltext.fts5_owner(name) if self.vendor == "sqlite" else f"'{name}'"

    def people(self, addresses: Iterable[str]) -> list[str]:
        """The tokens of these addresses."""
        return [tokens.address(self.vendor, bare) for bare in addresses]

    def domains(self, names: Iterable[str]) -> list[str]:
        """The tokens of these domains."""
        return [tokens.domain(self.vendor, name) for name in names]

    def term(self, term: Term) -> None:
        """Words that must occur."""
        if self.vendor == "sqlite":
            self.groups.append([fulltext.fts5(term)])
            return
        self.groups.append([fulltext.tsquery(term)])
        phrase = fulltext.phrase(term)
        if phrase:
            self.conditions.append(fulltext.HOLDS)
            self.values.append(phrase)

    def exclude(self, term: Term) -> None:
        """Words that must not."""
        phrase = fulltext.phrase(term) if self.vendor != "sqlite" else ""
        if phrase:
            self.conditions.append(f"NOT {fulltext.HOLDS}")
            self.values.append(phrase)
        else:
            self.unwanted.append(fulltext.fts5(term) if self.vendor == "sqlite" else fulltext.tsquery(term))


def plan(vendor: str, criteria: Criteria) -> Plan:
    """The search on this kind of database."""
    low, high = criteria.bounds()
    if high - low < 2 or (criteria.scope.domains is not None and not criteria.scope.domains):
        return Plan(nothing=True)
    kinds = [set(step.kinds) for step in criteria.steps if step.kinds]
    if kinds and not set.intersection(*kinds):
        # The index would go through all messages to find none.
        return Plan(nothing=True)
    parts = _Parts(vendor)
    for step in criteria.steps:
        _step(parts, step)
    _scope(parts, criteria.scope)
    if parts.unwanted and not parts.groups:
        # Something must be there that the unwanted is taken from.
        parts.any(map(tokens.kind, KINDS))
    return Plan(_query(parts), tuple(parts.conditions), tuple(parts.values), low, high)


def with_times(query: str, low: int, high: int) -> str:
    """PostgreSQL: the query for a stretch of ids, so that only this part of the index is read."""
    times = tokens.times(low, high, _TIMES)
    if not times:
        return query
    stretch = " | ".join(f"'{each}'" for each in times)
    return f"({stretch}) & {query}" if query else f"({stretch})"


def _step(parts: _Parts, step: Criteria) -> None:
    if step.people and step.together:
        for token in parts.people(step.people):
            parts.any([token])
    elif step.people:
        parts.any(parts.people(step.people))
    if step.rooms:
        parts.any(parts.people(step.rooms))
        parts.any([tokens.kind("groupchat")])
    if step.domains:
        parts.any(parts.domains(step.domains))
    if step.kinds and set(step.kinds) != set(KINDS):
        parts.any(map(tokens.kind, step.kinds))
    if step.attachment:
        parts.any([tokens.FILE])
    elif step.attachment is False:
        parts.unwanted.append(parts.token(tokens.FILE))
    for term in step.words:
        parts.term(term)
    for term in step.exclusions:
        parts.exclude(term)


def _scope(parts: _Parts, scope: Scope) -> None:
    """Tokens narrow, and conditions on the row decide: nobody sees more because an index said so."""
    if scope.domains is not None:
        parts.any(parts.domains(scope.domains))
        marks = ", ".join(["%s"] * len(scope.domains))
        sender, recipient = (_domain(parts.vendor, side) for side in ("sender", "recipient"))
        parts.conditions.append(
            f"(CASE WHEN room IS NOT NULL THEN {recipient} IN ({marks})"
            f" ELSE (sender_account IS NOT NULL AND {sender} IN ({marks}))"
            f" OR (recipient_account IS NOT NULL AND {recipient} IN ({marks})) END)"
        )
        parts.values += [*scope.domains] * 3
    if not scope.private:
        granted = {person for grant in scope.grants for person in grant.people}
        parts.any([tokens.kind("groupchat"), *parts.people(sorted(granted))])
        opened = ["room IS NOT NULL"]
        for grant in scope.grants:
            condition, values = _granted(grant)
            opened.append(condition)
            parts.values += values
        parts.conditions.append(f"({' OR '.join(opened)})")


def _granted(grant: Grant) -> tuple[str, list[Any]]:
    last = ids.MAX_ID if math.isinf(grant.end) else ids.first_after(grant.end)
    values: list[Any] = [ids.first_at(grant.start), last]
    if grant.together:
        each = " AND ".join(["%s IN (sender, recipient)"] * len(grant.people))
        values += grant.people
    else:
        marks = ", ".join(["%s"] * len(grant.people))
        each = f"(sender IN ({marks}) OR recipient IN ({marks}))"
        values += [*grant.people] * 2
    return f"(id >= %s AND id < %s AND {each or 'FALSE'})", values


def _domain(vendor: str, side: str) -> str:
    found = "instr" if vendor == "sqlite" else "strpos"
    return f"substr({side}, {found}({side}, '@') + 1)"


def _query(parts: _Parts) -> str:
    both, either, neither = (" AND ", " OR ", " NOT ") if parts.vendor == "sqlite" else (" & ", " | ", " & !")
    wanted = both.join(f"({either.join(group)})" for group in parts.groups)
    if not parts.unwanted:
        return wanted
    return f"({wanted}){neither}({either.join(parts.unwanted)})"
