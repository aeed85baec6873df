"""slixmpp sends a picture as clients do: it finds the service, asks for a slot, puts the file there and reads it back
from a node of the product."""

from __future__ import annotations

import asyncio
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.clients.conftest import Login
from tests.live import LiveNode, User
from tests.web.test_endpoints_upload import PNG

NewUser = Callable[[], User]


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """One HTTP request: status, headers, content."""
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


async def test_a_picture_goes_up_and_is_seen_by_another(live_node: LiveNode, login: Login, user: NewUser) -> None:
    one, other = user(), user()
    romeo, juliet = await login(one), await login(other)
    romeo.register_plugin("xep_0363")
    service = await romeo.plugin["xep_0363"].find_upload_service()
    assert service["from"] == "upload.localhost"
    url = await romeo.plugin["xep_0363"].upload_file(
        "garden view.png", size=len(PNG), content_type="image/png", input_file=io.BytesIO(PNG)
    )
    romeo.send_message(other.jid, url)
    heard = await juliet.hears(url)
    status, headers, content = await asyncio.to_thread(fetch, heard["body"])
    assert (status, content) == (200, PNG)
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Disposition"] == 'inline; filename="garden view.png"'
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def slot(client: Any, size: int, kind: str, name: str = "a.png") -> tuple[str, dict[str, str]]:
    """(address, headers) of a slot."""
    client.register_plugin("xep_0363")
    answer = await client.plugin["xep_0363"].request_slot("upload.localhost", name, size, kind)
    given = answer["http_upload_slot"]
    return given["get"]["url"], {header["name"]: header["value"] for header in given["put"]["headers"]}


async def test_lies_are_refused_and_leave_nothing(live_node: LiveNode, login: Login, user: NewUser) -> None:
    one = user()
    romeo = await login(one)
    page = b"<html><script>alert(1)</script></html>"
    for promised, sent, kind, status in (
        (len(PNG), PNG + b"x", "image/png", 413),
        (len(PNG), PNG[:-1], "image/png", 400),
        (len(page), page, "image/png", 415),
    ):
        url, headers = await slot(romeo, promised, kind)
        fields = {**headers, "Content-Type": kind}
        assert (await asyncio.to_thread(fetch, url, "PUT", sent, **fields))[0] == status
        assert (await asyncio.to_thread(fetch, url))[0] == 404
    assert live_node.ctl_json("upload", "list", one.jid) == []


async def test_administrators_see_and_remove_files(live_node: LiveNode, login: Login, user: NewUser) -> None:
    one = user()
    romeo = await login(one)
    urls = []
    for name in ("a.png", "b.png"):
        url, headers = await slot(romeo, len(PNG), "image/png", name)
        assert (await asyncio.to_thread(fetch, url, "PUT", PNG, **headers, **{"Content-Type": "image/png"}))[0] == 201
        urls.append(url)
    listed = live_node.ctl_json("upload", "list", one.jid)
    assert sorted(row["name"] for row in listed) == ["a.png", "b.png"]
    (mine,) = [row for row in live_node.ctl_json("upload", "usage") if row["owner"] == one.jid]
    assert (mine["files"], mine["bytes"]) == (2, 2 * len(PNG))
    live_node.ctl("upload", "remove", urls[0])
    assert (await asyncio.to_thread(fetch, urls[0]))[0] == 404
    assert (await asyncio.to_thread(fetch, urls[1]))[0] == 200
    live_node.ctl("upload", "remove", one.jid)
    assert (await asyncio.to_thread(fetch, urls[1]))[0] == 404
    assert live_node.ctl("upload", "remove", "nothing", check=False).returncode != 0


def test_secrets_of_turn_servers_are_not_shown(live_node: LiveNode) -> None:
    secret = "north-wind-south-wind"
    service = {"type": "turn", "host": "turn.example", "port": 3478, "secret": secret}
    options = json.dumps({"external_services": {"services": [service]}})
    try:
        said = live_node.ctl("domain", "set", "localhost", "modules", options)
        shown = live_node.ctl("--json", "domain", "show", "localhost")
        assert "turn.example" in shown.stdout
        wrong = json.dumps({"external_services": {"services": [{**service, "port": "x"}]}})
        refused = live_node.ctl("domain", "set", "localhost", "modules", wrong, check=False)
        assert refused.returncode != 0
        for done in (said, shown, refused):
            assert secret not in done.stdout + done.stderr
        assert secret not in live_node.log.read_text(errors="replace")
    finally:
        live_node.ctl("domain", "set", "localhost", "modules", "{}")
