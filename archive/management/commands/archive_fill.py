"""`manage.py archive_fill --messages N`: a made-up archive, written as real messages are, to try things out with."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from itertools import islice
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from archive import indexing
from archive.filling import Filling, population
from mlink_web.conf.services import find_domain, first_domain
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter
from xmpp_engine.api import Batch

#: Rows of one transaction, as the ledger of a busy node has, and rows between two lines of progress.
_BATCH: Final = 500
_TOLD: Final = 100_000


class Command(BaseCommand):
    """Fills the archive and says how quickly."""

    help = "Fill the archive with made-up messages. Never use it on a server with people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """See the base class."""
        parser.add_argument("--messages", type=int, required=True)
        parser.add_argument("--people", type=int, default=2_000)
        parser.add_argument("--rooms", type=int, default=200)
        parser.add_argument("--days", type=float, default=730.0, help="days over which the messages spread")
        parser.add_argument("--domain", default="", help="a domain that is served; without it the first one")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--batch", type=int, default=_BATCH, help="rows of one transaction")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """See the base class."""
        if options["messages"] < 1 or options["people"] < 2 or options["rooms"] < 0 or options["batch"] < 1:
            raise CommandError("There must be a message, two people, no less than no room, and a row in a batch.")
        try:
            domain = find_domain(options["domain"] or first_domain())
        except (ValueError, IndexError) as error:
            raise CommandError(f"{error} Start the server once, or name a domain.") from None
        people, rooms = population(domain, options["people"], options["rooms"], options["seed"])
        filling = Filling(
            people, rooms, options["messages"], days=options["days"], end=time.time(), seed=options["seed"]
        )
        rows = filling.rows()
        writer = SqliteWriter("default") if connection.vendor == "sqlite" else PostgresWriter("default")
        done = size = 0
        writing = indexed = 0.0
        while batch := list(islice(rows, options["batch"])):
            size += sum(len(row.xml.encode()) for row in batch)
            begun = time.perf_counter()
            writer.commit(Batch(archive=batch))
            writing += time.perf_counter() - begun
            done += len(batch)
            if done % _TOLD < len(batch):
                begun = time.perf_counter()
                indexing.catch_up(connection, words=True)
                indexed += time.perf_counter() - begun
                self._tell(done, options["messages"], writing + indexed)
        begun = time.perf_counter()
        indexing.catch_up(connection, words=True)
        indexed += time.perf_counter() - begun
        writer.close()
        seconds = writing + indexed
        self.stdout.write(
            f"{done:,} messages of {size / done:.0f} bytes in {seconds:.1f} s of writing: {done / seconds:,.0f} rows/s"
            f" ({writing:.1f} s rows, {indexed:.1f} s entries, full text and what messages do to others)"
        )

    def _tell(self, done: int, of: int, seconds: float) -> None:
        self.stderr.write(f"{done:,} of {of:,}, {done / seconds:,.0f} rows/s")
        sys.stderr.flush()
