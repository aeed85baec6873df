"""/upload/: the HTTP side of XEP-0363. PUT fills a slot that the module `upload` gave out, GET and HEAD serve the file.

    PUT   row -> right -> size and type -> claim -> draft (threads) -> sniff -> storage -> stored       201
    GET   row -> conditions -> range -> storage, piece by piece (threads)                               200, 206, 304

The bytes never stand in memory as a whole and no disk work happens in the loop. Everything that a client can hold on to
is bounded: uploads and downloads at a time, silence, and the rate below which an upload is given up. Whatever goes
wrong leaves no bytes behind. Slots are used up by a lie (size, type) and stay good after an accident (a lost
connection, a full disk).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final, TypeVar

from django.conf import settings

from mlink_web.endpoints.bosh import respond
from mlink_web.endpoints.file_answers import Headers, applies, byte_range, file_headers, shown, unchanged
from mlink_web.endpoints.peer import Peer, Scope, allowed_origin, header, peer_of
from mlink_web.uploads.files import Draft, Files, StorageFull, is_token
from mlink_web.uploads.sniff import Lie, served_type
from xmpp_engine.engine import Engine
from xmpp_engine.modules.upload import PATH, authorises, media_type
from xmpp_engine.observe.log import refused
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.uploads import UploadRow, UploadStore
from xmpp_engine.xml.errors import StanzaError

log = logging.getLogger("mlink.http")
R = TypeVar("R")

__all__ = ["PATH", "UploadEndpoint"]

#: Bytes that go to a thread at a time.
PIECE: Final = 256 * 1024
THREADS: Final = 8
UPLOADS: Final = 100
UPLOADS_PER_ACCOUNT: Final = 4
DOWNLOADS: Final = 500
DOWNLOADS_PER_ADDRESS: Final = 50
#: An upload may be silent for so long, and over all must not be slower than this many bytes a second.
SILENCE_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 20.0
BYTES_PER_SECOND: Final = 4_096
#: A reader who takes nothing for so long is gone.
READER_SECONDS: Final = 60.0
#: What is read and thrown away of a refused upload, so that the sender gets to read why.
DRAIN_BYTES: Final = 1024 * 1024
DRAIN_SECONDS: Final = 3.0

_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox",
)
_SAFE: Final[Headers] = [
    _POLICY,
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-methods", b"OPTIONS, HEAD, GET, PUT"),
    (b"access-control-allow-headers", b"authorization, content-type, range"),
    (b"access-control-max-age", b"86400"),
]
_CLOSE: Final = (b"connection", b"close")


class Refusal(Exception):
    """An upload that is not taken: an HTTP status and a sentence. `spent`: the slot is used up by it."""

    def __init__(self, status: int, text: str, *, spent: bool = False, retry: int = 0) -> None:
        super().__init__(text)
        self.status = status
        self.spent = spent
        self.retry = retry


class Gone(Exception):
    """The client has left; nobody is there to be answered."""


class Body:
    """The `receive` of a request; `ended` once nothing of its body is to come."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Any:
        """The next message."""
        message = await self._receive()
        self.ended = self.ended or message["type"] != "http.request" or not message.get("more_body")
        return message


