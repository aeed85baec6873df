"""What an officer searches for: plain values, with the bounds of what one search may ask.

`Criteria` is one step; `within` are the steps before it, all of which hold as well. `Scope` is what the officer may see
at all: `scopes.py` makes it, and nothing that he asks can widen it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from archive import ids
from archive.records import Record
from archive.text import Term, fold
from xmpp_engine.api import Jid, JidError

#: Bounds of one step and of the trail; `MAX_TEXT` is characters of words.
MAX_TEXT: Final = 1_000
MAX_TERMS: Final = 16
MAX_LISTED: Final = 20
MAX_STEPS: Final = 10
KINDS: Final = {"chat": "Chat", "normal": "Single messages", "headline": "Headlines", "groupchat": "Rooms"}
#: Those between two.
PRIVATE: Final = ("chat", "normal", "headline")


@dataclass(frozen=True, slots=True)
class Grant:
    """Private conversations that may be seen: those of any of these people, or with `together` those in which all take
    part, between two times (seconds since the epoch, both included)."""

    people: tuple[str, ...]
    start: float = 0.0
    end: float = math.inf
    together: bool = False

    def covers(self, record: Record) -> bool:
        """Whether a record is among them."""
        sides = {record.sender, record.recipient}
        named = sides & set(self.people)
        enough = len(named) == len(set(self.people)) if self.together else bool(named)
        return enough and self.start <= record.stamp <= self.end


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be seen. `domains` are those in whose archives a record must stand, None for all; `private` whether the
    conversations of two are open, else only what `grants` name."""

    domains: tuple[str, ...] | None = None
    private: bool = True
    grants: tuple[Grant, ...] = ()

    def admits(self, record: Record) -> bool:
        """Whether a record may be seen."""
        if self.domains is not None and not homes(record) & set(self.domains):
            return False
        return self.private or bool(record.room) or any(grant.covers(record) for grant in self.grants)


