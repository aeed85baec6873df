"""What an officer may do with day files: those of his domains, and of conversations between two only what is open to
him (`archive/oversight/scopes.py`)."""

from __future__ import annotations

from typing import Any, Final

from archive.dayfiles.models import USERS, DayFile
from archive.oversight import scopes
from archive.oversight.criteria import Scope

RIGHT: Final = "files"


def scope_of(user: Any) -> Scope:
    """What somebody may see."""
    return scopes.scope_of(user, RIGHT)


def has_domain(scope: Scope, domain: str) -> bool:
    """Whether a domain's files are his matter."""
    return scope.domains is None or domain in scope.domains


def is_everywhere(scope: Scope) -> bool:
    """Whether all domains are: what concerns everything is for him."""
    return scope.domains is None


def may_take(scope: Scope, row: DayFile) -> bool:
    """Whether he may have a file as it is: where two must agree on private conversations, those of users not."""
    return has_domain(scope, row.domain) and (scope.private or row.kind != USERS)
