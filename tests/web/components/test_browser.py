"""The pages of components in a browser, with a component that comes and goes."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode
from tests.services import free_port

pytestmark = [pytest.mark.browser, pytest.mark.net, pytest.mark.timeout(240)]
SPACES = "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'"
NAME = "gateway.localhost"
SECONDS = 30.0


@pytest.fixture(scope="module")
def node() -> Iterator[LiveNode]:
    """A node with a port for components."""
    made = LiveNode(MLINK_COMPONENT_PORT=str(free_port()))
    try:
        made.start()
        yield made
    finally:
        made.remove()


def connect(node: LiveNode, secret: str) -> socket.socket:
    """A component past its handshake; the node may need a moment to take the configuration."""
    for _attempt in range(100):
        try:
            opened = socket.create_connection(("127.0.0.1", int(node.extra["MLINK_COMPONENT_PORT"])), timeout=SECONDS)
            opened.sendall(f"<stream:stream {SPACES} to='{NAME}'>".encode())
            text = b""
            while b" id='" not in text or not text.endswith(b">"):
                text += opened.recv(4096) or b"<handshake/>"
            id = text.split(b" id='")[1].split(b"'")[0].decode()
            opened.sendall(f"<handshake>{hashlib.sha1((id + secret).encode()).hexdigest()}</handshake>".encode())
            while b"<handshake/>" not in text and b"</stream:stream>" not in text:
                text += opened.recv(4096) or b"</stream:stream>"
            if b"<handshake/>" in text:
                return opened
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(node.log_tail())


def shot(page: Page, name: str) -> None:
    """Keep a picture at both widths, where a folder for them is named."""
    folder = os.environ.get("MLINK_LOOK")
    if folder:
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)
        page.set_viewport_size({"width": 1280, "height": 800})


def fits(page: Page) -> None:
    """Nothing is wider than a phone."""
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 800})


def test_a_component_from_its_making_to_its_end(node: LiveNode, browser: object) -> None:
    visit = Visits(browser, node)  # type: ignore[arg-type]
    page = visit(node.admin, "/admin/")
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Components").click()
    expect(page.get_by_text("No component may connect yet")).to_be_visible()
    shot(page, "empty")
    page.get_by_role("link", name="Add a component").click()
    page.get_by_label("Domain").fill(NAME)
    page.get_by_label("Description").fill("To the old network")
    page.get_by_label("Rosters").select_option("both")
    page.get_by_label("Namespaces").fill("urn:example:thing node")
    shot(page, "add")
    fits(page)
    page.get_by_role("button", name="Add the component").click()
    secret = page.get_by_label("Secret").input_value()
    assert len(secret) >= 24
    shot(page, "secret")
    fits(page)
    page.get_by_role("link", name="I have it").click()
    row = page.get_by_role("row", name=re.compile(NAME))
    expect(row).to_contain_text("not connected")
    component = connect(node, secret)
    expect(row.locator("[data-figure=words]")).to_have_text("connected")
    expect(row).to_contain_text("127.0.0.1:")
    expect(page.locator("#live")).to_have_text("live")
    component.sendall(f"<message from='a@{NAME}' to='{node.admin.jid}'><body>hello</body></message>".encode())
    expect(row.locator("[data-figure=stanzas]")).to_have_text(re.compile(r"^1 / "))
    refused = socket.create_connection(("127.0.0.1", int(node.extra["MLINK_COMPONENT_PORT"])), timeout=SECONDS)
    refused.sendall(f"<stream:stream {SPACES} to='stranger.localhost'>".encode())
    while refused.recv(4096):
        pass
    refused.close()
    page.reload()
    expect(page.get_by_text("there is no such component")).to_be_visible()
    expect(page.locator("#live")).to_have_text("live")
    shot(page, "list")
    fits(page)
    row.locator("summary").click()
    row.get_by_role("button", name="Disconnect now").click()
    expect(row.locator("[data-figure=words]")).to_have_text("not connected")
    expect(row.locator("summary")).to_be_hidden()
    component.close()
    # The button is fresh for the next connection.
    again = connect(node, secret)
    expect(row.locator("[data-figure=words]")).to_have_text("connected")
    row.get_by_role("link", name=NAME).click()
    expect(page.get_by_label("Namespaces")).to_have_value("urn:example:thing node")
    shot(page, "change")
    page.get_by_role("checkbox", name="May connect").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(row.locator("[data-figure=words]")).to_have_text("switched off")
    again.settimeout(SECONDS)
    said = b""
    while data := again.recv(4096):
        said += data
    assert b"<host-gone" in said
    again.close()
    assert visit.complaints == []
    for opened in visit.pages:
        opened.context.close()
