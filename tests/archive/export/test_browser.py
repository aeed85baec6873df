"""Exports in the browser, over a running node with its worker: an officer orders a file and fetches it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
MAM = "urn:xmpp:mam:2"
#: Milliseconds for a job: its worker is another process of a busy machine.
MADE = 90_000


def shown(page: Page, name: str) -> None:
    """Keep a picture where MLINK_SCREENSHOTS names a folder for them."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def talk(node: LiveNode, *texts: str) -> User:
    """Somebody says these; returns who."""
    ada, bob = node.add_user("ada"), node.add_user("bob")
    client = PlainClient(node, ada, "desk")
    for text in texts:
        client.socket.sendall(f"<message to='{bob.jid}' type='chat'><body>{text}</body></message>".encode())
    # Answered when all that came before is in the archive.
    client.say(f"<iq type='set' id='q'><query xmlns='{MAM}'/></iq>", b"</fin>")
    client.socket.close()
    return ada


@pytest.mark.parametrize("look", ["wide", "narrow"])
def test_an_officer_exports_what_he_found(live_node: LiveNode, visit: Visits, tmp_path: Path, look: str) -> None:
    word = f"w{secrets.token_hex(4)}"
    ada = talk(live_node, f"the first {word}", f"and &lt;b&gt;the second&lt;/b&gt; {word}").jid
    narrow = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    found = json.dumps({"people": [ada]})
    visit.expected.append("400")
    page = visit(live_node.admin, "/admin/archive/exports/", **(narrow if look == "narrow" else {}))
    page.goto(f"{live_node.url}/admin/archive/exports/order/?criteria={quote(found)}")
    expect(page.get_by_role("heading", name="Export messages")).to_be_visible()
    expect(page.get_by_text("2", exact=True)).to_be_visible()
    shown(page, f"export-order-{look}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Reason").fill("Case 17, by order of the court")
    page.get_by_role("button", name="Make the file").click()
    expect(page.get_by_role("heading", name="PDF/A of 2 messages")).to_be_visible()
    page.goto(f"{live_node.url}/admin/archive/exports/")
    row = page.get_by_role("row").filter(has_text=ada)
    fetch = row.get_by_role("link", name="Download")
    expect(fetch).to_be_visible(timeout=MADE)
    shown(page, f"exports-{look}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page.expect_download() as download:
        fetch.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.suffix == ".pdf"
    document = pypdfium2.PdfDocument(path)
    text = "\n".join(each.get_textpage().get_text_range() for each in document)
    assert f"the first {word}" in text
    assert f"and <b>the second</b> {word}" in text
    assert "Case 17, by order of the court" in text
    row.get_by_role("link", name="PDF/A of 2 messages").click()
    expect(page.get_by_text("Case 17, by order of the court")).to_be_visible()
    expect(page.get_by_text("1 time, last")).to_be_visible()
    shown(page, f"export-{look}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_everybody_saves_his_own_messages(live_node: LiveNode, visit: Visits, tmp_path: Path) -> None:
    word = f"w{secrets.token_hex(4)}"
    ada = talk(live_node, f"mine {word}")
    page = visit(ada, "/archive/save/")
    page.get_by_label("PDF/A, to read, print and keep").check()
    page.get_by_role("button", name="Make the file").click()
    fetch = page.get_by_role("link", name="Download")
    expect(fetch).to_be_visible(timeout=MADE)
    with page.expect_download() as download:
        fetch.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    # By PDFium, which is what Chromium shows such files with.
    document = pypdfium2.PdfDocument(path)
    text = "\n".join(each.get_textpage().get_text_range() for each in document)
    assert f"Messages of {ada.jid}" in text
    assert f"mine {word}" in text
