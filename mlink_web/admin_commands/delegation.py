"""Commands on administrators of single domains."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from mlink_web.conf.services import find_domain
from mlink_web.delegation import services
from xmpp_engine.admin.command import Argument, Registry

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


@registry.command("domain admin remove", "Take a domain from its administrator.", JID, DOMAIN)
def domain_admin_remove(jid: str, domain: str) -> str:
    """Running nodes follow within seconds."""
    found = find_domain(domain)
    account = services.dismiss(jid, found)
    return f"{account.username} does not administer {found.name} any more."
