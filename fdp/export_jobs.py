"""Exports of many forms: a row says what is wanted, the worker makes the file, the page shows how far it is.

A job writes to a file of its own on this machine and gives it to STORAGES["exports"] when it is complete, so that a
worker that is ended leaves nothing half-made behind; the sweep starts such a job again, once, and removes what is old.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, Final

from django.core.files.base import File
from django.core.files.storage import storages
from django.db import transaction

from fdp import exports, published
from fdp.models import Export
from fdp.render import Sheet, file_stem

log = logging.getLogger("mlink.forms")

FORMATS: Final = {"pdf": "PDF/A", "csv": "CSV", "xml": "XML"}
TYPES: Final = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8", "xml": "application/xml"}
#: Forms up to which a file is made while the browser waits.
AT_ONCE: Final = 50
#: Forms of one export, and exports that are kept.
MAX_FORMS: Final = 200_000
MAX_EXPORTS: Final = 50
KEPT_SECONDS: Final = 7 * 24 * 3600
#: Seconds between two notes of how far a job is, and after which a job without one counts as cut off.
NOTE_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 900.0


class TooMany(ValueError):
    """There is no room for another export; the text is a sentence."""


def order(owner: str, format: str, criteria: Mapping[str, Any], total: int, about: str) -> Export:
    """Have a file made; raises TooMany."""
    if total > MAX_FORMS:
        raise TooMany(f"An export has at most {MAX_FORMS:,} forms; narrow the search.")
    if Export.objects.filter(state__in=(Export.State.WAITING, Export.State.WORKING)).count() >= MAX_EXPORTS:
        raise TooMany("Many exports are being made; wait for some to be ready.")
    now = time.time()
    with transaction.atomic():
        row = Export.objects.create(
            token=secrets.token_urlsafe(24),
            owner=owner,
            format=format,
            criteria=dict(criteria),
            about=about[:500],
            total=total,
            created=now,
            changed=now,
        )
        transaction.on_commit(lambda: start(row.pk))
    for old in Export.objects.exclude(pk=row.pk)[MAX_EXPORTS:]:
        remove(old)
    return row


def start(pk: int) -> None:
    """Hand the job to the worker."""
    from fdp.tasks import export

    export.delay(pk)


def run(pk: int) -> None:
    """Make the file of a job, unless somebody else is at it; what goes wrong stands in the row and in the log."""
    waiting = Export.objects.filter(pk=pk, state=Export.State.WAITING)
    if not waiting.update(state=Export.State.WORKING, changed=time.time()):
        return
    row = Export.objects.get(pk=pk)
    try:
        with tempfile.TemporaryFile() as file:
            name = write(row.format, row.criteria, file, _noting(row))
            size = file.tell()
            file.seek(0)
            storages["exports"].save(row.token, File(file))
    except Exception as error:
        log.exception("export %s of forms failed", pk)
        Export.objects.filter(pk=pk).update(state=Export.State.FAILED, trouble=str(error)[:500], changed=time.time())
        return
    done = Export.objects.filter(pk=pk).update(state=Export.State.READY, name=name, size=size, changed=time.time())
    if not done:
        # It was removed meanwhile.
        storages["exports"].delete(row.token)


def _noting(row: Export) -> Callable[[int], None]:
    """What notes in the row how far the job is; ends the job by LookupError where the row is gone."""
    last = 0.0

    def note(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= NOTE_SECONDS:
            last = now
            if not Export.objects.filter(pk=row.pk).update(done=done, changed=time.time()):
                raise LookupError("the export was removed")

    return note


def write(
    format: str, criteria: Mapping[str, Any], out: BinaryIO, progress: Callable[[int], None] = exports.nothing
) -> str:
    """Write the forms that match into a file; returns a name for it."""
    sheets = published.sheets(criteria)
    if format == "xml":
        exports.write_xml(sheets, out, progress)
        return "forms.xml"
    if format == "csv":
        exports.write_csv(sheets, exports.csv_columns(published.definitions(criteria)), out, progress)
        return "forms.csv"
    return _write_pdf(sheets, out, progress)


def _write_pdf(sheets: Iterator[Sheet], out: BinaryIO, progress: Callable[[int], None]) -> str:
    """One PDF, or an archive of volumes where there are more forms than one holds."""
    from fdp.exports_pdf import VOLUME, pdf

    first = list(islice(sheets, VOLUME))
    if not first:
        raise ValueError("No published form matches.")
    beyond = next(sheets, None)
    if beyond is None:
        out.write(pdf(first))
        progress(len(first))
        return f"{first[0].file_name if len(first) == 1 else file_stem(first[0].suffix)}.pdf"
    done, volume = 0, first
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        while volume:
            name = f"{file_stem(volume[0].suffix)}-{volume[0].serial:05d}-to-{volume[-1].serial:05d}.pdf"
            archive.writestr(f"{done // VOLUME + 1:04d}-{name}", pdf(volume))
            done += len(volume)
            progress(done)
            volume = ([beyond] if beyond is not None else []) + list(islice(sheets, VOLUME - (beyond is not None)))
            beyond = None
    return "forms.zip"


def content_type(name: str) -> str:
    """The media type of a file that `write` named."""
    return "application/zip" if name.endswith(".zip") else TYPES[name.rpartition(".")[2]]


def open_file(row: Export) -> File:
    """The file of a job that is ready; raises FileNotFoundError."""
    return storages["exports"].open(row.token)


def remove(row: Export) -> None:
    """The row and its file."""
    row.delete()
    storages["exports"].delete(row.token)


def forget(topic: int) -> None:
    """The published forms of a topic are deleted: so are the files that may hold some of them."""
    for row in Export.objects.all():
        if row.criteria.get("only") or row.criteria.get("topic") in (None, 0, topic):
            remove(row)


def sweep(now: float) -> dict[str, int]:
    """Remove old exports, and start those again that were cut off: once, then they count as failed."""
    gone = {"old exports": 0, "exports begun anew": 0}
    for row in Export.objects.filter(created__lt=now - KEPT_SECONDS):
        remove(row)
        gone["old exports"] += 1
    cut = Export.objects.filter(
        state__in=(Export.State.WAITING, Export.State.WORKING), changed__lt=now - SILENT_SECONDS
    )
    for row in cut:
        if row.trouble:
            Export.objects.filter(pk=row.pk).update(state=Export.State.FAILED, trouble="It was cut off twice.")
            continue
        Export.objects.filter(pk=row.pk).update(
            state=Export.State.WAITING, done=0, changed=now, trouble="It was cut off once."
        )
        start(row.pk)
        gone["exports begun anew"] += 1
    return gone