#: For who answers for it himself: commands of the machine's administrator, tests.
EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Criteria:
    """One step of a search. People and rooms are bare addresses; of several people one is enough, unless they are to
    be there `together`; so it is with rooms, domains and kinds. Times are seconds since the epoch, both included. All
    `words` must occur and none of `exclusions`."""

    people: tuple[str, ...] = ()
    together: bool = False
    rooms: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None
    words: tuple[Term, ...] = ()
    exclusions: tuple[Term, ...] = ()
    attachment: bool | None = None
    within: tuple[Criteria, ...] = ()
    scope: Scope = field(default=EVERYTHING)

    @property
    def steps(self) -> tuple[Criteria, ...]:
        """The trail: what was asked first, and then within it, each without trail and scope."""
        return (*self.within, self.alone)

    @property
    def alone(self) -> Criteria:
        """This step by itself."""
        return replace(self, within=(), scope=EVERYTHING)

    @property
    def empty(self) -> bool:
        """Whether this step asks for nothing in particular."""
        return self.alone == Criteria()

    def bounds(self) -> tuple[int, int]:
        """The ids between which all steps lie, neither included."""
        low, high = 0, ids.MAX_ID
        for step in self.steps:
            if step.start is not None:
                low = max(low, ids.first_at(step.start) - 1)
            if step.end is not None:
                high = min(high, ids.first_after(step.end))
        return low, high

    def narrowed(self, step: Criteria) -> Criteria:
        """A step within this search; raises ValueError at the end of the bound."""
        if len(self.within) + 2 > MAX_STEPS:
            raise ValueError(f"A search is narrowed at most {MAX_STEPS - 1} times. Walk back, or begin anew.")
        return replace(step, within=self.steps, scope=self.scope)

    def fits(self, record: Record) -> bool:
        """Whether a record is what was asked for as far as its columns say it, and may be seen. The words are the
        full text's matter."""
        return self.scope.admits(record) and all(_fits(step, record) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """For a stored row or a job; what is not given is left out."""
        made = {
            "people": list(self.people),
            "together": self.together,
            "rooms": list(self.rooms),
            "domains": list(self.domains),
            "kinds": list(self.kinds),
            "start": self.start,
            "end": self.end,
            "words": [[list(term.words), term.prefix] for term in self.words],
            "exclusions": [[list(term.words), term.prefix] for term in self.exclusions],
            "attachment": self.attachment,
            "within": [step.to_json() for step in self.within],
        }
        kept = {name: value for name, value in made.items() if value not in (None, [], False) or value is False}
        if not self.together:
            del kept["together"]
        if self.scope != EVERYTHING:
            kept["scope"] = _scope_json(self.scope)
        return kept

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Criteria:
        """What `to_json` made; raises ValueError for anything else."""
        try:
            return _from_json(value, 0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no search: {error}") from None


def homes(record: Record) -> set[str]:
    """The domains in whose archives a record stands."""
    if record.room:
        return {domain_of(record.recipient)}
    found = set()
    if record.sender_account:
        found.add(domain_of(record.sender))
    if record.recipient_account:
        found.add(domain_of(record.recipient))
    return found


def domain_of(bare: str) -> str:
    """The domain of a bare address."""
    return bare.partition("@")[2] or bare


def parse_words(text: str) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """What an officer's words ask for: (all of which must occur, none of which may). As `text.parse`, and `-word` or
    `-"a phrase"` excludes. Raises ValueError with a sentence beyond the bounds, rather than leave words out."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"At most {MAX_TEXT:,} characters are searched for.")
    wanted: list[Term] = []
    unwanted: list[Term] = []
    excluding = False
    for index, part in enumerate(text.split('"')):
        if index % 2:
            words = tuple(fold(part).split())
            if words:
                (unwanted if excluding else wanted).append(Term(words))
            continue
        excluding = part.endswith("-") and (len(part) == 1 or part[-2].isspace())
        for word in part.split():
            words = tuple(fold(word).split())
            if words:
                (unwanted if word.startswith("-") else wanted).append(Term(words, word.endswith("*")))
    if any(term.prefix and len(term.words) == 1 and _is_letter(term.words[0]) for term in (*wanted, *unwanted)):
        # All words that begin so are gone through: with one letter they are half of everything.
        raise ValueError("The beginning of a word has two letters at least.")
    if len(wanted) + len(unwanted) > MAX_TERMS:
        raise ValueError(f"At most {MAX_TERMS} words and phrases are searched for together.")
    if text.strip() and not wanted and not unwanted:
        raise ValueError("Enter a word: only letters and digits can be searched for.")
    return tuple(wanted), tuple(unwanted)


def words_text(words: Iterable[Term], exclusions: Iterable[Term] = ()) -> str:
    """Terms as they are typed."""
    return " ".join([*map(_typed, words), *(f"-{_typed(term)}" for term in exclusions)])


def address(text: str) -> str:
    """A bare address in canonical form; raises ValueError with a sentence."""
    try:
        return Jid.parse(text.strip()).bare
    except JidError as error:
        raise ValueError(f"“{text.strip()[:80]}” is no XMPP address: {error}") from None


def _is_letter(word: str) -> bool:
    """Whether a word is one letter of a script with longer words."""
    return len(word) == 1 and word.isascii()


def _typed(term: Term) -> str:
    text = " ".join(term.words)
    return f'"{text}"' if len(term.words) > 1 else f"{text}{'*' if term.prefix else ''}"


def _fits(step: Criteria, record: Record) -> bool:
    sides = {record.sender, record.recipient}
    if step.people:
        named = sides & set(step.people)
        if len(named) < (len(set(step.people)) if step.together else 1):
            return False
    if step.rooms and not (record.room and record.recipient in step.rooms):
        return False
    if step.domains and not {domain_of(side) for side in sides} & set(step.domains):
        return False
    if step.kinds and record.kind not in step.kinds:
        return False
    if step.start is not None and record.id < ids.first_at(step.start):
        return False
    return step.end is None or record.id < ids.first_after(step.end)


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {
        "domains": None if scope.domains is None else list(scope.domains),
        "private": scope.private,
        "grants": [
            {
                "people": list(grant.people),
                "start": grant.start,
                "end": None if math.isinf(grant.end) else grant.end,
                "together": grant.together,
            }
            for grant in scope.grants
        ],
    }


def _scope_from(value: Mapping[str, Any]) -> Scope:
    grants = tuple(
        Grant(
            _texts(grant["people"]),
            float(grant["start"]),
            math.inf if grant["end"] is None else float(grant["end"]),
            bool(grant["together"]),
        )
        for grant in value["grants"]
    )
    domains = value["domains"]
    return Scope(None if domains is None else _texts(domains), value["private"] is True, grants)


def _from_json(value: Mapping[str, Any], depth: int) -> Criteria:
    steps = value.get("within", [])
    if len(steps) > (0 if depth else MAX_STEPS - 1):
        raise ValueError("this search has too many steps")
    attachment = value.get("attachment")
    return Criteria(
        _texts(value.get("people", [])),
        value.get("together") is True,
        _texts(value.get("rooms", [])),
        _texts(value.get("domains", [])),
        _texts(value.get("kinds", [])),
        _number(value.get("start")),
        _number(value.get("end")),
        _terms(value.get("words", [])),
        _terms(value.get("exclusions", [])),
        attachment if isinstance(attachment, bool) else None,
        tuple(_from_json(step, depth + 1) for step in steps),
        _scope_from(value["scope"]) if "scope" in value else EVERYTHING,
    )


def _texts(value: Any) -> tuple[str, ...]:
    found = tuple(value)
    if isinstance(value, str) or not all(isinstance(each, str) for each in found):
        raise ValueError("a list of texts was expected")
    return found


def _terms(value: Any) -> tuple[Term, ...]:
    return tuple(Term(_texts(words), bool(prefix)) for words, prefix in value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
