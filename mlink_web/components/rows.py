"""Components as pages and their script show them: what is configured, and what the node says of it."""

from __future__ import annotations

from typing import Any

from django.utils.dateparse import parse_datetime

from mlink_web.components.models import Component
from mlink_web.console.node import moment, size


def listed(
    components: list[Component], status: list[dict[str, Any]] | None, error: str = "", warning: str = ""
) -> dict[str, Any]:
    """The rows of the list; `status` is what `component status` answered, None where no node did, and `warning` says
    which nodes of a cluster did not."""
    live = {row["domain"]: row for row in status or ()}
    # It may be connected to a node that gave no answer.
    known = status is not None and not warning
    rows = [_row(component, live.get(component.domain), known) for component in components]
    return {
        "components": rows,
        "connected": sum(row["state"] == "connected" for row in rows),
        "error": error,
        "warning": warning,
    }


def _row(component: Component, live: dict[str, Any] | None, known: bool) -> dict[str, Any]:
    connected = bool(live and live["connected"])
    state = "connected" if connected else "off" if not component.enabled else "away" if known else "unknown"
    words = {"connected": "connected", "off": "switched off", "away": "not connected", "unknown": "–"}
    since = parse_datetime(live["since"]) if live and live["since"] else None
    return {
        "pk": component.pk,
        "domain": component.domain,
        "description": component.description,
        "state": state,
        "words": words[state],
        "address": live["address"] if live and connected else "",
        "tls": live["tls"] if live and connected else "",
        "since": moment(since.timestamp()) if since and connected else "–",
        "stanzas": f"{live['received']:,} / {live['sent']:,}" if live and connected else "–",
        "bytes": f"{size(live['bytes_in'])} / {size(live['bytes_out'])}" if live and connected else "–",
        "waiting": size(live["waiting"]) if live and connected else "–",
        "bounced": f"{live['bounced']:,}" if live else "–",
    }
