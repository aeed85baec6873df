"""The console in a browser on a running node: a user is made, seen, and put out while everything is live."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@contextmanager
def connected(node: LiveNode, user: User, resource: str) -> Iterator[PlainClient]:
    """A client that is online meanwhile."""
    client = PlainClient(node, user, resource)
    try:
        yield client
    finally:
        client.socket.close()


def row_of(page: Page, jid: str):
    """The row of a session in the list."""
    return page.locator(f'tr[data-jid="{jid}"]')


def test_an_administrator_makes_a_user_who_can_sign_in_at_once(live_node: LiveNode, visit: Visits) -> None:
    page = visit(live_node.admin, "/admin/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Users").click()
    page.get_by_role("link", name="Add a user").click()
    name = f"grace{time.monotonic_ns()}"
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password").fill("a pass phrase")
    page.get_by_role("button", name="Add the user").click()
    expect(page.locator(".note.success")).to_have_text(f"{name}@{live_node.domain} can sign in now.")
    user = User(f"{name}@{live_node.domain}", "a pass phrase")
    with connected(live_node, user, "first"):
        page.reload()
        expect(page.get_by_text("1 session")).to_be_visible()
    visit(user, "/")


def test_sessions_come_and_go_by_themselves_and_end_by_a_click(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user("live")
    page = visit(live_node.admin, "/admin/sessions/")
    expect(page.locator("#live")).to_have_text("live")
    with connected(live_node, user, "desk") as desk, connected(live_node, user, "phone"):
        row = row_of(page, f"{user.jid}/desk")
        expect(row).to_contain_text("tcp")
        expect(row).to_contain_text("dnd")
        expect(row).to_contain_text("127.0.0.1")
        expect(row_of(page, f"{user.jid}/phone")).to_be_visible()
        row.get_by_role("button", name="End session").click()
        expect(row).to_have_count(0)
        desk.read(b"</stream:stream>")
        assert b"policy-violation" in desk.seen
        expect(row_of(page, f"{user.jid}/phone")).to_be_visible()
    expect(row_of(page, f"{user.jid}/phone")).to_have_count(0)
    assert page.url.endswith("/admin/sessions/"), "the page was not left"


def test_ending_a_session_works_without_scripts(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user("plain")
    with connected(live_node, user, "desk") as desk:
        page = visit(live_node.admin, "/admin/sessions/", java_script_enabled=False)
        row_of(page, f"{user.jid}/desk").get_by_role("button", name="End session").click()
        expect(page.locator(".note.success")).to_contain_text(f"The session of {user.jid}/desk has ended.")
        desk.read(b"</stream:stream>")


def test_disabling_a_user_ends_the_sessions_at_once(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user("gone")
    page = visit(live_node.admin, f"/admin/users/?q={user.jid}")
    page.get_by_role("link", name=user.jid).click()
    with connected(live_node, user, "desk") as desk:
        page.get_by_role("button", name="Disable this account").click()
        expect(page.locator(".tag.bad")).to_have_text("disabled")
        desk.read(b"</stream:stream>")
    with pytest.raises(ConnectionError, match=r"account-disabled|not-authorized"):
        PlainClient(live_node, user, "desk").read(b"never")


def test_live_figures_move_with_messages(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user("busy")
    page = visit(live_node.admin, "/admin/")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("[data-figure=rate]")).to_have_text(re.compile(r"\d"))
    before = int(page.locator("[data-figure=messages]").inner_text().replace(",", ""))
    with connected(live_node, user, "desk") as desk:
        message = f"<message to='{user.jid}/desk' type='chat'><body>tick</body></message>"
        desk.socket.sendall(message.encode() * 30)
        wanted = re.compile("|".join(str(before + count) for count in range(30, 60)))
        expect(page.locator("[data-figure=messages]")).to_have_text(wanted)
    expect(page.locator("#spark .line")).to_have_attribute("d", re.compile("^M.+L"))


def test_the_live_list_is_closed_to_others(live_node: LiveNode, visit: Visits) -> None:
    """Neither a user without rights nor another site's page, which a browser would give our cookie, gets the list."""

    def first_word(page: Page, origin: str) -> str:
        cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in page.context.cookies())
        address = f"ws://localhost:{live_node.http_port}/ws/console/sessions"
        try:
            with connect(address, origin=origin, additional_headers={"Cookie": cookies}, open_timeout=10) as live:
                return str(live.recv(timeout=10))
        except InvalidStatus as error:
            return f"refused with {error.response.status_code}"
        except ConnectionClosed as error:
            return f"closed with {error.rcvd.code if error.rcvd else None}"

    curious = visit(live_node.add_user("curious"), "/")
    admin = visit(live_node.admin, "/")
    assert '"list"' in first_word(admin, live_node.url)
    assert first_word(curious, live_node.url) == "closed with 4401"
    for elsewhere in ("https://evil.example", f"http://127.0.0.1:{live_node.http_port}", "http://localhost"):
        assert first_word(admin, elsewhere) == "refused with 403"


@pytest.mark.parametrize("path", ["/", "/accounts/sign-in/", "/nowhere/"])
def test_public_pages_fit_a_small_phone(live_node: LiveNode, visit: Visits, path: str) -> None:
    visit.expected.append("404")
    page = visit(None, path, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("path", ["", "sessions/", "users/", "users/add/", "domains/", "domains/add/"])
def test_console_fits_a_small_phone(live_node: LiveNode, visit: Visits, path: str) -> None:
    page = visit(live_node.admin, f"/admin/{path}", viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
