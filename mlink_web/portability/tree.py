"""Writing an export as the tree of files that XEP-0227 suggests: main file, host files, user files, by XInclude.

    server-data.xml
    example.org.xml
    example.org/juliet.xml
    example.org/juliet.parts/archive-0001.xml     where an archive is long
    example.org.mlink.jsonl                       what the specification has no place for

A file is written under another name and gets its own when it is complete and on disk. So whoever goes on with an export
that was cut off knows by the names what is done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from django.db.backends.base.base import BaseDatabaseWrapper as Database

from mlink_web.accounts.models import Account
from mlink_web.portability import extension, names, person
from xmpp_engine.api import escape_attr

DECLARATION: Final = "<?xml version='1.0' encoding='UTF-8'?>\n"
#: Characters of messages in one file, about; more messages of an account go into further files.
FILE_CHARACTERS: Final = 64_000_000

Progress = Callable[[int], None]


class Tree:
    """A folder that an export is written into."""

    def __init__(self, root: Path, database: Database, wanted: person.Wanted, progress: Progress) -> None:
        """`progress` is called with the number of messages that were written since it was last called."""
        self._root = root
        self._database = database
        self._wanted = wanted
        self._progress = progress

    def main(self, domains: Iterable[str]) -> None:
        """The file that includes those of all hosts."""
        with _whole(self._root / names.MAIN) as file:
            file.write(f"{DECLARATION}<server-data xmlns='{names.PIE}' xmlns:xi='{names.XINCLUDE}'>\n")
            for domain in domains:
                file.write(_include(f"{names.file_name(domain)}.xml"))
            file.write("</server-data>\n")

    def host(self, domain: str, locals: Iterable[str]) -> None:
        """The file that includes those of all users of a host that were written. What was written of others goes: they
        were removed meanwhile."""
        folder = names.file_name(domain)
        present = {path.name for path in (self._root / folder).glob("*.xml")}
        with _whole(self._root / f"{folder}.xml") as file:
            file.write(f"{DECLARATION}<host xmlns='{names.PIE}' xmlns:xi='{names.XINCLUDE}'")
            file.write(f" jid='{escape_attr(domain)}'>\n")
            for local in locals:
                name = f"{names.file_name(local)}.xml"
                if name in present:
                    present.discard(name)
                    file.write(_include(f"{folder}/{name}"))
            file.write("</host>\n")
        for name in present:
            path = self._root / folder / name
            path.unlink()
            shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)

    def user(self, account: Account) -> bool:
        """The files of an account; False where they are there already."""
        folder = self._root / names.file_name(account.domain.name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = names.file_name(account.local)
        path = folder / f"{stem}.xml"
        if path.exists():
            return False
        with _whole(path) as file:
            file.write(f"{DECLARATION}<user xmlns='{names.PIE}' xmlns:xi='{names.XINCLUDE}'")
            file.write(f" name='{escape_attr(account.local)}'>\n")
            _write_lines(file, person.small_parts(self._database, account, self._wanted))
            if self._wanted.archive:
                for name in self._archive(account, folder / f"{stem}.parts"):
                    file.write(_include(f"{stem}.parts/{name}"))
            file.write("</user>\n")
        return True

    def _archive(self, account: Account, folder: Path) -> Iterator[str]:
        """Write the account's messages into files of their own; yields their names."""
        results = person.archive(self._database, account)
        first = next(results, None)
        number = 0
        while first is not None:
            number += 1
            name = f"archive-{number:04d}.xml"
            folder.mkdir(mode=0o700, exist_ok=True)
            with _whole(folder / name) as file:
                file.write(f"{DECLARATION}<archive xmlns='{names.ARCHIVE}'>\n")
                size, count = 0, 0
                while first is not None and size < FILE_CHARACTERS:
                    file.write(first[1] + "\n")
                    size, count = size + len(first[1]), count + 1
                    if count % person.PAGE == 0:
                        self._progress(person.PAGE)
                    first = next(results, None)
                self._progress(count % person.PAGE)
                file.write("</archive>\n")
            yield name

    def extension(self, domain: str) -> None:
        """The JSON lines of a domain."""
        with _whole(self._root / f"{names.file_name(domain)}{names.EXTENSION}") as file:
            for line in extension.lines(self._database, domain):
                file.write(extension.text(line))


def single(path: Path, database: Database, account: Account, wanted: person.Wanted, progress: Progress) -> None:
    """One account as one XML document."""
    with _whole(path) as file:
        file.write(f"{DECLARATION}<server-data xmlns='{names.PIE}'>\n<host jid='{escape_attr(account.domain.name)}'>\n")
        file.write(f"<user name='{escape_attr(account.local)}'>\n")
        _write_lines(file, person.small_parts(database, account, wanted))
        if wanted.archive:
            file.write(f"<archive xmlns='{names.ARCHIVE}'>\n")
            for count, (_id, text) in enumerate(person.archive(database, account), 1):
                file.write(text + "\n")
                if count % person.PAGE == 0:
                    progress(person.PAGE)
            file.write("</archive>\n")
        file.write("</user>\n</host>\n</server-data>\n")


def _include(path: str) -> str:
    return f"<xi:include href='{escape_attr(names.reference(path))}'/>\n"


def _write_lines(file: IO[str], parts: Iterable[str]) -> None:
    """Parts with a line for each, for people who look into the file."""
    for part in parts:
        file.write(part)
        file.write("\n")


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A text file that is there when it is complete, and for nobody but the owner to read."""
    draft = path.with_name(path.name + ".part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
