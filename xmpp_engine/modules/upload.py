"""XEP-0363: slots for files, as the service `upload.<domain>`.

The module gives out addresses and the right to put something there; the bytes go over HTTP
(`mlink_web/endpoints/upload.py`). Address and right are two secrets: `token` is part of the address that is shared,
`Authorization` goes to the sender alone and is good for some minutes and one file.

Where the addresses begin: the option `url`, else the domain's `public_url`, else what the embedding application says in
`extras["http_base"]` ("http://{domain}:8080", "" where there is no HTTP at all: then there is no service either).
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import quote

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.observe.log import refused
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.bounce import bounce
from xmpp_engine.routing.session import Session
from xmpp_engine.stanza.build import iq_result, parse_timestamp, timestamp
from xmpp_engine.stanza.forms import Field, render
from xmpp_engine.stanza.stanza import Stanza
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.uploads import MAX_NAME_BYTES, Purpose, UploadLimits, UploadRow, UploadsFull
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

#: The path of all files below the base address.
PATH: Final = "/upload/"
_NAME: Final = "Files"
_MIB: Final = 1024 * 1024
_DAY: Final = 24 * 3600.0
#: Requests of one account that may be in work at a time.
_PER_ACCOUNT: Final = 4
_PURPOSES: Final[tuple[Purpose, ...]] = ("message", "profile", "ephemeral")
#: Longest name in an address: every byte may become three characters there.
_NAME_BYTES: Final = min(200, MAX_NAME_BYTES)
_TYPE_MARKS: Final = frozenset("!#$&-^_.+")


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """Limits of each account of the domain. Sizes are bytes, times seconds or days; 0 days is for ever.

    `allowed` and `denied` are patterns of types like "image/*"; a file without a type counts as
    application/octet-stream. `account_age` is how old (seconds) an account must be. `url` replaces the domain's
    `public_url` in the addresses: files that stand on a name of their own cannot harm the pages of another.
    """

    max_file_size: int = 100 * _MIB
    total_bytes: int = 2048 * _MIB
    day_bytes: int = 1024 * _MIB
    files: int = 5_000
    slots: int = 20
    keep_days: int = 30
    slot_seconds: int = 300
    profile_file_size: int = 2 * _MIB
    profile_total_bytes: int = 20 * _MIB
    profile_keep_days: int = 0
    allowed: tuple[str, ...] = ("*",)
    denied: tuple[str, ...] = ()
    account_age: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        for name in (
            "max_file_size",
            "total_bytes",
            "day_bytes",
            "files",
            "slots",
            "slot_seconds",
            "profile_file_size",
        ):
            _whole(name, getattr(self, name), 1)
        for name in ("profile_total_bytes", "keep_days", "profile_keep_days", "account_age"):
            _whole(name, getattr(self, name), 0)
        for name in ("allowed", "denied"):
            patterns = getattr(self, name)
            if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
                raise ValueError(f"upload.{name} is a list of types like image/*")
        if not isinstance(self.url, str) or (self.url and not self.url.startswith(("http://", "https://"))):
            raise ValueError("upload.url begins with https:// (or http://)")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"upload.{name} is a whole number of at least {least}")


class Upload(Module):
    """The service of one domain."""

    name = "upload"
    xeps = (Xep("0363", "1.2.0", note="purposes message, profile and ephemeral; none is permanent"),)
    Config = UploadOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.jid = Jid.parse(f"upload.{self.host.domain}")
        self._running: dict[str, int] = {}

    def setup(self, reg: Registrar) -> None:
        if not self.base():
            return
        reg.service(self.jid.domain, self)
        reg.disco_items(lambda: ((self.jid.full, _NAME),))

    async def started(self) -> None:
        """What the end of the node cut off may be sent again."""
        try:
            await self.services.stores.uploads.release_all(self.host.domain)
        except StoreUnavailable as error:
            refused.error("uploads of %s that were cut off stay so: %s", self.host.domain, error)

    def base(self) -> str:
        """What the addresses begin with, without a slash at the end; "" where there is no HTTP."""
        stated: str = self.config.url or self.host.config.public_url
        if not stated:
            pattern = str(self.services.extras.get("http_base", "https://{domain}"))
            stated = pattern.replace("{domain}", self.host.domain)
        if stated and "://" not in stated:
            stated = f"https://{stated}"
        return stated.rstrip("/")

    # What is sent to the service

    def receive(self, stanza: Stanza) -> None:
        """Answer requests; everything else is an error or, for presence and results, nothing."""
        if stanza.kind == "presence" or stanza.type in ("result", "error"):
            return
        try:
            if stanza.kind != "iq" or stanza.to is None or stanza.to.local or stanza.to.resource:
                raise StanzaError("service-unavailable", "this address only gives out slots for files")
            payload = stanza.element.first()
            if payload is None:
                raise StanzaError("bad-request", "an iq of this type needs one payload")
            if (payload.ns, payload.name) == (ns.UPLOAD, "request") and stanza.type == "get":
                self._begin(stanza, payload)
            else:
                self._reply(stanza, self._answer(stanza, payload))
        except StanzaError as error:
            bounce(self.services.router, stanza, error)

    def _answer(self, stanza: Stanza, payload: Element) -> Element | None:
        kind = (payload.ns, payload.name)
        if stanza.type == "get" and kind == (ns.PING, "ping"):
            return None
        if stanza.type == "get" and kind in ((ns.DISCO_INFO, "query"), (ns.DISCO_ITEMS, "query")):
            if payload.get("node"):
                raise StanzaError("item-not-found")
            return self.info() if payload.ns == ns.DISCO_INFO else Element(ns.DISCO_ITEMS, "query")
        raise StanzaError("service-unavailable")

    def info(self) -> Element:
        """The service's disco#info."""
        query = Element(ns.DISCO_INFO, "query")
        query.add(ns.DISCO_INFO, "identity", {"category": "store", "type": "file", "name": _NAME})
        purposes = (f"{ns.UPLOAD_PURPOSE}#{purpose}" for purpose in _PURPOSES)
        for feature in sorted((ns.DISCO_INFO, ns.DISCO_ITEMS, ns.PING, ns.UPLOAD, *purposes)):
            query.add(ns.DISCO_INFO, "feature", {"var": feature})
        limit = Field("max-file-size", values=(str(self.config.max_file_size),))
        query.append(render("result", ns.UPLOAD, (limit,)))
        return query

    def _reply(self, stanza: Stanza, payload: Element | None) -> None:
        children = () if payload is None else (payload,)
        self.services.router.reply(stanza, iq_result(stanza, self.jid, *children))

    # Slots

    def _begin(self, stanza: Stanza, request: Element) -> None:
        owner = stanza.sender.bare
        session: Session | None = stanza.origin
        if session is None or session.host is not self.host:
            raise self._refused(owner, StanzaError("forbidden", "only accounts of this domain may upload files"))
        row, secret = self._row(session, request)
        if self._running.get(owner, 0) >= _PER_ACCOUNT:
            raise StanzaError("resource-constraint", "too many requests at a time")
        self._running[owner] = self._running.get(owner, 0) + 1
        self.services.tasks.spawn("upload slot", self._reserve(stanza, row, secret))

    def _row(self, session: Session, request: Element) -> tuple[UploadRow, str]:
        """The slot that a request asks for, and what authorises to fill it; raises StanzaError."""
        config: UploadOptions = self.config
        now = self.services.clock.time()
        account = session.account
        if config.account_age and now - account.data.created < config.account_age:
            error = StanzaError("not-allowed", "this account is too new to upload files", type="wait")
            error.app = _retry(account.data.created + config.account_age)
            raise self._refused(account.bare, error)
        size = _size(request)
        purpose, expires = _purpose(request)
        limit = config.profile_file_size if purpose == "profile" else config.max_file_size
        if size > min(limit, config.max_file_size):
            raise self._refused(account.bare, _too_large(min(limit, config.max_file_size)))
        kind = media_type(request.get("content-type") or "")
        self._check_type(account.bare, kind)
        days = config.profile_keep_days if purpose == "profile" else config.keep_days
        if purpose == "ephemeral" and expires <= now:
            raise StanzaError("bad-request", "expire-before is over")
        if days:
            expires = min(expires or now + days * _DAY, now + days * _DAY)
        secret = secrets.token_urlsafe(24)
        row = UploadRow(
            token=secrets.token_urlsafe(24),
            secret=hashlib.sha256(secret.encode()).hexdigest(),
            account_id=account.id,
            owner=account.bare,
            name=file_name(request.get("filename") or ""),
            size=size,
            content_type=kind,
            purpose=purpose,
            created=now,
            put_until=min(now + config.slot_seconds, expires) if expires else now + config.slot_seconds,
            expires=expires,
        )
        return row, secret

    def _check_type(self, owner: str, kind: str) -> None:
        kind = kind or "application/octet-stream"
        config: UploadOptions = self.config
        if any(fnmatchcase(kind, pattern.lower()) for pattern in config.denied) or not any(
            fnmatchcase(kind, pattern.lower()) for pattern in config.allowed
        ):
            raise self._refused(owner, StanzaError("not-acceptable", f"files of type {kind} are not taken here"))

    def _limits(self, purpose: Purpose) -> UploadLimits:
        config: UploadOptions = self.config
        if purpose == "profile":
            return UploadLimits(
                config.profile_total_bytes, config.profile_total_bytes, config.files, config.slots, ("profile",)
            )
        return UploadLimits(
            config.total_bytes, config.day_bytes, config.files, config.slots, ("message", "ephemeral", "permanent")
        )

    async def _reserve(self, stanza: Stanza, row: UploadRow, secret: str) -> None:
        try:
            await self.services.stores.uploads.reserve(row, self._limits(row.purpose))
        except UploadsFull as full:
            app = _retry(full.retry) if full.retry else None
            error = StanzaError("resource-constraint", f"The quota is full: {full}.", app=app)
            bounce(self.services.router, stanza, self._refused(row.owner, error))
        except StoreUnavailable as unavailable:
            refused.error("no slot for %s: %s", row.owner, unavailable)
            error = StanzaError("internal-server-error", "the database does not answer", type="wait")
            bounce(self.services.router, stanza, error)
        except ValueError as wrong:
            bounce(self.services.router, stanza, self._refused(row.owner, StanzaError("not-acceptable", str(wrong))))
        else:
            self._reply(stanza, self._slot(row, secret))
        finally:
            left = self._running[row.owner] - 1
            if left:
                self._running[row.owner] = left
            else:
                del self._running[row.owner]

    def _slot(self, row: UploadRow, secret: str) -> Element:
        url = f"{self.base()}{PATH}{row.token}/{quote(row.name, safe='')}"
        slot = Element(ns.UPLOAD, "slot")
        put = slot.add(ns.UPLOAD, "put", {"url": url})
        put.add(ns.UPLOAD, "header", {"name": "Authorization"}, f"Bearer {secret}")
        slot.add(ns.UPLOAD, "get", {"url": url})
        return slot

    def _refused(self, owner: str, error: StanzaError) -> StanzaError:
        refused.info("no slot for %s on %s: %s", owner, self.jid, error)
        return error


