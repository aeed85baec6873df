"""What is done to the disk: whole writes, made durable, and files that take another's place at once.

Making thousands of files durable one by one takes seconds, a file system at once a tenth of that; so many files are
synced by their file system where the system can (Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

_CHUNK: Final = 1 << 20
#: From so many files on the whole file system is synced.
_MANY: Final = 24
TEMPORARY: Final = ".new"


def append(path: str | Path, offset: int, data: bytes) -> bool:
    """Write at this place of a file and let it end there, whatever stood behind; True where the file is new. It is not
    durable before `settle`. Raises OSError; FileNotFoundError where what stood before the place is missing."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    if offset == 0:
        flags |= os.O_CREAT
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        if offset:
            raise
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size < offset:
            raise FileNotFoundError(f"{path} has {size} bytes, not the {offset} that were written")
        view = memoryview(data)
        place = offset
        while view:
            count = os.pwrite(descriptor, view, place)
            view = view[count:]
            place += count
        if size > place:
            os.ftruncate(descriptor, place)
    finally:
        os.close(descriptor)
    return offset == 0


def settle(root: Path, paths: Iterable[str | Path], new: Iterable[str | Path] = ()) -> None:
    """Return when these files are on disk, with the names of the new ones."""
    listed = list(paths)
    if len(listed) >= _MANY and _sync_all(root):
        return
    for path in listed:
        _sync(path, os.O_WRONLY)
    names = list(new)
    if len(names) >= _MANY and _sync_all(root):
        return
    folders = {parent for path in names for parent in Path(path).parents if root == parent or root in parent.parents}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        if folder.is_dir():
            _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def replace(temporary: Path, path: Path) -> None:
    """Let a finished file take this name, durably."""
    os.replace(temporary, path)
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def write_whole(path: Path, data: Iterable[bytes]) -> tuple[int, str]:
    """A file of these bytes, durable, under its name only once it is complete; returns its size and SHA-256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_of(path)
    digest = hashlib.sha256()
    size = 0
    with open_new(temporary) as file:
        for part in data:
            file.write(part)
            digest.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    replace(temporary, path)
    return size, digest.hexdigest()


def open_new(path: Path) -> BinaryIO:
    """An empty file to write to, readable by nobody else; one that was left behind goes."""
    remove(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    return os.fdopen(descriptor, "w+b")


def temporary_of(path: Path) -> Path:
    """The name under which a file is made that is to take this one's place."""
    return path.with_name(path.name + TEMPORARY)


def remove(path: Path) -> None:
    """Remove a file that may be there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def sha256(path: Path, size: int | None = None) -> str:
    """The SHA-256 of a file, or of its first bytes; raises OSError."""
    digest = hashlib.sha256()
    left = size
    with path.open("rb") as file:
        while left is None or left > 0:
            chunk = file.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                break
            digest.update(chunk)
            if left is not None:
                left -= len(chunk)
    return digest.hexdigest()


def _sync(path: str | Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(folder: Path) -> bool:
    """Sync the file system of a folder; False where that cannot be done. Raises OSError."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return False
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
    return True
