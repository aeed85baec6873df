"""The web chat: two people in two browsers talk, over WebSocket and over BOSH, and find it in the archive."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ONLINE = "converse-user-profile"


def open_chat(visit: Visits, user: User, peer: str, transport: str = "") -> Page:
    """Sign in on the web, land in the chat without another password, and open the conversation with `peer`."""
    page = visit(user, f"/chat/?transport={transport}" if transport else "/chat/")
    expect(page.locator(ONLINE)).to_contain_text(re.compile("online", re.IGNORECASE))
    page.goto(f"{page.url.partition('#')[0]}#converse/chat?jid={peer}")
    expect(page.locator("textarea.chat-textarea")).to_be_visible()
    return page


def say(page: Page, text: str) -> None:
    """Type a message and send it."""
    page.locator("textarea.chat-textarea").fill(text)
    page.locator("textarea.chat-textarea").press("Enter")


def heard(page: Page, text: str):
    """The message in the conversation."""
    return page.locator(".chat-msg__text", has_text=text)


def converse(node: LiveNode, visit: Visits, transport: str) -> None:
    """Ada and Bob chat; Ada finds the conversation in the archive, all of it and by words."""
    ada, bob = node.add_user("ada"), node.add_user("bob")
    first = open_chat(visit, ada, bob.jid, transport)
    second = open_chat(visit, bob, ada.jid, transport)
    rows = node.ctl_json("sessions")
    assert {row["transport"] for row in rows if row["jid"].partition("/")[0] in (ada.jid, bob.jid)} == {transport}
    say(first, f"Hello by {transport} from Ada")
    expect(heard(second, f"Hello by {transport} from Ada")).to_be_visible()
    say(second, "Größe & <b>Zeichen</b> 👍 from Bob")
    expect(heard(first, "Größe & <b>Zeichen</b> 👍 from Bob")).to_be_visible()
    assert first.locator(".chat-msg__text b").count() == 0, "markup in a message stays text"

    archive = visit(ada, "/archive/")
    archive.get_by_role("option", name=bob.jid).click()
    expect(archive.locator("main")).to_contain_text("Größe & <b>Zeichen</b> 👍 from Bob")
    archive.get_by_label("Words").fill(f"hello {transport}")
    archive.get_by_role("button", name="Search").click()
    expect(archive.locator("main")).to_contain_text(f"Hello by {transport} from Ada")
    expect(archive.locator("main")).not_to_contain_text("from Bob")


@pytest.mark.parametrize("transport", ["websocket", "bosh"])
def test_two_people_chat_and_find_it_in_the_archive(live_node: LiveNode, visit: Visits, transport: str) -> None:
    converse(live_node, visit, transport)


def test_the_same_on_postgresql(browser: Browser, start_node: Callable[..., LiveNode], fresh_postgres_url: str) -> None:
    node = start_node(MLINK_DATABASE_URL=fresh_postgres_url)
    visits = Visits(browser, node)
    try:
        converse(node, visits, "websocket")
        assert visits.unexpected() == []
    finally:
        visits.close()


def test_the_chat_comes_back_with_a_new_password_after_a_break(live_node: LiveNode, visit: Visits) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    page = open_chat(visit, ada, bob.jid)
    visit.expected.append("the administrator ended this session")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "credentials" in request.url else None)
    live_node.ctl("kick", ada.jid)
    for _ in range(100):
        rows = [row for row in live_node.ctl_json("sessions") if row["jid"].startswith(ada.jid)]
        if asked and rows:
            break
        page.wait_for_timeout(300)
    assert asked, "a new one-time password was fetched"
    assert rows, "the session is there again"


def test_the_chat_loads_nothing_from_elsewhere(live_node: LiveNode, visit: Visits) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    page = visit(ada, "/")
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.goto(f"{live_node.url}/chat/#converse/chat?jid={bob.jid}")
    expect(page.locator("textarea.chat-textarea")).to_be_visible()
    page.wait_for_timeout(1500)
    hosts = {re.sub(r"^\w+://([^/]+).*", r"\1", url) for url in urls if not url.startswith(("data:", "blob:"))}
    assert hosts == {f"localhost:{live_node.http_port}"}
    assert any(url.endswith("/.well-known/host-meta.json") for url in urls), "discovered by XEP-0156"


def test_signing_out_ends_the_chat_session(live_node: LiveNode, visit: Visits) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    page = open_chat(visit, ada, bob.jid)
    # Converse may be writing while the browser takes its storage away.
    visit.expected.append("IDBDatabase")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{live_node.url}/")
    rows = [row for row in live_node.ctl_json("sessions") if row["jid"].startswith(ada.jid)]
    assert rows == []
    page.goto(f"{live_node.url}/chat/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_one_time_password_works_once(live_node: LiveNode, visit: Visits) -> None:
    """The token logs in by XMPP a single time, and never on the web."""
    ada = live_node.add_user("ada")
    page = visit(ada, "/")
    token = page.evaluate("fetch('/chat/credentials').then(answer => answer.json())")["password"]
    PlainClient(live_node, User(ada.jid, token), "once").socket.close()
    with pytest.raises(ConnectionError, match="not-authorized"):
        PlainClient(live_node, User(ada.jid, token), "twice")
    fresh = page.evaluate("fetch('/chat/credentials').then(answer => answer.json())")["password"]
    page = visit(None, "/accounts/sign-in/")
    page.get_by_label("XMPP address").fill(ada.jid)
    page.get_by_label("Password").fill(fresh)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("The address or the password is wrong")
