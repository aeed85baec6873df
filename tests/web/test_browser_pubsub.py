"""The console's pages of publish-subscribe in a browser on a running node."""

from __future__ import annotations

import secrets
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PUBSUB = "http://jabber.org/protocol/pubsub"


def service(node: LiveNode) -> str:
    """The publish-subscribe service of the node."""
    return f"pubsub.{node.domain}"


def path(node: LiveNode, name: str) -> str:
    """Where a node's page is."""
    return f"/admin/pubsub/{service(node)}/node/?node={quote(name, safe='')}"


def new_node(node: LiveNode, *options: str) -> str:
    """A node made by the terminal's command, with a name that no other test uses."""
    name = f"tests/{secrets.token_hex(4)}"
    node.ctl("pubsub", "create", service(node), name, "--owner", node.admin.jid, *options)
    return name


def done(page: Page, words: str) -> None:
    """The last action has worked."""
    expect(page.locator(".note.success")).to_contain_text(words)


def test_a_node_is_added_configured_and_deleted(live_node: LiveNode, visit: Visits) -> None:
    name = f"weather/{secrets.token_hex(3)} <&>"
    page = visit(live_node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Publish-subscribe").click()
    page.get_by_role("link", name=service(live_node), exact=True).click()
    page.get_by_role("link", name="Add a node").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Title").fill("Weather")
    page.get_by_label("Who may subscribe and read").select_option("whitelist")
    page.get_by_role("button", name="Add the node").click()
    done(page, name)
    expect(page.get_by_role("heading", name="Weather")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("who stands on the list may read")

    page.get_by_role("link", name="Configure").click()
    page.locator("#id_title").fill("Weather of the sea")
    page.locator("#id_max_items").fill("many")
    visit.expected.append("400")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#id_max_items_error")).to_contain_text("eeds a number")
    expect(page.locator("#id_title")).to_have_value("Weather of the sea")
    page.locator("#id_max_items").fill("7")
    page.get_by_role("button", name="Save").click()
    done(page, "saved")
    expect(page.get_by_role("heading", name="Weather of the sea")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("at most 7")
    config = {row["field"]: row["values"] for row in live_node.ctl_json("pubsub", "config", service(live_node), name)}
    assert (config["pubsub#max_items"], config["pubsub#language"]) == (["7"], [])

    page.goto(f"{live_node.url}/admin/pubsub/{service(live_node)}/?q=of+the+SEA")
    page.get_by_role("link", name=name).click()
    page.get_by_role("link", name="Delete this node").click()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.get_by_role("button", name="Delete for good").click()
    done(page, "is deleted")
    visit.expected.append("404")
    page.goto(live_node.url + path(live_node, name))
    expect(page.get_by_role("alert")).to_contain_text("There is no")


def test_items_are_published_paged_and_taken_back(live_node: LiveNode, visit: Visits) -> None:
    name = new_node(live_node)
    for index in range(12):
        payload = f"<entry xmlns='urn:test'><title>Report {index}</title></entry>"
        live_node.ctl("pubsub", "publish", service(live_node), name, payload, "--item", f"r{index}")
    page = visit(live_node.admin, path(live_node, name))
    expect(page.locator(".items caption")).to_contain_text("12 items")
    expect(page.locator(".items tbody th")).to_have_text([f"r{index}" for index in range(11, 1, -1)])
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".items tbody th")).to_have_text(["r1", "r0"])
    page.get_by_role("link", name="r1", exact=True).click()
    expect(page.locator(".payload")).to_have_text("<entry xmlns='urn:test'>\n  <title>Report 1</title>\n</entry>")
    page.get_by_role("button", name="Take this item back").click()
    done(page, "r1 is taken back")
    expect(page.locator(".items caption")).to_contain_text("11 items")

    page.get_by_role("link", name="Publish an item").click()
    page.get_by_label("Content").fill("no element")
    visit.expected.append("400")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator(".error")).to_contain_text("not one XML element")
    page.get_by_label("Id").fill("by-hand")
    page.get_by_label("Content").fill("<entry xmlns='urn:test'><b>&amp;</b></entry>")
    page.get_by_role("button", name="Publish").click()
    done(page, "by-hand is published")
    expect(page.locator(".items tbody th").first).to_have_text("by-hand")
    expect(page.locator(".items tbody tr").first).to_contain_text(live_node.admin.jid)

    page.get_by_role("link", name="Remove all items").click()
    page.get_by_role("button", name="Remove all items").click()
    done(page, "All items are removed")
    expect(page.locator("section", has=page.locator("#items"))).to_contain_text("Nothing has been published")


def test_who_waits_is_approved_and_lists_are_edited(live_node: LiveNode, visit: Visits) -> None:
    name = new_node(live_node, "--options", "access_model=authorize")
    waiting = live_node.add_user("waiting")
    client = PlainClient(live_node, waiting, "desk")
    asked = f"<subscribe node='{name}' jid='{waiting.jid}'/>"
    client.say(
        f"<iq type='set' id='s' to='{service(live_node)}'><pubsub xmlns='{PUBSUB}'>{asked}</pubsub></iq>", b"pending"
    )

    page = visit(live_node.admin, path(live_node, name), viewport={"width": 360, "height": 740})
    expect(page.locator(".note.warn")).to_contain_text("1 subscription waits")
    client.seen = b""
    page.get_by_role("button", name=f"Approve {waiting.jid}").click()
    done(page, "approved")
    client.read(b"subscribed")
    live_node.ctl("pubsub", "publish", service(live_node), name, "<x xmlns='urn:test'/>", "--item", "first")
    client.read(b"first")
    expect(page.locator(".subscribers tbody tr")).to_contain_text("subscribed")

    page.get_by_label("Address or domain").fill("Evil.Example")
    page.get_by_label("Affiliation", exact=True).select_option("outcast")
    page.get_by_role("button", name="Set the affiliation").click()
    done(page, "banned")
    expect(page.get_by_label("Affiliation of evil.example", exact=True)).to_have_value("outcast")
    page.get_by_label("Affiliation of evil.example", exact=True).select_option("publish-only")
    page.get_by_role("button", name="Change the affiliation of evil.example").click()
    done(page, "publisher who may not read")
    # The last owner stays.
    page.get_by_label(f"Affiliation of {live_node.admin.jid}", exact=True).select_option("none")
    page.get_by_role("button", name=f"Change the affiliation of {live_node.admin.jid}").click()
    expect(page.locator(".note.error")).to_contain_text("needs an owner")

    page.get_by_role("button", name=f"End the subscription of {waiting.jid}").click()
    done(page, "has ended")
    expect(page.locator(".subscribers")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    client.socket.close()


def test_the_nodes_of_an_account_are_shown(live_node: LiveNode, visit: Visits) -> None:
    user = live_node.add_user("painter")
    client = PlainClient(live_node, user, "desk")
    item = "<item id='current'><mood xmlns='http://jabber.org/protocol/mood'><happy/></mood></item>"
    publish = f"<publish node='http://jabber.org/protocol/mood'>{item}</publish>"
    client.say(f"<iq type='set' id='p'><pubsub xmlns='{PUBSUB}'>{publish}</pubsub></iq>", b"</iq>")
    assert b"error" not in client.seen
    page = visit(live_node.admin, "/admin/pubsub/")
    page.get_by_label("Address").fill(user.jid)
    page.get_by_role("button", name="Show its nodes").click()
    page.get_by_role("link", name="http://jabber.org/protocol/mood").click()
    expect(page.locator(".items tbody tr")).to_contain_text("happy")
    client.socket.close()
