"""Commands on accounts that move to another address (XEP-0283)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mlink_web.accounts import moving, services
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()


@registry.command(
    "user move",
    "Say that an account is at another address now; its contacts follow where their servers can.",
    Argument("old", "address of the account"),
    Argument("new", "where it is now", default=""),
    Argument("undo", "the account is itself again", option=True, default="no", flag=True),
    progress=True,
)
def user_move(old: str, new: str, undo: str, report: Callable[[str], Any] = lambda _step: None) -> dict[str, Any] | str:
    """Others are told the new address; its owner may go on to sign in to the old one. Again, it asks the contacts that
    have not answered."""
    if undo not in ("yes", "no"):
        raise CommandError("undo is yes or no.")
    account = services.find(old)
    if undo == "yes":
        if new:
            raise CommandError("To undo a move only the old address is needed.")
        if not account.moved_to:
            raise CommandError(f"{account.username} has not moved.")
        now = account.moved_to
        moving.undo(account)
        return f"{account.username} is itself again; contacts that follow {now} go on to."
    if not new:
        raise CommandError(f"{account.username} needs a new address, or --undo.")
    return moving.move(account, new, report).rows()
