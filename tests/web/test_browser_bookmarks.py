"""Bookmarks in the web chat: a room that one browser enters is there in the others, and in old clients (XEP-0402)."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient
from tests.web.test_browser_chat import ONLINE
from tests.web.test_browser_groupchat import enter, inside, nick_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture
def room(live_node: LiveNode) -> str:
    """An address where no room is yet."""
    return f"room-{secrets.token_hex(4)}@conference.{live_node.domain}"


def test_a_room_of_one_browser_is_there_in_another(live_node: LiveNode, visit: Visits, room: str) -> None:
    ada = live_node.add_user("ada")
    local = room.partition("@")[0]
    other = visit(ada, "/chat/")
    expect(other.locator(ONLINE)).to_contain_text(re.compile("online", re.IGNORECASE))
    first = enter(visit, ada, room)
    expect(inside(first, nick_of(ada))).to_be_visible()
    # It is entered there as well, at once and in a browser that comes later.
    expect(other.locator("converse-rooms-list")).to_contain_text(local)
    later = visit(ada, "/chat/")
    expect(later.locator("converse-rooms-list")).to_contain_text(local)
    visit.picture("bookmarks")
    # Left in one, it is left in all.
    first.locator("converse-rooms-list a.close-room").click()
    first.locator("form.confirm button[type=submit]").click()
    for page in (first, other, later):
        expect(page.locator("converse-rooms-list")).not_to_contain_text(local)


def test_a_bookmark_of_an_old_client_is_there(live_node: LiveNode, visit: Visits, room: str) -> None:
    ada = live_node.add_user("ada")
    old = PlainClient(live_node, ada, "old")
    entry = f"<conference jid='{room}' name='Old times' autojoin='true'><nick>Ada</nick></conference>"
    stored = f"<storage xmlns='storage:bookmarks'>{entry}</storage>"
    old.say(f"<iq type='set' id='store'><query xmlns='jabber:iq:private'>{stored}</query></iq>", b"id='store'")
    old.socket.close()
    page = visit(ada, "/chat/")
    expect(page.locator("converse-rooms-list")).to_contain_text(room.partition("@")[0])
