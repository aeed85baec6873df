"""Push registrations of an account as pages show them, and their end.

The database is changed first; then the running node is told, so that it sends nothing more for what it has in memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mlink_web.accounts.models import Account
from mlink_web.devices.models import Device
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from mlink_web.pushes.models import PushRegistration

ASK_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Shown:
    """One registration: its number, the service, which device asked for it ("" for an unknown one), since when."""

    number: int
    service: str
    device: str
    since: datetime


def listed(account: Account) -> list[Shown]:
    """All registrations, the newest first."""
    devices = {
        device.device: " on ".join(filter(None, (device.software or device.resource, device.name)))
        for device in Device.objects.filter(account=account)
    }
    return [
        Shown(row.pk, row.jid, devices.get(row.device, ""), datetime.fromtimestamp(row.created, UTC))
        for row in PushRegistration.objects.filter(account=account).order_by("-pk")
    ]


def switch_off(account: Account, number: int) -> str | None:
    """Remove a registration and tell the node; a sentence for people, None for one that is not there."""
    row = PushRegistration.objects.filter(account=account, pk=number).first()
    if row is None:
        return None
    row.delete()
    text = f"Push notifications through {row.jid} are switched off"
    try:
        asyncio.run(_tell(account.username))
    except NodeDown:
        pass
    except (EngineError, OSError, TimeoutError):
        text += "; a node did not answer, so some may still come within the hour"
    return f"{text}."


async def _tell(bare: str) -> None:
    async with asyncio.timeout(ASK_SECONDS):
        client = EngineClient()
        await client.call("push refresh", jid=bare)
    if client.warnings:
        raise EngineError(" ".join(client.warnings))
