"""Commands on the devices of accounts."""

from __future__ import annotations

from typing import Any, Final

from mlink_web.accounts import services as accounts
from mlink_web.devices import services
from xmpp_engine.admin.command import Argument, CommandError, Registry

registry: Final = Registry()
JID: Final = Argument("jid", "address of the account")


@registry.command("device list", "List the devices of an account.", JID, permission="read")
def device_list(jid: str) -> list[dict[str, Any]]:
    """The last seen first; `device` is what `device revoke` takes."""
    return [
        {
            "device": device.ref,
            "client": device.title,
            "name": device.name,
            "first_seen": device.first_seen.isoformat(timespec="seconds"),
            "last_seen": device.last_seen.isoformat(timespec="seconds"),
            "address": device.address,
            "mechanism": device.mechanism,
            "knows_password": device.knows_password,
            "token_until": device.token_until.isoformat(timespec="seconds") if device.token_until else None,
        }
        for device in services.listed(accounts.find(jid))
    ]


@registry.command(
    "device revoke",
    "Forget a device: its tokens and its sessions end.",
    JID,
    Argument("device", "reference of the device, as `device list` shows it"),
)
def device_revoke(jid: str, device: str) -> str:
    """Whoever knows the password can sign in again until it is changed."""
    account = accounts.find(jid)
    revoked = services.revoke(account, device)
    if revoked is None:
        raise CommandError(f"{account.username} has no device {device!r}.")
    return revoked.sentence()
