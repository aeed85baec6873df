"""What somebody may run who administers one domain and no more than that: the only judge of it for commands.

A command that has no rule here (or in the table of the embedding application, `Services.extras["within"]`) is refused:
it may tell of other domains, or change them. A rule says which arguments have to lie in the domain and what of the
result is left out, so that the commands themselves know nothing of it. What lies outside is as if it were not there.

What only a database knows (whose group has this name, whether an account may do more than who changes it) is asked of
the application: `Rule.judge`, and `extras["may change"]` for accounts, without which no account is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.admin.command import Command, CommandError

Judge = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a command is kept within one domain."""

    #: An argument that names a domain: where it is left out it is the own one, and there is no other.
    domain: str = ""
    #: Arguments with an address, a service or a room of the domain; they cannot be left out.
    places: tuple[str, ...] = ()
    #: Arguments with the address of an account that is changed: it must be one that may be.
    accounts: tuple[str, ...] = ()
    #: The values that an argument may have.
    only: Mapping[str, Collection[str]] = field(default_factory=dict)
    #: The key of the address in each row of the result: rows of others are left out.
    rows: str = ""
    #: A function of `domain` and the arguments, which raises CommandError or ValueError; run where data is.
    judge: Judge | None = None


_ROOM: Final = Rule(places=("room",))
_OWN: Final = Rule(domain="domain")
#: Commands of a running node.
RULES: Final[Mapping[str, Rule]] = {
    "sessions": Rule(rows="jid"),
    "kick": Rule(accounts=("jid",)),
    "online": _OWN,
    "announce": _OWN,
    "user stats": Rule(places=("jid",)),
    "room list": Rule(places=("service",)),
    "room page": Rule(places=("service",)),
    "room idle": Rule(places=("service",)),
    "room of": Rule(rows="room"),
    **{
        f"room {verb}": _ROOM
        for verb in (
            *("show", "config", "create", "destroy", "set", "configure", "occupants", "affiliations", "affiliate"),
            *("kick", "role", "subject", "approve"),
        )
    },
}


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain with its services."""

    name: str
    services: Collection[str]
    #: All domains of this server: none of them may stand in a sentence that is told.
    served: Collection[str]

    def has(self, address: str) -> bool:
        """Whether an address, a domain or a service belongs to it; what is no address does not."""
        try:
            domain = Jid.parse(address.strip()).domain
        except ValueError:
            return False
        return domain == self.name or domain in self.services

    def bind(self, command: Command, rule: Rule, given: Mapping[str, str]) -> dict[str, str]:
        """The arguments complete with defaults; raises CommandError for what lies outside."""
        wanted = dict(given)
        if rule.domain:
            wanted[rule.domain] = wanted.get(rule.domain) or self.name
        bound = command.bind(wanted)
        if rule.domain and bound[rule.domain].strip().lower() != self.name:
            raise CommandError("There is no such domain here.")
        for name in (*rule.places, *rule.accounts):
            if not bound[name].strip():
                raise CommandError(f"{command.name} needs {name} here.")
            if not self.has(bound[name]):
                raise CommandError("There is no such account, room or service here.")
        for name, values in rule.only.items():
            if bound[name] not in values:
                raise CommandError(f"{name} is one of {', '.join(values)} here.")
        return bound

    def shown(self, rule: Rule, result: Any) -> Any:
        """The result without what is others'."""
        if not rule.rows or not isinstance(result, list):
            return result
        return [row for row in result if self.has(str(row[rule.rows]))]

    def told(self, sentence: str) -> str:
        """A sentence of a refusal, unless it names another domain."""
        foreign = [name for name in self.served if name != self.name and name in sentence]
        return "this cannot be done; an administrator of the server can say why" if foreign else sentence
