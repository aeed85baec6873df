"""Static files in front of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlink_web.static_files import CHUNK, StaticFiles


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> StaticFiles:
    """A folder with a small and a large file."""
    settings.STATIC_ROOT = str(tmp_path)
    settings.WHITENOISE_USE_FINDERS = False
    (tmp_path / "small.css").write_text("body {}")
    (tmp_path / "large.js").write_bytes(b"x" * (3 * CHUNK + 5))
    return StaticFiles(pages)


async def pages(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What stands behind."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


async def ask(
    app: StaticFiles, path: str, method: str = "GET", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    """One request; returns status, headers and the pieces of the body."""
    sent: list[dict[str, Any]] = []

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await app({"type": "http", "method": method, "path": path, "headers": list(headers)}, None, send)
    assert not sent[-1].get("more_body")
    return sent[0]["status"], dict(sent[0]["headers"]), [event["body"] for event in sent[1:]]


async def test_a_file(files: StaticFiles) -> None:
    status, headers, body = await ask(files, "/static/small.css")
    assert (status, b"".join(body)) == (200, b"body {}")
    assert headers[b"content-type"].startswith(b"text/css")
    assert headers[b"x-content-type-options"] == b"nosniff"


async def test_a_large_file_comes_in_pieces(files: StaticFiles) -> None:
    _status, headers, body = await ask(files, "/static/large.js")
    assert int(headers[b"content-length"]) == len(b"".join(body)) == 3 * CHUNK + 5
    assert max(map(len, body)) == CHUNK


async def test_what_the_browser_has_is_not_sent_again(files: StaticFiles) -> None:
    _status, headers, _body = await ask(files, "/static/small.css")
    again = ((b"if-modified-since", headers[b"last-modified"]),)
    status, _headers, body = await ask(files, "/static/small.css", headers=again)
    assert (status, b"".join(body)) == (304, b"")


async def test_head_and_ranges(files: StaticFiles) -> None:
    status, headers, body = await ask(files, "/static/small.css", "HEAD")
    assert (status, headers[b"content-length"], b"".join(body)) == (200, b"7", b"")
    status, _headers, body = await ask(files, "/static/small.css", headers=((b"range", b"bytes=0-3"),))
    assert (status, b"".join(body)) == (206, b"body")


@pytest.mark.parametrize("path", ["/", "/static/none.css", "/static/../settings.py", "/static/%2e%2e/x", "/static/"])
async def test_everything_else_goes_on(files: StaticFiles, path: str) -> None:
    assert (await ask(files, path))[0] == 299
