"""Exports: what the job and the command do.

Accounts are read one after the other while the server runs, each as it is at that moment. An account that is complete
has its file; an export that is cut off goes on behind the last complete one.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import DEFAULT_DB_ALIAS, connections

from mlink_web.portability import names
from mlink_web.portability.person import Wanted
from mlink_web.portability.scope import NoScope, Scope, parse
from mlink_web.portability.tree import Tree, single

if TYPE_CHECKING:
    from mlink_web.jobs.work import Work

_CHUNK: Final = 1 << 20
ZIP: Final = "application/zip"
XML: Final = "application/xml"

#: Called with how many accounts and messages are done so far; may raise to end it.
Note = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is exported and how. `extension` adds what XEP-0227 has no place for; `packed` wants a tree in a zip file
    even for one account."""

    scope: Scope
    wanted: Wanted = field(default_factory=Wanted)
    extension: bool = True
    packed: bool = True

    def document(self) -> dict[str, Any]:
        """What JSON holds of it."""
        return {
            **self.scope.document(),
            "credentials": self.wanted.credentials,
            "archive": self.wanted.archive,
            "extension": self.extension,
            "packed": self.packed,
        }


def of_document(values: dict[str, Any], using: str = DEFAULT_DB_ALIAS) -> Choice:
    """The reverse of `document`; raises NoScope for what is not there any more."""
    return Choice(
        parse(values.get("user", ""), values.get("domain", ""), using),
        Wanted(bool(values.get("credentials", True)), bool(values.get("archive", True))),
        bool(values.get("extension", True)),
        bool(values.get("packed", True)),
    )


def make(choice: Choice, folder: Path, note: Note) -> tuple[Path, str, str]:
    """Make an export in a folder, where one that was begun is finished; returns the file, a name for it and its media
    type. `note` may raise, which ends it."""
    scope = choice.scope
    database = connections[scope.using]
    done, messages = 0, 0

    def progress(count: int) -> None:
        nonlocal messages
        messages += count
        note(done, messages)

    day = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d")
    if scope.user and not choice.packed:
        account = scope.accounts().get()
        path = folder / "user.xml"
        single(path, database, account, choice.wanted, progress)
        return path, f"{names.file_name(scope.user)}-{day}.xml", XML
    root = folder / "tree"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    tree = Tree(root, database, choice.wanted, progress)
    domains = scope.domains()
    for domain in domains:
        for account in scope.walk(domain):
            tree.user(account)
            done += 1
            note(done, messages)
        tree.host(domain, scope.locals(domain))
        if choice.extension and not scope.user:
            tree.extension(domain)
    tree.main(domains)
    path = folder / "export.zip"
    pack(root, path, lambda: note(done, messages))
    return path, f"{names.file_name(scope.user or scope.domain or 'server')}-{day}.zip", ZIP


def pack(root: Path, path: Path, note: Callable[[], None]) -> None:
    """Put all files below a folder into a zip file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for file in sorted(found for found in root.rglob("*") if found.is_file() and not found.name.endswith(".part")):
            info = zipfile.ZipInfo.from_file(file, file.relative_to(root).as_posix())
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    note()


def run(work: Work) -> None:
    """The job."""
    try:
        choice = of_document(work.parameters)
        total = choice.scope.accounts().count()

        def note(done: int, _messages: int) -> None:
            work.note(done, total=total)

        work.keep(*make(choice, work.folder, note))
    except NoScope as error:
        raise work.Refused(str(error)) from None
