"""The archive page in a real browser, over messages that real streams have sent."""

from __future__ import annotations

import re
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
    page.get_by_role("option", name=bob.jid.partition("@")[0]).click()
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
    page.locator("#people[role=listbox]").wait_for()
    width = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert page.evaluate(width)
    page.get_by_role("option", name=ada.jid.partition("@")[0]).click()
    page.locator(".bubble").first.wait_for()
    assert page.locator(".bubble .body").all_inner_texts() == list(TALK)
    assert not page.locator(".contacts").is_visible()
    assert page.evaluate(width)
    page.get_by_role("link", name="All conversations").click()
    page.locator(".contacts").wait_for()


_OWN = "http://jabber.org/protocol/muc#owner"
_CONFIG = (
    "<x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
    "<field var='muc#roomconfig_persistentroom'><value>1</value></field>"
    "<field var='muc#roomconfig_roomname'><value>Town hall</value></field></x>"
)


@pytest.fixture
def hall(live_node: LiveNode) -> tuple[User, User]:
    """Two people who have talked in a room: a correction, a reaction to it, and a message that a moderator removed."""
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    one, other = PlainClient(live_node, ada, "r"), PlainClient(live_node, bob, "r")
    room = f"hall-{ada.jid.partition('@')[0]}@conference.localhost"
    enter = "<presence to='{}/{}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    one.say(enter.format(room, "Ada"), b"<subject")
    one.say(f"<iq type='set' id='own' to='{room}'><query xmlns='{_OWN}'>{_CONFIG}</query></iq>", b"id='own'")
    other.say(enter.format(room, "Bobby"), b"<subject")
    one.say("<iq type='set' id='sync'><query xmlns='urn:xmpp:mam:2'/></iq>", b"</fin>")

    def say(client: PlainClient, id: str, inner: str) -> None:
        client.say(f"<message to='{room}' type='groupchat' id='{id}'>{inner}</message>", f"id='{id}'".encode())

    say(other, "g1", "<body>Shall we paint in wniter?</body>")
    say(other, "g2", "<body>BUY CHEAP PAINT</body>")
    say(other, "g3", "<body>Shall we paint in winter?</body><replace xmlns='urn:xmpp:message-correct:0' id='g1'/>")
    one.socket.sendall(f"<iq type='set' id='mam' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>".encode())
    data = b""
    while b"id='mam'" not in data or b"</fin>" not in data:
        data += one.socket.recv(65_536)
    first, second = re.findall(rb"<result xmlns='urn:xmpp:mam:2' id='([0-9a-f]{16})'", data)[:2]
    reaction = "<reaction>+1</reaction>"
    say(one, "g4", f"<reactions xmlns='urn:xmpp:reactions:0' id='{first.decode()}'>{reaction}</reactions>")
    inner = "<retract xmlns='urn:xmpp:message-retract:1'/><reason>no ads</reason>"
    one.say(
        f"<iq type='set' id='mod' to='{room}'>"
        f"<moderate xmlns='urn:xmpp:message-moderate:1' id='{second.decode()}'>{inner}</moderate></iq>",
        b"id='mod'",
    )
    one.say(f"<iq type='set' id='end' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>", b"</fin>")
    for client in (one, other):
        client.socket.close()
    return ada, bob


@pytest.mark.parametrize("width", [1280, 360])
def test_a_room_in_the_archive(hall: tuple[User, User], visit: Callable[..., Any], width: int) -> None:
    _ada, bob = hall
    page = visit(bob, "/archive/", viewport={"width": width, "height": 800})
    page.get_by_role("option", name="Town hall").click()
    page.get_by_role("heading", name="Room Town hall").wait_for()
    assert page.locator(".bubble .body").all_inner_texts() == ["Shall we paint in winter?"]
    earlier = page.get_by_text("Shall we paint in wniter?")
    assert not earlier.is_visible()
    page.locator(".earlier summary").focus()
    page.keyboard.press("Enter")
    earlier.wait_for()
    assert page.locator(".reactions li").all_inner_texts()[0].startswith("+1")
    page.get_by_text("A moderator removed this message: no ads").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if width == 360:
        page.get_by_role("link", name="Search", exact=True).click()
    page.get_by_label("Words").fill("winter")
    page.get_by_role("button", name="Search here").click()
    page.get_by_role("link", name="Show in the conversation").click()
    assert page.locator(".bubble.target .body").inner_text() == "Shall we paint in winter?"


def test_a_stranger_does_not_read_the_room(
    hall: tuple[User, User], live_node: LiveNode, visit: Callable[..., Any]
) -> None:
    ada, _bob = hall
    room = f"hall-{ada.jid.partition('@')[0]}@conference.localhost"
    eve = live_node.add_user("eve")
    visit.expected.append("404")  # type: ignore[attr-defined]
    page = visit(eve, f"/archive/?room={room}")
    page.get_by_text("There is no such room, or it is not open to you.").wait_for()
    assert page.locator(".bubble").count() == 0
