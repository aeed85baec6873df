"""Two people with the forms page and the real service: what one publishes the other sees at once; nothing gets lost,
and nobody can more than the topic's rules allow."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visits
from tests.fdp.forms_page import choose, cut_off, error, is_connected, look_for, open_forms, publish
from tests.live import LiveNode, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
DOWN = r"net::ERR_|WebSocket connection|Websocket closed|Websocket error|WebSocket stream error"
#: The page cannot read this pattern, the server can: an error that only the server finds.
DEFINITION: dict[str, Any] = {
    "title": "Sighting",
    "fields": [
        {"var": "what", "label": "What", "required": True},
        {
            "var": "count",
            "label": "Count",
            "validate": {"datatype": "xs:integer", "method": "range", "min": "1", "max": "50"},
        },
        {
            "var": "code",
            "label": "Code name",
            "validate": {"datatype": "xs:string", "method": "regex", "regex": r"\i\c{3,}"},
        },
        {
            "var": "kind",
            "type": "list-single",
            "label": "Kind",
            "options": [{"value": "f", "label": "Fire"}, {"value": "w", "label": "Water"}],
        },
    ],
}
STYLESHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="jabber:x:data">
<xsl:template match="/d:x"><h1 class="loud">Seen: <xsl:value-of select="d:field[@var='what']/d:value"/></h1>
<script>window.top.hacked = true</script><p onclick="window.top.hacked = true">styled</p></xsl:template>
</xsl:stylesheet>"""


class Offer:
    """A topic made for a test."""

    def __init__(self, node: LiveNode, folder: Path, **options: Any) -> None:
        name = secrets.token_hex(4)
        self.node = node
        self.suffix = f"{node.domain}/sighting-{name}"
        self.title = options.pop("title", f"Sighting {name}")
        document = {
            "format": "forms",
            "format_version": 1,
            "topics": [
                {
                    "suffix": self.suffix,
                    "title": self.title,
                    "description": "What was seen.",
                    "versions": [{"name": "version01", "definition": DEFINITION}],
                    **options,
                }
            ],
        }
        file = folder / f"{name}.json"
        file.write_text(json.dumps(document))
        node.ctl("topic", "import", str(file))

    def remove(self) -> None:
        """Withdraw it."""
        self.node.ctl("topic", "remove", self.suffix)

    def submissions(self) -> list[dict[str, Any]]:
        """What the archive has."""
        rows: list[dict[str, Any]] = self.node.ctl_json("submission", "list", self.suffix)
        return rows


@pytest.fixture
def offer(live_node: LiveNode, tmp_path: Path) -> Offer:
    """A topic for everybody here."""
    return Offer(live_node, tmp_path)


@pytest.fixture(scope="module")
def ada(live_node: LiveNode) -> User:
    """One person."""
    return live_node.add_user("ada")


@pytest.fixture(scope="module")
def bob(live_node: LiveNode) -> User:
    """The other one."""
    return live_node.add_user("bob")


def open_topic(visit: Visits, user: User, offer: Offer, query: str = "") -> Page:
    """Open the page and the topic; a topic that was made a moment ago may still be on its way into the node."""
    page = visit(user, f"/forms/{query}")
    is_connected(page)
    look_for(page, offer.title)
    return page


def subscribe(page: Page) -> None:
    """Press the button and wait for the server."""
    page.get_by_role("button", name="Subscribe", exact=True).click()
    expect(page.get_by_role("button", name="Unsubscribe")).to_be_visible()


def fill_in(page: Page, what: str) -> None:
    """Publish a sighting."""
    page.get_by_label("What").fill(what)
    publish(page)
    expect(page.locator(".done")).to_contain_text("Published.")


