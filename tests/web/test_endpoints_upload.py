"""/upload/ over a real HTTP server: what is taken, what is served and how, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage

from mlink_web.endpoints import upload
from mlink_web.endpoints.upload import UploadEndpoint
from mlink_web.uploads.files import Files
from tests.web.http_node import EndpointEngine, HttpConnection, HttpNode, Response
from xmpp_engine.config.schema import HttpConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.storage.memory import MemoryStores
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.storage.uploads import UploadLimits, UploadRow

pytestmark = pytest.mark.net

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
LIMITS = UploadLimits(10**9, 10**9, 1000, 1000, ("message",))


class Bench:
    """An endpoint on a folder, its rows in memory."""

    def __init__(self, folder: Path, storage: Storage | None = None, http: HttpConfig | None = None) -> None:
        self.folder = folder / "files"
        self.drafts = folder / "drafts"
        self.stores = MemoryStores()
        self.engine: Any = EndpointEngine(http)
        self.engine.services = SimpleNamespace(stores=self.stores)
        self.files = Files(storage or FileSystemStorage(location=self.folder), self.drafts)
        self.endpoint = UploadEndpoint(self.engine, self.files)
        self.port = 0
        self.account = 0

    async def slot(self, body: bytes = PNG, kind: str = "image/png", name: str = "a.png", **values: Any) -> Slot:
        """A slot for these bytes."""
        if not self.account:
            await self.stores.accounts.create("romeo@kit.example", [])
            data = await self.stores.accounts.load("romeo@kit.example")
            assert data is not None
            self.account = data.account_id
        secret, now = secrets.token_urlsafe(24), self.engine.clock.time()
        row = UploadRow(
            token=secrets.token_urlsafe(24),
            secret=hashlib.sha256(secret.encode()).hexdigest(),
            account_id=self.account,
            owner="romeo@kit.example",
            name=name,
            size=len(body),
            content_type=kind,
            purpose="message",
            created=now,
            put_until=now + 300,
            expires=now + 3600,
        )
        row = replace(row, **values)
        await self.stores.uploads.reserve(row, LIMITS)
        return Slot(self, row, secret)

    def left(self) -> list[Path]:
        """All files on disk."""
        return [path for path in self.folder.parent.rglob("*") if path.is_file()]


class Slot:
    """A slot and what is done with it."""

    def __init__(self, bench: Bench, row: UploadRow, secret: str) -> None:
        self.bench, self.row, self.secret = bench, row, secret

    @property
    def path(self) -> str:
        from urllib.parse import quote

        return f"/upload/{self.row.token}/{quote(self.row.name, safe='')}"

    async def put(self, body: bytes = PNG, **headers: str) -> Response:
        fields = {"authorization": f"Bearer {self.secret}", "content-type": self.row.content_type} | headers
        connection = await HttpConnection.open(self.bench.port)
        try:
            async with asyncio.timeout(10):
                return await connection.request("PUT", self.path, body, **fields)
        finally:
            connection.close()

    async def get(self, method: str = "GET", **headers: str) -> Response:
        connection = await HttpConnection.open(self.bench.port)
        try:
            async with asyncio.timeout(10):
                return await connection.request(method, self.path, **headers)
        finally:
            connection.close()

    async def state(self) -> str:
        row = await self.bench.stores.uploads.get(self.row.token)
        return "none" if row is None else row.state


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    async with HttpNode(made.endpoint) as node:
        made.port = node.port
        yield made


async def test_a_picture_goes_up_and_comes_down(bench: Bench) -> None:
    slot = await bench.slot(name="très cool.png")
    assert (await slot.put()).status == 201
    answer = await slot.get()
    assert (answer.status, answer.body) == (200, PNG)
    headers = answer.headers
    assert headers["content-type"] == "image/png"
    assert headers["content-disposition"] == "inline; filename=\"tr_s cool.png\"; filename*=UTF-8''tr%C3%A8s%20cool.png"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert headers["cache-control"].startswith("private, max-age=3")
    assert "immutable" in headers["cache-control"]
    assert headers["access-control-allow-origin"] == "*"
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-length"] == str(len(PNG))
    head = await slot.get("HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**headers, "date": ""}
    (file,) = bench.left()
    assert file.stat().st_mode & 0o077 in (0, 0o044)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image/png", b"<!DOCTYPE html><script>alert(document.cookie)</script>"),
        ("image/png", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("image/gif", b"MZ\x90\x00" + bytes(100)),
        ("video/mp4", b"\x7fELF" + bytes(100)),
        ("audio/mpeg", PNG),
        ("image/jpeg", b"%PDF-1.4 " + bytes(100)),
        ("image/webp", b"PK\x03\x04" + bytes(100)),
        ("image/png", "\ufeff<html>".encode("utf-16") + "<script>".encode("utf-16-le") * 4),
    ],
)
async def test_files_that_lie_about_their_type(bench: Bench, kind: str, body: bytes) -> None:
    slot = await bench.slot(body, kind)
    assert (await slot.put(body)).status == 415
    assert (await slot.get()).status == 404
    assert await slot.state() == "none"
    assert bench.left() == []


@pytest.mark.parametrize(("change", "status"), [(b"x", 413), (-1, 400)])
async def test_a_wrong_length_is_refused_before_the_body(bench: Bench, change: Any, status: int) -> None:
    slot = await bench.slot()
    body = PNG + change if isinstance(change, bytes) else PNG[:change]
    assert (await slot.put(body)).status == status
    assert await slot.state() == "none"
    assert bench.left() == []


async def chunked(slot: Slot, body: bytes, *, end: bool = True) -> tuple[HttpConnection, bytes]:
    """Send a body without its length; returns the connection and the request's head."""
    connection = await HttpConnection.open(slot.bench.port)
    head = (
        f"PUT {slot.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {slot.secret}\r\n"
        f"content-type: {slot.row.content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    ).encode()
    connection.writer.write(head + b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if end else b""))
    return connection, head


