"""How long a form takes from the button in one browser to the alert in another one.

    python -m tests.bench.forms [--count 200]

Two pages of a headless Chromium and a node with everything, no step left out: the form is checked, kept in the outbox
on disk, sent by WebSocket, checked again, stored with its archive row, distributed, parsed and put into the other page.
The clock is the browser's, which both pages share.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.bench.load import percentile
from tests.browser import ARGUMENTS, PATIENCE
from tests.fdp.forms_page import is_connected, look_for, publish, sign_in
from tests.live import LiveNode, User

_COUNT = 200
_WARM = 10
_DEFINITION = {
    "title": "Sighting",
    "fields": [
        {"var": "what", "label": "What", "required": True},
        {"var": "place", "label": "Place", "values": ["On the road behind the bridge"]},
        {"var": "note", "type": "text-multi", "label": "Note", "values": ["Nobody is hurt.", "The road is closed."]},
    ],
}
#: Notes when the button was pressed, before anything else hears of it.
_PRESSES = """
() => {
  window.presses = {};
  document.addEventListener("submit", () => {
    const text = document.querySelector("[data-var=what] input").value;
    window.presses[text] = performance.timeOrigin + performance.now();
  }, true);
}
"""
#: Notes when each alert is in the page; the text of the form stands at its end.
_ARRIVALS = """
() => {
  window.arrivals = {};
  new MutationObserver(() => {
    const now = performance.timeOrigin + performance.now();
    const row = document.querySelector(".alerts [data-item]");
    const text = row?.textContent.match(/Sighting \\d+/)?.[0];
    if (text) window.arrivals[text] ??= now;
  }).observe(document.getElementById("desk"), { childList: true, subtree: true });
}
"""


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from the button to the alert, of each form."""

    milliseconds: list[float]

    @property
    def p50(self) -> float:
        """The middle."""
        return percentile(self.milliseconds, 0.5)

    @property
    def p99(self) -> float:
        """What one in a hundred exceeds."""
        return percentile(self.milliseconds, 0.99)


def forms(browser: Browser, node: LiveNode, count: int, progress: Callable[[str], None] = lambda _text: None) -> Delays:
    """Publish so many forms, one when the last one has arrived, and measure each."""
    title = _add_topic(node)
    reader, writer = (_open(browser, node, node.add_user(name), title) for name in ("reader", "writer"))
    try:
        reader.get_by_role("button", name="Subscribe", exact=True).click()
        expect(reader.get_by_role("button", name="Unsubscribe")).to_be_visible()
        reader.goto(f"{node.url}/forms/#/")
        writer.evaluate(_PRESSES)
        reader.evaluate(_ARRIVALS)
        for number in range(_WARM + count):
            text = f"Sighting {number:05d}"
            writer.get_by_label("What").fill(text)
            publish(writer)
            expect(reader.locator(".alerts [data-item]").first).to_contain_text(text)
            writer.get_by_role("button", name="Fill in another").click()
            if number % 50 == 49:
                progress(f"{number + 1} forms")
        pressed, arrived = writer.evaluate("window.presses"), reader.evaluate("window.arrivals")
    finally:
        reader.context.close()
        writer.context.close()
    counted = [f"Sighting {number:05d}" for number in range(_WARM, _WARM + count)]
    return Delays([arrived[text] - pressed[text] for text in counted])


def _add_topic(node: LiveNode) -> str:
    """A topic with a short form; returns its title."""
    title = f"Benchmark {secrets.token_hex(3)}"
    topic = {
        "suffix": f"{node.domain}/{title.lower().replace(' ', '-')}",
        "title": title,
        "versions": [{"name": "version01", "definition": _DEFINITION}],
    }
    folder = Path(tempfile.mkdtemp(prefix="mlink-forms-"))
    try:
        file = folder / "topic.json"
        file.write_text(json.dumps({"format": "forms", "format_version": 1, "topics": [topic]}))
        node.ctl("topic", "import", str(file))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return title


def _open(browser: Browser, node: LiveNode, user: User, title: str) -> Page:
    """The forms page of somebody, with the topic open."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    sign_in(page, node, user, "/forms/")
    is_connected(page)
    look_for(page, title)
    return page


def measured(count: int, progress: Callable[[str], None]) -> Delays:
    """The same with a node and a browser of its own; blocks. Raises ServiceError, playwright's Error."""
    node = LiveNode()
    try:
        node.start()
        with sync_playwright() as playwright:
            path = next(filter(None, (shutil.which(name) for name in ("chromium", "google-chrome"))), None)
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            try:
                return forms(browser, node, count, progress)
            finally:
                browser.close()
    finally:
        node.remove()


def main() -> int:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=_COUNT)
    count = parser.parse_args().count
    delays = measured(count, lambda text: print(text, file=sys.stderr))
    print(f"{count} forms: p50 {delays.p50:.1f} ms, p99 {delays.p99:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
