"""The web chat in rooms: people enter, talk, are moderated, change names, share a picture."""

from __future__ import annotations

import re
import secrets
import struct
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, User
from tests.web.test_browser_chat import ONLINE, say

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
def room(live_node: LiveNode) -> str:
    """An address where no room is yet."""
    return f"room-{secrets.token_hex(4)}@conference.{live_node.domain}"


def enter(visit: Visits, user: User, room: str) -> Page:
    """Sign in on the web and enter the room with the chat."""
    page = visit(user, "/chat/")
    expect(page.locator(ONLINE)).to_contain_text(re.compile("online", re.IGNORECASE))
    page.goto(f"{page.url.partition('#')[0]}#converse/room?jid={room}")
    expect(page.locator("textarea.chat-textarea")).to_be_visible()
    return page


def inside(page: Page, nick: str):
    """Somebody in the list of who is there."""
    return page.locator(".occupant-list .occupant-nick", has_text=re.compile(rf"^\s*{nick}\s*$"))


def said(page: Page, text: str):
    """A message in the room."""
    return page.locator(".chat-msg__text", has_text=text)


def nick_of(user: User) -> str:
    """The nickname that the chat takes."""
    return user.jid.partition("@")[0]


def a_picture(folder: Path) -> Path:
    """A small PNG, made by hand: red, 32 by 32."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xd0\x20\x20" * 32 for _ in range(32))
    path = folder / "red square.png"
    header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def test_people_talk_and_are_moderated(live_node: LiveNode, visit: Visits, room: str) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    first = enter(visit, ada, room)
    second = enter(visit, bob, room)
    expect(inside(first, nick_of(bob))).to_be_visible()
    expect(inside(second, nick_of(ada))).to_be_visible()
    say(first, "Welcome to the room")
    expect(said(second, "Welcome to the room")).to_be_visible()
    say(second, "Thank you & <b>hello</b>")
    expect(said(first, "Thank you & <b>hello</b>")).to_be_visible()
    visit.picture("groupchat")

    say(second, "/nick Bobby")
    expect(inside(first, "Bobby")).to_be_visible()
    expect(inside(first, nick_of(bob))).to_have_count(0)

    live_node.ctl("room", "set", room, "moderatedroom", "yes")
    say(first, "/mute Bobby")
    expect(second.locator(".muc-bottom-panel")).to_contain_text("not allowed to send messages")
    say(first, "/voice Bobby")
    expect(second.locator("textarea.chat-textarea")).to_be_visible()
    say(second, "I have a voice again")
    expect(said(first, "I have a voice again")).to_be_visible()

    say(first, "/topic Spring cleaning")
    expect(second.locator(".chat-head__desc")).to_contain_text("Spring cleaning")

    say(first, "/kick Bobby that is enough")
    expect(second.locator(".disconnect-msg").first).to_contain_text("You have been kicked")
    assert [row["nick"] for row in live_node.ctl_json("room", "occupants", room)] == [nick_of(ada)]


def test_a_picture_goes_to_everybody(live_node: LiveNode, visit: Visits, room: str, tmp_path: Path) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    first = enter(visit, ada, room)
    second = enter(visit, bob, room)
    first.locator("input.fileupload").set_input_files(a_picture(tmp_path))
    for page in (first, second):
        picture = page.locator(".chat-msg img.chat-image, .chat-msg__media img").first
        expect(picture).to_be_visible()
        page.wait_for_function(
            "picture => picture.complete && picture.naturalWidth === 32", arg=picture.element_handle()
        )
    visit.picture("picture")


def test_rooms_are_found_and_stay_after_a_reload(live_node: LiveNode, visit: Visits, room: str) -> None:
    ada = live_node.add_user("ada")
    page = enter(visit, ada, room)
    expect(inside(page, nick_of(ada))).to_be_visible()
    expect(page.locator("converse-rooms-list")).to_contain_text(room.partition("@")[0])
    say(page, "Before the reload")
    page.reload()
    expect(page.locator(ONLINE)).to_contain_text(re.compile("online", re.IGNORECASE))
    expect(page.locator("converse-rooms-list")).to_contain_text(room.partition("@")[0])
    expect(inside(page, nick_of(ada))).to_be_visible()
    assert [row["nick"] for row in live_node.ctl_json("room", "occupants", room)] == [nick_of(ada)]
