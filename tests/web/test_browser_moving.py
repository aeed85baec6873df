"""Moving an account and making a domain an alias in a browser, on a running node."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_an_account_moves_and_is_itself_again(live_node: LiveNode, visit: Visits) -> None:
    visit.expected.append("status of 400")
    old, new = live_node.add_user("old"), live_node.add_user("new")
    page = visit(live_node.admin, "/admin/users/")
    page.get_by_role("searchbox").fill(old.jid)
    page.keyboard.press("Enter")
    page.get_by_role("link", name=old.jid).click()
    page.get_by_label("New address").fill("nobody@localhost")
    page.get_by_role("button", name="Move this account").click()
    expect(page.get_by_text("There is no account nobody@localhost; add it first.")).to_be_visible()
    page.get_by_label("New address").fill(new.jid)
    page.get_by_role("button", name="Move this account").click()
    expect(page.locator(".note.success")).to_have_text(re.compile(f"{old.jid} has moved to {new.jid}"))
    expect(page.locator("dl.facts")).to_contain_text(f"Has moved to{new.jid}")
    assert live_node.ctl_json("user", "show", old.jid)["moved_to"] == new.jid
    page.get_by_role("button", name="It has not moved").click()
    expect(page.locator(".note.success")).to_have_text(re.compile(f"{old.jid} is itself again"))
    expect(page.locator("dl.facts")).not_to_contain_text("Has moved to")


def test_a_domain_becomes_an_alias(live_node: LiveNode, visit: Visits) -> None:
    visit.expected.append("status of 400")
    live_node.ctl("domain", "add", "alias.localhost")
    try:
        page = visit(live_node.admin, "/admin/domains/")
        page.get_by_role("link", name="alias.localhost").click()
        page.get_by_label("Alias of another domain").fill("alias.localhost")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("A domain is no alias of itself.")).to_be_visible()
        page.get_by_label("Alias of another domain").fill(live_node.domain)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text(f"alias of {live_node.domain}")).to_be_visible()
    finally:
        live_node.ctl("domain", "remove", "alias.localhost")