@pytest.mark.parametrize(("change", "status"), [(b"", 201), (b"x", 413), (b"x" * 5_000_000, 413), (-1, 400)])
async def test_the_length_is_counted(bench: Bench, change: Any, status: int) -> None:
    slot = await bench.slot()
    connection, _head = await chunked(slot, PNG + change if isinstance(change, bytes) else PNG[:change])
    async with asyncio.timeout(10):
        assert (await connection.answer()).status == status
    connection.close()
    assert await slot.state() == ("stored" if status == 201 else "none")
    assert len(bench.left()) == (status == 201)


async def test_the_type_must_be_the_promised_one(bench: Bench) -> None:
    slot = await bench.slot()
    assert (await slot.put(**{"content-type": "text/html"})).status == 415
    assert await slot.state() == "none"
    slot = await bench.slot()
    missing = await slot.put(**{"content-type": ""})
    assert (missing.status, await slot.state()) == (415, "slot")
    assert (await slot.put(**{"content-type": "IMAGE/PNG; x=y"})).status == 201
    untyped = await bench.slot(kind="")
    assert (await untyped.put(**{"content-type": ""})).status == 201


async def test_only_who_got_the_slot_may_fill_it_and_once(bench: Bench) -> None:
    slot, other = await bench.slot(), await bench.slot()
    for wrong in ("", "Bearer", "Bearer x", f"Bearer {other.secret}", f"Basic {slot.secret}", slot.secret):
        assert (await slot.put(authorization=wrong)).status == 403
    assert await slot.state() == "slot"
    assert (await slot.put()).status == 201
    assert (await slot.put()).status == 409
    assert (await slot.get()).body == PNG


async def test_slots_and_files_end(bench: Bench) -> None:
    clock = bench.engine.clock = FakeClock()
    late, slot = await bench.slot(), await bench.slot()
    assert (await slot.put()).status == 201
    clock.advance(late.row.put_until - clock.time())
    assert (await late.put()).status == 410
    clock.advance(slot.row.expires - clock.time() - 0.1)
    assert (await slot.get()).status == 200
    clock.advance(0.1)
    assert (await slot.get()).status == 404


async def test_browsers_of_other_sites(bench: Bench, tmp_path: Path) -> None:
    slot = await bench.slot()
    answer = await slot.get("OPTIONS", origin="https://chat.example", access_control_request_method="PUT")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    strict = Bench(tmp_path / "strict", http=HttpConfig(origins=("https://chat.example",)))
    async with HttpNode(strict.endpoint) as node:
        strict.port = node.port
        slot = await strict.slot()
        assert (await slot.put(origin="https://evil.example")).status == 403
        allowed = await slot.put(origin="https://chat.example")
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (201, "https://chat.example")
        assert "access-control-allow-origin" not in (await slot.get(origin="https://evil.example")).headers


