"""Jobs in words."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template

from mlink_web.console.node import size
from mlink_web.jobs.models import Job

register = template.Library()


@register.filter
def words(job: Job) -> str:
    """Where a job is."""
    if job.state == Job.State.WORKING and job.cancelling:
        return "Being cancelled"
    if job.state == Job.State.WORKING:
        unit = f" {job.unit}" if job.unit else ""
        return f"{job.done:,} of {job.total:,}{unit}" if job.total else f"{job.done:,}{unit}"
    return job.get_state_display()


@register.filter
def moment(seconds: float) -> datetime | None:
    """A time that is stored as seconds since the epoch, None for none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


@register.filter
def bytes_in_words(count: int) -> str:
    """A number of bytes in a unit that fits."""
    return size(count)
