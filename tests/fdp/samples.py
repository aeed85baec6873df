"""Small forms that several tests fill in."""

from __future__ import annotations

from typing import Any

REPORT: dict[str, Any] = {
    "title": "Report",
    "fields": [
        {"var": "place", "label": "Place:", "required": True},
        {"var": "count", "validate": {"datatype": "xs:int", "method": "range", "min": "1", "max": "9"}},
    ],
}
LONGER: dict[str, Any] = {
    "title": "Report",
    "fields": [*REPORT["fields"], {"var": "notes", "type": "text-multi", "required": True}],
}
