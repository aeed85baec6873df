"""The files of an import: a zip file, one XML file, or a folder on this machine. They are opened by their paths inside
the tree and by nothing else, so no name in them reaches a file outside.

What could fill memory or disk is refused before it is read: too many files, too many bytes, files that are packed a
thousandfold, files that share their bytes. Nothing is unpacked to disk.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from mlink_web.portability import names
from mlink_web.portability.names import shown

#: Files of one import, and bytes of all of them when unpacked.
MAX_FILES: Final = 1_000_000
MAX_BYTES: Final = 200 * 1024**3
#: What XML is packed to is a tenth or a thirtieth; a bomb is packed a thousandfold.
_MAX_RATIO: Final = 200
_RATIO_FROM: Final = 64 * 1024**2
_MAX_DEPTH: Final = 12
_SNIFFED: Final = 4_096
_FIRST_TAG: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")
_MOST_MAINS: Final = 100_000


class BadSource(ValueError):
    """The files cannot be imported; the text is a sentence for people."""


class Source(Protocol):
    """A tree of files."""

    def open(self, name: str) -> IO[bytes]:
        """A file by its path inside the tree; raises BadSource where there is none."""

    def names(self) -> list[str]:
        """The paths of all files, sorted."""

    def close(self) -> None:
        """Let go of it."""


def open_source(path: Path) -> Source:
    """What an operator or an upload points at; raises BadSource."""
    try:
        if path.is_dir():
            return Folder(path)
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise BadSource(f"{path.name} cannot be read: {error.strerror}.") from None
    if head.startswith(b"PK"):
        return Zip(path)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zX")):
        raise BadSource("This is a packed file of a kind that is not read here. Pack the files as a zip file.")
    return Single(path)


class Single:
    """One XML file; what it includes is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        """See Source."""
        if name != names.MAIN:
            raise BadSource(f"There is no file {shown(name)}: only one was given. Pack all of them as a zip file.")
        return self._path.open("rb")

    def names(self) -> list[str]:
        """See Source."""
        return [names.MAIN]

    def close(self) -> None:
        """See Source."""


class Folder:
    """A folder on this machine, for the command. Symbolic links in it are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        found: list[str] = []
        for folder, folders, files in os.walk(self._root, followlinks=False):
            folders.sort()
            base = Path(folder).relative_to(self._root)
            if len(base.parts) > _MAX_DEPTH:
                raise BadSource("The folders of the import are nested too deeply.")
            found += [(base / name).as_posix() for name in files if not name.endswith(".part")]
            if len(found) > MAX_FILES:
                raise BadSource(f"The import has more than {MAX_FILES:,} files.")
        self._names = sorted(found)

    def open(self, name: str) -> IO[bytes]:
        """See Source."""
        path = self._root / name
        try:
            if path.resolve().is_relative_to(self._root):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return os.fdopen(descriptor, "rb")
                os.close(descriptor)
        except (OSError, ValueError):
            pass
        raise BadSource(f"There is no file {shown(name)}.")

    def names(self) -> list[str]:
        """See Source."""
        return self._names

    def close(self) -> None:
        """See Source."""


class Zip:
    """A zip file."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise BadSource(f"This is a damaged zip file: {error}.") from None
        try:
            self._members = self._checked(path.stat().st_size)
        except BaseException:
            self._zip.close()
            raise

    def _checked(self, size: int) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if len(entries) > MAX_FILES:
            raise BadSource(f"The zip file has more than {MAX_FILES:,} files.")
        members: dict[str, zipfile.ZipInfo] = {}
        for info in entries:
            if not info.is_dir():
                _check_name(info)
                if info.filename in members:
                    raise BadSource(f"The zip file has {shown(info.filename)} twice.")
                members[info.filename] = info
        packed = sum(info.compress_size for info in members.values())
        unpacked = sum(info.file_size for info in members.values())
        if packed > size:
            raise BadSource("The zip file is forged: its files share their bytes.")
        if unpacked > MAX_BYTES:
            raise BadSource(f"The zip file holds more than {MAX_BYTES // 1024**3} GiB.")
        if unpacked > _RATIO_FROM and unpacked > _MAX_RATIO * max(packed, 1):
            raise BadSource("The zip file is packed more than any export is: it could be meant to fill the disk.")
        return members

    def open(self, name: str) -> IO[bytes]:
        """See Source."""
        info = self._members.get(name)
        if info is None:
            raise BadSource(f"There is no file {shown(name)}.")
        try:
            return _Member(self._zip.open(info), info)  # type: ignore[return-value]
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise BadSource(f"The file {shown(name)} cannot be unpacked: {error}.") from None

    def names(self) -> list[str]:
        """See Source."""
        return sorted(self._members)

    def close(self) -> None:
        """See Source."""
        self._zip.close()


class _Member:
    """A file in a zip file whose troubles are told as BadSource."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._file = file
        self._name = info.filename

    def read(self, size: int = -1) -> bytes:
        """The next bytes; never more than the zip file says that there are."""
        try:
            return self._file.read(size)
        except Exception as error:
            # zlib has errors of its own.
            raise BadSource(f"The file {shown(self._name)} is damaged: {error}.") from None

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _check_name(info: zipfile.ZipInfo) -> None:
    """Refuse names that are meant to reach elsewhere, and what is no plain file."""
    name = info.filename
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ".." in parts or (len(name) > 1 and name[1] == ":"):
        raise BadSource(f"The zip file has a name that leads elsewhere: {shown(name)}.")
    if len(parts) > _MAX_DEPTH:
        raise BadSource("The folders of the zip file are nested too deeply.")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise BadSource(f"The zip file has something that is no file: {shown(name)}.")
    if info.flag_bits & 0x1:
        raise BadSource("The zip file is encrypted.")


def mains(source: Source) -> list[str]:
    """The files to begin with: ours by its name, else all at the top that begin with `<server-data/>` (ejabberd writes
    one, Prosody one for each account). Raises BadSource where there is none."""
    listed = source.names()
    for name in listed:
        if name == names.MAIN or (name.count("/") == 1 and name.endswith(f"/{names.MAIN}")):
            return [name]
    candidates = [name for name in listed if name.lower().endswith(".xml")]
    least = min((name.count("/") for name in candidates), default=0)
    top = [name for name in candidates if name.count("/") == least]
    if len(top) > _MOST_MAINS:
        raise BadSource(f"There are more than {_MOST_MAINS:,} files to begin with.")
    found = [name for name in top if _is_main(source, name)]
    if not found:
        raise BadSource("No file begins with <server-data/>, so this is no export in the format of XEP-0227.")
    return found


def extensions(source: Source) -> Iterator[str]:
    """Our files of JSON lines."""
    return (name for name in source.names() if name.endswith(names.EXTENSION))


def _is_main(source: Source, name: str) -> bool:
    with source.open(name) as file:
        head = file.read(_SNIFFED)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head.decode("utf-16", "replace").encode()
    first = _FIRST_TAG.search(head)
    return first is not None and first.group(1) == b"server-data"
