"""What became of one account of an import."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MADE, CHANGED, SAME, SKIPPED, REFUSED = "made", "changed", "same", "skipped", "refused"
OUTCOMES: Final = (MADE, CHANGED, SAME, SKIPPED, REFUSED)


@dataclass(slots=True)
class Taken:
    """`outcome` is one of OUTCOMES, `counts` what of the account was added or replaced, how many of each kind, and
    `troubles` are sentences about the rest. `number` is the account's, 0 for none."""

    bare: str
    outcome: str
    number: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    def add(self, what: str, number: int) -> None:
        """Count what was taken."""
        if number:
            self.counts[what] += number