def _size(request: Element) -> int:
    text = (request.get("size") or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) == 0:
        raise StanzaError("bad-request", "size is the positive number of the file's bytes")
    return int(text)


def _purpose(request: Element) -> tuple[Purpose, float]:
    """The purpose, and for an ephemeral file the time after which nobody may have it (XEP-0363, 5)."""
    named = [element for element in request.elements() if element.ns == ns.UPLOAD_PURPOSE]
    if len(named) > 1:
        raise StanzaError("bad-request", "a file has one purpose")
    if not named or named[0].name == "message":
        return "message", 0.0
    if named[0].name == "profile":
        return "profile", 0.0
    if named[0].name == "ephemeral":
        try:
            return "ephemeral", parse_timestamp(named[0].get("expire-before") or "")
        except (ValueError, OverflowError):
            raise StanzaError("bad-request", "expire-before is a date and time with its zone") from None
    raise StanzaError("feature-not-implemented", "files for this purpose are not kept here")


def _too_large(limit: int) -> StanzaError:
    app = Element(ns.UPLOAD, "file-too-large")
    app.add(ns.UPLOAD, "max-file-size", text=str(limit))
    return StanzaError("not-acceptable", f"The file is too large: at most {limit} bytes are taken.", app=app)


def _retry(when: float) -> Element:
    return Element(ns.UPLOAD, "retry", {"stamp": timestamp(when)})


