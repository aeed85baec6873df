"""Plugin: headless Chromium for the tests that drive the pages as people do.

`visit(user, path)` gives a page of a fresh browser context, signed in through the sign-in form where a user is given.
What the pages' scripts complain about fails the test at its end, so that a broken script or a resource that the
security policy refused cannot hide behind a page that still looks right. On a failure a screenshot of each page goes
to the folder that MLINK_SCREENSHOTS names, if it names one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.live import LiveNode, User

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Milliseconds until something missing fails a test; two cores may be busy with other workers.
PATIENCE = 20_000


@pytest.fixture(scope="module")
def browser(chromium_path: str | None) -> Iterator[Browser]:
    """One Chromium for the tests of a file: while it is there, its loop runs and no asynchronous test can."""
    # Costs a quarter of a second, which most tests need not wait.
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Visits:
    """Opens pages for a test and keeps what their scripts complained about."""

    def __init__(self, browser: Browser, node: LiveNode) -> None:
        self.browser = browser
        self.node = node
        self.pages: list[Page] = []
        self.complaints: list[str] = []
        #: Complaints that a test expects, as regular expressions.
        self.expected: list[str] = []

    def __call__(self, user: User | None = None, path: str = "/", **options: Any) -> Page:
        """A page in a new context; `options` are those of Playwright's `new_context`."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        self.pages.append(page)
        if user is None:
            page.goto(self.node.url + path)
        else:
            page.goto(f"{self.node.url}/accounts/sign-in/?next={quote(path)}")
            page.get_by_label("XMPP address").fill(user.jid)
            page.get_by_label("Password").fill(user.password)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(self.node.url + path)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.location.get('url', '')}: {message.text}")

    def close(self) -> None:
        """Close all pages."""
        for page in self.pages:
            page.context.close()

    def unexpected(self) -> list[str]:
        """What no test asked for."""
        return [text for text in self.complaints if not any(re.search(known, text) for known in self.expected)]

    def picture(self, name: str) -> None:
        """Keep what the pages look like, where the environment says so."""
        folder = os.environ.get("MLINK_SCREENSHOTS")
        for number, page in enumerate(self.pages):
            if folder and not page.is_closed():
                page.screenshot(path=Path(folder) / f"{re.sub(r'[^A-Za-z0-9_]+', '-', name)}-{number}.png")


@pytest.fixture
def visit(browser: Browser, live_node: LiveNode, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """Opens pages on the live node, see Visits."""
    visits = Visits(browser, live_node)
    yield visits
    try:
        report = getattr(request.node, "report_call", None)
        if report is not None and report.failed:
            visits.picture(request.node.name)
        else:
            assert visits.unexpected() == []
    finally:
        visits.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Let fixtures see how the test went."""
    report = yield
    if report.when == "call":
        item.report_call = report  # type: ignore[attr-defined]
    return report
