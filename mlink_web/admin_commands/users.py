"""Commands on accounts."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count

from mlink_web.accounts import imports, services
from mlink_web.accounts.models import Account
from mlink_web.conf.services import find_domain
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()
JID: Final = Argument("jid", "address of the account")
PASSWORD: Final = Argument("password", "the password; '-' reads it from standard input", option=True, secret=True)
MAX_LISTED: Final = 100_000


@registry.command(
    "user add",
    "Make an account.",
    JID,
    PASSWORD,
    Argument("admin", "yes makes an administrator", option=True, default="no"),
)
def user_add(jid: str, password: str, admin: str) -> str:
    """The account can sign in at once."""
    if admin not in ("yes", "no"):
        raise CommandError("--admin is yes or no.")
    account = services.create_account(jid, password, is_staff=admin == "yes", is_superuser=admin == "yes")
    return f"{account.username} is made."


@registry.command("user list", "List accounts.", Argument("domain", "only this domain", default=""), permission="read")
def user_list(domain: str) -> list[dict[str, Any]]:
    """Addresses, states and last logins."""
    accounts = Account.objects.order_by("username")
    if domain:
        accounts = accounts.filter(domain=find_domain(domain))
    rows = accounts.values_list("username", "state", "is_superuser", "last_login", "created")[:MAX_LISTED]
    return [
        {
            "jid": username,
            "state": state,
            "administrator": is_admin,
            "last_login": last_login.isoformat(timespec="seconds") if last_login else None,
            "created": created.isoformat(timespec="seconds"),
        }
        for username, state, is_admin, last_login, created in rows
    ]


@registry.command(
    "user import", "Make accounts from a CSV file.", Argument("file", "lines of address,password"), local=True
)
def user_import(file: str) -> dict[str, Any]:
    """All lines that are right are imported; the others are named."""
    done = imports.import_accounts(file)
    return {"made": done.made, "errors": [f"line {line}: {text}" for line, text in done.errors]}


@registry.command("user disable", "Nobody signs in as this account any more; its sessions end.", JID)
def user_disable(jid: str) -> str:
    """The data of the account stays."""
    account = services.find(jid)
    services.disable(account)
    return f"{account.username} is disabled."


@registry.command("user enable", "Let an account sign in again.", JID)
def user_enable(jid: str) -> str:
    """Whatever kept it from that."""
    account = services.find(jid)
    services.enable(account)
    return f"{account.username} is enabled."


@registry.command("user remove", "Delete an account with its data; archives stay.", JID)
def user_remove(jid: str) -> str:
    """There is no way back."""
    account = services.find(jid)
    services.remove(account)
    return f"{account.username} is removed."


@registry.command("user password", "Give an account a new password.", JID, PASSWORD)
def user_password(jid: str, password: str) -> str:
    """Web sessions of the account end."""
    account = services.find(jid)
    services.set_password(account, password)
    return f"{account.username} has a new password."


@registry.command("user show", "Show what is stored of an account.", JID, permission="read")
def user_show(jid: str) -> dict[str, Any]:
    """State, role and times."""
    account = services.find(jid)
    return {
        "jid": account.username,
        "state": account.state,
        "administrator": account.is_superuser,
        "last_login": account.last_login.isoformat(timespec="seconds") if account.last_login else None,
        "created": account.created.isoformat(timespec="seconds"),
        "moved_to": account.moved_to,
    }


@registry.command(
    "user count",
    "Count accounts by their state.",
    Argument("domain", "only this domain", default=""),
    permission="read",
)
def user_count(domain: str) -> dict[str, int]:
    """The number of all accounts, and of those in each state."""
    accounts = Account.objects.all()
    if domain:
        accounts = accounts.filter(domain=find_domain(domain))
    counts = dict(accounts.order_by().values_list("state").annotate(number=Count("pk")))
    return {"registered": sum(counts.values()), **{state: counts.get(state, 0) for state in Account.State.values}}


@registry.command("user role", "Make an account an administrator, or one no more.", JID, Argument("admin", "yes or no"))
def user_role(jid: str, admin: str) -> str:
    """The last administrator stays one."""
    if admin not in ("yes", "no"):
        raise CommandError("The second argument is yes or no.")
    account = services.find(jid)
    services.set_roles(account, is_staff=admin == "yes", is_superuser=admin == "yes")
    return f"{account.username} is {'an administrator now' if admin == 'yes' else 'no administrator'}."


@registry.command("user admins", "List the administrators.", permission="read")
def user_admins() -> list[str]:
    """Of all domains."""
    return list(Account.objects.filter(is_superuser=True).order_by("username").values_list("username", flat=True))
