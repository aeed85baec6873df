"""What of the archives an officer may see: his domains, and where two must agree on private conversations, those that
were granted to him. Worked out anew for each request of a page and each run of a job."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from archive.oversight import access
from archive.oversight.criteria import Criteria, Grant, Scope
from archive.oversight.models import Request
from mlink_web.conf.models import Domain
from mlink_web.rooms.models import Room

#: Nothing at all.
NOTHING: Final = Scope(domains=(), private=False)
#: Where a domain's options name no chat services.
_SERVICES: Final = {"conference": {}}
_GRANTS: Final = 100


def scope_of(user: Any, right: str = "search") -> Scope:
    """What a person may see by this right; nothing where he does not have it."""
    rights = access.rights_of(user)
    if right not in rights:
        return NOTHING
    domains = rights[right]
    reach = None if domains is None else tuple(sorted({each for name in domains for each in hosts_of(name)}))
    if not access.options().four_eyes:
        return Scope(reach)
    return Scope(reach, False, grants_of(user))


def bounded(user: Any, criteria: Criteria, right: str = "search") -> Criteria:
    """The search within what the person may see, whatever it says itself."""
    return replace(criteria, scope=scope_of(user, right))


def grants_of(user: Any) -> tuple[Grant, ...]:
    """The conversations that are open to somebody where two must agree: his own, and what was granted and has not ended
    yet."""
    granted = Request.objects.filter(asker_account=user.pk, state=Request.State.GRANTED, expires__gt=time.time())
    own = Grant((user.get_username(),))
    return (own, *(Grant(tuple(row.people), row.start, row.end, row.together) for row in granted[:_GRANTS]))


def hosts_of(domain: str) -> set[str]:
    """A domain that is served, and the addresses of its chat services: those that it has, and those of its rooms."""
    row = Domain.objects.filter(name=domain).first()
    module = row.modules.get("muc") if row is not None and isinstance(row.modules, dict) else None
    services = module.get("services", _SERVICES) if isinstance(module, dict) else _SERVICES
    labels = services if isinstance(services, dict) else _SERVICES
    found = {domain, *(f"{label}.{domain}" for label in labels)}
    kept = Room.objects.filter(service__endswith=f".{domain}").values_list("service", flat=True).distinct()
    found.update(service for service in kept if service.partition(".")[2] == domain)
    others = Domain.objects.filter(name__in=found - {domain}).values_list("name", flat=True)
    return found - set(others)
