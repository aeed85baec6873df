"""What is archived, decided in the console of a running node: the next message follows, without a restart."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
MAM = "urn:xmpp:mam:2"


def kept(client: PlainClient, to: str, text: str) -> bool:
    """Send a message; whether the own archive has it."""
    client.socket.sendall(f"<message to='{to}' type='chat'><body>{text}</body></message>".encode())
    form = (
        f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{MAM}</value></field>"
        f"<field var='withtext'><value>{text}</value></field></x>"
    )
    client.say(f"<iq type='set' id='{text}'><query xmlns='{MAM}'>{form}</query></iq>", b"</fin>")
    return b"<result" in client.seen


def follows(client: PlainClient, to: str, wanted: bool) -> None:
    """Wait until the node archives, or does not archive, what this client sends."""
    deadline = time.monotonic() + 30
    while kept(client, to, f"w{secrets.token_hex(4)}") != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(page: Page, name: str) -> None:
    """Keep a picture where MLINK_SCREENSHOTS names a folder for them."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("look", ["wide", "narrow"])
def test_an_administrator_decides_for_one_person(live_node: LiveNode, visit: Visits, look: str) -> None:
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    client = PlainClient(live_node, ada, "desk")
    follows(client, bob.jid, True)
    options = (
        {}
        if look == "wide"
        else {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "java_script_enabled": False}
    )
    visit.expected.append("400")
    page = visit(live_node.admin, "/admin/archive/selection/", **options)
    page.get_by_label("Whose archive").select_option("user")
    page.get_by_label("Address", exact=True).fill("nobody")
    page.get_by_label("Its messages are").select_option("never")
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_text("is not the address of a person or room")).to_be_visible()
    shown(page, f"selection-error-{look}")
    page.get_by_label("Address", exact=True).fill(ada.jid)
    page.get_by_role("button", name="Decide").click()
    expect(page.locator(".note.success")).to_contain_text(f"{ada.jid} is never archived now.")
    shown(page, f"selection-{look}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    follows(client, bob.jid, False)
    page.goto(f"{live_node.url}/admin/users/?q={ada.jid}")
    page.get_by_role("link", name=ada.jid).click()
    card = page.get_by_role("region", name="Archive")
    expect(card.get_by_label("Messages of this account are")).to_have_value("never")
    card.get_by_label("Messages of this account are").select_option("own")
    shown(page, f"user-{look}")
    card.get_by_role("button", name="Save").click()
    expect(page.locator(".note.success")).to_contain_text(ada.jid)
    follows(client, bob.jid, True)
    client.socket.close()


def test_a_domain_of_its_own_archives_what_it_is_told(live_node: LiveNode, visit: Visits) -> None:
    domain = f"d{secrets.token_hex(3)}.example"
    live_node.ctl("domain", "add", domain)
    page = visit(live_node.admin, "/admin/domains/")
    page.get_by_role("link", name=domain).click()
    page.get_by_role("link", name="What is archived").click()
    expect(page.get_by_role("heading", name=f"What {domain} archives")).to_be_visible()
    page.get_by_label("Messages between people").select_option("always")
    page.get_by_label("Messages in rooms").select_option("never")
    page.get_by_label("Headlines").check()
    shown(page, "selection-domain")
    page.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text=domain)
    expect(row).to_contain_text("always archived")
    expect(row).to_contain_text("chat, normal, headline, private")
    expect(row).to_contain_text("never archived")
    (told,) = [row for row in live_node.ctl_json("archive", "domains") if row["domain"] == domain]
    assert (told["people"], told["rooms"]) == ("always", "never")
