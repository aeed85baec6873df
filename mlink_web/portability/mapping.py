"""Addresses of an import as they are to be here: domains that are called otherwise now, accounts that get other
names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mlink_web.portability.names import shown
from xmpp_engine.api import Jid, JidError

_MOST: Final = 10_000


class BadMapping(ValueError):
    """A mapping that cannot be; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """`domains` from old to new names, `accounts` from old to new bare addresses; the latter go first. A domain stands
    for itself only: what is below it is mapped where it is named too."""

    domains: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)

    def jid(self, text: str) -> Jid:
        """An address of the import in canonical form and as it is here; raises JidError."""
        jid = Jid.parse(text.strip())
        if not self.domains and not self.accounts:
            return jid
        bare = self.accounts.get(jid.bare)
        if bare is not None:
            return Jid.parse(f"{bare}/{jid.resource}" if jid.resource else bare)
        domain = self.domains.get(jid.domain)
        if domain is None:
            return jid
        return Jid(jid.local, domain, jid.resource)

    def bare(self, text: str) -> str:
        """The bare address; raises JidError."""
        return self.jid(text).bare

    def domain(self, name: str) -> str:
        """A domain as it is here; raises JidError."""
        jid = Jid.parse(name.strip())
        if jid.local or jid.resource:
            raise JidError("this is no domain")
        return self.domains.get(jid.bare, jid.bare)

    def text(self, text: str) -> str:
        """The same for what need not be an address: it stays as it is then."""
        if not self.domains and not self.accounts:
            return text
        try:
            return self.jid(text).full
        except JidError:
            return text

    def document(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {"domains": dict(self.domains), "accounts": dict(self.accounts)}


def of_document(values: Mapping[str, Any]) -> Addresses:
    """The reverse of `document`."""
    return Addresses(dict(values.get("domains", {})), dict(values.get("accounts", {})))


def parse(entries: Iterable[str]) -> Addresses:
    """Entries as people write them: `old.example=new.example` for a domain, `old@domain=new@domain` for an account.
    Empty ones are passed over. Raises BadMapping."""
    domains: dict[str, str] = {}
    accounts: dict[str, str] = {}
    for entry in entries:
        if not entry.strip():
            continue
        old, equals, new = entry.partition("=")
        try:
            one, other = Jid.parse(old.strip()), Jid.parse(new.strip())
        except JidError as error:
            raise BadMapping(f"{shown(entry.strip())} has something that is no address: {error}.") from None
        if not equals or one.resource or other.resource or bool(one.local) != bool(other.local):
            raise BadMapping(f"{shown(entry.strip())} does not say old=new, with two domains or two accounts.")
        into = accounts if one.local else domains
        if into.get(one.bare, other.bare) != other.bare:
            raise BadMapping(f"{one.bare} would become both {into[one.bare]} and {other.bare}.")
        into[one.bare] = other.bare
        if len(domains) + len(accounts) > _MOST:
            raise BadMapping(f"There are more than {_MOST:,} entries.")
    return Addresses(domains, accounts)
