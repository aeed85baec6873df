"""What takes long and is ordered in the console: verifying, importing, writing past days (`mlink_web.jobs`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Final

from django.core.files.storage import storages
from django.db import DEFAULT_DB_ALIAS

from archive.dayfiles import importing, options, reach, rebuilding, turns, verifying
from archive.dayfiles.paths import inside
from mlink_web.jobs.kinds import Kind, register

VERIFY: Final = "archive files verify"
IMPORT: Final = "archive files import"
REBUILD: Final = "archive files rebuild"
KINDS: Final = (VERIFY, IMPORT, REBUILD)
_MAY: Final = "archive.dayfiles.jobs.may_see"


def make_known() -> None:
    """Register the kinds."""
    register(Kind(VERIFY, run="archive.dayfiles.jobs.verify", title="Verification of archive files", may=_MAY))
    register(
        Kind(
            IMPORT,
            run="archive.dayfiles.jobs.take_in",
            title="Import of archive files",
            may=_MAY,
            ended="archive.dayfiles.jobs.ended",
        )
    )
    register(Kind(REBUILD, run="archive.dayfiles.jobs.rebuild", title="Archive files of past days", may=_MAY))


def may_see(user: Any, _job: Any) -> bool:
    """Whoever has the right over all files; who has it over some sees what he ordered himself."""
    return reach.is_everywhere(reach.scope_of(user))


def verify(work: Any) -> None:
    """Verify; a job that finds something wrong fails, and its report says what."""
    asked = work.parameters

    def progress(report: verifying.Report) -> None:
        work.note(report.files)

    try:
        report = verifying.verify(
            DEFAULT_DB_ALIAS,
            domain=asked.get("domain", ""),
            first=_day(asked.get("first")),
            last=_day(asked.get("last")),
            progress=progress,
            anchors=verifying.noted,
        )
    except OSError as error:
        raise work.Refused(f"The files cannot be read: {error.strerror or error}.") from error
    _keep(work, "verification.txt", report.lines())
    if not report.sound:
        raise work.Refused(f"{report.wrongs:,} things are wrong; the report says what. First: {report.wrong[0]}")


def take_in(work: Any) -> None:
    """Import. What was done stays done: a message that is there is not taken twice."""
    asked = work.parameters
    try:
        source = _upload(work) if asked.get("upload") else inside(options.folder(), asked["source"])
    except (FileNotFoundError, ValueError) as error:
        raise work.Refused("There are no such files.") from error

    def progress(report: importing.Report) -> None:
        work.note(report.messages)

    try:
        report = importing.run(
            DEFAULT_DB_ALIAS,
            source,
            first=_day(asked.get("first")),
            last=_day(asked.get("last")),
            dry_run=bool(asked.get("dry_run")),
            unverified=bool(asked.get("unverified")),
            progress=progress,
        )
    except FileNotFoundError as error:
        raise work.Refused("There are no such files.") from error
    _keep(work, "import.txt", report.lines())
    if report.refused:
        raise work.Refused(f"{report.refused:,} files were not taken. First: {report.sentences[0]}")


def rebuild(work: Any) -> None:
    """Write files of past days."""
    asked = work.parameters
    first, last = _day(asked["first"]), _day(asked["last"])
    assert first is not None
    assert last is not None
    try:
        built = rebuilding.rebuild(
            DEFAULT_DB_ALIAS, first, last, domain=asked.get("domain", ""), progress=lambda done: work.note(done)
        )
    except (turns.Busy, turns.Unusable) as error:
        raise work.Refused(f"{str(error).rstrip('.')}.") from error
    _keep(work, "rebuild.txt", [f"{built.messages:,} messages were looked at; the files lacked {built.lines:,} lines."])


def ended(job: Any) -> None:
    """An import's file goes with it."""
    if job.parameters.get("upload"):
        storages["exports"].delete(job.parameters["upload"])


def _upload(work: Any) -> Path:
    """The file that was sent to the console, on this machine. Raises FileNotFoundError."""
    path: Path = work.folder / ("upload.xml.gz" if work.parameters.get("packed") else "upload.xml")
    with storages["exports"].open(work.parameters["upload"]) as file, path.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
    return path


def _keep(work: Any, name: str, lines: Iterable[str]) -> None:
    path = work.folder / name
    path.write_text("\n".join(lines) + "\n")
    work.keep(path, name, "text/plain; charset=utf-8")


def _day(text: Any) -> date | None:
    return date.fromisoformat(text) if text else None
