"""Who may do something with a topic: lists of rules, of which one must match.

    {"kind": "everybody", "value": ""}                  anybody, of other servers too
    {"kind": "local", "value": ""}                      accounts of this server
    {"kind": "jid", "value": "romeo@example.org"}       one address
    {"kind": "domain", "value": "example.org"}          all addresses of a domain
    {"kind": "group", "value": "doctors"}               members of a group of this server

An empty list lets nobody in. Groups are asked for where the node keeps them (`services.extras["groups"]`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fdp.reading import Place
from xmpp_engine.api import Groups, Jid

Kind = Literal["everybody", "local", "jid", "domain", "group"]
KINDS: Final[tuple[Kind, ...]] = Kind.__args__  # type: ignore[attr-defined]
MAX_RULES: Final = 1_000
MAX_VALUE: Final = 3_071


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `value` is prepared."""

    kind: Kind
    value: str = ""

    def document(self) -> dict[str, str]:
        """As it is stored."""
        return {"kind": self.kind, "value": self.value}

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.value else self.kind


LOCAL: Final = (Rule("local"),)


@dataclass(frozen=True, slots=True)
class Policy:
    """A list of rules made ready for many questions."""

    everybody: bool = False
    local: bool = False
    addresses: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Policy:
        """What these rules come to."""
        rules = tuple(rules)

        def values(kind: Kind) -> list[str]:
            return [rule.value for rule in rules if rule.kind == kind]

        return cls(
            everybody=bool(values("everybody")),
            local=bool(values("local")),
            addresses=frozenset(values("jid")),
            domains=frozenset(values("domain")),
            groups=tuple(values("group")),
        )

    def allows(self, who: Jid, *, is_local: bool, groups: Groups) -> bool:
        """Whether one rule matches; `is_local` says whether it is an account of this server."""
        if self.everybody or (self.local and is_local) or who.bare in self.addresses or who.domain in self.domains:
            return True
        return any(groups.contains(group, who.bare) for group in self.groups)


def read(path: str, rules: Any) -> tuple[Rule, ...]:
    """Rules from a JSON list, prepared and each once; raises DefinitionError with its place below `path`."""
    found = []
    for place in Place(path, rules).items(MAX_RULES):
        known = place.mapping("kind", "value")
        kind: Kind = known["kind"].choice(KINDS)
        found.append(Rule(kind, _value(kind, known["value"])))
    return tuple(dict.fromkeys(found))


def _value(kind: Kind, place: Place) -> str:
    text = place.text(MAX_VALUE).strip()
    if kind in ("everybody", "local"):
        if text:
            raise place.error(f"a rule of the kind {kind} takes no value")
        return ""
    if not text:
        raise place.error(f"a rule of the kind {kind} needs a value")
    if kind == "group":
        return text
    try:
        address = Jid.parse(text)
    except ValueError as error:
        raise place.error(f"is no address: {error}") from None
    if kind == "domain" and (address.local or address.resource):
        raise place.error("must be a domain such as example.org")
    if kind == "jid" and address.resource:
        raise place.error("must be an address without a resource")
    return address.bare


def parse(text: str) -> list[dict[str, str]]:
    """Rules as people type them: `local`, `everybody`, `jid:romeo@example.org domain:example.org`; words apart by
    blanks or commas, `nobody` for none. Raises ValueError."""
    words = text.replace(",", " ").split()
    if words == ["nobody"]:
        return []
    if not words:
        raise ValueError("Say who: everybody, local, jid:ADDRESS, domain:NAME, group:NAME, or nobody.")
    documents = [dict(zip(("kind", "value"), word.split(":", 1), strict=False)) for word in words]
    return [rule.document() for rule in read("rules", documents)]


def shown(rules: Sequence[dict[str, str]]) -> str:
    """Rules as people type them."""
    return " ".join(str(Rule(**rule)) for rule in rules) or "nobody"  # type: ignore[arg-type]
