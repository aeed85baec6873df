"""The periodic sweep: what has expired or belongs to nobody goes, in slices so that others can write in between."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Final

from django.db import connection
from django.utils import timezone

from mlink_web.accounts.models import Account, AccountChange, SignInToken
from mlink_web.celery import app
from mlink_web.outbox.models import WaitingStanza
from mlink_web.stores.models import OfflineMessage, StreamMark
from mlink_web.stores.offline import SLICE, expire_slice
from xmpp_engine.storage.outbox import FORGOTTEN_SECONDS

log = logging.getLogger("mlink.sweep")

#: A stream that nobody resumed for this long is not resumed any more.
MARK_SECONDS: Final = 24 * 3600
#: Nodes look at changes every few seconds; one that was down reads everything anew anyway.
CHANGE_HOURS: Final = 24


@app.task(name="mlink_web.stores.tasks.expire")
def expire() -> dict[str, int]:
    """Remove expired offline messages, stream marks, tokens, stanzas for other servers and read changes; returns how
    many of each."""
    now = time.time()
    gone = {"offline": _expired_offline(now), "orphans": _orphans()}
    gone["marks"] = StreamMark.objects.filter(updated__lt=now - MARK_SECONDS).delete()[0]
    gone["tokens"] = SignInToken.objects.filter(expires__lt=now).delete()[0]
    # Their nodes never came back to tell the senders.
    gone["outgoing"] = WaitingStanza.objects.filter(expires__lt=now - FORGOTTEN_SECONDS).delete()[0]
    old = timezone.now() - timedelta(hours=CHANGE_HOURS)
    gone["changes"] = AccountChange.objects.filter(when__lt=old).delete()[0]
    if any(gone.values()):
        log.info("swept %s", ", ".join(f"{count} {name}" for name, count in gone.items() if count))
    return gone


def _expired_offline(now: float) -> int:
    total = 0
    while True:
        removed = expire_slice(connection, now)
        total += removed
        if removed < SLICE:
            return total


def _orphans() -> int:
    """Offline messages that were written while their account was being removed."""
    owners = Account.objects.values("pk")
    orphans = OfflineMessage.objects.exclude(account_id__in=owners).values_list("pk", flat=True)[:SLICE]
    return OfflineMessage.objects.filter(pk__in=list(orphans)).delete()[0]
