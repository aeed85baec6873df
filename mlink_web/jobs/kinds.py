"""Which kinds of jobs there are. Apps register theirs in `ready`; functions are named and imported when a job runs, so
that pages and nodes do without what only the worker needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Kind:
    """`run` names a function of a Work, `may` one of a user and a job that says who sees it besides its owner (""
    for nobody). A result is kept for `keep_seconds`; an owner may have `per_owner` of them under way, `kept` lists
    how many that are over are kept of each owner. With `ended` a function of a job is named that is called when the
    job and its result go. `downloaded` names one of a request and a job, called before its result is handed out."""

    name: str
    run: str
    title: str
    keep_seconds: float = 7 * 24 * 3600.0
    per_owner: int = 3
    kept: int = 50
    may: str = ""
    ended: str = ""
    downloaded: str = ""


_kinds: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """Make a kind known."""
    if _kinds.get(kind.name, kind) != kind:
        raise ValueError(f"there are two kinds of jobs named {kind.name!r}")
    _kinds[kind.name] = kind


def find(name: str) -> Kind:
    """The kind of that name; raises LookupError."""
    try:
        return _kinds[name]
    except KeyError:
        raise LookupError(f"there is no kind of jobs named {name!r}") from None


def may_see(user: Any, job: Any) -> bool:
    """Whether somebody sees a job: its owner, and whoever its kind lets."""
    if user is None or not user.is_authenticated or not user.is_active:
        return False
    if user.get_username() == job.owner:
        return True
    try:
        judge = find(job.kind).may
    except LookupError:
        return False
    return bool(judge) and bool(import_string(judge)(user, job))
