"""Who may order, see and take exports; asked again by the worker, and for every download.

An officer whose rights reach everywhere sees the exports of all officers, another one only his own; and a file is given
to nobody who may not see now what it was made of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import QuerySet

from archive.export.models import Export
from archive.export.ordered import Order
from archive.export.sources import NotAllowed
from archive.oversight import scopes
from archive.oversight.access import may_oversee
from archive.oversight.criteria import EVERYTHING, Criteria, Scope


def scope_of(user: Any) -> Scope:
    """What an officer may export from the archives of others; raises NotAllowed where it is nothing."""
    if not may_oversee(user, "export"):
        raise NotAllowed("You may not export from the archives of others.")
    return scopes.scope_of(user, "export")


def scoped(user: Any, criteria: Criteria) -> Criteria:
    """The search within what the officer may export now, whatever it says itself; raises NotAllowed."""
    return replace(criteria, scope=scope_of(user))


def may_see(user: Any, job: Any) -> bool:
    """Whether somebody who is not its owner sees an export: nobody sees one that people made of their own messages."""
    row = Export.objects.filter(token=job.token).first()
    return row is not None and may_see_export(user, row)


def may_see_export(user: Any, export: Export) -> bool:
    """Whether an officer sees an export that some officer ordered."""
    if not export.officers or not may_oversee(user, "export"):
        return False
    return export.owner == user.get_username() or scope_of(user) == EVERYTHING


def visible_to(user: Any, exports: QuerySet[Export]) -> QuerySet[Export]:
    """Those of officers' exports that an officer sees."""
    return exports if scope_of(user) == EVERYTHING else exports.filter(owner=user.get_username())


def may_take(user: Any, export: Export, order: Order) -> bool:
    """Whether somebody may have the file of an export that he sees: an officer only while his rights reach as far as
    when it was made."""
    if not export.officers:
        return bool(export.owner == user.get_username())
    try:
        return covers(scope_of(user), Criteria.from_json(order.criteria).scope)
    except (NotAllowed, ValueError):
        return False


def covers(now: Scope, then: Scope) -> bool:
    """Whether everything that `then` lets see `now` lets see too."""
    if now.domains is not None and (then.domains is None or not set(then.domains) <= set(now.domains)):
        return False
    return now.private or (not then.private and set(then.grants) <= set(now.grants))
