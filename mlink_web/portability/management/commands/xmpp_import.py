"""`manage.py xmpp_import`: takes files in the format of XEP-0227, or with --dry-run says what would become of them."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlink_web.audit import log
from mlink_web.portability import mapping, report
from mlink_web.portability.importing import Run
from mlink_web.portability.models import Import
from mlink_web.portability.sources import BadSource
from mlink_web.portability.taking import POLICIES


class Command(BaseCommand):
    """Runs an import in this process. One that was cut off goes on with --resume."""

    help = "Take accounts from files in the portable format of XEP-0227."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What, and how."""
        parser.add_argument("file", help="a zip file, an XML file, or a folder with the files")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--map", action="append", default=[], metavar="OLD=NEW", help="a domain or an account by another name"
        )
        parser.add_argument("--conflict", choices=POLICIES, default="skip", help="what of accounts that are there")
        parser.add_argument("--make-domains", action="store_true", help="add domains that are not served yet")
        parser.add_argument("--report", default="", help="write the report into this file, as CSV")
        parser.add_argument("--resume", type=int, default=0, metavar="NUMBER", help="go on with an import")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it and tell what was done."""
        path = Path(options["file"])
        row = self._row(path, options)
        log.record(
            "xmpp_import", "portable import tried" if row.dry else "portable import", row.name, policy=row.policy
        )
        told = time.monotonic()

        def note(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told > 5.0:
                told = time.monotonic()
                self.stderr.write(f"{done:,}{f' of {total:,}' if total else ''} steps")

        try:
            Run(row, path, note).run()
        except BadSource as error:
            row.delete()
            raise CommandError(str(error)) from None
        except BaseException:
            self.stderr.write(f"It was cut off. Go on with the same arguments and --resume {row.pk}")
            raise
        self.stdout.write(report.as_text(row), ending="")
        if options["report"]:
            report.write_csv(row, Path(options["report"]))
        row.delete()

    def _row(self, path: Path, options: dict[str, Any]) -> Import:
        if options["resume"]:
            row = Import.objects.filter(pk=options["resume"], file="").first()
            if row is None:
                raise CommandError(f"There is no import {options['resume']} to go on with.")
            return row
        try:
            addresses = mapping.parse(options["map"])
        except mapping.BadMapping as error:
            raise CommandError(str(error)) from None
        return Import.objects.create(
            name=path.name[:255] or "import",
            owner="xmpp_import",
            policy=options["conflict"],
            mapping=addresses.document(),
            make_domains=options["make_domains"],
            dry=options["dry_run"],
            created=time.time(),
        )
