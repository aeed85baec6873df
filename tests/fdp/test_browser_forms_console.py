"""The console's pages of forms in a browser on a running node: a form is built by dragging and by keys, saved,
compared, tried; rules and stylesheets are set; published forms are read and exported."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lxml import etree
from playwright.sync_api import Locator, Page, expect

from tests.browser import Visits
from tests.live import LiveNode, PlainClient, User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
SHEET = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:d="jabber:x:data">
<xsl:template match="/d:x"><h1>Styled <xsl:value-of select="d:field[@var='site']/d:value"/></h1>
<script>top.document.title = 'broken'</script><img src="https://evil.invalid/x.png" onerror="alert(1)"/></xsl:template>
</xsl:stylesheet>"""


class Topic:
    """A topic made by the terminal's command, with a name that no other test uses."""

    def __init__(self, node: LiveNode, definition: dict[str, Any] | None = None) -> None:
        mark = secrets.token_hex(4)
        self.node = node
        self.title = f"Topic {mark}"
        self.suffix = f"example.org/t-{mark}"
        self.service = f"forms.{node.domain}"
        folder = node.home / f"{mark}.json"
        folder.write_text(json.dumps(self.document(definition)))
        node.ctl("topic", "import", str(folder), "--service", self.service)

    def document(self, definition: dict[str, Any] | None) -> dict[str, Any]:
        """The export that is imported."""
        versions = [{"name": "version01", "definition": definition}] if definition else []
        topic = {"suffix": self.suffix, "title": self.title, "versions": versions}
        return {"format": "forms", "format_version": 1, "topics": [topic]}

    def open(self, page: Page, tab: str = "") -> None:
        """Go to a page of the topic as a person does."""
        page.goto(f"{self.node.url}/admin/forms/?q={self.suffix}")
        page.get_by_role("link", name=self.title, exact=True).click()
        if tab:
            page.get_by_role("navigation", name=f"Topic {self.title}").get_by_role("link", name=tab).click()

    @contextmanager
    def connected(self, user: User) -> Iterator[PlainClient]:
        """A client that can publish."""
        client = PlainClient(self.node, user, "desk")
        try:
            yield client
        finally:
            client.socket.close()

    def publish(self, client: PlainClient, **values: str) -> str:
        """Publish a form; returns the id of its item."""
        item = secrets.token_hex(6)
        fields = "".join(
            f"<field var='{name.replace('amends', 'fdp#amends')}'><value>{value}</value></field>"
            for name, value in values.items()
        )
        form = f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"
        publish = f"<publish node='fdp/submitted/{self.suffix}'><item id='{item}'>{form}</item></publish>"
        query = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>"
        client.say(f"<iq type='set' id='{item}' to='{self.service}'>{query}</iq>", b"</iq>")
        assert b"type='error'" not in client.seen, client.seen
        return item


SITE = {
    "title": "Site",
    "fields": [
        {"var": "site", "label": "Location", "required": True},
        {"var": "night", "type": "boolean", "label": "At night"},
    ],
}


def drag(page: Page, source: Locator, target: Locator, *, below: bool = True) -> None:
    """Drag as a hand does: press, move in steps, let go just below (or above) the middle of the target."""
    target.scroll_into_view_if_needed()
    source.scroll_into_view_if_needed()
    box = source.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2 + 10, steps=3)
    goal = target.bounding_box()
    assert goal is not None
    y = goal["y"] + goal["height"] * (0.8 if below else 0.2)
    page.mouse.move(goal["x"] + goal["width"] / 2, y, steps=8)
    expect(page.locator(".ghost")).to_be_visible()
    expect(page.locator(".drop-line")).to_have_count(1)
    page.mouse.up()
    expect(page.locator(".ghost")).to_have_count(0)


def chip(page: Page, words: str) -> Locator:
    """An entry of the palette."""
    return page.locator("#palette").get_by_role("button", name=words, exact=True)


def card(page: Page, words: str) -> Locator:
    """The card of a part of the form."""
    return page.locator("#canvas .part-card").filter(has=page.get_by_role("button", name=f"Move {words}", exact=True))


def names(page: Page) -> list[str]:
    """What stands in the form, in order."""
    return page.locator("#canvas .part-card .part-name").all_inner_texts()


def prop(page: Page, label: str) -> Locator:
    """A control of the open part."""
    return page.locator("#canvas .properties").get_by_label(label, exact=True)


