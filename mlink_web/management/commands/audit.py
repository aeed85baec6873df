"""`manage.py audit`: the audit log on the command line."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlink_web.audit import log


class Command(BaseCommand):
    """Verifies the chain, prints its end, writes it out, or takes old entries away to a file."""

    help = "Verify the audit log (exit code 1 when it was tampered with), print its end or its lines, move old ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the base class."""
        parser.add_argument("action", choices=("verify", "head", "lines", "move"))
        parser.add_argument(
            "--before", default="", metavar="DATE", help="move: entries before this day (UTC), like 2026-05-31"
        )
        parser.add_argument("--file", default="", help="move: the file that takes them; it must not exist")
        parser.add_argument(
            "--noted", default="", metavar="NUMBER:DIGEST", help="an entry's number and digest as noted elsewhere"
        )

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """See the base class."""
        if options["action"] == "lines":
            for entry in log.entries():
                self.stdout.write(log.as_line(entry))
            return
        if options["action"] == "move":
            self.stdout.write(f"{_move(options['before'], options['file']):,} entries moved.")
            return
        verdict = log.verify(_noted(options["noted"]))
        if not verdict.sound:
            raise CommandError(
                f"The chain is broken: {verdict.why}. The {verdict.entries:,} entries before it are right."
            )
        if options["action"] == "verify":
            self.stdout.write(f"The chain of {verdict.entries:,} entries is whole.")
        self.stdout.write(f"{verdict.entries}:{verdict.head}")


def _move(before: str, path: str) -> int:
    try:
        day = datetime.strptime(before, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise CommandError("--before takes a day, like 2026-05-31") from None
    if not path:
        raise CommandError("--file says where the entries go")
    verdict = log.verify()
    if not verdict.sound:
        raise CommandError(f"The chain is broken: {verdict.why}. Nothing was moved.")
    try:
        with open(path, "x", encoding="utf-8", opener=_private) as file:

            def write(line: str) -> None:
                file.write(line)
                file.flush()

            moved = log.take_away(day.timestamp(), write)
            os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    log.record("command line", "audit log moved", before, entries=moved)
    return moved


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _noted(text: str) -> tuple[int, str] | None:
    number, _, digest = text.partition(":")
    if not text:
        return None
    if not number.isdigit() or len(digest) != 64:
        raise CommandError("--noted takes an entry's number and its digest, as 17:0a1b…")
    return int(number), digest.lower()
