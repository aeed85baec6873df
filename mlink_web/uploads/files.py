"""The bytes of shared files: drafts while they arrive, then one object per token in STORAGES["uploads"].

All methods block, so the endpoint calls them in threads. A draft is a file on this machine; keeping it moves it (or,
to an object storage, copies it) into the storage. A token's object is `ab/abc...`, so that folders stay short and the
sweep can look at some of them at a time.
"""

from __future__ import annotations

import errno
import hashlib
import inspect
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, storages

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Characters of `secrets.token_urlsafe`.
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
#: How long a reader may use a signed address of the storage.
SIGNED_SECONDS: Final = 600


class StorageFull(Exception):
    """There is no room for the file; nothing of it is left."""


class Draft:
    """A file that is arriving. `head` are its first bytes, `digest` the SHA-256 so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = b""
        self.size = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    @property
    def digest(self) -> str:
        """SHA-256 of what has come so far, hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Add bytes; raises StorageFull or OSError."""
        if len(self.head) < 4096:
            self.head += data[: 4096 - len(self.head)]
        self._hash.update(data)
        self.size += len(data)
        with _room():
            self._file.write(data)

    def close(self) -> None:
        """The file is complete and on disk; raises StorageFull or OSError."""
        with _room():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def drop(self) -> None:
        """Remove the file unless it was kept; never raises."""
        try:
            self._file.close()
        except OSError:
            pass
        self.path.unlink(missing_ok=True)


class _room:
    """Turns "no space left" into StorageFull."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(error.strerror or "no space") from error


class _Moved(File):
    """A local file that FileSystemStorage may move instead of copying it."""

    def __init__(self, path: Path, content_type: str) -> None:
        super().__init__(path.open("rb"), name=path.name)
        self._path = str(path)
        self.content_type = content_type

    def temporary_file_path(self) -> str:
        """Where the file is now."""
        return self._path


class Files:
    """The storage. Without arguments that of the settings; `drafts` is the folder for files that arrive."""

    def __init__(self, storage: Storage | None = None, drafts: Path | None = None) -> None:
        self._given = storage
        self._drafts = drafts

    @property
    def storage(self) -> Storage:
        """Where the files are."""
        return self._given if self._given is not None else storages["uploads"]

    @property
    def drafts(self) -> Path:
        """The folder of drafts; on the same file system as the files where those are local, so that keeping is a
        rename."""
        if self._drafts is not None:
            return self._drafts
        if isinstance(self.storage, FileSystemStorage):
            return Path(self.storage.location) / ".drafts"
        return Path(settings.MLINK_HOME) / "uploads-drafts"

    @property
    def is_local(self) -> bool:
        """Whether the files are on this machine (or what looks like it)."""
        return isinstance(self.storage, FileSystemStorage)

    def draft(self) -> Draft:
        """A new, empty draft; raises StorageFull or OSError."""
        with _room():
            self.drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
            return Draft(self.drafts / secrets.token_hex(16))

    def keep(self, token: str, draft: Draft, content_type: str) -> None:
        """Make a closed draft the file of this token; raises StorageFull, OSError or what the storage raises, and then
        leaves nothing there."""
        key = key_of(token)
        content = _Moved(draft.path, content_type)
        try:
            if self.is_local:
                # Left where the database went away after the file was there: its slot was freed, so it is nobody's.
                # Object storages replace it.
                self.remove(token)
            with _room():
                if self.is_local and self.storage.exists(key):
                    # Left by a node that ended before it could note that the file was there.
                    self.storage.delete(key)
                saved = self.storage.save(key, content)
            if saved != key:
                self.storage.delete(saved)
                raise OSError(f"there is a file {key} already")
        except FileExistsError:
            raise
        except Exception:
            self.remove(token, quiet=True)
            raise
        finally:
            content.close()

    def open(self, token: str, start: int = 0) -> IO[bytes]:
        """The file from byte `start` on; raises FileNotFoundError or what the storage raises."""
        found: Any = self.storage.open(key_of(token), "rb")
        if start:
            found.seek(start)
        return found  # type: ignore[no-any-return]

    def remove(self, token: str, *, quiet: bool = False) -> None:
        """Delete the file of a token; one that is not there is no error. `quiet` swallows other errors as well."""
        try:
            self.storage.delete(key_of(token))
        except FileNotFoundError:
            pass
        except Exception:
            if not quiet:
                raise

    def signed_url(self, token: str, content_type: str, disposition: str) -> str:
        """An address of the storage's own that answers with these headers for some minutes; "" where the storage has
        none that says how to answer."""
        if self.is_local or "parameters" not in inspect.signature(self.storage.url).parameters:
            return ""
        wanted = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-transform",
        }
        url: Any = self.storage.url
        return str(url(key_of(token), parameters=wanted, expire=SIGNED_SECONDS))

    def tokens(self, shard: str) -> Iterator[str]:
        """The tokens of all files whose tokens begin with these two characters."""
        try:
            _folders, names = self.storage.listdir(shard)
        except (FileNotFoundError, NotADirectoryError):
            return
        yield from (name for name in names if name.startswith(shard))

    def forget_drafts(self, before: float) -> int:
        """Remove drafts last written before this time (seconds since the epoch); returns how many."""
        gone = 0
        if self.drafts.is_dir():
            for path in self.drafts.iterdir():
                try:
                    if path.stat().st_mtime < before:
                        path.unlink()
                        gone += 1
                except FileNotFoundError:
                    continue
        return gone


def key_of(token: str) -> str:
    """The name of a token's file in the storage; raises ValueError for what is no token."""
    if not is_token(token):
        raise ValueError("this is no token of a file")
    return f"{token[:2]}/{token}"


def is_token(text: str) -> bool:
    """Whether a text can be a token."""
    return 16 <= len(text) <= 64 and all(character in ALPHABET for character in text)


def disposition(kind: str, name: str) -> str:
    """A Content-Disposition header (RFC 6266): `kind` is inline or attachment; the plain name for old readers, the real
    one after it where they differ."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    header = f'{kind}; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"
