"""Commands on reports of spam and abuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from mlink_web.conf.services import find_domain
from mlink_web.reports import services, store
from xmpp_engine.admin.command import Argument, CommandError, Registry
from xmpp_engine.admin.values import row_number

registry: Final = Registry()
NUMBER: Final = Argument("number", "its number in the list")
MAX_LISTED: Final = 1_000
STATES: Final = {"open": True, "closed": False, "all": None}


@registry.command(
    "report list",
    "List reports.",
    Argument("state", "open, closed or all", default="open"),
    Argument("domain", "only those of users of this domain", option=True, default=""),
    permission="read",
)
def report_list(state: str, domain: str) -> list[dict[str, Any]]:
    """Newest first."""
    if state not in STATES:
        raise CommandError("The state is open, closed or all.")
    return [
        {
            "number": row.id,
            "reported": row.reported,
            "by": row.reporter,
            "reason": row.reason,
            "messages": len(row.messages),
            "created": _moment(row.created),
            "state": "closed" if row.closed else "open",
        }
        for row in store.listed(STATES[state], MAX_LISTED, domains=[find_domain(domain).name] if domain else None)
    ]


@registry.command("report show", "Show one report.", NUMBER, permission="read")
def report_show(number: str) -> dict[str, Any]:
    """With the messages that it names, as far as the reporter's archive has them."""
    row = services.find(row_number(number))
    return {
        "number": row.id,
        "reported": row.reported,
        "by": row.reporter,
        "reason": row.reason,
        "text": row.text,
        "messages": [one.body if one.found else f"{one.id} (not in the archive)" for one in services.messages_of(row)],
        "pass_on_to_origin": row.origin,
        "pass_on_to_others": row.third_party,
        "created": _moment(row.created),
        "closed": _moment(row.closed),
        "closed_by": row.closed_by,
        "note": row.note,
    }


@registry.command("report close", "Close a report.", NUMBER, Argument("note", "what was done", default=""))
def report_close(number: str, note: str) -> str:
    """The report stays in the list of closed ones."""
    services.close(row_number(number), "", note)
    return f"Report {number} is closed."


def _moment(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None
