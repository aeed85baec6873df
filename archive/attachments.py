"""Which shared files are our own, and what has become of them: uploads (XEP-0363) of this server are known by their
token, so their pictures are shown in place and expired ones named as such. Files of other hosts stay links: to load
them would tell that host who reads what, and when."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.db.backends.base.base import BaseDatabaseWrapper

from archive.content import SharedFile
from mlink_web.conf.models import Domain
from mlink_web.uploads import services
from mlink_web.uploads.models import Upload

_PATH: Final = "/upload/"
#: Pictures that are larger are a link only: a page of fifty must not load a gigabyte.
_SHOWN_BYTES: Final = 8 * 1024 * 1024
#: Domains whose pictures are shown in place: the policy that allows them is a header of each answer.
_DOMAINS: Final = 50
_KINDS: Final = {"image": "Picture", "video": "Film", "audio": "Sound", "text": "Text"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as a page shows it. `href` is where it may be fetched, "" where it cannot be; `host` whose it is, "" for
    ours; `thumbnail` the address of a picture of our own; `gone` is why the file is not there any more."""

    name: str
    kind: str
    size: int
    description: str
    href: str
    host: str
    thumbnail: str = ""
    gone: str = ""
    sealed: bool = False


def attachments(connection: BaseDatabaseWrapper, files: Iterable[SharedFile]) -> dict[SharedFile, Attachment]:
    """The files as they are shown; two queries, however many they are."""
    files = list(dict.fromkeys(files))
    tokens = {file: token for file in files if (token := _token(file.url))}
    if not tokens:
        return {file: _foreign(file) for file in files}
    bases = _bases(connection)
    uploads = Upload.objects.using(connection.alias).filter(token__in=set(tokens.values()))
    known = {row.token: row for row in uploads}
    now = time.time()
    found = {}
    for file in files:
        base = next((base for base in bases if file in tokens and file.url.startswith(f"{base}{_PATH}")), None)
        found[file] = _own(file, known.get(tokens[file]), now) if base else _foreign(file)
    return found


def origins(connection: BaseDatabaseWrapper) -> list[str]:
    """Where pictures of our own come from, for security policies."""
    found = [*_bases(connection).values(), services.storage_origin()]
    return list(dict.fromkeys(origin for origin in found if origin))


def _bases(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """What the addresses of our files begin with, and scheme and name of each."""
    domains = Domain.objects.using(connection.alias).order_by("pk")[:_DOMAINS]
    return {services.base(domain): services.origin(domain) for domain in domains if services.origin(domain)}


def _token(url: str) -> str:
    """The token of an address that may be one of our service, else ""."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    token, slash, _name = path.rpartition(_PATH)[2].partition("/")
    return token if _PATH in path and slash and 0 < len(token) <= 64 and token.isascii() else ""


def _foreign(file: SharedFile) -> Attachment:
    return Attachment(
        file.name,
        _kind(file.media_type, file.name),
        file.size,
        file.description,
        "" if file.sealed else file.url,
        file.host,
        sealed=file.sealed,
    )


def _own(file: SharedFile, row: Upload | None, now: float) -> Attachment:
    if row is None or row.state != Upload.State.STORED or (row.expires and row.expires <= now):
        kind = _kind(file.media_type, file.name)
        return Attachment(file.name, kind, file.size, file.description, "", "", gone="no longer on the server")
    picture = row.served_type.startswith("image/") and row.size <= _SHOWN_BYTES and not file.sealed
    return Attachment(
        file.name,
        _kind(row.served_type if row.served_type.partition("/")[0] in _KINDS else file.media_type, file.name),
        row.size,
        file.description,
        "" if file.sealed else file.url,
        "",
        file.url if picture else "",
        sealed=file.sealed,
    )


def _kind(media_type: str, name: str) -> str:
    """What sort of file it is, in a word or two."""
    family, _, kind = media_type.partition("/")
    if family in _KINDS:
        return _KINDS[family]
    if kind == "pdf" or name.lower().endswith(".pdf"):
        return "PDF"
    ending = name.rpartition(".")[2]
    return (
        f"{ending.upper()} file"
        if "." in name and ending.isascii() and ending.isalnum() and len(ending) <= 5
        else "File"
    )
