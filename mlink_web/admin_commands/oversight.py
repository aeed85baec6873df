"""Searching all archives, and archive officers, for whoever administers the machine. What is searched for stands in the
audit log before anything is shown. Nobody's agreement is asked: who has a shell on the machine has its database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from archive import ids
from archive.document import body_of, element_of
from archive.oversight import access, officers, search, trail
from archive.oversight.criteria import KINDS, Criteria
from archive.records import Record
from mlink_web.accounts.services import address
from mlink_web.admin_commands.archive_exports import WHO, criteria_of
from mlink_web.audit import log as audit
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import yes_or_no
from xmpp_engine.api import StreamError

registry: Final = Registry()
MAX_LISTED: Final = 1_000
JID: Final = Argument("jid", "address of the account")


@registry.command(
    "archive search",
    "Search in all archives.",
    Argument("words", 'words that must occur, "phrases", begin*, -without', default="", logged=False),
    Argument("people", "bare addresses apart by commas: messages of any of them", option=True, default=""),
    Argument("together", "yes for messages in which all of them take part", option=True, default="no"),
    Argument("rooms", "addresses of rooms apart by commas", option=True, default=""),
    Argument("domains", "domains apart by commas", option=True, default=""),
    Argument("kinds", f"kinds apart by commas: {', '.join(KINDS)}", option=True, default=""),
    Argument("files", "yes or no: only messages with, or without a file", option=True, default=""),
    Argument("start", "from that time on, such as 2026-05-31 or 2026-05-31T12:00", option=True, default=""),
    Argument("end", "until that time", option=True, default=""),
    Argument("zone", "time zone of these times", option=True, default="UTC"),
    Argument("before", "only messages before the one of this id", option=True, default=""),
    Argument("limit", "how many", option=True, default="50"),
    permission="read",
    local=True,
)
def archive_search(
    words: str, together: str, kinds: str, files: str, zone: str, before: str, limit: str, **asked: str
) -> list[dict[str, Any]]:
    """The newest first."""
    if not limit.isascii() or not limit.isdigit() or not 0 < int(limit) <= MAX_LISTED:
        raise CommandError(f"A limit is a number from 1 to {MAX_LISTED}.")
    place = ids.from_text(before) if before else ids.MAX_ID
    if place is None:
        raise CommandError("The id of a message has 16 hexadecimal digits.")
    base = criteria_of(zone, words=words, **asked)
    chosen = tuple(kind.strip() for kind in kinds.split(",") if kind.strip())
    if set(chosen) - set(KINDS):
        raise CommandError(f"Kinds are {', '.join(KINDS)}.")
    criteria = Criteria(
        base.people,
        yes_or_no("together", together or "no"),
        base.rooms,
        base.domains,
        chosen,
        base.start,
        base.end,
        base.words,
        base.exclusions,
        yes_or_no("files", files) if files else None,
    )
    audit.record(WHO, "archive search", trail.says(criteria, UTC), limit=int(limit), before=before)
    try:
        rows, _more = search.page(connection, criteria, before=place, limit=int(limit))
    except search.TooSlow as error:
        raise CommandError(str(error)) from None
    return [_shown(row) for row in reversed(rows)]


@registry.command("archive officer list", "List archive officers.", permission="read")
def officer_list() -> list[dict[str, Any]]:
    """Administrators are officers without being listed, unless the options say otherwise."""
    return [
        {
            "account": str(row),
            "rights": " ".join(row.rights),
            "domains": "everywhere" if row.everywhere else " ".join(row.domains),
            "appointed": _moment(row.appointed),
            "by": row.appointed_by,
        }
        for row in officers.listed()
    ]


@registry.command(
    "archive officer appoint",
    "Give an account rights over the archives of others.",
    JID,
    Argument("rights", f"apart by commas: {', '.join(access.RIGHTS)}"),
    Argument("domains", "apart by commas; without them everywhere", option=True, default=""),
    local=True,
)
def officer_appoint(jid: str, rights: str, domains: str) -> str:
    """Instead of the rights that it had."""
    wanted = [each.strip() for each in rights.split(",") if each.strip()]
    names = [each.strip().lower() for each in domains.split(",") if each.strip()]
    officer = officers.appoint(address(jid).bare, wanted, names or None, by=WHO)
    where = " ".join(officer.domains) or "everywhere"
    return f"{officer} is an archive officer: {' '.join(officer.rights)}, {where}."


@registry.command("archive officer remove", "Take an officer's rights.", JID, local=True)
def officer_remove(jid: str) -> str:
    """What he has saved stays."""
    bare = address(jid).bare
    officers.remove(bare, by=WHO)
    return f"{bare} is no archive officer any more."


@registry.command("archive oversight show", "Show how oversight works here.", permission="read")
def oversight_show() -> dict[str, Any]:
    """The options."""
    options = access.options()
    return {"administrators": options.administrators, "agreement": options.four_eyes, "hours": options.hours}


@registry.command(
    "archive oversight set",
    "Change how oversight works here.",
    Argument("administrators", "yes: administrators have all rights without being appointed", option=True, default=""),
    Argument("agreement", "yes: two must agree before private conversations are read", option=True, default=""),
    Argument("hours", "for which a request is granted", option=True, default=""),
    local=True,
)
def oversight_set(administrators: str, agreement: str, hours: str) -> str:
    """What is not given stays."""
    options = access.options()
    if hours and (not hours.isascii() or not hours.isdigit() or len(hours) > 6):
        raise CommandError("Hours are a number.")
    officers.change_options(
        administrators=yes_or_no("administrators", administrators) if administrators else options.administrators,
        four_eyes=yes_or_no("agreement", agreement) if agreement else options.four_eyes,
        hours=int(hours) if hours else options.hours,
        by=WHO,
    )
    return "The options are changed."


def _shown(record: Record) -> dict[str, Any]:
    try:
        text = body_of(element_of(record.xml))
    except StreamError:
        text = ""
    return {
        "id": record.key,
        "when": _moment(record.stamp),
        "from": record.sender,
        "to": record.recipient,
        "kind": record.kind,
        "text": text if len(text) <= 500 else f"{text[:500]}…",
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
