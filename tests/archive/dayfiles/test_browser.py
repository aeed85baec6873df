"""Day files on a running node, from outside: switched on in the console, written by its worker while people talk, read
and searched in the browser, taken back, verified by a job."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import ROOT, LiveNode, PlainClient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
FILES = "/admin/archive/files/"
#: Milliseconds until what the worker does every few seconds must have happened; the cores may be busy.
SOON = 90_000


@pytest.fixture(scope="module")
def live_node() -> Iterator[LiveNode]:
    """A node of this file's own: its day has nothing else in it, and its worker nothing else to do."""
    made = LiveNode()
    try:
        made.start()
        yield made
    finally:
        made.remove()


def shown(page: Page, name: str) -> None:
    """Keep a picture where MLINK_SCREENSHOTS names a folder for them, and see that nothing sticks out."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def until(page: Page, text: str) -> None:
    """Load the page again until it has this text."""
    deadline = time.monotonic() + SOON / 1000
    while text not in page.content():
        assert time.monotonic() < deadline, f"{text!r} does not come"
        page.wait_for_timeout(500)
        page.reload()


@pytest.mark.parametrize("look", ["wide", "narrow"])
def test_from_a_message_to_its_file(live_node: LiveNode, visit: Visits, look: str) -> None:
    options = (
        {}
        if look == "wide"
        else {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark", "java_script_enabled": False}
    )
    page = visit(live_node.admin, FILES, **options)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="localhost", exact=True))
    if row.get_by_role("button").inner_text() == "Switch on":
        shown(page, f"dayfiles-off-{look}")
        row.get_by_role("button").click()
        expect(page.locator(".note.success")).to_contain_text("written to files from today on")
    expect(row).to_contain_text("on")
    ada, bob = live_node.add_user("ada"), live_node.add_user("bob")
    client = PlainClient(live_node, ada, "desk")
    word, secret = f"w{secrets.token_hex(4)}", f"s{secrets.token_hex(4)}"
    bodies = [
        f"{word} &lt;b&gt;bold&lt;/b&gt; \u202e turned 東京 🏳️‍🌈",
        secret,
        *(f"line {number}" for number in range(55)),
    ]
    for number, body in enumerate(bodies):
        client.socket.sendall(
            f"<message to='{bob.jid}' type='chat' id='{word}{number}'><body>{body}</body></message>".encode()
        )
    client.say("<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>", b"id='end'")
    page.goto(f"{live_node.url}{FILES}")
    until(page, 'class="month"')
    # Midnight of UTC may have passed meanwhile: the newest day is what is meant.
    page.locator(".month td a").last.click()
    page.get_by_label("Address contains").fill(ada.jid)
    page.get_by_role("button", name="Search").click()
    until(page, f">{ada.jid}</bdi></a>")
    shown(page, f"dayfiles-day-{look}")
    page.get_by_role("link", name=ada.jid).click()
    until(page, secret)
    expect(page.locator(".hit-of").first).to_contain_text(f"{word} <b>bold</b>")
    shown(page, f"dayfiles-file-{look}")
    expect(page.get_by_text("Page 1 of 2").first).to_be_visible()
    # What somebody takes back leaves the file.
    client.socket.sendall(
        f"<message to='{bob.jid}' type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='{word}1'/>"
        "<body>retracted</body></message>".encode()
    )
    deadline = time.monotonic() + SOON / 1000
    while secret in page.content():
        assert time.monotonic() < deadline
        page.wait_for_timeout(500)
        page.reload()
    raw = b"".join(path.read_bytes() for path in (live_node.home / "archive").rglob("*.xml"))
    assert word.encode() in raw
    assert secret.encode() not in raw
    page.get_by_role("link", name="Later").first.click()
    expect(page.get_by_text("line 54")).to_be_visible()
    # Verified as a job.
    page.goto(f"{live_node.url}{FILES}")
    shown(page, f"dayfiles-{look}")
    page.get_by_role("button", name="Verify all", exact=True).click()
    until(page, "Ready")
    shown(page, f"dayfiles-job-{look}")
    page.goto(f"{live_node.url}{FILES}import/")
    shown(page, f"dayfiles-import-{look}")
    client.socket.close()
    done = subprocess.run(
        [sys.executable, "manage.py", "archive_files", "verify"],
        cwd=ROOT,
        env=live_node.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All is as it was written." in done.stdout
