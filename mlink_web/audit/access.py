"""Who sees checks of the audit log besides who ordered them."""

from __future__ import annotations

from typing import Any

from mlink_web.console.access import may_use_console


def may_see(user: Any, _job: Any) -> bool:
    """Every administrator."""
    return may_use_console(user)
