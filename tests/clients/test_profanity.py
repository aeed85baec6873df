"""profanity, a client for terminals written in C: signs in, chats, adds a contact, fetches the archive."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.clients.conftest import Login
from tests.clients.terminal import Profanity
from tests.live import LiveNode, User

pytestmark = pytest.mark.skipif(
    shutil.which("profanity") is None or shutil.which("tmux") is None, reason="profanity or tmux is not installed"
)


@pytest.fixture
def profanity() -> Iterator[Profanity]:
    """A running profanity."""
    client = Profanity()
    client.start()
    yield client
    client.stop()


async def test_chats_and_keeps_contacts(
    live_node: LiveNode, login: Login, user: Callable[[], User], profanity: Profanity
) -> None:
    one, other = user(), user()
    juliet = await login(other)
    await profanity.sign_in(one.jid, one.password, live_node.c2s_port)

    profanity.type(f"/msg {other.jid} Hello from a terminal")
    heard = await juliet.hears("Hello from a terminal")
    assert heard["from"].bare == one.jid
    juliet.send_message(heard["from"], "Hello, terminal")
    await profanity.sees("Hello, terminal")

    profanity.type("/win 1")
    profanity.type(f"/roster add {other.jid} Juliet")
    await profanity.sees("Roster item added")
    profanity.type(f"/sub request {other.jid}")
    await juliet.until(lambda: juliet.client_roster[one.jid]["pending_in"], "the request")
    juliet.send_presence_subscription(pto=one.jid, ptype="subscribed")
    juliet.send_presence_subscription(pto=one.jid, ptype="subscribe")
    profanity.type(f"/sub allow {other.jid}")
    await juliet.until(lambda: juliet.client_roster[one.jid]["subscription"] == "both", "both")
    # What the server has, not what the client believes.
    phone = await login(one, "phone", presence=False)
    items = {jid.bare: item for jid, item in (await phone.get_roster())["roster"]["items"].items()}
    assert (items[other.jid]["name"], items[other.jid]["subscription"]) == ("Juliet", "both")


async def test_fetches_the_archive(
    live_node: LiveNode, login: Login, user: Callable[[], User], profanity: Profanity
) -> None:
    one, other = user(), user()
    elsewhere, juliet = await login(one), await login(other)
    elsewhere.send_message(other.jid, "Said on another device")
    await juliet.hears("Said on another device")
    juliet.send_message(one.jid, "Answered there")
    await elsewhere.hears("Answered there")
    await elsewhere.go()

    await profanity.sees("Profanity")
    profanity.type("/mam on")
    await profanity.sign_in(one.jid, one.password, live_node.c2s_port)
    profanity.type(f"/msg {other.jid}")
    await profanity.sees("Said on another device", "Answered there")
