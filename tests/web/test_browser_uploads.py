"""Files in the web chat and in the console: a picture is chosen, sent and seen by the other; an administrator removes
it."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode
from tests.web.test_browser_chat import open_chat

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def picture(width: int = 160, height: int = 100) -> bytes:
    """A PNG with a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + b"".join(bytes((255 * x // width, 255 * y // height, 160)) for x in range(width)) for y in range(height)
    )
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_picture_is_sent_and_seen_and_removed(live_node: LiveNode, visit: Visits) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    first = open_chat(visit, ada, bob.jid)
    second = open_chat(visit, bob, ada.jid)
    content = {"name": "garden.png", "mimeType": "image/png", "buffer": picture()}
    first.locator("input.fileupload").set_input_files(content)
    for page in (first, second):
        shown = page.locator(".chat-msg img[src*='/upload/']")
        expect(shown).to_be_visible()
        expect(shown).to_have_js_property("naturalWidth", 160)

    console = visit(live_node.admin, "/admin/users/?q=" + ada.jid)
    console.get_by_role("link", name=ada.jid).click()
    card = console.locator("section", has=console.get_by_role("heading", name="Shared files"))
    expect(card).to_contain_text(re.compile(r"1 file, \d"))
    expect(card.get_by_role("button")).to_have_count(0)  # what cannot be taken back is behind a question
    card.get_by_text("Remove all files …").click()
    card.get_by_role("button", name="Remove all files for good").click()
    expect(console.locator("body")).to_contain_text("1 file of " + ada.jid + " removed.")
    expect(card).to_contain_text("shares no files")
    assert live_node.ctl_json("upload", "list", ada.jid) == []


def test_people_see_and_remove_their_own_files_on_a_phone(live_node: LiveNode, visit: Visits) -> None:
    ada, bob = live_node.add_user(), live_node.add_user()
    chat = open_chat(visit, ada, bob.jid)
    name = "a-very-long-name-without-any-place-to-break-it-" * 2 + "garden.png"
    chat.locator("input.fileupload").set_input_files({"name": name, "mimeType": "image/png", "buffer": picture()})
    expect(chat.locator(".chat-msg img[src*='/upload/']")).to_be_visible()

    page = visit(ada, "/", viewport={"width": 360, "height": 740})
    page.get_by_role("link", name="Your files").click()
    expect(page.get_by_role("heading", name="Your files")).to_be_visible()
    expect(page.locator("#used")).to_contain_text("of 2.0\xa0GB used")
    row = page.get_by_role("row").filter(has_text=name)
    expect(row.get_by_role("link", name=name)).to_have_attribute("href", re.compile(r"/upload/"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    row.get_by_role("button", name=f"Remove {name}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is removed.")
    expect(page.get_by_text("You have shared no files.")).to_be_visible()
