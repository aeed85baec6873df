"""profanity and personal eventing: keys for OMEMO (XEP-0384), bookmarks of the old form (XEP-0048), pictures."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slixmpp.exceptions import IqError

from tests.clients.conftest import Login
from tests.clients.slix import Slix
from tests.clients.terminal import STEP_SECONDS, Profanity
from tests.clients.test_personal import AVATAR_METADATA, BOOKMARKS, DEVICES, friends
from tests.live import LiveNode, User

pytestmark = pytest.mark.skipif(
    shutil.which("profanity") is None or shutil.which("tmux") is None, reason="profanity or tmux is not installed"
)


@pytest.fixture
def two() -> Iterator[tuple[Profanity, Profanity]]:
    """Two running profanities."""
    clients = (Profanity(), Profanity())
    for client in clients:
        client.start()
    yield clients
    for client in clients:
        client.stop()


async def logs(client: Profanity, text: str) -> None:
    """Wait until the client has logged this."""
    deadline = asyncio.get_running_loop().time() + STEP_SECONDS
    while not any(text in log.read_text(errors="replace") for log in client.home.glob("log*")):
        assert asyncio.get_running_loop().time() < deadline, f"{text} is not in the log:\n{client.screen()}"
        await asyncio.sleep(0.05)


async def stored(client: Slix, jid: str, node: str) -> Any:
    """The item of a node that an account is about to publish there, once it is there."""
    deadline = asyncio.get_running_loop().time() + STEP_SECONDS
    while True:
        try:
            found = list((await client.plugin["xep_0060"].get_items(jid, node))["pubsub"]["items"])
        except IqError:
            found = []
        if found:
            return found[0]
        assert asyncio.get_running_loop().time() < deadline, f"{jid} has published nothing at {node}"
        await asyncio.sleep(0.1)


async def test_two_write_to_each_other_in_secret(
    live_node: LiveNode, login: Login, user: Callable[[], User], two: tuple[Profanity, Profanity]
) -> None:
    people = user(), user()
    romeo, juliet = await login(people[0]), await login(people[1])
    await friends(romeo, juliet)
    await juliet.go()
    romeo.register_plugin("xep_0060")
    for client, who in zip(two, people, strict=True):
        await client.sign_in(who.jid, who.password, live_node.c2s_port)
        client.type("/omemo trustmode blind")
        client.type("/omemo gen")
    for client, who in zip(two, people, strict=True):
        await client.sees("OMEMO crytographic materials generated")
        assert len((await stored(romeo, who.jid, DEVICES))["payload"]) == 1
    first, second = two
    first.type(f"/msg {people[1].jid}")
    first.type("/omemo start")
    await logs(first, f"create session with {people[1].jid}")
    first.type("Hello in secret")
    await first.sees("~ me: Hello in secret")
    await second.sees(people[0].jid)
    second.type(f"/msg {people[0].jid}")
    await second.sees("~", "Hello in secret")


async def test_bookmarks_and_pictures_are_there_for_others(
    live_node: LiveNode, login: Login, user: Callable[[], User], two: tuple[Profanity, Profanity]
) -> None:
    me = user()
    new = await login(me, "new")
    new.register_plugin("xep_0060")
    client, _another = two
    await client.sign_in(me.jid, me.password, live_node.c2s_port)
    room = f"{me.jid.partition('@')[0]}@conference.{live_node.domain}"
    client.type(f"/bookmark add {room} nick ada autojoin on")
    await client.sees("Bookmark added")
    item = await stored(new, me.jid, BOOKMARKS)
    assert item["id"] == room
    assert item["payload"].get("autojoin") == "true"

    picture = client.home / "red.png"
    picture.write_bytes(red())
    client.type(f"/avatar set {picture}")
    id = (await stored(new, me.jid, AVATAR_METADATA))["id"]
    card = (await new.plugin["xep_0054"].get_vcard(me.jid))["vcard_temp"]
    assert hashlib.sha1(card["PHOTO"]["BINVAL"], usedforsecurity=False).hexdigest() == id
    assert card["PHOTO"]["TYPE"] == "image/png"


def red() -> bytes:
    """A small PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + b"\xd0\x20\x20" * 32 for _ in range(32)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
