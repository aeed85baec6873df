"""The console's WebSockets by themselves: who gets in, what comes without a node, and who is put out later."""

from __future__ import annotations

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from mlink_web.accounts import services
from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.console import consumers, node

pytestmark = pytest.mark.django_db(transaction=True)
OUR_PAGE = [(b"host", b"chat.example.org:8080"), (b"origin", b"http://chat.example.org:8080")]


@pytest.fixture
def admin() -> Account:
    """An administrator."""
    Domain.objects.get_or_create(name="localhost")
    return services.create_account("admin@localhost", None, is_staff=True, is_superuser=True)


@pytest.fixture
def ada(admin: Account) -> Account:
    """An ordinary user."""
    return services.create_account("ada@localhost", None)


def socket(user: object, headers: list[tuple[bytes, bytes]], page: type = consumers.Sessions) -> WebsocketCommunicator:
    """A WebSocket as the ASGI server hands it on for this user."""
    communicator = WebsocketCommunicator(page.as_asgi(), "/ws/console/sessions", headers=headers)
    communicator.scope["user"] = user
    return communicator


@pytest.mark.parametrize("page", [consumers.Sessions, consumers.Overview])
async def test_an_administrator_learns_that_the_node_is_down(admin: Account, page: type) -> None:
    live = socket(admin, OUR_PAGE, page)
    assert (await live.connect())[0]
    assert "No node is running" in (await live.receive_json_from(timeout=5))["error"]
    await live.disconnect()


@pytest.mark.parametrize(
    "headers",
    [
        [OUR_PAGE[0]],
        [OUR_PAGE[0], (b"origin", b"null")],
        [OUR_PAGE[0], (b"origin", b"http://evil.example")],
        [OUR_PAGE[0], (b"origin", b"http://chat.example.org")],
        [OUR_PAGE[0], (b"origin", b"http://chat.example.org:8080.evil.example")],
        [OUR_PAGE[0], (b"origin", b"ftp://chat.example.org:8080")],
    ],
)
async def test_pages_of_other_sites_are_refused(admin: Account, headers: list[tuple[bytes, bytes]]) -> None:
    assert not (await socket(admin, headers).connect())[0]


async def test_others_are_told_that_they_may_not(ada: Account) -> None:
    for user in (AnonymousUser(), ada):
        live = socket(user, OUR_PAGE)
        assert (await live.connect())[0]
        assert await live.receive_output(timeout=5) == {"type": "websocket.close", "code": consumers.SIGNED_OUT}


async def test_an_administrator_who_is_none_any_more_is_put_out(
    admin: Account, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "PERIOD", 0.01)
    monkeypatch.setattr(consumers, "RECHECK", 2)
    await ada.__class__.objects.filter(pk=ada.pk).aupdate(is_staff=True)
    live = socket(await Account.objects.aget(pk=ada.pk), OUR_PAGE)
    await live.connect()
    await live.receive_json_from(timeout=5)
    await Account.objects.filter(pk=ada.pk).aupdate(is_staff=False)
    for _ in range(50):
        output = await live.receive_output(timeout=5)
        if output["type"] == "websocket.close":
            break
    assert output == {"type": "websocket.close", "code": consumers.SIGNED_OUT}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 seconds"),
        (61, "1 minute 1 second"),
        (7200, "2 hours"),
        (90_061, "1 day 1 hour"),
        (864_000, "10 days"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert node.duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1 kB"), (2_500_000, "2 MB")])
def test_sizes_in_units(count: int, words: str) -> None:
    assert node.size(count) == words
