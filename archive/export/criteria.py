"""An officer's search for people: what stands on the cover, in the audit log and in the list of exports."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Final

_NAMES: Final = {
    "people": "People",
    "together": "Of these people",
    "rooms": "Rooms",
    "domains": "Domains",
    "kinds": "Kinds",
    "start": "From",
    "end": "Until",
    "words": "Words",
    "exclusions": "Without the words",
    "attachment": "Attachments",
}
_LISTED: Final = 50


def facts_of(criteria: Any, zone: tzinfo) -> list[tuple[str, str]]:
    """Names and values of what was searched for; of a search that was narrowed the steps before it, too."""
    found = []
    for name, label in _NAMES.items():
        text = _text(name, getattr(criteria, name, None), zone)
        if text:
            found.append((label, text))
    for step in getattr(criteria, "within", ()) or ():
        inner = "; ".join(f"{label}: {value}" for label, value in facts_of(step, zone))
        found.append(("Within the result of", inner or "all messages"))
    return found or [("Messages", "all")]


def _text(name: str, value: Any, zone: tzinfo) -> str:
    if value is None or (value is False and name == "together") or value == "" or value == ():
        return ""
    if name == "together":
        return "all must take part"
    if name in ("start", "end"):
        return f"{datetime.fromtimestamp(value, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if name == "attachment":
        return "only messages with one" if value else "only messages without one"
    if isinstance(value, str):
        return value[:500]
    listed = [_one(each) for each in value]
    return ", ".join(listed[:_LISTED]) + (f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else "")


def _one(value: Any) -> str:
    words = getattr(value, "words", None)
    if words is None:
        return str(value)
    text = " ".join(words) + ("*" if value.prefix else "")
    return f"“{text}”" if len(words) > 1 else text
