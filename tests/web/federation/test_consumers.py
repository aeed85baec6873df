"""The WebSockets of federation: streams once a second, and a test of a peer step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from mlink_web.accounts import services as accounts
from mlink_web.accounts.models import Account
from mlink_web.audit import log as audit
from mlink_web.audit.models import Entry
from mlink_web.conf.models import Domain
from mlink_web.console.consumers import SIGNED_OUT
from mlink_web.federation.routing import websocket_urlpatterns
from tests.web.federation.node import Streams, running

pytestmark = pytest.mark.django_db(transaction=True)
OUR_PAGE = [(b"host", b"chat.example.org"), (b"origin", b"https://chat.example.org")]
TEST = "/ws/console/federation/test?domain=peer.example&sender=localhost"


@pytest.fixture
def admin(settings: Any, tmp_path: Path) -> Account:
    """An administrator, and a data folder without a node."""
    settings.MLINK_HOME = tmp_path
    Domain.objects.get_or_create(name="localhost")
    return accounts.create_account("admin@localhost", None, is_staff=True, is_superuser=True)


@pytest.fixture
async def streams(admin: Account) -> AsyncIterator[Streams]:
    """A node that answers."""
    entered = running(Streams())
    made = await asyncio.to_thread(entered.__enter__)
    yield made
    await asyncio.to_thread(entered.__exit__, None, None, None)


def socket(user: object, path: str, headers: list[tuple[bytes, bytes]] = OUR_PAGE) -> WebsocketCommunicator:
    """A WebSocket as the ASGI server hands it on for this user."""
    communicator = WebsocketCommunicator(URLRouter(websocket_urlpatterns), path, headers=headers)
    communicator.scope.update(user=user, client=["192.0.2.9", 4711])
    return communicator


async def test_streams_are_told(admin: Account, streams: Streams) -> None:
    live = socket(admin, "/ws/console/federation")
    assert (await live.connect())[0]
    state = await live.receive_json_from(timeout=10)
    assert [row["remote"] for row in state["streams"]] == ["peer.example"]
    assert [row["queued"] for row in state["queues"]] == [7]
    assert (state["stream_total"], state["queue_total"], state["waiting"]) == (1, 1, 7)
    await live.disconnect()


async def test_silent_nodes_are_told(admin: Account, streams: Streams) -> None:
    streams.silent = ("The node n2 did not answer: its part is missing.",)
    live = socket(admin, "/ws/console/federation")
    await live.connect()
    state = await live.receive_json_from(timeout=10)
    assert (state["warning"], state["error"]) == (streams.silent[0], "")
    assert state["stream_total"] == 1
    await live.disconnect()


async def test_without_a_node_the_page_is_told(admin: Account) -> None:
    live = socket(admin, "/ws/console/federation")
    await live.connect()
    assert "No node is running" in (await live.receive_json_from(timeout=10))["error"]
    await live.disconnect()


async def test_steps_come_one_by_one(admin: Account, streams: Streams) -> None:
    live = socket(admin, TEST)
    assert (await live.connect())[0]
    steps = [(await live.receive_json_from(timeout=10))["step"] for _ in streams.steps]
    assert [step["step"] for step in steps] == ["peer", "dns", "tcp", "tls", "certificate"]
    assert [step["ok"] for step in steps] == [True, True, True, True, False]
    assert "must renew it" in steps[-1]["advice"]
    done = (await live.receive_json_from(timeout=10))["done"]
    assert not done["ok"]
    entry = await Entry.objects.order_by("-seq").afirst()
    assert entry is not None
    assert (entry.did, entry.target, entry.origin) == ("tested peer", "peer.example", "192.0.2.9")
    await live.disconnect()


async def test_a_way_that_works(admin: Account, streams: Streams) -> None:
    streams.steps = [*streams.steps[:-1], ("certificate", True, "good", {}), ("authentication", True, "EXTERNAL", {})]
    live = socket(admin, TEST)
    await live.connect()
    for _ in streams.steps:
        await live.receive_json_from(timeout=10)
    assert (await live.receive_json_from(timeout=10))["done"]["ok"]
    await live.disconnect()


async def test_what_cannot_be_tested(admin: Account) -> None:
    for path, why in ((TEST, "No node is running"), (TEST.replace("peer.example", "a%20b"), "not a domain name")):
        live = socket(admin, path)
        await live.connect()
        assert why in (await live.receive_json_from(timeout=10))["error"]
        await live.disconnect()


async def test_what_cannot_be_recorded_is_not_shown_as_done(
    admin: Account, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_details: object) -> None:
        raise audit.NotWritten("full")

    monkeypatch.setattr(audit, "record", full)
    live = socket(admin, TEST)
    await live.connect()
    for _ in streams.steps:
        await live.receive_json_from(timeout=10)
    assert "audit log takes nothing" in (await live.receive_json_from(timeout=10))["error"]
    await live.disconnect()


async def test_others_get_nothing(admin: Account, streams: Streams) -> None:
    ada = await asyncio.to_thread(accounts.create_account, "ada@localhost", None)
    live = socket(ada, TEST)
    await live.connect()
    assert await live.receive_output(timeout=10) == {"type": "websocket.close", "code": SIGNED_OUT}
    foreign = [OUR_PAGE[0], (b"origin", b"https://evil.example")]
    assert not (await socket(admin, TEST, foreign).connect())[0]
    assert streams.done == []
