"""`manage.py archive_fill --messages N`: a made-up archive, written as real messages are, to try things out with."""

from __future__ import annotations

import sys
import threading
import time
from argparse import ArgumentParser
from itertools import islice
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from archive import indexing
from archive.filling import Filling, population
from mlink_web.conf.services import find_domain, first_domain
from mlink_web.stores.ledger import PostgresWriter, SqliteWriter, Writer
from xmpp_engine.api import ArchiveRow, Batch

#: Rows of one transaction, as the ledger of a node under full load has, and rows that are made before they are written.
_BATCH: Final = 2_000
_CHUNK: Final = 50_000
#: Rows for which entering is worth its while, and seconds between two looks.
_WORTH: Final = 5_000
_PAUSE: Final = 0.05


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
        seconds = 0.0
        while chunk := list(islice(rows, _CHUNK)):
            size += sum(len(row.xml.encode()) for row in chunk)
            begun = time.perf_counter()
            write(writer, [chunk[start : start + options["batch"]] for start in range(0, len(chunk), options["batch"])])
            seconds += time.perf_counter() - begun
            done += len(chunk)
            self._tell(done, options["messages"], seconds)
        writer.close()
        self.stdout.write(
            f"{done:,} messages of {size / done:.0f} bytes in {seconds:.1f} s of writing: {done / seconds:,.0f} rows/s"
        )

    def _tell(self, done: int, of: int, seconds: float) -> None:
        self.stderr.write(f"{done:,} of {of:,}, {done / seconds:,.0f} rows/s")
        sys.stderr.flush()


def write(writer: Writer, batches: list[list[ArchiveRow]]) -> None:
    """Write the batches, and enter them into entries and full text meanwhile, from another thread as in a node."""
    over = threading.Event()
    entering = threading.Thread(target=_enter, args=(over,), name="entering")
    entering.start()
    try:
        for batch in batches:
            writer.commit(Batch(archive=batch))
    finally:
        over.set()
        entering.join()
    indexing.catch_up(connection, words=True)


def _enter(over: threading.Event) -> None:
    try:
        while not over.wait(_PAUSE):
            if indexing.waiting(connection)[0] >= _WORTH:
                indexing.catch_up(connection, words=True)
    finally:
        connection.close()
