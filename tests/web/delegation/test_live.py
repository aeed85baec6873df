"""The live pages as an administrator of one domain sees them: every WebSocket of the console is opened, and sends
nothing of another domain."""

from __future__ import annotations

import re
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.console import consumers
from mlink_web.delegation import services
from mlink_web.node.client import EngineClient
from mlink_web.routing import websocket_urlpatterns
from tests.web.delegation import marks
from tests.web.delegation.marks import DEN, HALL, MARK, OTHER, OWN

pytestmark = pytest.mark.django_db(transaction=True)
OUR_PAGE = [(b"host", b"chat.example.org"), (b"origin", b"http://chat.example.org")]


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Account:
    """Administrator of own.example; the node tells everything about both domains."""
    for name in (OWN, OTHER):
        Domain.objects.get_or_create(name=name)
    made = accounts.create_account(f"keeper@{OWN}", None)
    services.appoint(made.username, Domain.objects.get(name=OWN), "test")
    node = marks.Node()

    async def call(client: Any, command: str, /, *, progress: Any = None, **arguments: str) -> Any:
        return await node.call(client, command, **arguments)

    monkeypatch.setattr(EngineClient, "call", call)
    monkeypatch.setattr(consumers, "OF_DOMAINS", 0.01)
    monkeypatch.setattr(consumers, "RECHECK", 2)
    return made


def socket(user: Account, path: str) -> WebsocketCommunicator:
    """A WebSocket of the whole site."""
    made = WebsocketCommunicator(URLRouter(websocket_urlpatterns), path, headers=OUR_PAGE)
    made.scope["user"] = user
    return made


async def first(user: Account, path: str) -> str:
    """The first that comes, "" where the door is shut."""
    live = socket(user, path)
    if not (await live.connect())[0]:
        return ""
    output = await live.receive_output(timeout=10)
    await live.disconnect()
    return output.get("text", "") if output["type"] == "websocket.send" else ""


async def test_every_live_page(keeper: Account) -> None:
    walked = 0
    for route in (str(pattern.pattern) for pattern in websocket_urlpatterns):
        for value in (DEN, OTHER, "1"):
            path = "/" + re.sub(r"<[^>]+>", value, route)
            said = await first(keeper, path)
            assert MARK not in said.lower(), path
            assert "777" not in said, path
            walked += 1
    assert walked >= 12


async def test_what_he_sees(keeper: Account) -> None:
    assert f"own-ann@{OWN}" in await first(keeper, "/ws/console/sessions")
    assert '"sessions": 1' in await first(keeper, "/ws/console/overview")
    assert '"total": 1' in await first(keeper, "/ws/console/rooms")
    assert '"total": 0' in await first(keeper, f"/ws/console/rooms?service=conference.{OTHER}")
    assert f"x@conference.{OWN}" in await first(keeper, f"/ws/console/rooms/{HALL}")
    assert '"gone": true' in await first(keeper, f"/ws/console/rooms/{DEN}")


async def test_who_is_dismissed_is_put_out(keeper: Account) -> None:
    live = socket(keeper, "/ws/console/sessions")
    await live.connect()
    await live.receive_json_from(timeout=10)
    await keeper.administers.all().adelete()
    for _ in range(100):
        output = await live.receive_output(timeout=10)
        if output["type"] == "websocket.close":
            assert output["code"] == consumers.SIGNED_OUT
            return
    pytest.fail("nobody was put out")
