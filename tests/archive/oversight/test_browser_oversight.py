"""An officer in a browser: search, narrow, walk back, look around, save; what two must agree on."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def talk(node: LiveNode, sender: User, to: User, *texts: str) -> None:
    """Have somebody write to somebody; what he wrote is stored when this returns."""
    client = PlainClient(node, sender, "desk")
    for text in texts:
        client.socket.sendall(f"<message to='{to.jid}' type='chat'><body>{text}</body></message>".encode())
    # The answer comes behind the batch in which the messages are written.
    client.say("<iq type='set' id='end'><query xmlns='urn:xmpp:mam:2'/></iq>", b"<fin ")
    client.socket.close()


def appoint(node: LiveNode, user: User, rights: str) -> None:
    node.ctl("archive", "officer", "appoint", user.jid, rights)


def texts(page: Page) -> list[str]:
    """The hits, as they are read."""
    return page.locator(".hits-of .body").all_inner_texts()


def test_search_narrow_walk_back_look_around_and_save(live_node: LiveNode, visit: Visits) -> None:
    word = f"w{secrets.token_hex(4)}"
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    talk(live_node, ada, bob, f"{word} green tree", f"{word} green house", "a house without it")
    page = visit(live_node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Archive").click()
    page.get_by_label("Words").fill(word)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="2 messages")).to_be_visible()
    assert word not in page.url
    assert texts(page) == [f"{word} green house", f"{word} green tree"]
    expect(page.locator(".hits-of mark").first).to_have_text(word)
    first = page.url

    tools = page.get_by_role("complementary")
    tools.get_by_label("Words").fill("house")
    tools.get_by_role("button", name="Search within").click()
    expect(page.get_by_role("heading", name="1 message")).to_be_visible()
    page.get_by_text("People, rooms, time").click()
    page.get_by_label("People", exact=False).first.fill(bob.jid)
    tools.get_by_role("button", name="Search within").click()
    steps = page.get_by_role("navigation", name="Steps of this search").get_by_role("listitem")
    expect(steps).to_have_count(3)
    expect(steps.nth(2)).to_contain_text(bob.jid)

    # Keys: to the first result, its record, and what happened around it.
    page.keyboard.press("j")
    expect(page.locator("li.hit-of").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Record", exact=True)).to_be_visible()
    expect(page.get_by_text(f"The archive of the recipient {bob.jid}")).to_be_visible()
    page.get_by_text("XML as stored").click()
    expect(page.locator("pre")).to_contain_text("<body>")
    page.get_by_role("link", name="Around it").click()
    expect(page.locator(".target-of .body")).to_have_text(f"{word} green house")
    assert texts(page) == [f"{word} green tree", f"{word} green house", "a house without it"]
    page.get_by_label("Messages").select_option("all")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".target-of .body")).to_have_text(f"{word} green house")

    # Back, step by step.
    page.goto(first)
    expect(steps).to_have_count(1)
    page.get_by_text("Save this search").click()
    name = f"Trees {word}"
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text(name)
    page.get_by_role("navigation", name="Archive").get_by_role("link", name="Saved searches").click()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name="2 messages")).to_be_visible()

    page.get_by_role("complementary").get_by_label("Words").fill("tree")
    page.get_by_role("button", name="Search within").click()
    expect(page.get_by_role("heading", name="1 message")).to_be_visible()
    page.get_by_role("navigation", name="Steps of this search").get_by_role("link", name=word).click()
    expect(page.get_by_role("heading", name="2 messages")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_officer_asks_and_a_second_one_agrees(start_node, browser) -> None:
    node: LiveNode = start_node()
    visit = Visits(browser, node)
    word = f"w{secrets.token_hex(4)}"
    ada, bob = node.add_user("ada"), node.add_user("bob")
    reader, second = node.add_user("reader"), node.add_user("second")
    appoint(node, reader, "search")
    appoint(node, second, "approve")
    node.ctl("archive", "oversight", "set", "--agreement", "yes")
    talk(node, ada, bob, f"{word} between us")
    try:
        page = visit(reader, "/archive/")
        page.get_by_role("link", name="Oversight").click()
        expect(page.get_by_role("navigation", name="Console").get_by_role("link")).to_have_count(1)
        page.get_by_label("Words").fill(word)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_text("1 private message")).to_be_visible()
        assert "between us" not in page.content()
        page.get_by_role("link", name="Ask a second officer").click()
        page.get_by_label("People").fill(f"{ada.jid} {bob.jid}")
        page.get_by_label("From").fill("2020-01-01")
        page.get_by_label("To", exact=True).fill("2099-01-01")
        page.get_by_label("Reason").fill("A complaint")
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_text("Another officer with the right to approve")).to_be_visible()
        address = page.url.removeprefix(node.url)

        other = visit(second, address)
        expect(other.get_by_text("A complaint")).to_be_visible()
        other.get_by_role("button", name=re.compile("Grant for")).click()
        expect(other.get_by_role("status")).to_contain_text("granted")

        page.goto(f"{node.url}/admin/archive/")
        page.get_by_label("Words").fill(word)
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.locator(".hits-of .body")).to_have_text(f"{word} between us")
        # On a phone nothing sticks out.
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert visit.unexpected() == []
    finally:
        visit.close()