def media_type(text: str) -> str:
    """A media type in lower case without its parameters, "" where there is none; raises StanzaError for what is none
    (RFC 6838, 4.2)."""
    kind = text.partition(";")[0].strip().lower()
    if not kind:
        return ""
    main, slash, sub = kind.partition("/")
    for part in (main, sub):
        if not part or len(part) > 63 or not all(c.isascii() and (c.isalnum() or c in _TYPE_MARKS) for c in part):
            raise StanzaError("bad-request", "content-type is no media type")
    return main + slash + sub


def file_name(text: str) -> str:
    """The name that a file gets: the last part of what was asked for, without characters that mean something to paths,
    shells or readers (control and direction marks), at most 200 bytes; the ending stays. Raises StanzaError for none.
    """
    name = unicodedata.normalize("NFC", text).replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C").strip()
    if not name:
        raise StanzaError("bad-request", "filename is missing")
    if not name.strip(". "):
        return "file"
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    room = _NAME_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def authorises(header: str, row: UploadRow) -> bool:
    """Whether an `Authorization` header belongs to this slot."""
    scheme, _, secret = header.partition(" ")
    given = hashlib.sha256(secret.strip().encode("utf-8", "surrogateescape")).hexdigest()
    return scheme.lower() == "bearer" and secrets.compare_digest(given, row.secret)
