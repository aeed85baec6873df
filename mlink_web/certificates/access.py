"""Who sees the jobs that get certificates: whoever may use the pages of certificates."""

from __future__ import annotations

from typing import Any

from mlink_web.console.access import may_use_console


def may_see_job(user: Any, _job: Any) -> bool:
    """Whether somebody sees the job of another administrator."""
    return may_use_console(user)
