"""The check of the chain as a job."""

from __future__ import annotations

from mlink_web.audit import log
from mlink_web.jobs.work import Work


def run(work: Work) -> None:
    """Verify the chain; the finding is the result."""
    verdict = log.verify(progress=work.note)
    if verdict.sound:
        text = f"The chain of {verdict.entries:,} entries is whole. It ends with {verdict.entries}:{verdict.head}\n"
    else:
        text = f"The chain is broken: {verdict.why}. The {verdict.entries:,} entries before it are right.\n"
    path = work.folder / "check.txt"
    path.write_text(text)
    work.keep(path, "audit-check.txt", "text/plain; charset=utf-8")
    log.record("system", "audit log checked", sound=verdict.sound, entries=verdict.entries, why=verdict.why)
    if not verdict.sound:
        raise work.Refused(text.strip())
