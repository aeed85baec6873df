"""The forms page against a scripted server: forms are filled in and refused, drafts stay, nothing is sent twice.

`test_browser_forms.py` has two people and the real service.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser import Visits
from tests.fdp.forms_page import LONG, SHORT, choose, cut_off, error, field, is_connected, open_forms, publish
from tests.fdp.peer import DATA, Connection, Peer, Refusal, Topic
from tests.live import LiveNode, User
from tests.web.test_browser_navigation import FAULTS, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
REPORT = "example.org/short"
EVERYTHING = "example.org/everything"
DOWN = r"ERR_INTERNET_DISCONNECTED|WebSocket connection|Websocket closed unexpectedly|net::ERR_FAILED"


@pytest.fixture(scope="module")
def ada(live_node: LiveNode) -> User:
    """Whoever fills in; what she types is kept in the browser context of one test."""
    return live_node.add_user("ada")


@pytest.fixture
def peer(live_node: LiveNode) -> Peer:
    """A server with two topics."""
    peer = Peer(live_node.domain)
    peer.topic(REPORT, "Short report", SHORT, "What was seen, in a line.")
    peer.topic(EVERYTHING, "Report of everything", LONG, "With all kinds of fields.")
    return peer


@pytest.fixture
def report(peer: Peer) -> Topic:
    """The short one."""
    return peer.topics[REPORT]


def place(what: str = "") -> str:
    """The address of a view of the short report."""
    return f"#/topic/forms.localhost/{REPORT.replace('/', '%2F')}{what}"


def submission(text: str, **marks: str) -> ET.Element:
    """A completed short report."""
    hidden = "".join(
        f"<field var='fdp#{name}' type='hidden'><value>{value}</value></field>" for name, value in marks.items()
    )
    return ET.fromstring(
        f"<x xmlns='{DATA}' type='submit'><field var='what' type='text-single'><value>{text}</value></field>"
        f"{hidden}</x>"
    )


def values(topic: Topic, at: int = -1) -> dict[str, list[str]]:
    """What was published, by field."""
    form = ET.fromstring(topic.items[at][1])
    return {field.get("var", ""): [value.text or "" for value in field] for field in form.findall(f"{{{DATA}}}field")}


def saved(page: Page) -> None:
    """Wait until the draft is stored."""
    expect(page.locator(".draft-line")).to_contain_text("Draft saved")


def test_topics_are_found_by_words(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer)
    rows = page.locator("#topics li")
    expect(rows).to_have_count(2)
    page.get_by_label("Find a form by words").fill("seen LINE")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Short report")
    page.get_by_label("Find a form by words").fill("nothing like it")
    expect(page.locator("#topics-state")).to_have_text("No form has these words.")


def test_topics_of_a_service_that_is_not_ready_are_asked_for_again(visit: Visits, ada: User, peer: Peer) -> None:
    peer.not_ready = 2
    page = open_forms(visit, ada, peer)
    expect(page.locator("#topics li")).to_have_count(2)
    expect(page.locator("#topics-state")).to_be_hidden()
    # Nor are topics lost that were known before.
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    saved(page)
    peer.not_ready = 1
    page.reload()
    for _ in range(400):
        if not peer.not_ready:
            break
        page.wait_for_timeout(50)
    expect(page.locator("#topics-state")).to_be_hidden()
    expect(page.locator("#topics li")).to_have_count(2)
    expect(page.get_by_label("What")).to_have_value("Smoke")
    expect(page.get_by_role("button", name="Publish")).to_be_enabled()


def test_every_kind_of_field_is_filled_in(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer, timezone_id="Europe/Berlin")
    choose(page, "Report of everything")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Address").fill("ada@example.org")
    page.get_by_label("Grid").fill("33U")
    page.get_by_role("radio", name="Urgent").check()
    page.get_by_label("Number").fill("7")
    page.get_by_label("Frequency").fill("243.5")
    page.get_by_role("button", name="Next page").click()
    page.get_by_role("checkbox", name="Fire").check()
    page.get_by_role("checkbox", name="Wind").check()
    page.get_by_label("Colour").fill("Blue")
    page.get_by_label("When").fill("2031-07-01T14:30:00")
    page.get_by_label("Day").fill("2031-05-28")
    page.get_by_label("Clock").fill("08:05")
    page.get_by_label("Note").fill("first\n\nthird\n")
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".media img")).to_be_visible()
    page.get_by_label("Which of these").select_option("Choice C")
    page.get_by_label("Code word").fill("open sesame")
    page.get_by_label("Copies to").fill("bob@example.org\ncarol@example.org")
    page.get_by_label("I have seen it myself").uncheck()
    publish(page)
    expect(page.locator(".done")).to_contain_text("It is number 1")
    assert values(peer.topics[EVERYTHING]) == {
        "FORM_TYPE": ["urn:example:report"],
        "name": ["Ada"],
        "jid": ["ada@example.org"],
        "grid": ["33U"],
        "urgency": ["u"],
        "number": ["7"],
        "frequency": ["243.5"],
        "kinds": ["f", "i"],
        "colour": ["#00f"],
        "when": ["2031-07-01T12:30:00Z"],
        "day": ["2031-05-28"],
        "clock": ["08:05:00"],
        "note": ["first", "", "third"],
        "picture": ["C"],
        "secret": ["open sesame"],
        "copies": ["bob@example.org", "carol@example.org"],
        "sure": ["0"],
        "fdp#version": ["version01"],
        "fdp#serial": ["1"],
    }


def test_wrong_values_are_told_while_one_types(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Report of everything")
    page.get_by_label("Grid").fill("33")
    expect(error(page, "grid")).to_have_text("This does not have the form that is asked for.")
    grid = page.get_by_label("Grid")
    assert grid.get_attribute("aria-invalid") == "true"
    described = (grid.get_attribute("aria-describedby") or "").split()
    assert [page.locator(f"#{id}").inner_text() for id in described] == [
        "This does not have the form that is asked for.",
        "Two digits and a letter.",
    ]
    grid.press_sequentially("U")
    expect(error(page, "grid")).to_be_hidden()
    assert grid.get_attribute("aria-invalid") is None
    page.get_by_label("Number").fill("51")
    page.get_by_label("Frequency").focus()
    expect(error(page, "number")).to_have_text("Must be from 1 to 50.")
    # The last page is there at once, but what is wrong on the first one is where the focus goes.
    page.get_by_role("button", name="3 The rest").click()
    publish(page)
    expect(page.get_by_label("Name")).to_be_focused()
    expect(error(page, "name")).to_have_text("This field is required.")
    expect(page.get_by_role("alert")).to_have_text("3 fields need your attention.")
    assert peer.published == []


def test_a_refusal_stands_at_the_field_that_it_names(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    peer.refuse = Refusal("bad-request", "modify", "invalid-payload", "Count: must be given for smoke")
    publish(page)
    expect(error(page, "count")).to_have_text("Must be given for smoke")
    expect(page.get_by_label("Count")).to_be_focused()
    expect(page.get_by_label("What")).to_have_value("Smoke")
    page.get_by_label("Count").fill("3")
    publish(page)
    expect(page.locator(".done")).to_be_visible()
    assert len(report.items) == 1
    peer.refuse = Refusal("not-acceptable", "modify", "", "It is too late today")
    page.get_by_role("button", name="Fill in another").click()
    page.get_by_label("What").fill("More smoke")
    publish(page)
    expect(page.get_by_role("alert")).to_have_text("The server did not take the form: It is too late today")
    expect(page.get_by_label("What")).to_have_value("More smoke")


def test_a_draft_survives_a_reload_and_is_discarded(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Report of everything")
    page.get_by_label("Name").fill("Half done")
    page.get_by_role("button", name="3 The rest").click()
    page.get_by_label("Code word").fill("a secret")
    page.get_by_label("Copies to").fill("bob@example.org")
    saved(page)
    expect(
        page.locator("#topics li", has_text="Report of everything").locator(".tag", has_text="draft")
    ).to_be_visible()
    page.reload()
    expect(page.locator(".draft-line")).to_contain_text("is back")
    expect(page.get_by_label("Name")).to_have_value("Half done")
    page.get_by_role("button", name="3 The rest").click()
    expect(page.get_by_label("Copies to")).to_have_value("bob@example.org")
    expect(page.get_by_label("Code word")).to_have_value("")
    page.get_by_role("button", name="Discard draft").click()
    expect(page.get_by_label("Name")).to_have_value("")
    expect(page.locator("#topics li", has_text="Report of everything").locator(".tag", has_text="draft")).to_be_hidden()
    page.reload()
    is_connected(page)
    expect(page.get_by_label("Name")).to_have_value("")


def test_a_draft_is_taken_over_to_a_newer_version(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    saved(page)
    newer = SHORT.replace("</x>", "<field var='where' type='text-single' label='Where'><required/></field></x>")
    report.versions.append(("version02", newer))
    page.reload()
    expect(page.get_by_text("There is a newer version of this form")).to_be_visible()
    expect(page.get_by_label("Where")).to_have_count(0)
    page.get_by_role("button", name="Take my text over").click()
    expect(page.get_by_label("What")).to_have_value("Smoke")
    page.get_by_label("Where").fill("At the river")
    publish(page)
    expect(page.locator(".done")).to_be_visible()
    assert values(report)["fdp#version"] == ["version02"]


@pytest.mark.parametrize("may_read", [True, False], ids=["reader", "not a reader"])
def test_an_answer_that_is_lost_does_not_make_two_forms(
    visit: Visits, ada: User, peer: Peer, report: Topic, may_read: bool
) -> None:
    visit.expected.append(DOWN)
    report.may_read = may_read
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    peer.lose_answer = True
    publish(page)
    expect(page.locator(".done")).to_contain_text("Published.")
    assert len(report.items) == 1
    # Who may read what is there looks, who may not sends it again under the same id.
    assert set(peer.published) == {report.items[0][0]}
    assert len(peer.published) == (1 if may_read else 2)


def test_a_form_waits_until_the_connection_is_back(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    visit.expected.append(DOWN)
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    cut_off(page)
    expect(page.locator("#link")).to_have_text("not connected")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.locator(".kept")).to_contain_text("You are not connected.")
    page.get_by_role("link", name="What waits to be sent").click()
    expect(page.locator(".outbox li")).to_contain_text("waits for the connection")
    assert report.items == []
    page.context.set_offline(False)
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    assert [values(report)["what"], len(peer.published)] == [["Smoke"], 1]


def test_a_form_that_is_refused_later_is_opened_again(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    visit.expected.append(DOWN)
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    cut_off(page)
    expect(page.locator("#link")).to_have_text("not connected")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    page.get_by_role("link", name="What waits to be sent").click()
    peer.refuse = Refusal("bad-request", "modify", "invalid-payload", "What: names no place")
    page.context.set_offline(False)
    expect(page.locator(".outbox li")).to_contain_text("What: names no place")
    expect(page.locator("#waiting")).to_contain_text("1 refused")
    page.get_by_role("button", name="Open again").click()
    expect(page.get_by_label("What")).to_have_value("Smoke")
    expect(error(page, "what")).to_have_text("Names no place")
    page.get_by_label("What").fill("Smoke at the river")
    publish(page)
    expect(page.locator(".done")).to_be_visible()
    assert values(report)["what"] == ["Smoke at the river"]


def test_a_topic_that_was_opened_as_the_connection_went_opens_when_it_is_back(
    visit: Visits, ada: User, peer: Peer, report: Topic
) -> None:
    visit.expected.append(DOWN)
    page = open_forms(visit, ada, peer)
    expect(page.locator("#topics").get_by_role("link", name="Short report")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#link")).to_have_text("not connected")
    choose(page, "Short report")
    expect(page.get_by_label("What")).to_have_count(0)
    page.context.set_offline(False)
    is_connected(page)
    expect(page.get_by_label("What")).to_be_visible()


def test_a_waiting_form_can_be_taken_back(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    visit.expected.append(DOWN)
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    cut_off(page)
    expect(page.locator("#link")).to_have_text("not connected")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    page.get_by_role("link", name="What waits to be sent").click()
    page.get_by_text("Do not send").click()
    page.get_by_role("button", name="Delete this form").click()
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    page.context.set_offline(False)
    is_connected(page)
    assert peer.published == []


@pytest.mark.parametrize("is_told", [True, False], ids=["subscriber", "stranger"])
def test_a_topic_is_withdrawn_while_somebody_writes(
    visit: Visits, ada: User, peer: Peer, report: Topic, is_told: bool
) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    if is_told:
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_role("button", name="Unsubscribe")).to_be_visible()
    page.get_by_label("What").fill("A long story")
    saved(page)
    peer.forget(REPORT)
    if not is_told:
        publish(page)
    expect(page.get_by_role("alert").filter(has_text="This form was withdrawn.")).to_be_visible()
    expect(page.get_by_label("What")).to_have_value("A long story")
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    expect(page.locator("#topics li")).to_have_count(1)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy my text").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "Short report\n\nWhat: A long story\n"
    # It is still there after a reload, and goes when it is discarded.
    page.goto(f"{visit.node.url}/forms/")
    page.reload()
    page.get_by_role("link", name="no longer offered").click()
    expect(page.get_by_label("What")).to_have_value("A long story")
    page.get_by_role("button", name="Discard draft").click()
    expect(page.get_by_role("heading", name="Drafts")).to_be_hidden()


def test_who_may_only_submit_is_told_so(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    report.may_read = False
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.locator(".done")).to_contain_text("Published.")
    expect(page.get_by_role("link", name="Show it")).to_have_count(0)
    page.get_by_role("link", name="Published forms").click()
    expect(page.locator("#desk")).to_contain_text("You may fill in this form, but not read what is published.")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("alert")).to_have_text("You may not read what is published here.")


def test_who_may_only_read_keeps_the_draft(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    report.may_publish = False
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.get_by_role("alert")).to_have_text("You may not publish this form. Your text is kept as a draft.")
    page.reload()
    expect(page.get_by_label("What")).to_have_value("Smoke")


def test_published_forms_are_paged_found_and_live(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    for number in range(45):
        peer.store(report, f"item{number}", submission(f"Sighting {number}"), "carol@localhost")
    peer.store(report, "later", submission("Sighting 44, later", amends="item44"), "carol@localhost")
    page = open_forms(visit, ada, peer, place("/published"))
    rows = page.locator(".published li")
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text("No. 46")
    expect(rows.first).to_contain_text("amends No. 45")
    expect(rows.nth(1)).to_contain_text("amended by No. 46")
    page.get_by_role("button", name="Older forms").click()
    expect(rows).to_have_count(40)
    expect(rows.nth(20).get_by_role("link")).to_be_focused()
    page.get_by_role("button", name="Older forms").click()
    expect(rows).to_have_count(46)
    expect(page.get_by_role("button", name="Older forms")).to_be_hidden()
    page.get_by_label("Search in the forms shown").fill("sighting 16 17")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").click()
    expect(page.locator(".paper")).to_contain_text("Sighting 16")
    expect(page.locator(".review .facts").first).to_contain_text("carol@localhost")
    # Only the author amends.
    expect(page.get_by_role("link", name="Amend")).to_be_hidden()


def test_an_amendment_names_what_it_amends(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    peer.store(report, "first", submission("Smok"), ada.jid)
    page = open_forms(visit, ada, peer, place("/form/first"))
    page.get_by_role("link", name="Amend").click()
    expect(page.get_by_label("What")).to_have_value("Smok")
    page.get_by_label("What").fill("Smoke")
    saved(page)
    page.get_by_role("button", name="Publish the amendment").click()
    expect(page.locator(".done")).to_contain_text("The amendment is published.")
    assert (values(report)["what"], values(report)["fdp#amends"]) == (["Smoke"], ["first"])
    page.get_by_role("link", name="Show it").click()
    expect(page.locator(".review .facts").first).to_contain_text("No. 1")


def test_alerts_come_without_a_reload(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = open_forms(visit, ada, peer)
    page.context.grant_permissions(["notifications"], origin=visit.node.url)
    page.evaluate("window.still = 'the same page'")
    choose(page, "Short report")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_text("You are told about new forms.", exact=True)).to_be_visible()
    page.goto(f"{visit.node.url}/forms/#/")
    connection = peer.connections[-1]
    for number in (1, 2):
        announce(peer, connection, report, f"news{number}", f"Smoke {number}")
        expect(page.locator("#unseen")).to_have_text(f"{number} new")
    expect(page.locator("#spoken")).to_have_text("New form: Short report, No. 2 by carol@localhost")
    expect(page.locator(".alerts [data-item]").first).to_contain_text("Smoke 2")
    assert page.title() == "(2) Forms · mlink"
    page.locator("#topics").get_by_role("link", name="Short report").click()
    expect(page.locator(".published li")).to_have_count(2)
    expect(page.locator("#unseen")).to_be_hidden()
    announce(peer, connection, report, "news3", "Smoke 3")
    expect(page.locator(".published li").first).to_contain_text("Smoke 3")
    expect(page.locator("#unseen")).to_be_hidden()
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("button", name="Subscribe", exact=True)).to_be_visible()
    assert report.subscribers == set()
    assert page.evaluate("window.still") == "the same page"


def announce(peer: Peer, to: Connection, topic: Topic, id: str, text: str) -> None:
    """Somebody publishes, and the subscriber hears it."""
    entry = peer.store(topic, id, submission(text), "carol@localhost")
    item = f"<item id='{id}' publisher='carol@localhost/x'>{entry[1]}</item>"
    to.send(peer.event(to, f"<items node='fdp/submitted/{REPORT}'>{item}</items>"))


def test_what_came_while_the_page_was_closed_is_counted(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("button", name="Unsubscribe")).to_be_visible()
    page.goto("about:blank")
    for number in (1, 2, 3):
        peer.store(report, f"meanwhile{number}", submission(f"Smoke {number}"), "carol@localhost")
    page.goto(f"{visit.node.url}/forms/")
    expect(page.locator("#unseen")).to_have_text("3 new")
    expect(page.locator(".alerts [data-item]")).to_have_count(3)


def test_a_notification_is_shown_when_nobody_looks(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = visit(ada, "/", permissions=["notifications"])
    peer.serve(page, ada.jid)
    page.goto(f"{visit.node.url}/forms/{place()}")
    is_connected(page)
    expect(page.get_by_role("button", name="Notify me of new forms")).to_be_hidden()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("button", name="Unsubscribe")).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => true });"
        "window.shown = [];"
        "ServiceWorkerRegistration.prototype.showNotification = async (title) => { window.shown.push(title); };"
        "null"
    )
    announce(peer, peer.connections[-1], report, "news", "Smoke")
    expect(page.locator("#unseen")).to_have_text("1 new")
    assert page.evaluate("window.shown") == ["New form: Short report, No. 1 by carol@localhost"]


def test_a_form_that_another_tab_has_sent_is_sent_here_too(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    visit.expected.append(DOWN)
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    cut_off(page)
    expect(page.locator("#link")).to_have_text("not connected")
    page.get_by_label("What").fill("Smoke")
    publish(page)
    expect(page.locator(".kept")).to_be_visible()
    # The first tab does not notice that the connection is back.
    page.evaluate("window.fetch = () => Promise.reject(new TypeError('still away')); null")
    page.context.set_offline(False)
    other = page.context.new_page()
    other.goto(f"{visit.node.url}/forms/")
    expect(page.locator(".done")).to_contain_text("Published.")
    assert len(peer.published) == len(report.items) == 1


def test_ordinary_messages_are_announced(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer)
    body = "<message xmlns='jabber:client' from='bob@localhost/x' type='chat'><body>Hello</body></message>"
    peer.connections[-1].send(body)
    expect(page.locator("#mail-line")).to_contain_text("Messages from bob@localhost have come.")


def test_whoever_is_signed_out_is_told_and_keeps_the_draft(visit: Visits, ada: User, peer: Peer) -> None:
    visit.expected += [DOWN, "401"]
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    saved(page)
    page.context.clear_cookies()
    peer.connections[-1].drop()
    expect(page.locator("#link")).to_have_text("signed out")
    expect(page.get_by_label("What")).to_have_value("Smoke")
    expect(page.get_by_role("link", name="Sign in again")).to_have_attribute("href", re.compile("next=/forms/"))


def sign_out(page: Page, *, really: bool) -> str:
    """Press the button and answer the question; returns what was asked."""
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        message = dialog.message
        dialog.accept() if really else dialog.dismiss()
        asked.append(message)

    page.once("dialog", answer)
    page.get_by_role("button", name="Sign out").click()
    for _ in range(400):
        if asked:
            break
        page.wait_for_timeout(50)
    return asked[0]


def test_signing_out_asks_where_something_would_be_lost(visit: Visits, ada: User, peer: Peer) -> None:
    page = open_forms(visit, ada, peer)
    choose(page, "Short report")
    page.get_by_label("What").fill("Smoke")
    saved(page)
    question = "Signing out deletes 1 draft from this device. Sign out?"
    assert sign_out(page, really=False) == question
    expect(page.get_by_label("What")).to_have_value("Smoke")
    # On any page.
    page.goto(f"{visit.node.url}/archive/")
    assert sign_out(page, really=True) == question
    page.wait_for_url(f"{visit.node.url}/")
    names = page.evaluate("indexedDB.databases().then((list) => list.map((base) => base.name))")
    assert names == []


def test_without_scripts_the_page_says_what_to_do(visit: Visits, ada: User) -> None:
    page = visit(ada, "/forms/", java_script_enabled=False)
    expect(page.locator("noscript p")).to_be_visible()
    assert "The forms page needs JavaScript" in page.content()


def test_the_views_are_sound_on_a_phone(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    peer.store(report, "first", submission("Smoke " + "and more smoke " * 20), ada.jid)
    page = open_forms(visit, ada, peer, viewport=PHONE)
    everything = f"#/topic/forms.localhost/{EVERYTHING.replace('/', '%2F')}"
    seen = {
        "#/": "#topics li",
        "#/outbox": "#desk .note",
        everything: ".fill-form",
        place(): ".fill-form",
        place("/published"): ".published li",
        place("/form/first"): ".plain-form",
        place("/amend/first"): ".fill-form",
        "#/topic/forms.localhost/nowhere": "#desk .note",
    }
    for address, landmark in seen.items():
        page.goto(f"{visit.node.url}/forms/{address}")
        expect(page.locator(landmark).first).to_be_visible()
        assert page.evaluate(FAULTS) == [], address
    assert field(page, "what").count() == 0


def test_the_keyboard_fills_in_a_form(visit: Visits, ada: User, peer: Peer, report: Topic) -> None:
    page = open_forms(visit, ada, peer)
    page.get_by_label("Find a form by words").focus()
    page.keyboard.type("short")
    page.keyboard.press("Tab")
    expect(page.locator("#topics").get_by_role("link", name="Short report")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#desk").get_by_role("heading", level=2)).to_be_focused()
    expect(page.get_by_label("What")).to_be_visible()
    for _ in range(8):
        page.keyboard.press("Tab")
        if page.get_by_label("What").evaluate("input => input === document.activeElement"):
            break
    page.keyboard.type("Smoke")
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_be_focused()
    assert values(report)["what"] == ["Smoke"]
