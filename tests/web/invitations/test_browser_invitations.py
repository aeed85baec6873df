"""An invitation from its making to the chat, in Chromium on a real node; and a report in the console."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import Visits
from tests.live import LiveNode, User

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE = {"viewport": {"width": 360, "height": 740}}


def shot(page: Page, name: str) -> None:
    """Keep a picture where the environment says so."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def fits(page: Page) -> bool:
    """Whether nothing stands out at the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def admin(live_node: LiveNode) -> User:
    """An administrator of the node."""
    user = live_node.add_user()
    live_node.ctl("domain", "set", "localhost", "modules", json.dumps({"invitations": {"accounts": "everybody"}}))
    return user


def test_an_invitation_from_its_making_to_the_chat(visit: Visits, live_node: LiveNode, admin: User) -> None:
    inviter = visit(admin, "/account/invitations/")
    shot(inviter, "own-empty-1280")
    inviter.get_by_role("button", name="Invite somebody new").click()
    link = inviter.get_by_label("Link").input_value()
    assert re.fullmatch(rf"{re.escape(live_node.url)}/invite/[A-Za-z0-9_-]{{20,}}", link)
    shot(inviter, "own-made-1280")
    inviter.set_viewport_size(PHONE["viewport"])
    assert fits(inviter)
    shot(inviter, "own-made-360")

    path = link.removeprefix(live_node.url)
    guest = visit(None, path, **PHONE)
    assert fits(guest)
    shot(guest, "landing-360")
    guest.get_by_label("Your name").fill(admin.jid.partition("@")[0])
    guest.get_by_text("is taken already").wait_for()
    name = f"guest-{admin.jid.partition('@')[0]}"
    guest.get_by_label("Your name").fill(name)
    guest.get_by_text(f"{name}@localhost is free.").wait_for()
    guest.get_by_label("Password", exact=True).fill("short")
    guest.get_by_text("3 more characters.").wait_for()
    guest.get_by_label("Password", exact=True).fill("correct horse")
    guest.get_by_label("The same password again").fill("correct horse")
    shot(guest, "landing-filled-360")
    guest.set_viewport_size({"width": 1280, "height": 800})
    shot(guest, "landing-1280")
    guest.get_by_role("button", name="Make the account").click()
    guest.wait_for_url(f"{live_node.url}/account/welcome/")
    guest.get_by_text(f"{name}@localhost").first.wait_for()
    shot(guest, "welcome-1280")
    guest.set_viewport_size(PHONE["viewport"])
    assert fits(guest)
    shot(guest, "welcome-360")
    guest.get_by_role("link", name="Open the web chat").click()
    guest.wait_for_url(f"{live_node.url}/chat/")
    # Both are in each other's contacts, as the chat shows them.
    guest.get_by_text(admin.jid.partition("@")[0]).first.wait_for(state="attached")

    # The chat asks servers for what this one does not offer.
    visit.expected += ["404", "service-unavailable"]
    late = visit(None, path)
    late.get_by_role("heading", name="not valid any more").wait_for()
    shot(late, "ended-1280")
    inviter.goto(f"{live_node.url}/account/invitations/")
    inviter.get_by_text(f"{name}@localhost").wait_for()
    shot(inviter, "own-list-360")


def test_what_is_wrong_is_said_without_a_script(visit: Visits, live_node: LiveNode) -> None:
    made = live_node.ctl("invite", "create", "localhost", "--name", "Chosen")
    path = re.search(r"/invite/[A-Za-z0-9_-]+", str(made))
    assert path is not None
    visit.expected.append("400")
    page = visit(None, path.group(), java_script_enabled=False)
    assert page.get_by_label("Your name").input_value() == "chosen"
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_role("button", name="Make the account").click()
    page.get_by_text("A password needs 8 characters.").wait_for()
    shot(page, "landing-error-1280")
