"""The page of devices in a browser on a running node: a connected app is seen, revoked by keyboard, and signed out."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_a_user_revokes_an_app_that_is_connected(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user()
    client = PlainClient(live_node, user, "old-phone")
    page = visit(user, "/account/devices/", viewport={"width": 360, "height": 740})
    row = page.get_by_role("row").filter(has_text="old-phone")
    # The visit is written within two seconds.
    for _ in range(40):
        if row.count():
            break
        page.wait_for_timeout(100)
        page.reload()
    expect(row).to_contain_text("connected")
    expect(row).to_contain_text("password")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    row.get_by_role("button", name="Revoke old-phone").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 session ended")
    expect(page.get_by_role("status")).to_contain_text("only a new password keeps it out")
    expect(page.get_by_text("No app has signed in to your account yet.")).to_be_visible()
    client.socket.settimeout(5)
    rest = b""
    try:
        while data := client.socket.recv(65_536):
            rest += data
    except (TimeoutError, ConnectionError):
        pass
    assert b"<not-authorized" in rest


def test_the_home_page_leads_there(live_node: LiveNode, visit: Visits) -> None:
    page = visit(live_node.add_user(), "/")
    page.get_by_role("link", name="Your devices").click()
    expect(page.get_by_role("heading", name="Your devices")).to_be_visible()
    expect(page.get_by_role("heading", name="What revoking does")).to_be_visible()


def test_push_notifications_are_switched_off_by_keyboard(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user()
    client = PlainClient(live_node, user, "phone")
    service = "push-service-with-a-long-name.example"
    client.say(f"<iq type='set' id='p'><enable xmlns='urn:xmpp:push:0' jid='{service}' node='n'/></iq>", b"id='p'")
    page = visit(user, "/account/devices/", viewport={"width": 360, "height": 740})
    row = page.get_by_role("row").filter(has_text=service)
    expect(row.get_by_role("time")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    row.get_by_role("button", name=f"Switch off {service}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"Push notifications through {service} are switched off.")
    expect(page.get_by_text("No app asked for push notifications.")).to_be_visible()


def test_the_console_makes_a_link_for_a_new_password(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user()
    page = visit(live_node.admin, "/admin/users/?q=" + user.jid, viewport={"width": 360, "height": 740})
    page.get_by_role("link", name=user.jid).click()
    page.get_by_role("button", name="Link for a new password").click()
    expect(page.get_by_role("heading", name="Link for a new password")).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    link = page.get_by_label("Link", exact=True).input_value()
    other = visit(None, link.removeprefix(live_node.url))
    expect(other.locator("body")).to_contain_text(user.jid)
