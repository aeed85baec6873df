"""How far somebody's administration reaches: everything, some domains, or nothing.

A domain's services stand below it (`rooms.example.org`), and another domain that is served may stand there too
(`lab.example.org`). So what an address belongs to is the longest domain that is served here and that it ends with.
Whoever administers `example.org` has nothing of `lab.example.org`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet

from mlink_web.conf.models import Domain
from mlink_web.delegation.models import DomainAdministrator
from xmpp_engine.api import Jid

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Reach:
    """`domains` are those over which somebody has power, None for everything. `served` are the names of all domains of
    this server: for finding out whose an address is, never for showing."""

    domains: frozenset[str] | None
    served: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.domains is None or bool(self.domains)

    @property
    def everything(self) -> bool:
        """Whether nothing is out of reach."""
        return self.domains is None

    @property
    def names(self) -> list[str]:
        """The domains in their order; only where it is not everything."""
        return sorted(self.domains or ())

    def covers(self, address: str) -> bool:
        """Whether an address, a domain or a service is within reach; what is no address is not."""
        if self.domains is None:
            return True
        try:
            domain = Jid.parse(address).domain
        except ValueError:
            return False
        while domain and domain not in self.served:
            domain = domain.partition(".")[2]
        return domain in self.domains

    def of(self, addresses: Iterable[str]) -> list[str]:
        """Those of these addresses that are within reach."""
        return [address for address in addresses if self.covers(address)]

    def told(self, sentence: str) -> str:
        """A sentence of a refusal, unless it names a domain out of reach."""
        foreign = self.served - self.domains if self.domains is not None else frozenset()
        if any(name in sentence for name in foreign):
            return "This cannot be done now; an administrator of the server can say why."
        return sentence

    def narrowed(self, rows: QuerySet[Row], field: str) -> QuerySet[Row]:
        """The rows whose domain, by the name in `field`, is within reach."""
        return rows if self.domains is None else rows.filter(**{f"{field}__in": self.domains})


EVERYTHING: Final = Reach(None)
NOTHING: Final = Reach(frozenset())


def is_administrator(user: Any) -> bool:
    """Whether somebody administers the whole server."""
    return bool(user is not None and user.is_authenticated and user.is_active and (user.is_staff or user.is_superuser))


def reach_of(user: Any) -> Reach:
    """How far somebody's administration reaches, by the database."""
    if is_administrator(user):
        return EVERYTHING
    if user is None or not user.is_authenticated or not user.is_active:
        return NOTHING
    own = frozenset(DomainAdministrator.objects.filter(account_id=user.pk).values_list("domain__name", flat=True))
    return Reach(own, frozenset(Domain.objects.values_list("name", flat=True))) if own else NOTHING


def may_change(reach: Reach, account: Any) -> bool:
    """Whether who reaches so far may disable an account, end its sessions, give it a new password and the like. Not
    where the account can do more than he can: a new password would hand him all of that."""
    if reach.domains is None:
        return True
    if account.domain.name not in reach.domains or account.is_staff or account.is_superuser:
        return False
    if hasattr(account, "officer"):  # rights over archives
        return False
    others = account.administers.exclude(domain__name__in=reach.domains)
    return not others.exists()