def publisher_and_subscriber(visit: Visits, ada: User, bob: User, offer: Offer, query: str = "") -> None:
    """Bob publishes, Ada is told, reads it, and after she has unsubscribed no more."""
    reader, writer = open_topic(visit, ada, offer, query), open_topic(visit, bob, offer, query)
    subscribe(reader)
    reader.goto(f"{visit.node.url}/forms/{query}#/")
    reader.evaluate("window.still = 'the same page'")
    fill_in(writer, "Smoke & <b>fire</b>")
    expect(reader.locator("#unseen")).to_have_text("1 new")
    alert = reader.locator(".alerts [data-item]")
    expect(alert).to_contain_text(f"{offer.title}, No. 1")
    expect(alert).to_contain_text("Smoke & <b>fire</b>")
    expect(reader.locator("#spoken")).to_contain_text(f"No. 1 by {bob.jid}")
    # The writer is no subscriber, and one's own forms are no news.
    expect(writer.locator("#unseen")).to_be_hidden()
    alert.get_by_role("link").click()
    expect(reader.locator(".paper")).to_contain_text("Smoke & <b>fire</b>")
    expect(reader.locator(".review .facts").first).to_contain_text(bob.jid)
    reader.get_by_role("link", name="All published forms").click()
    expect(reader.locator("#unseen")).to_be_hidden()
    writer.get_by_role("button", name="Fill in another").click()
    fill_in(writer, "More smoke")
    expect(reader.locator(".published li").first).to_contain_text("More smoke")
    reader.get_by_role("button", name="Unsubscribe").click()
    expect(reader.get_by_role("button", name="Subscribe", exact=True)).to_be_visible()
    writer.get_by_role("button", name="Fill in another").click()
    fill_in(writer, "Too late")
    expect(reader.locator(".published li")).to_have_count(2)
    # Told again, she sees what she has missed, and hears of the next one.
    subscribe(reader)
    expect(reader.locator(".published li").first).to_contain_text("Too late")
    writer.get_by_role("button", name="Fill in another").click()
    fill_in(writer, "In time")
    expect(reader.locator(".published li").first).to_contain_text("In time")
    expect(reader.locator(".published li")).to_have_count(4)
    assert reader.evaluate("window.still") == "the same page"


def test_a_form_reaches_the_other_without_a_reload(visit: Visits, ada: User, bob: User, offer: Offer) -> None:
    publisher_and_subscriber(visit, ada, bob, offer)
    visit.picture("forms")


def test_the_same_over_bosh(live_node: LiveNode, visit: Visits, ada: User, bob: User, offer: Offer) -> None:
    publisher_and_subscriber(visit, ada, bob, offer, "?transport=bosh")
    rows = live_node.ctl_json("sessions")
    assert {row["transport"] for row in rows if row["jid"].partition("/")[0] in (ada.jid, bob.jid)} == {"bosh"}


def test_the_same_on_postgresql(
    browser: Browser, start_node: Callable[..., LiveNode], fresh_postgres_url: str, tmp_path: Path
) -> None:
    node = start_node(MLINK_DATABASE_URL=fresh_postgres_url)
    visits = Visits(browser, node)
    try:
        publisher_and_subscriber(visits, node.add_user("ada"), node.add_user("bob"), Offer(node, tmp_path))
        assert visits.unexpected() == []
    finally:
        visits.close()


def test_bosh_takes_over_where_websocket_is_shut(visit: Visits, ada: User, offer: Offer) -> None:
    visit.expected.append(DOWN)
    page = visit(ada, "/")
    # As behind a proxy that does not know WebSocket: an ordinary answer.
    address = visit.node.url.replace("http", "ws") + "/healthz"
    links = [
        {"rel": "urn:xmpp:alt-connections:websocket", "href": address},
        {"rel": "urn:xmpp:alt-connections:xbosh", "href": f"{visit.node.url}/http-bind"},
    ]
    page.context.route("**/.well-known/host-meta.json", lambda route: route.fulfill(json={"links": links}))
    page.goto(f"{visit.node.url}/forms/")
    is_connected(page)
    rows = [row for row in visit.node.ctl_json("sessions") if row["jid"].startswith(ada.jid)]
    assert "bosh" in {row["transport"] for row in rows}


def test_wrong_values_are_told_here_and_by_the_server(visit: Visits, ada: User, offer: Offer) -> None:
    page = open_topic(visit, ada, offer)
    page.get_by_label("What").fill("Smoke")
    page.get_by_label("Count").fill("51")
    page.get_by_label("Code name").focus()
    expect(error(page, "count")).to_have_text("Must be from 1 to 50.")
    page.get_by_label("Count").fill("50")
    page.get_by_label("Code name").fill("7even")
    publish(page)
    expect(error(page, "code")).to_have_text("Does not have the form that is asked for")
    expect(page.get_by_label("Code name")).to_be_focused()
    expect(page.get_by_label("What")).to_have_value("Smoke")
    page.get_by_label("Code name").fill("seven")
    publish(page)
    expect(page.locator(".done")).to_contain_text("It is number 1")
    assert [row["serial"] for row in offer.submissions()] == [1]


