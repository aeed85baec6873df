"""`manage.py archive_files`: the XML files of days on the command line."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from archive.dayfiles import following, importing, options, rebuilding, tasks, turns, verifying
from archive.dayfiles.models import DomainChoice, Writer
from mlink_web.audit import log

_WHO = "command line"


class Command(BaseCommand):
    """Verifies, imports, rebuilds, switches on and off, writes."""

    help = "The XML files of the archive, one for each day and user or room."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the base class."""
        actions = parser.add_subparsers(dest="action", required=True)
        verify = actions.add_parser("verify", help="hold the files against their manifest, index and the database")
        verify.add_argument("--day", type=_day, help="only this day, like 2026-05-31")
        verify.add_argument("--domain", default="")
        take_in = actions.add_parser("import", help="read files back into the database")
        take_in.add_argument("path", type=Path)
        take_in.add_argument("--from", dest="first", type=_day)
        take_in.add_argument("--to", dest="last", type=_day)
        take_in.add_argument("--dry-run", action="store_true", help="only say what would be new")
        take_in.add_argument("--unverified", action="store_true", help="take files that no manifest vouches for")
        rebuild = actions.add_parser("rebuild", help="write what the files of past days lack")
        rebuild.add_argument("--from", dest="first", type=_day, required=True)
        rebuild.add_argument("--to", dest="last", type=_day, required=True)
        rebuild.add_argument("--domain", default="", help="a domain, even if its files are off")
        for name, about in (("on", "write the files of a domain"), ("off", "write them no longer")):
            actions.add_parser(name, help=about).add_argument("domain")
        zone = actions.add_parser("zone", help="the time zone in which days begin")
        zone.add_argument("name")
        actions.add_parser("compress", help="pack files by gzip when they are closed").add_argument(
            "choice", choices=("on", "off")
        )
        actions.add_parser("state", help="which domains have files, and how far the writer is")
        write = actions.add_parser("write", help="write what is to be written; workers do it by themselves")
        write.add_argument("--seconds", type=float, default=0.0, help="go on for so long")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """See the base class."""
        try:
            getattr(self, f"_{options['action']}")(options)
        except (turns.Busy, turns.Unusable) as error:
            raise CommandError(f"{str(error).rstrip('.')}.") from None
        except OSError as error:
            raise CommandError(f"{error.filename or 'The files'}: {error.strerror or error}.") from None

    def _verify(self, given: dict[str, Any]) -> None:
        day = given["day"]
        report = verifying.verify(
            DEFAULT_DB_ALIAS, domain=given["domain"], first=day, last=day, anchors=verifying.noted
        )
        for sentence in report.lines():
            self.stdout.write(sentence)
        if not report.sound:
            raise CommandError("The files are not as they were written.")

    def _import(self, given: dict[str, Any]) -> None:
        path = given["path"]
        dry = given["dry_run"]
        log.record(_WHO, "archive files imported", str(path), dry_run=dry, unverified=given["unverified"])
        report = importing.run(
            DEFAULT_DB_ALIAS,
            path,
            first=given["first"],
            last=given["last"],
            dry_run=dry,
            unverified=given["unverified"],
        )
        for sentence in report.lines():
            self.stdout.write(sentence)
        if report.refused:
            raise CommandError(f"{report.refused:,} files were not taken.")

    def _rebuild(self, given: dict[str, Any]) -> None:
        if given["last"] < given["first"]:
            raise CommandError("The last day is before the first.")
        about = f"{given['first']} to {given['last']}"
        log.record(_WHO, "archive files rebuilt", about, domain=given["domain"])
        built = rebuilding.rebuild(DEFAULT_DB_ALIAS, given["first"], given["last"], domain=given["domain"])
        while following.run(DEFAULT_DB_ALIAS, seconds=30.0, tell=tasks.tell):
            pass
        self.stdout.write(f"{built.messages:,} messages were looked at; the files lacked {built.lines:,} lines.")

    def _on(self, given: dict[str, Any]) -> None:
        self._switch(given["domain"], True)

    def _off(self, given: dict[str, Any]) -> None:
        self._switch(given["domain"], False)

    def _switch(self, domain: str, on: bool) -> None:
        domain = domain.lower()
        log.record(_WHO, "archive files switched", domain, on=on)
        options.set_domain(DEFAULT_DB_ALIAS, domain, on, time.time())
        self.stdout.write(f"The messages of {domain} are {'' if on else 'no longer '}written to files.")

    def _zone(self, given: dict[str, Any]) -> None:
        try:
            first = options.set_zone(DEFAULT_DB_ALIAS, given["name"], time.time())
        except ValueError as error:
            raise CommandError(str(error)) from None
        log.record(_WHO, "archive files zone", given["name"], first=first.isoformat())
        self.stdout.write(f"From {first} on, days begin at midnight of {given['name']}.")

    def _compress(self, given: dict[str, Any]) -> None:
        log.record(_WHO, "archive files compressed", given["choice"])
        options.set_compress(DEFAULT_DB_ALIAS, given["choice"] == "on")

    def _state(self, _given: dict[str, Any]) -> None:
        self.stdout.write(f"Folder: {options.folder()}")
        self.stdout.write(f"Days begin at midnight of {options.zone(DEFAULT_DB_ALIAS)}.")
        for choice in DomainChoice.objects.order_by("domain"):
            self.stdout.write(str(choice))
        writer = Writer.objects.filter(pk=1).first()
        if writer is not None and writer.upto:
            ago = max(time.time() - writer.looked, 0.0)
            self.stdout.write(f"The writer looked {ago:.0f} seconds ago. {writer.trouble}".rstrip())

    def _write(self, given: dict[str, Any]) -> None:
        until = time.monotonic() + given["seconds"]
        while True:
            more = following.run(DEFAULT_DB_ALIAS, tell=tasks.tell)
            if more:
                continue
            if time.monotonic() >= until:
                return
            time.sleep(0.2)


def _day(text: str) -> date:
    return date.fromisoformat(text)
