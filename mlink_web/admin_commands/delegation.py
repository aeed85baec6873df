"""Commands on administrators of single domains, and on deleting a domain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from mlink_web.audit import log as audit
from mlink_web.conf.models import Domain
from mlink_web.conf.services import find_domain
from mlink_web.delegation import deleting, services
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()
JID: Final = Argument("jid", "address of the account")
DOMAIN: Final = Argument("domain", "domain name")
WHO: Final = "command"


@registry.command(
    "domain admin list",
    "List who administers single domains.",
    Argument("domain", "only of this one", default=""),
    permission="read",
)
def domain_admin_list(domain: str) -> list[dict[str, Any]]:
    """By domain and address. Administrators of the server stand in `user admins`."""
    return [
        {
            "domain": row.domain.name,
            "jid": row.account.username,
            "state": row.account.state,
            "appointed": datetime.fromtimestamp(row.appointed, UTC).isoformat(timespec="seconds"),
            "by": row.appointed_by,
        }
        for row in services.listed(find_domain(domain) if domain else None)
    ]


@registry.command("domain admin add", "Make an account an administrator of a domain.", JID, DOMAIN)
def domain_admin_add(jid: str, domain: str) -> str:
    """Running nodes follow within seconds."""
    made = services.appoint(jid, find_domain(domain), WHO)
    return f"{made.account.username} administers {made.domain.name} now."


@registry.command(
    "domain delete",
    "Delete a domain with all that it has; without --confirm it only shows what that is.",
    Argument("name", "domain name"),
    Argument(
        "archive",
        "keep leaves its messages, export writes them to a file and removes them",
        option=True,
        default="keep",
    ),
    Argument("reason", "why; stands in the audit log", option=True, default=""),
    Argument("confirm", "the name again", option=True, default=""),
)
def domain_delete(name: str, archive: str, reason: str, confirm: str) -> dict[str, Any]:
    """The domain is switched off at once; a job does the rest, and `domain deletions` tells how far it is."""
    domain = find_domain(name)
    if not confirm:
        forbidden = _why_not(domain)
        return {**deleting.report(domain), "can_be_deleted": not forbidden, "why_not": forbidden}
    if confirm != domain.name:
        raise CommandError(f"--confirm must be {domain.name}.")

    def record(did: str, target: str, **details: Any) -> None:
        audit.record(WHO, did, target, **details)

    row = deleting.order(domain, WHO, archive, reason, record)
    return {"number": row.pk, "domain": row.name, "state": row.get_state_display()}


def _why_not(domain: Domain) -> str:
    try:
        deleting.check(domain, WHO)
    except deleting.CannotDelete as error:
        return str(error)
    return ""


@registry.command("domain deletions", "List deletions of domains.", permission="read")
def domain_deletions() -> list[dict[str, Any]]:
    """The newest first."""
    return [
        {
            "number": row.pk,
            "domain": row.name,
            "archive": row.archive,
            "ordered": datetime.fromtimestamp(row.ordered, UTC).isoformat(timespec="seconds"),
            "by": row.ordered_by,
            "state": row.get_state_display(),
            "removed": ", ".join(f"{number:,} {kind}" for kind, number in row.removed.items()),
            "why": row.trouble,
        }
        for row in deleting.listed()
    ]


@registry.command("domain admin remove", "Take a domain from its administrator.", JID, DOMAIN)
def domain_admin_remove(jid: str, domain: str) -> str:
    """Running nodes follow within seconds."""
    found = find_domain(domain)
    account = services.dismiss(jid, found)
    return f"{account.username} does not administer {found.name} any more."
