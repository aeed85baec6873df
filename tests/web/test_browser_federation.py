"""The pages of federation in a browser on a running node that has its port for other servers closed: the tables are
live, a peer is listed, and a test of it tells where the way ends."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import expect

from tests.browser import Visits
from tests.live import LiveNode

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_the_tables_are_live_and_a_peer_is_listed_and_tested(live_node: LiveNode, visit: Visits) -> None:
    domain = f"peer-{secrets.token_hex(3)}.example"
    page = visit(live_node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Federation").click()
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#stream-count")).to_have_text("0 streams")
    expect(page.locator("#no-queues")).to_be_visible()
    page.get_by_role("navigation", name="Federation").get_by_role("link", name="Peers").click()
    page.get_by_role("link", name="Add a peer").click()
    page.get_by_role("textbox", name="Domain").fill(domain)
    page.get_by_role("textbox", name="Address").fill("[2001:db8::1]:5269")
    page.get_by_label("It proves who it is by").select_option("certificate")
    page.get_by_role("button", name="Add the peer").click()
    expect(page.locator(".note.success")).to_contain_text(f"{domain} is a peer now")
    page.get_by_role("link", name=domain).click()
    page.get_by_role("link", name="Test it …").click()
    expect(page.get_by_label("Domain of the other server")).to_have_value(domain)
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#verdict")).to_contain_text(f"{domain} cannot be reached")
    expect(page.locator("#steps li.bad")).to_have_count(1)
    expect(page.locator("#steps .advice")).to_be_visible()
    expect(page.locator("#steps .running")).to_have_count(0)
    expect(page.get_by_role("button", name="Start the test")).to_be_enabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_same_on_a_phone_without_a_script(live_node: LiveNode, visit: Visits) -> None:
    page = visit(
        live_node.admin,
        "/admin/federation/test/",
        viewport={"width": 360, "height": 800},
        java_script_enabled=False,
    )
    page.get_by_label("Domain of the other server").fill("nowhere.example")
    page.get_by_role("button", name="Start the test").click()
    expect(page.locator("#steps li.bad h3")).to_contain_text("Record")
    expect(page.get_by_role("link", name="Add it as a peer")).to_be_visible()
