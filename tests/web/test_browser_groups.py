"""Groups on a running node: what the console changes, rooms follow at once."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
MUC = "http://jabber.org/protocol/muc"


def test_a_room_follows_a_group(live_node: LiveNode, visit: Visits) -> None:
    name = f"crew-{secrets.token_hex(3)}"
    owner, member = live_node.add_user("captain"), live_node.add_user("sailor")
    room = f"ship-{secrets.token_hex(3)}@conference.{live_node.domain}"
    live_node.ctl("room", "create", room, owner.jid, "--options", f"membersonly=yes;groups={name}=member")
    sailor = PlainClient(live_node, member, "deck")
    enter = f"<presence to='{room}/Sailor'><x xmlns='{MUC}'/></presence>"
    sailor.say(enter, b"registration-required")

    page = visit(live_node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Groups").click()
    page.get_by_role("link", name="Add a group").click()
    page.get_by_label("Name").fill(name.upper())
    page.get_by_label("Description").fill("Everybody on board")
    page.get_by_role("button", name="Add the group").click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.get_by_label("Add members").fill(f"{member.jid}\nnobody@sea.example")
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".members tbody th")).to_have_text(sorted(["nobody@sea.example", member.jid]))
    # The node looks at its groups by itself, soon: the page does not wait for it.
    for _ in range(100):
        sailor.seen = b""
        sailor.socket.sendall(enter.encode())
        while b"registration-required" not in sailor.seen and b"<subject" not in sailor.seen:
            sailor.seen += sailor.socket.recv(65_536)
        if b"<subject" in sailor.seen:
            break
    assert b"affiliation='member'" in sailor.seen or b'affiliation="member"' in sailor.seen

    sailor.seen = b""
    page.get_by_role("button", name=f"Take {member.jid} out").click()
    expect(page.locator(".note.success")).to_contain_text(member.jid)
    sailor.read(b"321")
    sailor.say(enter, b"registration-required")
    sailor.socket.close()


def test_the_terminal_changes_groups_of_a_running_node(live_node: LiveNode) -> None:
    name = f"crew-{secrets.token_hex(3)}"
    live_node.ctl("group", "add", name)
    live_node.ctl("group", "member-add", name, "ada@sea.example,sea.example")
    assert [row["member"] for row in live_node.ctl_json("group", "members", name)] == ["ada@sea.example", "sea.example"]
    live_node.ctl("group", "remove", name)
    assert live_node.ctl("group", "members", name, check=False).returncode == 1


def test_a_wrong_address_is_said_where_it_was_typed(live_node: LiveNode, visit: Visits) -> None:
    name = f"crew-{secrets.token_hex(3)}"
    live_node.ctl("group", "add", name)
    page = visit(live_node.admin, "/admin/groups/", viewport={"width": 360, "height": 740})
    page.get_by_label("Name or description").fill(name)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=name).click()
    page.get_by_label("Add members").fill("ada@sea.example/phone")
    visit.expected.append("400")
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".error")).to_contain_text("part after the slash")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, "nothing is wider than the screen"