def test_a_draft_survives_a_reload(visit: Visits, ada: User, offer: Offer) -> None:
    page = open_topic(visit, ada, offer)
    page.get_by_label("What").fill("Half a word")
    expect(page.locator(".draft-line")).to_contain_text("Draft saved")
    page.reload()
    expect(page.get_by_label("What")).to_have_value("Half a word")
    fill_in(page, "The whole word")
    page.reload()
    expect(page.get_by_label("What")).to_have_value("")


def test_a_form_published_without_connection_is_sent_once(visit: Visits, ada: User, bob: User, offer: Offer) -> None:
    visit.expected.append(DOWN)
    reader, writer = open_topic(visit, ada, offer), open_topic(visit, bob, offer)
    subscribe(reader)
    cut_off(writer)
    expect(writer.locator("#link")).to_have_text("not connected")
    writer.get_by_label("What").fill("Smoke in the tunnel")
    publish(writer)
    expect(writer.locator(".kept")).to_be_visible()
    assert offer.submissions() == []
    writer.context.set_offline(False)
    expect(reader.locator("#unseen")).to_have_text("1 new", timeout=20_000)
    expect(writer.locator(".done")).to_be_visible()
    assert len(offer.submissions()) == 1


def test_the_page_opens_and_takes_a_form_while_the_server_is_away(
    browser: Browser, start_node: Callable[..., LiveNode], tmp_path: Path
) -> None:
    node = start_node()
    visits = Visits(browser, node)
    visits.expected.append(DOWN)
    offer = Offer(node, tmp_path)
    try:
        page = open_topic(visits, node.add_user("ada"), offer)
        expect(page.get_by_label("What")).to_be_visible()
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.reload()
        is_connected(page)
        context = page.context
        node.stop()
        page.close()
        page = context.new_page()
        page.goto(f"{node.url}/forms/")
        expect(page.locator("#link")).to_have_text("not connected")
        choose(page, offer.title)
        page.get_by_label("What").fill("Smoke without a server")
        publish(page)
        expect(page.locator(".kept")).to_be_visible()
        page.close()
        node.start()
        # Opened again another day: what waits goes, once.
        page = context.new_page()
        page.goto(f"{node.url}/forms/#/outbox")
        is_connected(page)
        expect(page.get_by_text("Nothing waits")).to_be_visible()
        assert [row["serial"] for row in offer.submissions()] == [1]
        page.reload()
        is_connected(page)
        assert len(offer.submissions()) == 1
        assert visits.unexpected() == []
    finally:
        visits.close()


def test_the_page_comes_back_by_itself(browser: Browser, start_node: Callable[..., LiveNode], tmp_path: Path) -> None:
    node = start_node()
    visits = Visits(browser, node)
    visits.expected.append(DOWN)
    offer = Offer(node, tmp_path)
    try:
        ada, bob = node.add_user("ada"), node.add_user("bob")
        reader = open_topic(visits, ada, offer)
        subscribe(reader)
        node.kill()
        expect(reader.locator("#link")).to_have_text("not connected")
        node.start()
        expect(reader.locator("#link")).to_have_text("connected", timeout=30_000)
        writer = open_topic(visits, bob, offer)
        fill_in(writer, "After the storm")
        expect(reader.locator("#unseen")).to_have_text("1 new")
        assert visits.unexpected() == []
    finally:
        visits.close()


def test_an_amendment_is_tied_to_its_original(visit: Visits, ada: User, bob: User, offer: Offer) -> None:
    page = open_topic(visit, ada, offer)
    page.get_by_role("radio", name="Fire").check()
    fill_in(page, "Smok")
    page.get_by_role("link", name="Show it").click()
    expect(page.locator(".paper")).to_contain_text("Fire")
    page.get_by_role("link", name="Amend").click()
    expect(page.get_by_label("What")).to_have_value("Smok")
    expect(page.get_by_role("radio", name="Fire")).to_be_checked()
    page.get_by_label("What").fill("Smoke")
    page.get_by_role("button", name="Publish the amendment").click()
    expect(page.locator(".done")).to_contain_text("The amendment is published.")
    newest, oldest = offer.submissions()
    assert (newest["serial"], newest["amends"], oldest["serial"]) == (2, 1, 1)
    other = open_topic(visit, bob, offer)
    other.get_by_role("link", name="Published forms").click()
    expect(other.locator(".published li").first).to_contain_text("amends No. 1")
    expect(other.locator(".published li").nth(1)).to_contain_text("amended by No. 2")
    other.locator(".published li").first.get_by_role("link").click()
    expect(other.locator(".review .facts").first).to_contain_text("No. 1")
    expect(other.get_by_role("link", name="Amend", exact=True)).to_be_hidden()


