"""What the console asks the running node, as values ready for pages; every question has a time limit.

The synchronous functions are for views, which run in threads; those that begin with `a` for WebSocket consumers. A
node that is down or slow gives `error`, a sentence for people, and never an exception, except to `end_session`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from mlink_web.clusters import numbers
from mlink_web.delegation.reach import EVERYTHING, Reach
from mlink_web.node.client import EngineClient, EngineError, NodeDown

ASK_SECONDS = 3.0
#: What the others of a cluster have of it: the page is to have what answered, and the names of those that did not.
OTHERS_SECONDS = 1.8
#: Sessions that the page shows; more would be neither read nor drawn once a second.
LIST_LIMIT = 500


class NodeUnavailable(Exception):
    """The node did not answer; the text is a sentence for people."""


async def _heard(call: Callable[[EngineClient], Awaitable[Any]]) -> tuple[Any, str]:
    """Ask the node of this data folder; returns its answer, and a sentence where other nodes of a cluster gave none.
    Raises NodeUnavailable."""
    client = EngineClient(seconds=OTHERS_SECONDS)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await call(client), " ".join(client.warnings)
    except TimeoutError:
        raise NodeUnavailable(f"The node did not answer within {ASK_SECONDS:.0f} seconds.") from None
    except NodeDown as error:
        raise NodeUnavailable(f"{error} Accounts and domains can be changed all the same.") from None
    except (OSError, EngineError) as error:
        raise NodeUnavailable(f"The node cannot be asked: {error}") from None


async def _ask(call: Callable[[EngineClient], Awaitable[Any]]) -> Any:
    """The answer alone."""
    return (await _heard(call))[0]


async def afigures(reach: Reach = EVERYTHING) -> dict[str, Any]:
    """Sessions, rooms and their occupants, messages since the start, uptime as text; or `error`. Of some domains there
    are the first three only."""
    if not reach.everything:
        return await _figures_of(reach)
    try:
        stats, warning = await _heard(lambda client: client.stats())
    except NodeUnavailable as error:
        return {"error": str(error)}
    return {
        "sessions": stats["sessions"],
        "rooms": stats["rooms"],
        "occupants": stats["occupants"],
        "messages": stats["messages"],
        "uptime": duration(stats["uptime"]),
        "warning": warning,
        "error": "",
    }


async def _figures_of(reach: Reach) -> dict[str, Any]:
    try:
        sessions, warning = await _heard(lambda client: client.sessions())
        services = await _ask(lambda client: client.call("room page", limit="0"))
        rooms: list[dict[str, Any]] = []
        for service in reach.of(services["services"]):
            rooms += await _ask(lambda client, service=service: client.call("room list", service=service))  # type: ignore[misc]
    except NodeUnavailable as error:
        return {"error": str(error)}
    return {
        "sessions": sum(reach.covers(str(row["jid"])) for row in sessions),
        "rooms": len(rooms),
        "occupants": sum(int(row["occupants"]) for row in rooms),
        "warning": warning,
        "error": "",
    }


async def asessions(bare: str = "", reach: Reach = EVERYTHING) -> dict[str, Any]:
    """Rows for the sessions page, of one account if `bare` is given: `list`, `total`, `more`, and `warning`
    where nodes of a cluster gave no answer; or `error`."""
    try:
        found, warning = await _heard(lambda client: client.sessions(bare))
    except NodeUnavailable as error:
        return {"list": [], "total": 0, "more": False, "error": str(error)}
    rows = [row for row in found if reach.covers(str(row["jid"]))]
    shown = [as_row(row) for row in sorted(rows, key=lambda row: str(row["jid"]))[:LIST_LIMIT]]
    return {"list": shown, "total": len(rows), "more": len(rows) > LIST_LIMIT, "warning": warning, "error": ""}


def figures(reach: Reach = EVERYTHING) -> dict[str, Any]:
    """See `afigures`; for threads."""
    return asyncio.run(afigures(reach))


def sessions(bare: str = "", reach: Reach = EVERYTHING) -> dict[str, Any]:
    """See `asessions`; for threads. `several` says whether the page shows on which node each of them is."""
    return {**asyncio.run(asessions(bare, reach)), "several": numbers.several()}


def end_session(jid: str) -> int:
    """End the session with this full address; returns how many ended. Raises NodeUnavailable."""
    return int(asyncio.run(_ask(lambda client: client.kick(jid))))


def as_row(session: dict[str, Any]) -> dict[str, Any]:
    """One session of the engine's list (`Session.describe`) as the page and its script show it: text and numbers."""
    bare, _, resource = session["jid"].partition("/")
    return {
        "jid": session["jid"],
        "bare": bare,
        "resource": resource,
        "address": session["address"] or "–",
        "transport": session["transport"],
        "tls": session["tls"].partition(" ")[0] or ("proxy or local" if session["secure"] else "no"),
        "since": moment(session["since"]),
        "presence": (session["show"] or "available") if session["available"] else "none",
        "unacked": session["unacked"],
        "queue": size(session["queued_bytes"]),
        # In a cluster: where it is.
        "node": session.get("node", ""),
    }


def size(count: int) -> str:
    """A number of bytes in a unit that fits."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count //= 1000
    return f"{count} GB"


def moment(seconds: float) -> str:
    """A time as short as it is clear: the hour for today, else with the date (UTC)."""
    when = datetime.fromtimestamp(seconds, UTC)
    is_today = when.date() == datetime.fromtimestamp(time.time(), UTC).date()
    return when.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """A length of time in its two largest units, as people say it."""
    parts = []
    rest = int(seconds)
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