class UploadEndpoint:
    """An ASGI callable for http connections below /upload/."""

    def __init__(self, engine: Engine, files: Files | None = None) -> None:
        self._engine = engine
        self.files = files or Files()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="uploads")
        self._uploads: Counter[str] = Counter()
        self._downloads: Counter[str] = Counter()

    @property
    def _rows(self) -> UploadStore:
        return self._engine.services.stores.uploads

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        receive = Body(receive)
        config = self._engine.config.http
        peer = peer_of(scope, config)
        origin = allowed_origin(scope, peer, config)
        cors = _cors(origin)
        method = scope["method"]
        token, _, name = scope["path"].removeprefix(PATH).partition("/")
        try:
            if method in ("GET", "HEAD"):
                await self._get(scope, receive, send, peer, token, name, cors)
            elif method == "OPTIONS":
                await respond(send, 200, b"", [*_PREFLIGHT, *cors])
            elif method == "PUT":
                if origin is None:
                    raise Refusal(403, "Pages of this origin may not upload files.")
                await self._put(scope, receive, token, name)
                await respond(send, 201, b"", [*_SAFE[:1], *cors])
            else:
                raise Refusal(405, "Files are uploaded with PUT and read with GET.")
        except Refusal as refusal:
            await self._refuse(scope, receive, send, refusal, cors)
        except StoreUnavailable as error:
            log.error("an upload cannot be served: %s", error)
            await self._refuse(scope, receive, send, Refusal(503, "The database does not answer.", retry=5), cors)
        except Gone:
            pass

    async def _refuse(self, scope: Scope, receive: Body, send: Any, refusal: Refusal, cors: Headers) -> None:
        headers: Headers = [(b"content-type", b"text/plain; charset=utf-8"), _POLICY, *cors]
        if refusal.retry:
            headers.append((b"retry-after", str(refusal.retry).encode()))
        if refusal.status == 405:
            headers.append((b"allow", b"OPTIONS, HEAD, GET, PUT"))
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            headers.append(_CLOSE)
            if refusal.status != 408 and not header(scope, b"expect"):
                await _drain(receive)
        await respond(send, refusal.status, f"{refusal}\n".encode(), headers)

    # Uploads

    async def _put(self, scope: Scope, receive: Any, token: str, name: str) -> None:
        if not self._engine.running:
            raise Refusal(503, "The server is starting or stopping.", retry=5)
        row = await self._row(token, name)
        if row is None or row.state == "gone":
            raise Refusal(404, "There is no such slot.")
        if not authorises(header(scope, b"authorization"), row):
            refused.info("upload to a slot of %s without its authorization", row.owner)
            raise Refusal(403, "The Authorization header of the slot is missing or wrong.")
        if row.state != "slot":
            raise Refusal(409, "This slot is used already.")
        if row.put_until <= self._engine.clock.time():
            raise Refusal(410, "The time of this slot is over.")
        try:
            _check_promise(scope, row)
            if self._uploads.total() >= UPLOADS or self._uploads[row.owner] >= UPLOADS_PER_ACCOUNT:
                raise Refusal(503, "Too many uploads at a time.", retry=10)
            with _counted(self._uploads, row.owner):
                if not await self._rows.claim(token):
                    raise Refusal(409, "This slot is used already.")
                await self._fill(receive, row)
        except Refusal as refusal:
            refused.info("upload of %s (%d bytes, %s): %s", row.owner, row.size, row.content_type or "-", refusal)
            if refusal.spent:
                await self._rows.discard(token)
            raise

    async def _fill(self, receive: Any, row: UploadRow) -> None:
        """Take the bytes of a claimed slot; whatever happens, the slot is stored, free or spent afterwards."""
        done = False
        draft: Draft | None = None
        try:
            draft = await self._thread(self.files.draft)
            await self._take(receive, row, draft)
            await self._thread(draft.close)
            try:
                served = served_type(row.content_type, draft.head)
            except Lie as lie:
                raise Refusal(415, f"The file is refused: {lie}.", spent=True) from None
            await self._thread(self.files.keep, row.token, draft, served)
            done = await self._rows.finish(row.token, served, draft.digest, self._engine.clock.time())
            if not done:
                await self._thread(self.files.remove, row.token)
                raise Refusal(404, "The slot was taken back.")
        except StorageFull as error:
            log.error("the storage of files is full: %s", error)
            raise Refusal(507, "There is no room for the file.", retry=600) from None
        except (Refusal, Gone, StoreUnavailable):
            raise
        except Exception as error:
            log.exception("a file of %s cannot be stored", row.owner, exc_info=error)
            raise Refusal(500, "The file cannot be stored.") from None
        finally:
            await asyncio.shield(self._after(row.token, draft, done))

    async def _after(self, token: str, draft: Draft | None, done: bool) -> None:
        if draft is not None:
            await self._thread(draft.drop)
        if not done:
            with contextlib.suppress(StoreUnavailable):
                await self._rows.release(token)

    async def _take(self, receive: Any, row: UploadRow, draft: Draft) -> None:
        """Write the body to the draft; raises Refusal where it is not of the promised size or comes too slowly."""
        clock = asyncio.get_running_loop().time
        begun, size, more = clock(), 0, True
        waiting = bytearray()
        while more:
            # Every byte buys time: whoever sends at the least rate may go on to the end.
            pause = min(SILENCE_SECONDS, begun + GRACE_SECONDS + size / BYTES_PER_SECOND - clock())
            try:
                async with asyncio.timeout(max(pause, 0.0)):
                    message = await receive()
            except TimeoutError:
                raise Refusal(408, "The upload is too slow.") from None
            if message["type"] != "http.request":
                raise Gone
            body: bytes = message.get("body", b"")
            more = bool(message.get("more_body"))
            size += len(body)
            if size > row.size:
                raise Refusal(413, f"The file has more than the {row.size} bytes of its slot.", spent=True)
            waiting += body
            if len(waiting) >= PIECE or (waiting and not more):
                await self._thread(draft.write, bytes(waiting))
                waiting.clear()
        if size != row.size:
            raise Refusal(400, f"The file has {size} bytes and not the {row.size} of its slot.", spent=True)

    # Downloads

    async def _get(
        self, scope: Scope, receive: Any, send: Any, peer: Peer, token: str, name: str, cors: Headers
    ) -> None:
        row = await self._row(token, name)
        now = self._engine.clock.time()
        if row is None or row.state != "stored" or (row.expires and row.expires <= now):
            raise Refusal(404, "There is no such file (any more).")
        headers = [*file_headers(row, now), *_SAFE, *cors]
        if unchanged(scope, row):
            kept = [pair for pair in headers if pair[0] not in (b"content-type", b"content-disposition")]
            await send({"type": "http.response.start", "status": 304, "headers": kept})
            await send({"type": "http.response.body", "body": b""})
            return
        first, last = byte_range(scope, row)
        status = 206 if applies(scope, row) else 200
        if first > last:
            headers = [*_SAFE, *cors, (b"content-range", f"bytes */{row.size}".encode())]
            await respond(send, 416, b"", headers)
            return
        if status == 206:
            headers.append((b"content-range", f"bytes {first}-{last}/{row.size}".encode()))
        headers.append((b"content-length", str(last - first + 1).encode()))
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        if settings.MLINK_UPLOADS_SERVE == "redirect" and await self._redirect(send, row, cors):
            return
        if self._downloads.total() >= DOWNLOADS or self._downloads[peer.address] >= DOWNLOADS_PER_ADDRESS:
            raise Refusal(503, "Too many downloads at a time.", retry=2)
        with _counted(self._downloads, peer.address):
            await self._serve(receive, send, row, status, headers, first, last)

    async def _redirect(self, send: Any, row: UploadRow, cors: Headers) -> bool:
        """Send the reader to the storage; False where that has no address of its own."""
        url = await self._thread(self.files.signed_url, row.token, row.served_type, shown(row))
        if not url:
            return False
        headers = [(b"location", url.encode("ascii")), *_SAFE, *cors]
        await respond(send, 302, b"", headers)
        return True

    async def _serve(
        self, receive: Any, send: Any, row: UploadRow, status: int, headers: Headers, first: int, last: int
    ) -> None:
        try:
            file = await self._thread(self.files.open, row.token, first)
        except Exception as error:
            log.error("the file %s of %s cannot be read: %s", row.token, row.owner, error)
            raise Refusal(404, "The file is not there.") from None
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async with _watched(receive) as left:
                await self._pieces(send, file, last - first + 1, left)
        finally:
            await asyncio.shield(self._thread(file.close))

    async def _pieces(self, send: Any, file: IO[bytes], size: int, left: asyncio.Event) -> None:
        while size > 0 and not left.is_set():
            piece = await self._thread(file.read, min(PIECE, size))
            if not piece:
                # Too late for a status: a connection that ends early is how HTTP says it.
                raise OSError("the file is shorter than its row says")
            size -= len(piece)
            try:
                async with asyncio.timeout(READER_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": size > 0})
            except TimeoutError:
                raise Gone from None

    async def _row(self, token: str, name: str) -> UploadRow | None:
        """The row of an address; the name is part of it, so that nobody passes a file on under another name."""
        if not is_token(token):
            return None
        row = await self._rows.get(token)
        return row if row is not None and row.name == name else None

    async def _thread(self, function: Callable[..., R], *arguments: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _check_promise(scope: Scope, row: UploadRow) -> None:
    """Length and type as the request states them, before any byte is read."""
    length = header(scope, b"content-length")
    if length and (not length.isdigit() or int(length[:19]) != row.size):
        larger = length.isdigit() and int(length[:19]) > row.size
        text = f"The file must have the {row.size} bytes of its slot, not {length[:19]}."
        raise Refusal(413 if larger else 400, text, spent=True)
    stated = header(scope, b"content-type")
    if row.content_type and not stated:
        raise Refusal(415, f"The Content-Type header is missing; the slot is for {row.content_type}.")
    if row.content_type:
        try:
            kind = media_type(stated)
        except StanzaError:
            kind = ""
        if kind != row.content_type:
            raise Refusal(415, f"The file must be {row.content_type} as its slot says.", spent=True)


def _cors(origin: str | None) -> Headers:
    if not origin:
        return []
    allowed = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"content-length, content-range, etag"),
    ]
    return allowed if origin == "*" else [*allowed, (b"vary", b"origin")]


@contextlib.contextmanager
def _counted(counter: Counter[str], key: str) -> Any:
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


@contextlib.asynccontextmanager
async def _watched(receive: Any) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the client leaves."""
    left = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] == "http.request":
            pass
        left.set()

    task = asyncio.create_task(watch(), name="reader of a file")
    try:
        yield left
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _drain(receive: Body) -> None:
    """Read a little of what a refused sender still sends: a connection that is cut while data comes in loses the
    answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while size < DRAIN_BYTES and not receive.ended:
                size += len((await receive()).get("body", b""))
