"""Commands on invitations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings

from mlink_web.accounts import services as accounts
from mlink_web.conf.models import Domain
from mlink_web.conf.services import find_domain, first_domain
from mlink_web.invitations import services, store
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()
MAX_LISTED: Final = 1_000


@registry.command(
    "invite create",
    "Make a link by which somebody makes an account.",
    Argument("domain", "domain of the account; the first one by default", default=""),
    Argument("name", "the user name that the account must have", option=True, default=""),
    Argument("uses", "how many accounts it is good for", option=True, default="1"),
)
def invite_create(domain: str, name: str, uses: str) -> dict[str, Any]:
    """The link is shown this once."""
    if not uses.isascii() or not uses.isdigit():
        raise CommandError("--uses is a number.")
    found = find_domain(domain or first_domain())
    return _shown(found, services.invite_to_account(found, name, int(uses)))


@registry.command(
    "invite reset",
    "Make a link by which the owner of an account sets a new password.",
    Argument("jid", "address of the account"),
)
def invite_reset(jid: str) -> dict[str, Any]:
    """The old password works until the link is used."""
    account = accounts.find(jid)
    return _shown(account.domain, services.invite_to_new_password(account))


@registry.command(
    "invite list",
    "List the invitations of a domain.",
    Argument("domain", "the first one by default", default=""),
    permission="read",
)
def invite_list(domain: str) -> list[dict[str, Any]]:
    """Newest first, with what became of them."""
    rows = store.made(find_domain(domain or first_domain()).name, None, MAX_LISTED)
    return [
        {
            "number": row.id,
            "by": row.inviter,
            "for": services.purpose_of(row),
            "state": services.state_of(row),
            "used_by": row.used_by,
            "created": _moment(row.created),
            "expires": _moment(row.expires),
        }
        for row in rows
    ]


@registry.command("invite revoke", "Withdraw an invitation.", Argument("number", "its number in the list"))
def invite_revoke(number: str) -> str:
    """Its link opens nothing any more."""
    if not number.isascii() or not number.isdigit() or len(number) > 18 or not store.revoke(int(number)):
        raise CommandError(f"There is no invitation {number} that could be withdrawn.")
    return f"Invitation {number} is withdrawn."


def _shown(domain: Domain, made: services.Made) -> dict[str, Any]:
    base = domain.public_url.rstrip("/") or settings.MLINK_HTTP_BASE.format(domain=domain.name)
    shown = {"number": made.row.id, "link": f"{base}/invite/{made.token}" if base else ""}
    if made.uri:
        shown["uri"] = made.uri
    return {**shown, "expires": _moment(made.row.expires)}


def _moment(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
