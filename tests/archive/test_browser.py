"""The archive page in a real browser, over messages that real streams have sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.live import LiveNode, PlainClient, User

pytestmark = pytest.mark.slow
TALK = (
    "Good morning! Is the façade of the old mill done?",
    "Nearly. The scaffolding stays until Friday.",
    "東京都の写真を送ります。",
    "Then let us meet there on Saturday & look at it <together>.",
)


@pytest.fixture
def pair(live_node: LiveNode) -> tuple[User, User]:
    """Two people who have talked."""
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    clients = [PlainClient(live_node, ada, "r"), PlainClient(live_node, bob, "r")]
    for number, text in enumerate(TALK):
        sender, recipient = number % 2, clients[1 - number % 2]
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        to = (bob, ada)[sender].jid
        clients[sender].socket.sendall(
            f"<message to='{to}' type='chat' id='t{number}'><body>{escaped}</body></message>".encode()
        )
        recipient.read(f"id='t{number}'".encode())
    for client in clients:
        # The answer comes when everything before it is durable.
        client.say("<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2'/></iq>", b"</fin>")
        client.socket.close()
    return ada, bob


def test_a_person_finds_a_message_again(pair: tuple[User, User], visit: Callable[..., Any]) -> None:
    ada, bob = pair
    page = visit(ada, "/archive/")
    page.get_by_role("link", name=bob.jid.partition("@")[0]).click()
    bubbles = page.locator(".bubble .body")
    assert bubbles.all_inner_texts() == list(TALK)
    assert page.locator(".bubble.own").count() == 2
    page.get_by_label("Words").fill("FACADE mill")
    page.get_by_role("button", name="Search").click()
    assert page.locator("mark").all_inner_texts() == ["façade", "mill"]
    page.get_by_role("link", name="Show in the conversation").click()
    target = page.locator(".bubble.target")
    assert target.locator(".body").inner_text() == TALK[0]
    assert target.evaluate("node => node === document.activeElement")
    assert bubbles.count() == len(TALK)
    page.get_by_role("link", name="Back to the results").click()
    page.get_by_label("Words").fill("写真")
    page.get_by_label("Words").press("Enter")
    assert page.locator("mark").all_inner_texts() == ["写真"]


def test_the_page_on_a_phone_in_another_time_zone(pair: tuple[User, User], visit: Callable[..., Any]) -> None:
    ada, bob = pair
    page = visit(bob, "/archive/", viewport={"width": 360, "height": 740}, timezone_id="Asia/Tokyo", has_touch=True)
    page.get_by_text("Times are in the time zone Asia/Tokyo.").wait_for()
    width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(width)
    page.get_by_role("link", name=ada.jid.partition("@")[0]).click()
    page.locator(".bubble").first.wait_for()
    assert page.locator(".bubble .body").all_inner_texts() == list(TALK)
    assert not page.locator(".contacts").is_visible()
    assert page.evaluate(width)
    page.get_by_role("link", name="All conversations").click()
    page.locator(".contacts").wait_for()