def saved(node: LiveNode, topic: Topic) -> dict[str, Any]:
    """The newest definition as the server has it."""
    path = node.home / f"{secrets.token_hex(4)}.json"
    node.ctl("topic", "export", topic.suffix, str(path), "--service", topic.service)
    exported = json.loads(path.read_text())
    return exported["topics"][0]["versions"][-1]["definition"]


def test_a_form_is_built_by_dragging(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    page.get_by_label("Title", exact=True).fill("MEDEVAC 9-line")
    drag(page, chip(page, "Line of text"), page.locator("#canvas .empty-list"))
    expect(prop(page, "Label")).to_be_focused()
    prop(page, "Label").fill("Location of the site")
    expect(prop(page, "Name")).to_have_value("location_of_the_site")
    prop(page, "Must be filled in").check()
    drag(page, chip(page, "Several of a list"), card(page, "Location of the site").locator(".part-head"), below=True)
    prop(page, "Label").fill("Patients by precedence")
    page.get_by_label("Label of option 1").fill("Urgent")
    expect(page.get_by_label("Label of option 1")).to_have_value("Urgent")
    page.get_by_label("Label of option 2").fill("Priority")
    page.get_by_role("button", name="Add an option").click()
    expect(page.get_by_label("Label of option 3")).to_be_focused()
    page.keyboard.type("Routine")
    drag(page, chip(page, "Number"), page.locator("#canvas .part-head").first, below=False)
    prop(page, "Label").fill("Frequency")
    prop(page, "Datatype").select_option("xs:decimal")
    prop(page, "Values must fit").select_option("range")
    prop(page, "Smallest value").fill("2")
    prop(page, "Largest value").fill("400")
    assert names(page) == ["Frequency", "Location of the site", "Patients by precedence"]
    # The first goes to the end by its handle, a section comes around two of them, and a second page.
    page.get_by_role("button", name=re.compile("^Frequency")).click()
    drag(page, page.get_by_role("button", name="Move Frequency", exact=True), page.locator("#canvas .part-card").last)
    assert names(page) == ["Location of the site", "Patients by precedence", "Frequency"]
    drag(page, chip(page, "Section"), page.locator("#canvas .part-card").last)
    prop(page, "Title of the section").fill("Radio")
    page.get_by_role("button", name=re.compile("^Radio")).click()
    drag(
        page,
        page.get_by_role("button", name="Move Frequency", exact=True),
        page.locator("#canvas .is-section .empty-list"),
    )
    expect(page.locator("#canvas .is-section .part-card")).to_have_count(1)
    chip(page, "Page").click()
    prop(page, "Title of the page").fill("Second page")
    drag(
        page,
        page.get_by_role("button", name="Move Patients by precedence", exact=True),
        page.locator("#canvas .empty-list"),
    )
    expect(page.locator(".page-card")).to_have_count(2)
    expect(page.locator("#state")).to_have_text("up to date")
    preview = page.locator("#preview")
    expect(preview.get_by_role("heading", name="Second page")).to_be_visible()
    expect(preview.get_by_label("Frequency")).to_be_visible()
    page.get_by_label("What is new").fill("First lines")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".note.success")).to_contain_text("Saved as version01")
    definition = saved(live_node, topic)
    by_name = {field["var"]: field for field in definition["fields"]}
    assert definition["title"] == "MEDEVAC 9-line"
    assert by_name["location_of_the_site"]["required"]
    labels = [option["label"] for option in by_name["patients_by_precedence"]["options"]]
    assert labels == ["Urgent", "Priority", "Routine"]
    check = by_name["frequency"]["validate"]
    assert (check["datatype"], check["method"], check["min"], check["max"]) == ("xs:decimal", "range", "2", "400")
    assert [page["label"] for page in definition["pages"]] == ["", "Second page"]
    assert definition["pages"][0]["parts"][1] == {
        "kind": "section",
        "label": "Radio",
        "parts": [{"kind": "field", "var": "frequency"}],
    }
    assert definition["pages"][1]["parts"] == [{"kind": "field", "var": "patients_by_precedence"}]


