"""The way of one message through everything, from outside: two talk, one of them finds it in the browser, an officer
finds and exports it as PDF/A, redacts it, and it is gone from every place, the files of days too."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from tests.archive.export.test_browser import MADE, MAM, talk
from tests.browser import Visits
from tests.live import ROOT, LiveNode, PlainClient, User
from tests.verapdf import Verdicts, verapdf

pytestmark = [pytest.mark.browser, pytest.mark.timeout(360)]
__all__ = ["verapdf"]


@pytest.fixture(scope="module")
def live_node() -> Iterator[LiveNode]:
    """A node of this file's own: its day has nothing else in it, and its worker nothing else to do."""
    made = LiveNode()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture
def day_files(live_node: LiveNode) -> Iterator[None]:
    """Files of days are written while the test runs."""
    _files(live_node, "on")
    yield
    _files(live_node, "off")


def _files(node: LiveNode, action: str) -> None:
    command = [sys.executable, "manage.py", "archive_files", action, node.domain]
    subprocess.run(command, cwd=ROOT, env=node.environment(), timeout=60, check=True, capture_output=True)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for what a worker does in the background."""
    deadline = time.monotonic() + MADE / 1000
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def holding(node: LiveNode, word: str) -> list[Path]:
    """The files of days in which a word stands."""
    folder = node.home / "archive"
    return [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def archive_of(node: LiveNode, user: User, word: str = "") -> bytes:
    """What a client is told of its archive, or of a word in it."""
    client = PlainClient(node, user, "asking")
    field = f"<field var='{{urn:xmpp:fulltext:0}}fulltext'><value>{word}</value></field>" if word else ""
    form = (
        f"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>{MAM}</value></field>"
        f"{field}</x>"
    )
    client.say(f"<iq type='set' id='q'><query xmlns='{MAM}'>{form}</query></iq>", b"</fin>")
    client.socket.close()
    return client.seen


def export(page: Page, node: LiveNode, word: str, path: Path) -> str:
    """An officer searches for the word, has what he finds made into a file and fetches it; returns its text."""
    page.goto(f"{node.url}/admin/archive/?words={word}")
    page.get_by_role("link", name="Export …").click()
    page.get_by_label("Reason").fill(f"Case {word}")
    page.get_by_role("button", name="Make the file").click()
    fetch = page.get_by_role("link", name="Download")
    expect(fetch).to_be_visible(timeout=MADE)
    with page.expect_download() as download:
        fetch.click()
    download.value.save_as(path)
    return "\n".join(each.get_textpage().get_text_range() for each in pypdfium2.PdfDocument(path))


def test_from_a_conversation_to_its_last_trace(
    live_node: LiveNode, visit: Visits, verapdf: Verdicts, day_files: None, tmp_path: Path
) -> None:
    word, secret = f"w{secrets.token_hex(4)}", f"s{secrets.token_hex(5)}"
    ada = talk(live_node, f"{word} on monday", f"{word} the code is {secret}")
    until(lambda: holding(live_node, secret), "the message is in no file of the day")

    # Who took part finds it.
    page = visit(ada, f"/archive/?words={secret}")
    expect(page.locator("mark").get_by_text(secret).first).to_be_visible()

    # An officer exports it.
    officer = visit(live_node.admin, "/admin/archive/")
    file = tmp_path / "before.pdf"
    text = export(officer, live_node, word, file)
    assert secret in text
    assert f"{word} on monday" in text
    assert verapdf(file, "3b") == []

    # He redacts it.
    officer.goto(f"{live_node.url}/admin/archive/?words={secret}")
    officer.get_by_role("link", name="Record").first.click()
    officer.get_by_role("link", name="Redact …").click()
    officer.get_by_role("textbox", name="Reason").fill("It was a code.")
    officer.get_by_role("button", name="Redact", exact=True).click()
    expect(officer.locator(".head .tag.good")).to_be_visible(timeout=MADE)
    expect(officer.get_by_role("heading", name="Exports that hold it")).to_be_visible()

    # It is nowhere any more.
    until(lambda: not holding(live_node, secret), "the message stays in a file of the day")
    seen = archive_of(live_node, ada)
    assert secret.encode() not in seen
    assert b"<retracted" in seen
    assert b" on monday" in seen
    assert b"<result" not in archive_of(live_node, ada, secret)
    page.goto(f"{live_node.url}/archive/?words={secret}")
    expect(page.locator("mark")).to_have_count(0)
    officer.goto(f"{live_node.url}/admin/archive/?words={secret}")
    expect(officer.locator("mark")).to_have_count(0)
    later = tmp_path / "after.pdf"
    text = export(officer, live_node, word, later)
    assert secret not in text
    assert f"{word} on monday" in text
    assert verapdf(later, "3b") == []

    # And who did it is written down, in a chain that is whole.
    officer.goto(f"{live_node.url}/admin/audit/")
    expect(officer.get_by_text("It was a code.").first).to_be_attached()
    command = [sys.executable, "manage.py", "audit", "verify"]
    done = subprocess.run(command, cwd=ROOT, env=live_node.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
