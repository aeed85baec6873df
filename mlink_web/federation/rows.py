"""Streams, queues, refusals and steps of a test as pages and their scripts show them: text and numbers."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from mlink_web.console.node import moment, size

#: Rows of each table that a page shows; more would be neither read nor drawn once a second.
SHOWN: Final = 500
DIRECTIONS: Final = {"out": "to them", "in": "from them", "both": "both ways"}
AUTHENTICATION: Final = {"EXTERNAL": "certificate", "dialback": "dialback", "": "none yet"}
STATES: Final = {
    "negotiating": "being set up",
    "connecting": "connecting",
    "waiting": "waits for the next try",
    "ready": "open",
}
STEPS: Final = {
    "peer": "Record",
    "dns": "DNS",
    "dane": "Keys in DNS",
    "tcp": "Connection",
    "tls": "Encryption",
    "certificate": "Certificate",
    "revocation": "Revocation",
    "authentication": "Authentication",
    "end": "End",
}


def listed(rows: list[dict[str, Any]], warning: str = "") -> dict[str, Any]:
    """The rows of the node as the page has them: `streams`, `queues`, each sorted, and how many there are of both;
    `warning` says which nodes of a cluster gave none."""
    rows = sorted(rows, key=_order)
    streams = [row for row in rows if row.get("kind") == "stream"]
    queues = [row for row in rows if row.get("kind") == "queue"]
    return {
        "streams": [as_stream(row) for row in streams[:SHOWN]],
        "queues": [as_queue(row) for row in queues[:SHOWN]],
        "total": len(rows),
        "stream_total": len(streams),
        "queue_total": len(queues),
        "waiting": sum(int(row.get("queued", 0)) for row in queues),
        "warning": warning,
        "error": "",
    }


def _order(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(name, "")) for name in ("remote", "local", "node", "id"))


def as_stream(row: dict[str, Any]) -> dict[str, Any]:
    """One stream."""
    certificate = row.get("certificate") or {}
    pairs = [f"{local} – {remote}" for local, remote in row.get("pairs", ())]
    return {
        "id": row["id"],
        "place": place(row),
        "remote": row.get("remote") or "not known yet",
        "local": row.get("local") or "–",
        "pairs": ", ".join(pairs[:20]) + (" …" if len(pairs) > 20 else ""),
        "direction": DIRECTIONS.get(row.get("direction", ""), row.get("direction", "")),
        "address": row.get("address") or "–",
        "authentication": AUTHENTICATION.get(row.get("authentication", ""), row.get("authentication", "")),
        # That it is open goes without saying.
        "state": "" if row.get("state") == "ready" else STATES.get(row.get("state", ""), row.get("state", "")),
        "tls": (row.get("tls") or "no").partition(" ")[0],
        "cipher": row.get("tls") or "The stream is not encrypted.",
        "certificate": certificate_words(certificate),
        "trusted": bool(certificate.get("accepted")),
        "reason": certificate.get("reason", ""),
        "since": moment(row["since"]) if row.get("since") else "–",
        "stanzas": f"{row.get('stanzas_in', 0)} / {row.get('stanzas_out', 0)}",
        "bytes": f"{size(row.get('bytes_in', 0))} / {size(row.get('bytes_out', 0))}",
        "unacked": "–" if row.get("unacked", -1) < 0 else str(row["unacked"]),
    }


def place(row: dict[str, Any]) -> str:
    """In a cluster: where it is."""
    return f"on node {row['node']}" if row.get("node") else ""


def certificate_words(judgement: dict[str, Any]) -> str:
    """A judgement in three words."""
    if not judgement:
        return ""
    if not judgement.get("accepted"):
        return str(judgement.get("code") or "refused").replace("-", " ")
    if str(judgement.get("tlsa", "")).startswith("3"):
        return "named by secured DNS"
    expires = float(judgement.get("expires") or 0.0)
    return f"until {datetime.fromtimestamp(expires, UTC):%Y-%m-%d}" if expires else "trusted"


def as_queue(row: dict[str, Any]) -> dict[str, Any]:
    """What waits for one pair of domains."""
    now = time.time()
    next_try, oldest = float(row.get("next_try") or 0.0), float(row.get("oldest") or 0.0)
    return {
        "key": f"{row['local']} {row['remote']} {row.get('node', '')}",
        "node": row.get("node", ""),
        "place": place(row),
        "local": row["local"],
        "remote": row["remote"],
        "state": STATES.get(row.get("state", ""), row.get("state", "")),
        "queued": row.get("queued", 0),
        "bytes": size(row.get("queued_bytes", 0)),
        "oldest": span(now - oldest) if oldest else "–",
        "next": f"in {span(next_try - now)}" if next_try > now + 1 else "now",
        "error": row.get("error", ""),
    }


def span(seconds: float) -> str:
    """A length of time in its larger unit, short enough for a column."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def as_step(step: dict[str, Any]) -> dict[str, Any]:
    """One step of a test of a peer."""
    details = step.get("details") or {}
    return {
        "step": step["step"],
        "label": STEPS.get(step["step"], step["step"]),
        "ok": bool(step["ok"]),
        "text": sentence(str(step["text"])),
        "advice": step.get("advice", ""),
        "details": [[_words(name), text] for name, value in details.items() if (text := _told(value))],
    }


def sentence(text: str) -> str:
    """A capital at its beginning and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?" else ".") if text else ""


def verdict(steps: list[dict[str, Any]], domain: str) -> dict[str, Any]:
    """What a test comes to: the last step of a way that works is authentication."""
    if steps and steps[-1]["ok"] and steps[-1]["step"] == "authentication":
        return {"ok": True, "text": f"{domain} can be reached. A message would go this way."}
    failed = next((step for step in reversed(steps) if not step["ok"]), None)
    if failed is None:
        return {"ok": False, "text": "The test ended before anything was found out."}
    return {"ok": False, "text": f"{domain} cannot be reached: the way ends at “{STEPS.get(failed['step'], 'End')}”."}


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _told(value: Any) -> str:
    """A detail as text; what says nothing is left out."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {text}" for name, one in value.items() if (text := _told(one)))
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_told, value[:20])))
    if isinstance(value, float) and value > 1e9:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M} UTC"
    return str(value) if value not in (None, "", 0, 0.0) else ""
