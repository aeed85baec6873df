"""Which accounts an export is about: one, those of a domain, or all of the server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain

#: Accounts of one query.
PAGE: Final = 200


class NoScope(ValueError):
    """There is nothing of that name; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Scope:
    """`user` is the address of one account, `domain` the name of one domain; neither for the whole server."""

    user: str = ""
    domain: str = ""
    using: str = DEFAULT_DB_ALIAS

    def check(self) -> None:
        """Raise NoScope where there is nothing of that name."""
        if self.user and not self.accounts().exists():
            raise NoScope(f"There is no account {self.user}.")
        if self.domain and not Domain.objects.using(self.using).filter(name=self.domain).exists():
            raise NoScope(f"The domain {self.domain} is not served here.")

    @property
    def about(self) -> str:
        """What is exported, for people."""
        return self.user or self.domain or "the whole server"

    def accounts(self) -> QuerySet[Account]:
        """The accounts, in no order."""
        found = Account.objects.using(self.using).select_related("domain")
        if self.user:
            return found.filter(username=self.user)
        return found.filter(domain__name=self.domain) if self.domain else found

    def domains(self) -> list[str]:
        """The domains, in the order of their names."""
        found = Domain.objects.using(self.using)
        if self.user:
            found = found.filter(name=self.user.rpartition("@")[2])
        elif self.domain:
            found = found.filter(name=self.domain)
        return sorted(found.values_list("name", flat=True))

    def locals(self, domain: str) -> Iterator[str]:
        """The local parts of a domain's accounts in the order in which accounts were made, read in pages."""
        for account in self.walk(domain):
            yield account.local

    def walk(self, domain: str) -> Iterator[Account]:
        """The accounts of a domain in the order in which they were made, read in pages. Those that are made meanwhile
        come too, those that are removed do not."""
        last = 0
        while True:
            part = list(self.accounts().filter(domain__name=domain, pk__gt=last).order_by("pk")[:PAGE])
            yield from part
            if len(part) < PAGE:
                return
            last = part[-1].pk

    def document(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {"user": self.user, "domain": self.domain}


def parse(user: str = "", domain: str = "", using: str = DEFAULT_DB_ALIAS) -> Scope:
    """A scope of what people or jobs say; raises NoScope."""
    try:
        made = Scope(services.address(user).bare if user else "", domain.strip().lower(), using)
    except ValueError as error:
        raise NoScope(str(error)) from None
    made.check()
    return made
