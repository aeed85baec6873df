"""Import, one's own data and erasure, as people do them: in a browser, with the node's own worker behind it."""

from __future__ import annotations

import io
import os
import re
import secrets
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Visits
from tests.live import LiveNode, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def look(page: Page, name: str) -> None:
    """Keep what a page looks like, in both sizes and colours, where the environment names a folder."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    for scheme in ("light", "dark") if folder else ():
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=Path(str(folder)) / f"{name}-{width}-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 800})


def fits(page: Page) -> None:
    """Nothing is wider than a phone."""
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1280, "height": 800})


def upload(domain: str, names: list[str]) -> dict[str, Any]:
    """A file to import."""
    users = "".join(
        f"<user name='{name}' password='{name}-secret'><query xmlns='jabber:iq:roster'>"
        f"<item jid='friend@elsewhere.example' name='A friend'/></query></user>"
        for name in names
    )
    xml = (
        f"<server-data xmlns='urn:xmpp:pie:0'><host jid='old.example'>{users}<user name='b d'/></host>"
        "<host jid='unknown.example'><user name='x'/></host></server-data>"
    )
    return {"name": "accounts.xml", "mimeType": "application/xml", "buffer": xml.encode()}


def test_accounts_are_imported_after_a_trial(live_node: LiveNode, visit: Visits) -> None:
    names = [f"moved-{secrets.token_hex(3)}" for _ in range(3)]
    page = visit(live_node.admin, "/admin/users/")
    page.get_by_role("link", name="Import and export").click()
    page.get_by_label("Other names").fill(f"old.example={live_node.domain}")
    page.get_by_label("File").set_input_files(upload(live_node.domain, names))
    look(page, "overview")
    fits(page)
    page.get_by_role("button", name="Look through the file").click()
    button = page.get_by_role("button", name="Import now")
    expect(button).to_be_visible()
    expect(page.locator("body")).to_contain_text("3 accounts would be made.")
    expect(page.locator("body")).to_contain_text("The domain unknown.example is not served here.")
    look(page, "trial")
    fits(page)
    button.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Import of accounts.xml")
    expect(page.locator("body")).to_contain_text("3 accounts made.")
    look(page, "report")
    with page.expect_download() as waiting:
        page.get_by_role("link", name=re.compile("Download")).click()
    report = Path(waiting.value.path()).read_text()
    assert names[0] in report
    page.get_by_label("Show").select_option("refused")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    # Who was imported signs in.
    visit(User(f"{names[0]}@{live_node.domain}", f"{names[0]}-secret"), "/account/data/")


def test_somebody_takes_his_data_and_is_erased(live_node: LiveNode, visit: Visits) -> None:
    ada = live_node.add_user("ada")
    page = visit(ada, "/account/data/")
    expect(page.locator("body")).to_contain_text("What is stored about you")
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Order the file").click()
    expect(page.locator("body")).to_contain_text("This is not your password.")
    visit.expected.append("status of 400")
    look(page, "own")
    fits(page)
    page.get_by_label("Your password").fill(ada.password)
    page.get_by_role("button", name="Order the file").click()
    download = page.get_by_role("link", name=re.compile("Download"))
    expect(download).to_be_visible()
    with page.expect_download() as waiting:
        download.click()
    with zipfile.ZipFile(io.BytesIO(Path(waiting.value.path()).read_bytes())) as archive:
        assert {"index.html", "account.xml", "data.json"} <= set(archive.namelist())
        index = archive.read("index.html").decode()
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        (Path(folder) / "index.html").write_text(index)
    console = visit(live_node.admin, f"/admin/users/?q={ada.jid}")
    console.get_by_role("link", name=ada.jid).click()
    console.get_by_role("link", name="Erase this person").click()
    look(console, "erase")
    fits(console)
    console.get_by_label("Reason").fill("asked for it")
    console.get_by_label(f"Type {ada.jid} to confirm").fill(ada.jid)
    console.get_by_role("button", name="Erase for good").click()
    expect(console.get_by_role("heading", level=1)).to_contain_text("Certificate of erasure")
    expect(console.locator("body")).to_contain_text("asked for it")
    look(console, "certificate")
    fits(console)
    assert ada.jid not in live_node.ctl("user", "list").stdout