async def test_a_lost_connection_leaves_the_slot_and_no_bytes(bench: Bench) -> None:
    slot = await bench.slot(bytes(1_000_000), "application/octet-stream")
    connection, _head = await chunked(slot, bytes(600_000), end=False)
    await until_writing(slot)
    connection.close()
    async with asyncio.timeout(5):
        while await slot.state() != "slot" or bench.left():  # noqa: ASYNC110  (what is waited for has no event)
            await asyncio.sleep(0.01)
    assert (await slot.put(bytes(1_000_000))).status == 201


async def test_what_a_dead_node_has_left_is_sent_again(bench: Bench) -> None:
    slot = await bench.slot()
    assert await bench.stores.uploads.claim(slot.row.token)
    draft = bench.files.draft()
    draft.write(b"half of it")
    draft.close()
    bench.files.keep(slot.row.token, draft, "image/png")
    assert (await slot.put()).status == 409
    assert await bench.stores.uploads.release_all("kit.example") == 1  # as at the start
    assert (await slot.put()).status == 201
    assert (await slot.get()).body == PNG
    assert len(bench.left()) == 1


async def until_writing(slot: Slot) -> None:
    async with asyncio.timeout(5):
        while await slot.state() != "writing":  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.005)


async def test_an_upload_that_stands_still_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "SILENCE_SECONDS", 0.2)
    slot = await bench.slot()
    connection, _head = await chunked(slot, PNG[:100], end=False)
    async with asyncio.timeout(8):
        assert (await connection.answer()).status == 408
    assert await slot.state() == "slot"
    assert bench.left() == []


async def test_an_upload_that_drips_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "GRACE_SECONDS", 0.3)
    slot = await bench.slot()
    connection, _head = await chunked(slot, b"\x89", end=False)
    answer = asyncio.create_task(connection.answer())
    async with asyncio.timeout(8):
        while not answer.done():
            connection.writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.05)
    assert (await answer).status == 408
    assert bench.left() == []


async def test_one_account_uploads_a_few_files_at_a_time(bench: Bench) -> None:
    slots = [await bench.slot() for _ in range(upload.UPLOADS_PER_ACCOUNT + 1)]
    connections = [(await chunked(slot, PNG[:10], end=False))[0] for slot in slots[:-1]]
    for slot in slots[:-1]:
        await until_writing(slot)
    answer = await slots[-1].put()
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    for connection in connections:
        connection.close()
    async with asyncio.timeout(5):
        while (await slots[-1].put()).status != 201:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.05)
    assert not bench.endpoint._uploads


class FullStorage(FileSystemStorage):
    """A disk that is full after some bytes."""

    def _save(self, name: str, content: Any) -> str:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.read(100))
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_full_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FullStorage(location=tmp_path / "files"))
    async with HttpNode(bench.endpoint) as node:
        bench.port = node.port
        slot = await bench.slot()
        answer = await slot.put()
        assert (answer.status, answer.headers["retry-after"]) == (507, "600")
        assert await slot.state() == "slot"
        assert bench.left() == []


async def test_a_disk_that_is_full_while_the_file_arrives(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mlink_web.uploads.files.os.fsync", full)
    slot = await bench.slot()
    assert (await slot.put()).status == 507
    assert await slot.state() == "slot"
    assert bench.left() == []


async def test_a_database_that_is_away(bench: Bench) -> None:
    slot = await bench.slot()
    bench.stores.memory.fail_with = "away"
    assert (await slot.put()).status == 503
    assert (await slot.get()).status == 503
    bench.stores.memory.fail_with = None
    assert (await slot.put()).status == 201


async def test_a_database_that_goes_away_at_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_arguments: object) -> bool:
        raise StoreUnavailable("away")

    slot = await bench.slot()
    with monkeypatch.context() as patch:
        patch.setattr(bench.stores.uploads, "finish", away)
        assert (await slot.put()).status == 503
    assert await slot.state() == "slot"
    assert (await slot.put()).status == 201
    assert (await slot.get()).body == PNG
    assert len(bench.left()) == 1


async def test_a_storage_that_is_not_a_folder(tmp_path: Path) -> None:
    bench = Bench(tmp_path, InMemoryStorage())
    async with HttpNode(bench.endpoint) as node:
        bench.port = node.port
        slot = await bench.slot()
        assert (await slot.put()).status == 201
        assert (await slot.get()).body == PNG
        assert (await slot.get(range="bytes=2-5")).body == PNG[2:6]
        assert bench.left() == []
