"""What the pages take in: no more than they need, and large files only from whom they are for."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.test import Client
from django.urls import reverse

from mlink_web.accounts import services as accounts
from mlink_web.bodies import AROUND, BoundedBodies, large_files
from mlink_web.conf.models import Domain

PIECE = 1_000
MOST = 10 * PIECE


class Pages:
    """Reads a request to its end, as Django does, and says how much it was."""

    def __init__(self) -> None:
        self.taken = 0
        self.gave_up = False

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gave_up = True
                return
            self.taken += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def post(app: Any, pieces: int, path: str = "/", cookie: str = "", announced: bool = False) -> int:
    """The status that a body of so many pieces gets."""
    sent: list[dict[str, Any]] = []
    left = pieces

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * PIECE, "more_body": left > 0}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"cookie", f"a=b; {settings.SESSION_COOKIE_NAME}={cookie}".encode())] if cookie else []
    if announced:
        headers.append((b"content-length", str(pieces * PIECE).encode()))
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return int(sent[0]["status"])


async def test_no_more_than_a_page_needs() -> None:
    pages = Pages()
    app = BoundedBodies(pages, {}, MOST)
    assert await post(app, 10) == 200
    assert pages.taken == MOST
    pages.taken = 0
    assert await post(app, 1_000_000) == 413
    assert pages.gave_up
    assert pages.taken <= MOST
    pages.taken = 0
    assert await post(app, 11, announced=True) == 413
    assert pages.taken == 0, "it was not even begun"


async def test_django_gives_up_too() -> None:
    assert await post(BoundedBodies(get_asgi_application(), {}, MOST), 11, "/accounts/sign-in/") == 413


def test_the_paths_are_those_of_the_pages() -> None:
    assert set(large_files()) == {reverse("portability:order-trial"), reverse("dayfiles:import")}


@pytest.mark.django_db(transaction=True)
async def test_large_files_come_from_whom_they_are_for() -> None:
    def signed_in(name: str, **rights: bool) -> str:
        client = Client()
        client.force_login(accounts.create_account(f"{name}@localhost", None, **rights))
        return client.cookies[settings.SESSION_COOKIE_NAME].value

    await sync_to_async(Domain.objects.get_or_create)(name="localhost")
    boss = await sync_to_async(signed_in)("boss", is_staff=True, is_superuser=True)
    ada = await sync_to_async(signed_in)("ada")
    path = "/admin/portability/try"
    app = BoundedBodies(Pages(), {path: (20 * PIECE, large_files()[path][1])}, MOST)
    assert await post(app, 20, path, boss) == 200
    assert await post(app, 30 + AROUND // PIECE, path, boss) == 413
    for cookie in (ada, "", "forged", "\x01\x02"):
        assert await post(app, 20, path, cookie) == 413
    assert await post(app, 20, "/admin/", boss) == 413
