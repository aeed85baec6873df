"""Exports of many forms: files that the worker makes (`mlink_web.jobs`), and that small ones are made with at once."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, Final

from fdp import exports, published
from fdp.render import Sheet, file_stem
from mlink_web.console.access import may_use_console
from mlink_web.jobs import services as jobs
from mlink_web.jobs.models import Job
from mlink_web.jobs.work import Work

KIND: Final = "form export"
FORMATS: Final = {"pdf": "PDF/A", "csv": "CSV", "xml": "XML"}
TYPES: Final = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8", "xml": "application/xml"}
#: Forms up to which a file is made while the browser waits.
AT_ONCE: Final = 50
#: Forms of one export.
MAX_FORMS: Final = 200_000


def order(owner: str, format: str, criteria: Mapping[str, Any], total: int, about: str) -> Job:
    """Have a file made; raises jobs.services.TooMany."""
    if total > MAX_FORMS:
        raise jobs.TooMany(f"An export has at most {MAX_FORMS:,} forms; narrow the search.")
    parameters = {"format": format, "criteria": dict(criteria)}
    return jobs.order(KIND, owner, f"{FORMATS[format]}: {about}", parameters, total=total, unit="forms")


def run(work: Work) -> None:
    """Make the file of a job. One that was cut off is begun anew: published forms may have gone meanwhile."""
    format, criteria = work.parameters["format"], work.parameters["criteria"]
    path = work.folder / "forms"
    with path.open("wb") as file:
        try:
            name = write(format, criteria, file, work.note)
        except NoForms as error:
            raise work.Refused(str(error)) from None
    work.keep(path, name, content_type(name))


def may_see(user: Any, _job: Job) -> bool:
    """Every administrator sees the exports of all."""
    return may_use_console(user)


def forget(topic: int) -> None:
    """The published forms of a topic are deleted: so are the files that may hold some of them."""
    for job in Job.objects.filter(kind=KIND):
        criteria = job.parameters["criteria"]
        if criteria.get("only") or criteria.get("topic") in (None, 0, topic):
            jobs.remove(job)


class NoForms(ValueError):
    """No published form matches."""


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
        raise NoForms("No published form matches.")
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
