"""What is done every half hour: renewals that are due, and warnings of certificates that end, once a day in the log."""

from __future__ import annotations

from mlink_web.celery import app
from mlink_web.certificates import expiry, renewal


@app.task(name="mlink_web.certificates.tasks.look")
def look() -> dict[str, int]:
    """Renew and warn."""
    counts = renewal.run()
    counts["warnings"] = expiry.tell()
    return counts
