"""Reading from /upload/: conditions, ranges, what is shown in the page and what is saved, readers who leave."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import replace

import pytest

from tests.web.http_node import HttpConnection
from tests.web.test_endpoints_upload import PNG, Bench, Slot, bench

pytestmark = pytest.mark.net
__all__ = ["bench"]


async def test_conditions_and_ranges(bench: Bench) -> None:
    slot = await bench.slot()
    await slot.put()
    whole = await slot.get()
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    for headers in ({"if_none_match": etag}, {"if_none_match": f'"x", W/{etag}'}, {"if_modified_since": modified}):
        same = await slot.get(**headers)
        assert (same.status, same.body) == (304, b"")
        assert same.headers["etag"] == etag
    assert (await slot.get(if_none_match='"x"', if_modified_since=modified)).status == 200
    size = len(PNG)
    for wanted, first, last in (
        ("0-0", 0, 0),
        ("5-9", 5, 9),
        (f"{size - 3}-", size - 3, size - 1),
        ("-4", size - 4, size - 1),
    ):
        part = await slot.get(range=f"bytes={wanted}")
        assert (part.status, part.body) == (206, PNG[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
    assert (await slot.get(range="bytes=0-99999", if_range=etag)).body == PNG
    for ignored in ("bytes=0-1,3-4", "lines=0-1", "bytes=-", "bytes=a-b"):
        assert (await slot.get(range=ignored)).status == 200
    assert (await slot.get(range="bytes=0-1", if_range='"other"')).status == 200
    for outside in (f"bytes={size}-", "bytes=-0", "bytes=9-5"):
        answer = await slot.get(range=outside)
        assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(
    ("kind", "body", "served", "shown"),
    [
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", None, "attachment"),
        ("text/html", b"<html><script>alert(1)</script></html>", None, "attachment"),
        ("application/pdf", b"%PDF-1.7 ....", None, "attachment"),
        ("text/plain", b"just some text, no more", None, "attachment"),
        ("", PNG, None, "attachment"),
        ("image/jpeg", PNG, "image/png", "inline"),
        ("image/jpg", b"\xff\xd8\xff\xe0" + bytes(40), "image/jpeg", "inline"),
        ("image/webp", b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp", "inline"),
        ("video/mp4", b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42", "video/mp4", "inline"),
        ("audio/ogg", b"OggS\x00\x02" + bytes(30), "audio/ogg", "inline"),
        ("audio/mpeg", b"\xff\xfb\x90\x64" + bytes(40), "audio/mpeg", "inline"),
        ("image/tiff", b"II*\x00" + bytes(30), None, "attachment"),
        # What clients encrypt end to end still carries the type of the plain file.
        ("image/jpeg", hashlib.sha512(b"noise").digest() * 3, None, "attachment"),
    ],
)
async def test_types_are_shown_only_where_that_is_safe(
    bench: Bench, kind: str, body: bytes, served: str | None, shown: str
) -> None:
    slot = await bench.slot(body, kind, "file.bin")
    assert (await slot.put(body)).status == 201
    answer = await slot.get()
    assert answer.body == body
    assert answer.headers["content-type"] == (served or "application/octet-stream")
    assert answer.headers["content-disposition"].startswith(shown + ";")


@pytest.mark.parametrize(
    "path",
    ["/upload/", "/upload/x", "/upload/../etc/passwd", "/upload/" + "a" * 32, "/upload/" + "%2e%2e%2f" * 9 + "/a"],
)
async def test_addresses_of_nothing(bench: Bench, path: str) -> None:
    connection = await HttpConnection.open(bench.port)
    assert (await connection.request("GET", path)).status == 404
    connection.close()
    connection = await HttpConnection.open(bench.port)
    assert (await connection.request("PUT", path, b"x", authorization="Bearer x")).status == 404
    connection.close()
    connection = await HttpConnection.open(bench.port)
    answer = await connection.request("DELETE", path)
    assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, HEAD, GET, PUT")
    connection.close()


async def test_a_file_has_one_name(bench: Bench) -> None:
    slot = await bench.slot()
    await slot.put()
    other = Slot(bench, replace(slot.row, name="invoice.exe"), slot.secret)
    assert (await other.get()).status == 404


async def test_a_file_that_has_vanished(bench: Bench) -> None:
    slot = await bench.slot()
    await slot.put()
    for path in bench.left():
        path.unlink()
    assert (await slot.get()).status == 404


async def test_large_files_are_never_in_memory_as_a_whole(bench: Bench) -> None:
    import resource

    body = secrets.token_bytes(1 << 20) * 60
    slot = await bench.slot(body, "application/octet-stream")
    assert (await slot.put(body)).status == 201
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection = await HttpConnection.open(bench.port)
    connection.start("GET", slot.path)
    await connection.reader.readuntil(b"\r\n\r\n")
    seen, digest = 0, hashlib.sha256()
    while seen < len(body):
        piece = await connection.reader.read(1 << 18)
        assert piece
        seen += len(piece)
        digest.update(piece)
    connection.close()
    assert digest.digest() == hashlib.sha256(body).digest()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


async def test_a_reader_who_leaves_frees_its_place(bench: Bench) -> None:
    body = bytes(20_000_000)
    slot = await bench.slot(body, "application/octet-stream")
    await slot.put(body)
    connection = await HttpConnection.open(bench.port)
    connection.start("GET", slot.path)
    await connection.reader.readuntil(b"\r\n\r\n")
    assert bench.endpoint._downloads
    connection.close()
    async with asyncio.timeout(5):
        while bench.endpoint._downloads:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.02)
