"""Who may order, see and take exports; asked again by the worker, and for every download."""

from __future__ import annotations

from typing import Any

from archive.export.models import Export
from archive.export.sources import NotAllowed
from archive.oversight.access import may_oversee


def may_see(user: Any, job: Any) -> bool:
    """Whether somebody who is not its owner sees an export: the officers see each other's, nobody sees one that
    people made of their own messages."""
    row = Export.objects.filter(token=job.token).first()
    return row is not None and row.officers and may_oversee(user, "export")


def require_officer(user: Any) -> None:
    """Raises NotAllowed for somebody who may not export what is not his own."""
    if not may_oversee(user, "export"):
        raise NotAllowed("You may not export from the archives of others.")