def test_a_form_is_built_by_keys(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    for words, label in (("Line of text", "Location"), ("Yes or no", "At night"), ("Section", "Details")):
        chip(page, words).focus()
        page.keyboard.press("Enter")
        expect(page.locator("#canvas .properties :is(input, textarea)").first).to_be_focused()
        page.keyboard.press("Control+a")
        page.keyboard.type(label)
    assert names(page) == ["Location", "At night", "Details"]
    announced = page.locator("#announce")
    # The section is selected, so what comes next goes into it.
    chip(page, "Addresses").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Control+a")
    page.keyboard.type("Contacts")
    handle = page.get_by_role("button", name="Move Location", exact=True)
    handle.focus()
    page.keyboard.press("Space")
    expect(handle).to_have_attribute("aria-pressed", "true")
    expect(announced).to_contain_text("Location is taken")
    page.keyboard.press("ArrowDown")
    expect(announced).to_have_text("place 2 of 3 in page 1.")
    page.keyboard.press("ArrowDown")
    expect(announced).to_have_text("place 1 of 2 in section Details.")
    expect(handle).to_be_focused()
    page.keyboard.press("Space")
    expect(handle).to_have_attribute("aria-pressed", "false")
    assert names(page) == ["At night", "Details", "Location", "Contacts"]
    # Escape puts back.
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert names(page)[0] == "Location"
    page.keyboard.press("Escape")
    assert names(page) == ["At night", "Details", "Location", "Contacts"]
    # Removed, and undone.
    page.get_by_role("button", name="Remove At night").press("Enter")
    assert names(page) == ["Details", "Location", "Contacts"]
    page.keyboard.press("Control+z")
    assert names(page) == ["At night", "Details", "Location", "Contacts"]
    page.get_by_label("What is new").press("Enter")
    expect(page.locator(".note.success")).to_contain_text("Saved as version01")
    definition = saved(live_node, topic)
    assert [field["var"] for field in definition["fields"]] == ["at_night", "location", "contacts"]
    assert [field["type"] for field in definition["fields"]] == ["boolean", "text-single", "jid-multi"]
    assert definition["pages"][0]["parts"][1]["parts"][0] == {"kind": "field", "var": "location"}


def test_fingers_drag_too(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    topic.open(page, "Form")
    expect(page.locator("#canvas .part-name")).to_have_text(["Location", "At night"])
    handle = page.get_by_role("button", name="Move Location", exact=True)
    handle.scroll_into_view_if_needed()
    start = handle.bounding_box()
    goal = card(page, "At night").bounding_box()
    assert start is not None
    assert goal is not None
    session = page.context.new_cdp_session(page)
    x, y = start["x"] + 10, start["y"] + 15

    def touch(kind: str, *points: tuple[float, float]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})

    touch("touchStart", (x, y))
    for step in range(1, 9):
        touch("touchMove", (x + 40, y + (goal["y"] + goal["height"] - 4 - y) * step / 8))
    touch("touchEnd")
    expect(page.locator("#canvas .part-name").first).to_have_text("At night")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_mistakes_are_shown_where_they_are(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    page.get_by_role("button", name=re.compile("^At night")).click()
    prop(page, "Name").fill("site")
    wrong = card(page, "At night")
    expect(wrong.locator(".complaint")).to_have_text("Another field is called site.")
    expect(prop(page, "Name")).to_have_attribute("aria-invalid", "true")
    visit.expected.append("400")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator("#trouble")).to_have_text("At night: Another field is called site.")
    expect(prop(page, "Label")).to_be_visible()
    prop(page, "Name").fill("night")
    expect(wrong.locator(".complaint")).to_have_count(0)
    expect(page.locator("#trouble")).to_be_hidden()
    # What is not saved is not lost by a wrong click.
    prop(page, "Label").fill("By night")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.get_by_role("link", name="Published forms").click()
    expect(page.locator("#dirty")).to_have_text("Not saved yet.")
    assert asked == ["beforeunload"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("link", name="Published forms").click()
    expect(page.get_by_role("heading", name="Published forms")).to_be_visible()


def test_pictures_and_checks_are_set(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    page.get_by_role("button", name=re.compile("^Location")).click()
    page.get_by_text("Picture or sound", exact=True).click()
    page.get_by_role("button", name="Add a picture or sound").click()
    address = page.get_by_label("Address", exact=True)
    expect(address).to_be_focused()
    address.fill("javascript:alert(1)")
    expect(page.locator(".media-row .complaint")).to_have_text("Must begin with https:, http: or cid:.")
    address.fill("https://pictures.example/map.png")
    page.get_by_label("width in pixels").fill("320")
    expect(page.locator("#preview .media")).to_contain_text("image/png")
    prop(page, "Type").select_option("list-multi")
    page.get_by_label("Label of option 1").fill("Here")
    page.get_by_text("Checks", exact=True).click()
    prop(page, "Most choices").fill("1")
    prop(page, "Fewest choices").fill("2")
    expect(page.locator(".complaint")).to_have_text("Must not be less than list_min.")
    prop(page, "Most choices").fill("3")
    expect(page.locator(".complaint")).to_have_count(0)
    page.get_by_label("Other answers may be entered").check()
    page.get_by_role("tab", name="XML").click()
    xml = page.locator("#xml")
    expect(xml).to_contain_text('<media xmlns="urn:xmpp:media-element" width="320">')
    expect(xml).to_contain_text('<list-range min="2" max="3"/>')
    expect(xml).to_contain_text("<open/>")


def test_the_preview_checks_like_the_server(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    preview = page.locator("#preview")
    chip(page, "Number").click()
    prop(page, "Label").fill("Count")
    count = preview.get_by_label("Count")
    count.fill("1.5")
    count.blur()
    expect(preview.locator('[data-var="count"] .error')).to_be_visible()
    expect(preview.locator('[data-var="site"] .error')).to_be_hidden()
    page.get_by_role("button", name="Check what is filled in").click()
    expect(preview.locator('[data-var="site"] .error')).to_have_text("Must be filled in.")
    expect(page.locator("#state")).to_have_text("2 fields to correct")
    count.fill("3")
    preview.get_by_label("Location").fill("here")
    preview.get_by_label("Location").blur()
    expect(page.locator("#state")).to_have_text("would be accepted")
    # What was filled in stays when the form changes around it.
    chip(page, "Text to read").click()
    drag(
        page,
        page.get_by_role("button", name="Move Count", exact=True),
        page.locator("#canvas .part-card").first,
        below=False,
    )
    expect(preview.locator("[data-var]").first).to_have_attribute("data-var", "count")
    expect(count).to_have_value("3")
    expect(preview.get_by_label("Location")).to_have_value("here")


def test_json_and_xml(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    page.get_by_role("tab", name="XML").click()
    expect(page.locator("#xml")).to_contain_text('<field var="site" type="text-single" label="Location">')
    page.get_by_role("tab", name="JSON").click()
    area = page.locator("#json")
    definition = json.loads(area.input_value())
    area.fill("{ this is none")
    expect(page.locator("#trouble")).to_contain_text("This is no form in JSON")
    definition["fields"].append({"var": "extra", "type": "text-multi", "label": "Extra"})
    area.fill(json.dumps(definition))
    expect(page.locator("#trouble")).to_be_hidden()
    page.get_by_role("tab", name="Design").click()
    assert names(page) == ["Location", "At night", "Extra"]
    expect(page.locator("#preview").get_by_label("Extra")).to_be_visible()


def test_without_scripts_the_form_is_json(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin, java_script_enabled=False)
    topic.open(page, "Form")
    area = page.get_by_label("The form as JSON").last
    definition = json.loads(area.input_value())
    definition["fields"][0]["label"] = "Place"
    area.fill(json.dumps({**definition, "fields": []}))
    visit.expected.append("400")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator("#refusal")).to_contain_text("at least one field")
    area.fill(json.dumps(definition))
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".note.success")).to_contain_text("version02")
    expect(page.locator(".changes")).to_contain_text("Place")
    expect(page.locator(".changes del")).to_have_text("Location")
    topic.open(page, "Test run")
    page.get_by_label("Place").fill("here")
    page.get_by_role("button", name="Check, publish nothing").click()
    expect(page.locator("#verdict")).to_contain_text("would accept this form")


def test_versions_are_compared_and_the_form_is_tried(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    page = visit(live_node.admin)
    topic.open(page, "Form")
    page.get_by_role("button", name=re.compile("^Location")).click()
    prop(page, "Label").fill("Grid reference")
    page.get_by_text("Checks", exact=True).click()
    prop(page, "Values must fit").select_option("regex")
    prop(page, "Pattern").fill("[0-9]{4}")
    page.get_by_role("button", name="Save as a new version").click()
    changes = page.locator(".changes")
    expect(changes).to_contain_text("“Grid reference” (site)")
    expect(changes.locator("ins")).to_contain_text(["Grid reference"])
    expect(page.get_by_role("cell", name=live_node.admin.jid)).to_be_visible()
    topic.open(page, "Test run")
    visit.expected.append("400")
    page.get_by_label("Grid reference").fill("12")
    page.get_by_role("button", name="Check, publish nothing").click()
    expect(page.locator("#verdict")).to_be_focused()
    expect(page.locator("#verdict")).to_contain_text("Grid reference: does not have the form that is asked for")
    expect(page.get_by_label("Grid reference")).to_have_value("12")
    page.get_by_label("Grid reference").fill("1234")
    page.get_by_role("button", name="Check, publish nothing").click()
    expect(page.locator("#verdict")).to_contain_text("Nothing was published")
    topic.open(page)
    expect(page.locator(".card", has_text="Published forms").first).to_contain_text("never")


def test_rules_are_set_and_in_force(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    reader = live_node.add_user("reader")
    page = visit(live_node.admin)
    topic.open(page, "Rules")
    publish = page.get_by_role("group", name="Who may publish")
    publish.get_by_role("button", name=re.compile("^Remove rule")).click()
    publish.get_by_role("button", name="Add a rule").click()
    rule = publish.locator(".rule:visible")
    rule.get_by_label("Who", exact=True).select_option("domain")
    rule.get_by_label("Address, domain or group").fill("not a domain@")
    visit.expected.append("400")
    page.get_by_role("button", name="Save the rules").click()
    expect(publish.locator(".error")).to_be_visible()
    publish.locator(".rule:visible").get_by_label("Who", exact=True).select_option("jid")
    publish.locator(".rule:visible").get_by_label("Address, domain or group").fill("somebody@else.example")
    page.get_by_role("button", name="Save the rules").click()
    expect(page.locator(".note.success")).to_contain_text("in force")
    topic.open(page)
    expect(page.locator(".facts", has_text="Who may publish")).to_contain_text("somebody@else.example")
    with topic.connected(reader) as client:
        query = (
            f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='fdp/submitted/{topic.suffix}'>"
            "<item><x xmlns='jabber:x:data' type='submit'><field var='site'><value>x</value></field></x></item>"
            "</publish></pubsub>"
        )
        client.say(f"<iq type='set' id='p' to='{topic.service}'>{query}</iq>", b"</iq>")
        assert b"<forbidden" in client.seen


def test_stylesheets_are_previewed_and_harmless(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    writer = live_node.add_user("writer")
    with topic.connected(writer) as client:
        topic.publish(client, site="North gate")
    page = visit(live_node.admin)
    topic.open(page, "Stylesheets")
    frame = page.frame_locator("#preview")
    page.get_by_label("XSLT 1.0").fill(SHEET.replace("</xsl:template>", ""))
    expect(frame.locator("body")).to_contain_text("Line 4: The stylesheet is not well-formed")
    page.get_by_label("XSLT 1.0").fill(SHEET)
    expect(frame.get_by_role("heading")).to_have_text("Styled Location")
    page.get_by_label("With").select_option(index=1)
    expect(frame.get_by_role("heading")).to_have_text("Styled North gate")
    page.get_by_label("CSS", exact=False).last.fill("h1 { color: rgb(1, 2, 3) }")
    expect(frame.get_by_role("heading")).to_have_css("color", "rgb(1, 2, 3)")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".note.success")).to_contain_text("saved")
    topic.open(page)
    page.get_by_role("link", name="Show them").click()
    page.get_by_role("link", name=f"{topic.title} 1", exact=True).click()
    shown = page.frame_locator("iframe.frame")
    expect(shown.get_by_role("heading")).to_have_text("Styled North gate")
    assert "broken" not in page.title()
    page.get_by_role("link", name="Show it plainly").click()
    expect(page.locator(".sheet")).to_contain_text("North gate")


def test_published_forms_are_found_read_and_exported(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    writer = live_node.add_user("writer")
    with topic.connected(writer) as client:
        first = topic.publish(client, site="North gate", night="1")
        topic.publish(client, site="North gate, corrected", amends=first)
        topic.publish(client, site="=1+1")
    page = visit(live_node.admin)
    topic.open(page)
    page.get_by_role("link", name="Show them").click()
    expect(page.locator("#published tbody tr")).to_have_count(3)
    page.get_by_label("Words or #number").fill("corrected")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#published tbody tr")).to_have_count(1)
    expect(page.locator("#published")).to_contain_text("number 1")
    page.get_by_role("link", name=f"{topic.title} 2", exact=True).click()
    expect(page.locator(".note")).to_contain_text("This amends number 1")
    page.get_by_role("link", name="number 1").click()
    expect(page.locator(".note")).to_contain_text("Amended by number 2")
    expect(page.locator(".sheet")).to_contain_text("Yes")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF/A").click()
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    with page.expect_download() as download:
        page.get_by_role("link", name="XML", exact=True).click()
    form = etree.fromstring(download.value.path().read_bytes())
    assert form.findtext("{jabber:x:data}field[@var='site']/{jabber:x:data}value") == "North gate"
    page.get_by_role("link", name="Print").click()
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    page.emulate_media(media="screen")
    topic.open(page)
    page.get_by_role("link", name="Show them").click()
    marked = page.get_by_role("button", name="the marked forms")
    expect(marked).to_be_disabled()
    page.get_by_label(f"Mark {topic.title} 1").check()
    page.get_by_label(f"Mark {topic.title} 3").check()
    expect(page.locator("#marked")).to_have_text("2 marked")
    page.get_by_label("Export as").select_option("csv")
    with page.expect_download() as download:
        marked.click()
    table = download.value.path().read_text(encoding="utf-8-sig")
    assert '"North gate"' in table
    assert '"\'=1+1"' in table
    assert "corrected" not in table
    page.get_by_label("Export as").select_option("xml")
    with page.expect_download() as download:
        page.get_by_role("button", name="all 3").click()
    assert len(etree.fromstring(download.value.path().read_bytes())) == 3


def test_many_forms_are_exported_in_the_background(live_node: LiveNode, visit: Visits) -> None:
    topic = Topic(live_node, SITE)
    writer = live_node.add_user("writer")
    with topic.connected(writer) as client:
        for number in range(51):
            topic.publish(client, site=f"place {number}")
    page = visit(live_node.admin)
    topic.open(page)
    page.get_by_role("link", name="Show them").click()
    page.get_by_label("Export as").select_option("pdf")
    page.get_by_role("button", name="all 51").click()
    row = page.locator("table.jobs tbody tr", has_text=topic.title)
    expect(row).to_contain_text("51 forms")
    expect(row.get_by_role("link", name="Download")).to_be_visible(timeout=120_000)
    with page.expect_download() as download:
        row.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".pdf")
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    row.get_by_role("button", name="Remove").click()
    expect(page.locator(".note.success")).to_contain_text("removed")


def test_services_and_topics_come_and_go(live_node: LiveNode, visit: Visits) -> None:
    label = f"x{secrets.token_hex(3)}"
    name = f"{label}.{live_node.domain}"
    page = visit(live_node.admin, "/admin/forms/services/")
    page.get_by_role("link", name="Add a service").click()
    page.get_by_label("Name", exact=True).fill(label)
    page.get_by_role("button", name="Add the service").click()
    expect(page.locator(".note.success")).to_contain_text(name)
    page.goto(f"{live_node.url}/admin/forms/add/?service={name}")
    page.get_by_label("Title").fill("Short-lived")
    page.get_by_label("Name", exact=True).fill("example.org/short")
    page.get_by_label("Start with").select_option("sitrep")
    page.get_by_role("button", name="Add the topic").click()
    expect(page.locator("#canvas .part-card").first).to_be_visible()
    page.get_by_role("link", name="Overview").last.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export the topic").click()
    exported = json.loads(download.value.path().read_text())
    assert exported["topics"][0]["suffix"] == "example.org/short"
    page.get_by_role("link", name="Remove the topic").click()
    page.get_by_label("Type example.org/short to confirm").fill("example.org/short")
    page.get_by_role("button", name="Remove the topic").click()
    expect(page.locator(".note.success")).to_contain_text("Short-lived is removed")
    page.get_by_role("link", name="Import and export topics").click()
    page.get_by_label("Service").select_option(name)
    page.get_by_label("File").set_input_files(
        {"name": "t.json", "mimeType": "application/json", "buffer": json.dumps(exported).encode()}
    )
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".note.success")).to_contain_text("Imported: Short-lived")
    page.goto(f"{live_node.url}/admin/forms/services/{name}/remove/")
    page.get_by_label(f"Type {name} to confirm").fill(name)
    visit.expected.append("400")
    page.get_by_role("button", name="Remove for good").click()
    expect(page.locator(".note.bad")).to_contain_text("still has 1 topic")
