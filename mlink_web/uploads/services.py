"""What administrators and owners do with shared files, and the sweep: file and row always go together.

The file goes first: a row whose file could not be removed stays and is tried again, a file without a row would be
forgotten (and is looked for by `orphans` all the same).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.db.models import Count, Q, QuerySet, Sum

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.uploads.files import ALPHABET, Files
from mlink_web.uploads.models import Upload
from xmpp_engine.api import UploadOptions, stored_uploads

log = logging.getLogger("mlink.sweep")

#: Rows that are worked on between two looks at the database.
SLICE: Final = 500
#: An upload that has been arriving for longer was cut off by the end of its node.
WRITING_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What an account has used of what it may have, in bytes: all files but those of its profile, and those."""

    used: int
    limit: int
    profile_used: int
    profile_limit: int


def _options(domain: Domain) -> dict[str, Any]:
    return dict(domain.modules.get("upload", {})) if isinstance(domain.modules, dict) else {}


def base(domain: Domain) -> str:
    """What the addresses of a domain's files begin with; "" where there is no HTTP. The same choice as that of the
    module `upload`."""
    stated = str(_options(domain).get("url") or domain.public_url)
    stated = stated or settings.MLINK_HTTP_BASE.replace("{domain}", domain.name)
    if stated and "://" not in stated:
        stated = f"https://{stated}"
    return stated.rstrip("/")


def link(domain: Domain, row: Upload) -> str:
    """The address of a file."""
    return f"{base(domain)}/upload/{row.token}/{quote(row.name, safe='')}"


def quota(account: Account) -> Quota:
    """How much an account has used and may have."""
    options = UploadOptions(**_options(account.domain))
    rows = files().filter(account_id=account.pk).order_by()
    is_profile = Q(purpose="profile")
    found = rows.aggregate(used=Sum("size", filter=~is_profile), profile=Sum("size", filter=is_profile))
    return Quota(found["used"] or 0, options.total_bytes, found["profile"] or 0, options.profile_total_bytes)


def origin(domain: Domain) -> str:
    """Scheme and name where the files of a domain are served, for security policies; "" where there is no HTTP."""
    return _origin(base(domain))


def storage_origin() -> str:
    """Scheme and name of the storage where it serves the files itself (MLINK_UPLOADS_SERVE=redirect), for security
    policies; "" where it does not, or nobody knows its name."""
    if settings.MLINK_UPLOADS_SERVE != "redirect":
        return ""
    try:
        url = Files().signed_url("A" * 32, "image/png", "inline")
    except Exception as error:
        log.error("the storage of files gives no address: %s", error)
        return ""
    return _origin(url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    # What ends a source in a policy would begin another one.
    name = "" if set(parts.netloc) & set(" ;,'\"") else parts.netloc
    return f"{parts.scheme}://{name}" if name else ""


def files(owner: str = "") -> QuerySet[Upload]:
    """The stored files, newest first; of one account where its address is given."""
    found = Upload.objects.filter(state=Upload.State.STORED).order_by("-created", "pk")
    return found.filter(owner=owner) if owner else found


def usage(account_id: int) -> tuple[int, int]:
    """(files, bytes) of an account."""
    found = files().filter(account_id=account_id).order_by().aggregate(count=Count("pk"), total=Sum("size"))
    return found["count"], found["total"] or 0


def totals(domains: Collection[str] | None = None) -> dict[str, int]:
    """`files` and `bytes` of everybody, or of the accounts of some domains."""
    rows = files()
    if domains is not None:
        rows = rows.filter(account_id__in=Account.objects.filter(domain__name__in=domains).values("pk"))
    found = rows.order_by().aggregate(files=Count("pk"), bytes=Sum("size"))
    return {"files": found["files"], "bytes": found["bytes"] or 0}


def usage_by_owner(limit: int) -> list[dict[str, Any]]:
    """Files and bytes of the accounts that have most, largest first."""
    rows = files().order_by().values("owner").annotate(files=Count("pk"), bytes=Sum("size"))
    return list(rows.order_by("-bytes", "owner")[:limit])


def remove(row: Upload, storage: Files | None = None) -> bool:
    """Remove a file. The row stays for the rest of its day, so that removing makes no room under the limit of a day.
    False when the storage does not let the file go."""
    try:
        (storage or Files()).remove(row.token)
    except Exception as error:
        log.error("the file %s of %s cannot be removed: %s", row.token, row.owner, error)
        return False
    if row.state == Upload.State.STORED and row.created > time.time() - stored_uploads.DAY:
        Upload.objects.filter(pk=row.pk).update(state=Upload.State.GONE)
    else:
        Upload.objects.filter(pk=row.pk).delete()
    return True


def remove_all(account_id: int) -> int:
    """Remove all files of an account; returns how many."""
    return _remove_each(files().filter(account_id=account_id))


def _remove_each(rows: QuerySet[Upload]) -> int:
    storage, gone, last = Files(), 0, 0
    while True:
        part = list(rows.order_by("pk").filter(pk__gt=last)[:SLICE])
        gone += sum(remove(row, storage) for row in part)
        if len(part) < SLICE:
            return gone
        last = part[-1].pk


def sweep(now: float, letters: str = "") -> dict[str, int]:
    """Remove what is over; returns how many of each. `letters` are first characters of tokens among whose files orphans
    are looked for."""
    gone = {"expired files": _remove_each(files().filter(expires__gt=0, expires__lte=now))}
    owners = Account.objects.values("pk")
    gone["files of removed accounts"] = _remove_each(files().exclude(account_id__in=owners))
    unused = Upload.objects.filter(state=Upload.State.SLOT, put_until__lte=now)
    gone["unused slots"] = unused.delete()[0]
    cut = Upload.objects.filter(state=Upload.State.WRITING, created__lte=now - WRITING_SECONDS)
    gone["uploads cut off"] = _remove_each(cut)
    Upload.objects.filter(Q(state=Upload.State.GONE), created__lte=now - stored_uploads.DAY).delete()
    gone["orphans"] = sum(orphans(first + second) for first in letters for second in ALPHABET)
    gone["drafts"] = Files().forget_drafts(now - WRITING_SECONDS)
    return gone


def orphans(shard: str) -> int:
    """Remove files without a row among those whose tokens begin with these two characters. A row is there before its
    file, so what has none was left behind."""
    storage, gone = Files(), 0
    tokens = list(storage.tokens(shard))
    for start in range(0, len(tokens), SLICE):
        part = tokens[start : start + SLICE]
        known = Upload.objects.filter(token__in=part).exclude(state=Upload.State.GONE)
        for token in set(part) - set(known.values_list("token", flat=True)):
            try:
                storage.remove(token)
                gone += 1
            except Exception as error:
                log.error("the file %s, which belongs to nobody, cannot be removed: %s", token, error)
    return gone