def test_who_may_submit_but_not_read(live_node: LiveNode, visit: Visits, ada: User, bob: User, tmp_path: Path) -> None:
    offer = Offer(live_node, tmp_path, read_rules=[{"kind": "jid", "value": ada.jid}])
    page = open_topic(visit, bob, offer)
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.locator(".done")).to_contain_text("Published.")
    page.get_by_role("link", name="Published forms").click()
    expect(page.locator("#desk")).to_contain_text("You may fill in this form, but not read what is published.")
    page.get_by_role("button", name="Subscribe", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("You may not read what is published here.")
    reader = open_topic(visit, ada, offer)
    reader.get_by_role("link", name="Published forms").click()
    expect(reader.locator(".published li")).to_contain_text("Smoke")


def test_who_may_not_publish_keeps_the_draft(
    live_node: LiveNode, visit: Visits, ada: User, bob: User, tmp_path: Path
) -> None:
    offer = Offer(live_node, tmp_path, publish_rules=[{"kind": "jid", "value": ada.jid}])
    page = open_topic(visit, bob, offer)
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.get_by_role("alert")).to_have_text("You may not publish this form. Your text is kept as a draft.")
    assert offer.submissions() == []


@pytest.mark.parametrize("is_told", [True, False], ids=["subscriber", "stranger"])
def test_a_topic_is_removed_while_a_draft_is_open(visit: Visits, ada: User, offer: Offer, is_told: bool) -> None:
    page = open_topic(visit, ada, offer)
    if is_told:
        subscribe(page)
    page.get_by_label("What").fill("A long story")
    expect(page.locator(".draft-line")).to_contain_text("Draft saved")
    offer.remove()
    if not is_told:
        publish(page)
    expect(page.get_by_role("alert").filter(has_text="This form was withdrawn.")).to_be_visible()
    expect(page.get_by_label("What")).to_have_value("A long story")
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()


def test_a_form_is_reviewed_in_its_topics_look_and_printed(
    live_node: LiveNode, visit: Visits, ada: User, tmp_path: Path
) -> None:
    offer = Offer(live_node, tmp_path, xslt=STYLESHEET, css=".loud { color: rgb(200, 0, 0); }")
    page = open_topic(visit, ada, offer)
    fill_in(page, "Smoke")
    page.get_by_role("link", name="Show it").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Seen: Smoke")).to_have_css("color", "rgb(200, 0, 0)")
    expect(page.locator(".plain-form")).to_be_hidden()
    frame.get_by_text("styled").click()
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe").get_attribute("sandbox") == "allow-same-origin allow-modals"
    visit.picture("forms-styled")
    page.evaluate("document.querySelector('iframe').contentWindow.print = () => { window.printed = true; }; null")
    page.get_by_role("button", name="Print").click()
    assert page.evaluate("window.printed") is True


def test_the_page_loads_nothing_from_elsewhere(live_node: LiveNode, visit: Visits, ada: User, offer: Offer) -> None:
    page = visit(ada, "/")
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("websocket", lambda socket: urls.append(socket.url))
    page.goto(f"{live_node.url}/forms/")
    is_connected(page)
    hosts = {re.sub(r"^\w+://([^/]+).*", r"\1", url) for url in urls if not url.startswith(("data:", "blob:"))}
    assert hosts == {f"localhost:{live_node.http_port}"}
    assert any(url.endswith("/.well-known/host-meta.json") for url in urls), "discovered by XEP-0156"


def test_the_sample_topics_are_there(visit: Visits, ada: User) -> None:
    page = open_forms(visit, ada)
    for title in ("MEDEVAC 9-line", "SITREP", "Incident report"):
        choose(page, title)
        expect(page.locator(".fill-form")).to_be_visible()
