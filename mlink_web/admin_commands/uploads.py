"""Commands on shared files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from mlink_web.accounts.services import address, find
from mlink_web.uploads import services
from mlink_web.uploads.files import is_token
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.modules.upload import PATH

registry: Final = Registry()
MAX_LISTED: Final = 10_000


@registry.command(
    "upload list", "List shared files.", Argument("jid", "only of this account", default=""), permission="read"
)
def upload_list(jid: str) -> list[dict[str, Any]]:
    """The newest files first."""
    return [
        {
            "token": row.token,
            "owner": row.owner,
            "name": row.name,
            "bytes": row.size,
            "type": row.served_type,
            "purpose": row.purpose,
            "stored": _date(row.stored),
            "until": _date(row.expires) if row.expires else None,
        }
        for row in services.files(address(jid).bare if jid else "")[:MAX_LISTED]
    ]


@registry.command(
    "upload remove",
    "Remove a shared file, or all of an account.",
    Argument("what", "address or token of the file, or the address of an account"),
)
def upload_remove(what: str) -> str:
    """The bytes go at once; who has the address already may have a copy."""
    token = what.partition(PATH)[2].partition("/")[0] if PATH in what else what
    if is_token(token):
        row = services.files().filter(token=token).first()
        if row is None:
            raise CommandError("There is no such file.")
        if not services.remove(row):
            raise CommandError("The storage does not let the file go; the log says why.")
        return f"{row.name} of {row.owner} is removed."
    if "@" not in what:
        raise CommandError("Give the address or token of a file, or the address of an account.")
    account = find(what)
    return f"{services.remove_all(account.pk)} files of {account.username} are removed."


@registry.command("upload usage", "Show how much accounts have shared.", permission="read")
def upload_usage() -> list[dict[str, Any]]:
    """The largest first."""
    return services.usage_by_owner(MAX_LISTED)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
