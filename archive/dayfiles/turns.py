"""One at a time: who touches the files has the turn.

The writer takes a turn for each slice of its work; between them others (redactions, the command, jobs) get theirs.
Three things see to it that there is never a second one:

    a lock on a file in the folder     processes of a machine, and of machines whose shared file system knows locks;
                                       the kernel gives it back when its owner is killed
    the writer's row in the database   machines whose file system does not: a lease, renewed by each transaction
    the folder's name for itself       a folder that is not the one the database knows (a disk that is not mounted,
                                       another machine's own) is not written to
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db import connections, transaction
from django.db.models import Q
from django.utils import timezone

from archive.dayfiles import disk, options
from archive.dayfiles.models import Writer

LEASE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_IDENTITY: Final = ".archive"
_LOCK: Final = ".lock"
README: Final = """\
Messages by day
===============

Made by mlink, beginning on {day}. Everything here is text in UTF-8.

    <domain>/<year>/<month>/<day>/users/<name>.xml   what a user of this domain sent and received on that day
    <domain>/<year>/<month>/<day>/rooms/<name>.xml   what was said in a chat room on that day
    <domain>/<year>/<month>/<day>/index.xml          which files that day has: address, number of messages, first, last
    <domain>/manifest.jsonl                          the SHA-256 of every file, line by line

Names are the part of the address before the @. Bytes other than small letters, digits, "-", "_" and inner dots are
written as % and two hexadecimal digits, as in web addresses. Long names are cut, and + and a hash follow. The whole
address stands at the beginning of each file. Files that end in .gz are compressed by gzip (RFC 1952).

A file has one line for each message: a <record> with an id (16 hexadecimal digits; the first 42 of its 64 bits are
milliseconds since 1970-01-01T00:00Z, so ids are in the order of time), the time in UTC, who sent it (from) to whom
(to), in whose archive it stood (in), the room if it was said in one, and inside it the message as it was sent, in the
format of XMPP (RFC 6120, RFC 6121). A message that was taken back or blacked out has an element <retracted> in place
of what it said. The file of the current day has no last line yet.

Each line of a manifest is a JSON object: what happened to a file (closed, changed, removed), its size and SHA-256, and
in "previous" the SHA-256 of the line before (without its line feed; 64 zeros in the first line). So no line and no file
can be changed afterwards without the lines behind it showing that. What holds for a file is the last line about it.
"""


class Busy(Exception):
    """Somebody else has the turn."""


class Unusable(Exception):
    """The folder cannot be used; the text is a sentence."""


class Lost(Exception):
    """The turn was taken by another: this one took too long. Nothing of its current step is in the database."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to touch the files. `alias` is the database's, `root` the folder."""

    alias: str
    root: Path
    token: str

    def renew(self) -> None:
        """Make sure that the turn is still this one's; first in every transaction that says what was done. Raises
        Lost."""
        kept = Writer.objects.using(self.alias).filter(pk=1, holder=self.token)
        if not kept.update(until=time.time() + LEASE_SECONDS):
            raise Lost("another process has taken over the archive's files")

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """A transaction of who has the turn."""
        with transaction.atomic(using=self.alias):
            self.renew()
            yield


@contextlib.contextmanager
def turn(alias: str, *, wait: float = 10.0, root: Path | None = None) -> Iterator[Turn]:
    """Have the turn. Raises Busy after `wait` seconds, Unusable for a folder that is not there or not the one, and
    what the database raises."""
    root = root or options.folder()
    deadline = time.monotonic() + wait
    with _file_lock(alias, root, deadline):
        token = secrets.token_hex(16)
        _take(alias, token, deadline)
        try:
            yield Turn(alias, root, token)
        finally:
            with contextlib.suppress(Exception):
                Writer.objects.using(alias).filter(pk=1, holder=token).update(holder="", until=0.0)


@contextlib.contextmanager
def _file_lock(alias: str, root: Path, deadline: float) -> Iterator[None]:
    try:
        is_new = _check(alias, root)
        descriptor = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unusable(sentence(error, root)) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy("another process is at work on the archive's files") from None
                time.sleep(_POLL_SECONDS)
        if is_new:
            try:
                _name(alias, root)
            except OSError as error:
                raise Unusable(sentence(error, root)) from error
        yield
    finally:
        os.close(descriptor)


def _check(alias: str, root: Path) -> bool:
    """See that the folder is the one that the database knows; True while it knows none, and then there is a folder."""
    row, _made = Writer.objects.using(alias).get_or_create(pk=1)
    if not row.folder:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return True
    try:
        found = (root / _IDENTITY).read_text().strip()
    except FileNotFoundError:
        raise Unusable(
            f"{root} is not the folder of this archive: the file {_IDENTITY} is missing. Is the disk mounted?"
        ) from None
    if found != row.folder:
        raise Unusable(f"{root} is the folder of another archive.")
    return False


def _name(alias: str, root: Path) -> None:
    """Give a new folder its name, or take the one that it has, for the database. Only who has its lock does."""
    mark = root / _IDENTITY
    if not mark.exists():
        disk.write_whole(root / "README.txt", [README.format(day=timezone.now().date().isoformat()).encode()])
        disk.write_whole(mark, [f"{secrets.token_hex(16)}\n".encode()])
    name = mark.read_text().strip()[:64]
    Writer.objects.using(alias).filter(pk=1, folder="").update(folder=name)
    _check(alias, root)


def _take(alias: str, token: str, deadline: float) -> None:
    """Enter the row. Who has the lock of the folder on the machine of the last holder knows that he is gone."""
    host = socket.gethostname()[:255] or "unknown"
    while True:
        now = time.time()
        free = Q(holder="") | Q(until__lt=now) | Q(host=host) | Q(until__gt=now + 2 * LEASE_SECONDS)
        rows = Writer.objects.using(alias).filter(free, pk=1)
        if rows.update(holder=token, host=host, until=now + LEASE_SECONDS):
            return
        if time.monotonic() >= deadline:
            raise Busy("another machine is at work on the archive's files")
        time.sleep(_POLL_SECONDS * 10)


def sentence(error: OSError, root: Path) -> str:
    """What went wrong with the disk, for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of {root} is full."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{root} cannot be written to: {error.strerror}."
    return f"Writing to {root} failed: {error.strerror or error}."


def forget_connection(alias: str) -> None:
    """Close a connection that may be broken; the next use opens another."""
    with contextlib.suppress(Exception):
        connections[alias].close()
