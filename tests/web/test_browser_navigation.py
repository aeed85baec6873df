"""What holds on every page, in a browser: it is named, one navigation leads on from it, everything that can be used has
a name, nothing stands out at the side of a phone, and the keyboard is enough."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode
from tests.web.test_browser_rooms import inside, new_room

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

#: What is wrong with the page that is open, as sentences.
FAULTS = r"""
() => {
  const seen = (element) => element.checkVisibility();
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter(seen).map((one) => +one.tagName[1]);
  const faults = [];
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) faults.push(`headings ${levels}`);
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) faults.push(`headings ${levels}`); });
  for (const one of document.querySelectorAll("button, a[href], summary"))
    if (seen(one) && !one.textContent.trim() && !one.ariaLabel) faults.push(`no name: ${one.outerHTML}`);
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea, progress"))
    if (seen(one) && !one.labels?.length && !one.ariaLabel && !one.getAttribute("aria-labelledby"))
      faults.push(`no label: ${one.outerHTML}`);
  for (const one of document.querySelectorAll("[id]"))
    if (document.querySelectorAll(`#${CSS.escape(one.id)}`).length > 1) faults.push(`twice: #${one.id}`);
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`${document.documentElement.scrollWidth} wide`);
  return faults;
}
"""
PHONE = {"width": 360, "height": 740}


def is_sound(page: Page, paths: Iterable[str]) -> None:
    """Open each address on a phone and look for faults; titles differ from page to page."""
    page.set_viewport_size(PHONE)
    titles: dict[str, str] = {}
    for path in paths:
        answer = page.goto(path)
        assert answer is not None
        assert answer.ok, path
        assert page.evaluate(FAULTS) == [], path
        assert page.title().endswith("mlink"), path
        assert titles.setdefault(page.title(), path) == path


def addresses(page: Page, navigation: str) -> list[str]:
    """Where a navigation leads."""
    links = page.get_by_role("navigation", name=navigation).get_by_role("link")
    return links.evaluate_all("links => links.map(link => link.href)")


def test_the_pages_of_an_account(live_node: LiveNode, visit: Visits) -> None:
    page = visit(live_node.add_user("ada"), "/")
    expect(page.get_by_role("link", name="Open the console")).to_have_count(0)
    page.get_by_role("link", name="Your account").click()
    page.wait_for_url(f"{live_node.url}/account/devices/")
    found = addresses(page, "Your account")
    assert [path.removeprefix(live_node.url) for path in found] == [
        "/account/devices/",
        "/account/invitations/",
        "/account/files/",
        "/account/data/",
        "/account/password/",
    ]
    for path in found:
        page.goto(path)
        assert addresses(page, "Your account") == found
        current = page.get_by_role("navigation", name="Your account").locator("[aria-current=page]")
        expect(current).to_have_count(1)
        assert current.evaluate("link => link.href") == path
    is_sound(page, [*found, live_node.url + "/", live_node.url + "/archive/"])


def test_the_pages_of_the_console(live_node: LiveNode, visit: Visits) -> None:
    room = new_room(live_node, live_node.add_user("owner"))
    page = visit(live_node.admin, "/admin/")
    found = addresses(page, "Console")
    assert len(found) == 16
    further = (
        "users/add/",
        "domains/add/",
        "rooms/add/",
        "rooms/idle/",
        f"rooms/room/{room}/",
        f"rooms/room/{room}/config/",
        f"rooms/room/{room}/destroy/",
    )
    is_sound(page, [*found, *(f"{live_node.url}/admin/{path}" for path in further)])


def test_the_pages_of_the_archive(live_node: LiveNode, visit: Visits) -> None:
    page = visit(live_node.admin, "/admin/archive/")
    found = addresses(page, "Archive")
    assert len(found) == 9
    further = (
        "archive/?words=meeting",
        "archive/exports/order/?criteria={}",
        "archive/retention/policies/add/",
        "archive/retention/holds/",
        "archive/retention/holds/place/",
        "portability/",
    )
    own = [f"{live_node.url}/admin/{path}" for path in further]
    is_sound(page, [*found, *own])


def test_the_pages_of_forms(live_node: LiveNode, visit: Visits) -> None:
    page = visit(live_node.admin, "/admin/forms/?q=medevac")
    found = addresses(page, "Forms")
    assert len(found) == 5
    page.get_by_role("link", name="MEDEVAC 9-line", exact=True).click()
    tabs = addresses(page, "Topic MEDEVAC 9-line")
    assert len(tabs) == 7
    further = ("add/", "services/add/", f"services/forms.{live_node.domain}/remove/")
    own = [f"{live_node.url}/admin/forms/{path}" for path in further]
    is_sound(page, [*found, *tabs, *own, f"{tabs[0]}remove/", f"{tabs[0]}versions/1/"])


def test_the_overview_counts_rooms_as_they_fill(live_node: LiveNode, visit: Visits) -> None:
    owner = live_node.add_user("owner")
    room = new_room(live_node, owner)
    page = visit(live_node.admin, "/admin/")
    expect(page.locator("#live")).to_have_text("live")
    occupants = page.locator("[data-figure=occupants]")
    before = int(occupants.inner_text().split()[0].replace(",", ""))
    with inside(live_node, owner, room, secrets.token_hex(3)):
        expect(occupants).to_have_text(f"{before + 1} occupant{'' if before == 0 else 's'}")
    page.locator("#figures").get_by_role("link", name="Rooms").click()
    page.wait_for_url(f"{live_node.url}/admin/rooms/")


def test_the_keyboard_is_enough(live_node: LiveNode, visit: Visits) -> None:
    page = visit(None, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_role("link", name="Sign in")).to_be_focused()
    page.keyboard.press("Enter")
    user = live_node.add_user("keys")
    page.get_by_label("XMPP address").focus()
    page.keyboard.type(user.jid)
    page.keyboard.press("Tab")
    page.keyboard.type(user.password)
    page.keyboard.press("Enter")
    account = page.get_by_role("link", name="Your account")
    for _ in range(8):
        page.keyboard.press("Tab")
        if account.evaluate("link => link === document.activeElement"):
            break
    expect(account).to_be_focused()
    assert account.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your devices")
