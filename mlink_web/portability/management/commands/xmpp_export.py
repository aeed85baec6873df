"""`manage.py xmpp_export`: accounts, domains or the whole server in the format of XEP-0227."""

from __future__ import annotations

import shutil
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlink_web.audit import log
from mlink_web.portability import exporting
from mlink_web.portability.person import Wanted
from mlink_web.portability.scope import NoScope, parse


class Command(BaseCommand):
    """Writes a file. One that exists is not overwritten."""

    help = "Write accounts into a file in the portable format of XEP-0227."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What, and where to."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--user", default="", help="the address of one account")
        what.add_argument("--domain", default="", help="all accounts of a domain")
        what.add_argument("--server", action="store_true", help="everything")
        parser.add_argument("file", help="ends in .zip for a tree of files, in .xml for one account in one file")
        parser.add_argument("--no-archive", action="store_true", help="without archived messages")
        parser.add_argument("--no-credentials", action="store_true", help="without what one signs in with")
        parser.add_argument(
            "--no-extension", action="store_true", help="without rooms, nodes of services, topics, groups"
        )
        parser.add_argument("--state", default="", help="a folder in which an export that is cut off is gone on with")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make it beside the target and move it there when it is complete."""
        target = Path(options["file"])
        if target.exists():
            raise CommandError(f"{target} exists already.")
        single = target.suffix.lower() == ".xml"
        if single and not options["user"]:
            raise CommandError("One XML file holds one account; name a file that ends in .zip.")
        try:
            scope = parse(options["user"], options["domain"])
        except NoScope as error:
            raise CommandError(str(error)) from None
        wanted = Wanted(not options["no_credentials"], not options["no_archive"])
        choice = exporting.Choice(scope, wanted, not options["no_extension"], packed=not single)
        log.record("xmpp_export", "portable export ordered", scope.about, **choice.document())
        if options["state"]:
            folder = Path(options["state"])
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make(choice, folder, target)
        else:
            with tempfile.TemporaryDirectory(dir=target.resolve().parent, prefix=".export-") as made:
                self._make(choice, Path(made), target)

    def _make(self, choice: exporting.Choice, folder: Path, target: Path) -> None:
        told = time.monotonic()
        done = messages = 0

        def note(accounts: int, count: int) -> None:
            nonlocal told, done, messages
            done, messages = accounts, count
            if time.monotonic() - told > 5.0:
                told = time.monotonic()
                self.stderr.write(f"{accounts:,} accounts, {count:,} messages")

        try:
            path, _name, _kind = exporting.make(choice, folder, note)
            shutil.move(path, target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror or error}.") from None
        target.chmod(0o600)
        self.stdout.write(f"{target}: {max(done, 1 if choice.scope.user else 0):,} accounts, {messages:,} messages")
