"""Which commands an administrator of one domain may run (XEP-0050), and how they are kept within it: what
`xmpp_engine.admin.within` says of those of a node, and here those on the database. What has no rule is refused:
federation, certificates, archives, retention, publish-subscribe, forms, other domains, roles, the node itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlink_web.accounts import services as accounts
from mlink_web.console.forms import DelegatedDomainForm
from mlink_web.delegation.reach import Reach, may_change
from mlink_web.groups import services as groups
from mlink_web.invitations.models import Invitation
from mlink_web.reports.models import Report
from xmpp_engine.admin.command import CommandError
from xmpp_engine.admin.values import row_number
from xmpp_engine.admin.within import RULES as OF_NODES
from xmpp_engine.admin.within import Rule


def account_may_change(domain: str, jid: str) -> None:
    """Raise ValueError where an administrator of the domain may not change this account."""
    account = accounts.find(jid)
    if account.domain.name != domain:
        raise accounts.UnknownAccount(f"There is no account {account.username}.")
    if not may_change(Reach(frozenset((domain,))), account):
        raise CommandError(f"{account.username} may do more than you here: the server's administrators change it.")


def own_move(domain: str, /, *, new: str, undo: str, **_others: str) -> None:
    """The new address, on whose behalf contacts are asked, must be an account of the domain that one may change."""
    if undo == "yes":
        return
    if accounts.address(new).domain != domain:
        raise CommandError("There is no such account here.")
    account_may_change(domain, new)


def own_group(domain: str, /, name: str, **_others: str) -> None:
    """The group must be the domain's."""
    if groups.find(name).domain.name != domain:
        raise groups.UnknownGroup(f"There is no group {name.strip()}.")


def free_group(domain: str, /, name: str, **_others: str) -> None:
    """No other domain's group may have the name: whose it is is nobody's business."""
    try:
        found = groups.find(name)
    except groups.UnknownGroup:
        return
    if found.domain.name != domain:
        raise CommandError("This name cannot be used; try another one.")


def own_report(domain: str, /, number: str, **_others: str) -> None:
    """The report must be the domain's."""
    if not Report.objects.filter(pk=row_number(number), domain=domain).exists():
        raise CommandError(f"There is no report {number}.")


def own_invitation(domain: str, /, number: str) -> None:
    """The invitation must be the domain's."""
    if not Invitation.objects.filter(pk=row_number(number), domain=domain).exists():
        raise CommandError(f"There is no invitation {number} that could be withdrawn.")


_OWN: Final = Rule(domain="domain")
_ONE: Final = Rule(places=("jid",))
_CHANGED: Final = Rule(accounts=("jid",))
_GROUP: Final = Rule(judge=own_group)
RULES: Final[Mapping[str, Rule]] = {
    **OF_NODES,
    "domain list": Rule(rows="name"),
    "domain set": Rule(domain="name", only={"key": DelegatedDomainForm.SET}),
    "user add": Rule(places=("jid",), only={"admin": ("no",)}),
    "user list": _OWN,
    "user count": _OWN,
    "user show": _ONE,
    "user disable": _CHANGED,
    "user enable": _CHANGED,
    "user remove": _CHANGED,
    "user password": _CHANGED,
    "user move": Rule(accounts=("old",), judge=own_move),
    "device list": _ONE,
    "device revoke": _CHANGED,
    "upload list": _ONE,
    "group list": Rule(rows="domain"),
    "group members": _GROUP,
    "group add": Rule(domain="domain", judge=free_group),
    "group remove": _GROUP,
    "group member-add": _GROUP,
    "group member-remove": _GROUP,
    **{f"{text} {verb}": _OWN for text in ("motd", "welcome") for verb in ("show", "set", "delete")},
    "motd edit": _OWN,
    "invite create": _OWN,
    "invite reset": _CHANGED,
    "invite list": _OWN,
    "invite revoke": Rule(judge=own_invitation),
    "report list": _OWN,
    "report show": Rule(judge=own_report),
    "report close": Rule(judge=own_report),
}
