"""Ordering exports and imports as jobs, and what the worker runs for imports."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.core.files.base import File
from django.core.files.storage import storages
from django.db import transaction

from archive.oversight.access import may_oversee
from mlink_web.jobs import services
from mlink_web.jobs.models import Job
from mlink_web.portability import report
from mlink_web.portability.exporting import Choice
from mlink_web.portability.importing import Run, media_name
from mlink_web.portability.mapping import Addresses
from mlink_web.portability.models import Import
from mlink_web.portability.sources import BadSource

if TYPE_CHECKING:
    from mlink_web.jobs.work import Work

EXPORT: Final = "portable export"
IMPORT: Final = "portable import"
#: Bytes of an uploaded file; larger ones are read by the command.
MAX_UPLOAD: Final = 8 * 1024**3
#: Imports that are kept with their reports.
MAX_KEPT: Final = 100
_CHUNK: Final = 1 << 20


def may_see(user: Any, _job: Any) -> bool:
    """Whoever may make files of the archives of others sees these jobs."""
    return may_oversee(user, "export")


def order_export(owner: str, choice: Choice) -> Job:
    """Have an export made; raises services.TooMany."""
    total = choice.scope.accounts().count()
    return services.order(
        EXPORT, owner, f"Export of {choice.scope.about}", choice.document(), total=total, unit="accounts"
    )


def keep_upload(file: File[bytes]) -> str:
    """Keep an uploaded file for the worker; returns its name in the storage."""
    token = f"import-{secrets.token_urlsafe(24)}"
    saved: str = storages["exports"].save(token, file)
    return saved


def drop_upload(file: str) -> None:
    """Forget it again."""
    storages["exports"].delete(file)


def order_trial(owner: str, name: str, file: str, policy: str, addresses: Addresses, *, make_domains: bool) -> Import:
    """Have an uploaded file looked through: what would become of it. Raises services.TooMany."""
    with transaction.atomic():
        row = Import.objects.create(
            file=file,
            name=media_name(name),
            owner=owner,
            policy=policy,
            mapping=addresses.document(),
            make_domains=make_domains,
            dry=True,
            created=time.time(),
        )
        _order(row, f"Trial of the import of {row.name}")
    for old in Import.objects.order_by("-pk")[MAX_KEPT:]:
        if not Job.objects.filter(token=old.job, state__in=(Job.State.WAITING, Job.State.WORKING)).exists():
            forget(old)
    return row


def order_import(owner: str, trial: Import) -> Import:
    """Have an import done that was tried. Raises services.TooMany."""
    with transaction.atomic():
        row = Import.objects.create(
            file=trial.file,
            name=trial.name,
            owner=owner,
            policy=trial.policy,
            mapping=trial.mapping,
            make_domains=trial.make_domains,
            dry=False,
            created=time.time(),
            trial=trial,
        )
        _order(row, f"Import of {row.name}")
    return row


def _order(row: Import, about: str) -> None:
    job = services.order(IMPORT, row.owner, about, {"import": row.pk}, unit="steps")
    row.job = job.token
    row.save(update_fields=("job",))


def forget(row: Import) -> None:
    """Forget an import with its report, and its file unless another one needs it."""
    row.delete()
    if row.file and not Import.objects.filter(file=row.file).exists():
        storages["exports"].delete(row.file)


def ended(job: Job) -> None:
    """The job of an import goes: so does its report, after the time for which results are kept."""
    for row in Import.objects.filter(job=job.token):
        forget(row)


def run(work: Work) -> None:
    """The job of an import or a trial."""
    row = Import.objects.filter(pk=work.parameters.get("import", 0)).first()
    if row is None:
        raise work.Refused("The import was forgotten.")
    path = _fetched(work, row)
    try:
        Run(row, path, lambda done, total: work.note(done, total=total or None)).run()
    except BadSource as error:
        raise work.Refused(str(error)) from None
    row.finished = time.time()
    row.save(update_fields=("finished",))
    target = work.folder / "report.csv"
    report.write_csv(row, target)
    work.keep(target, "trial-report.csv" if row.dry else "import-report.csv", "text/csv; charset=utf-8")


def _fetched(work: Work, row: Import) -> Path:
    """The uploaded file on this machine: a zip file is read from many places at once."""
    path = work.folder / "upload"
    storage = storages["exports"]
    try:
        size = storage.size(row.file)
        if not path.exists() or path.stat().st_size != size:
            with storage.open(row.file) as source, path.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
    except FileNotFoundError:
        raise work.Refused("The uploaded file is not there any more; upload it again.") from None
    return path
