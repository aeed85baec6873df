"""What tests of the forms page share: forms to fill in, and how a page is opened."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests.browser import Visits
from tests.fdp.peer import Peer
from tests.live import LiveNode, User

_VALIDATE = "xmlns='http://jabber.org/protocol/xdata-validate'"
_LAYOUT = "xmlns='http://jabber.org/protocol/xdata-layout'"

SHORT = (
    "<x xmlns='jabber:x:data' type='form'><title>Short report</title>"
    "<field var='what' type='text-single' label='What'><required/></field>"
    "<field var='count' type='text-single' label='Count'>"
    f"<validate {_VALIDATE} datatype='xs:integer'><range min='1' max='50'/></validate></field></x>"
)

#: Every type of field, pages and sections.
LONG = (
    "<x xmlns='jabber:x:data' type='form'><title>Report of everything</title>"
    "<instructions>Fill in what you know.</instructions>"
    f"<page {_LAYOUT} label='Who and where'><text>First say who you are.</text>"
    "<section label='Person'><fieldref var='name'/><fieldref var='jid'/></section>"
    "<section label='Place'><fieldref var='grid'/><fieldref var='urgency'/>"
    "<section label='Numbers'><fieldref var='number'/><fieldref var='frequency'/></section></section></page>"
    f"<page {_LAYOUT} label='What'><fieldref var='kinds'/><fieldref var='colour'/><fieldref var='when'/>"
    "<fieldref var='day'/><fieldref var='clock'/><fieldref var='note'/></page>"
    f"<page {_LAYOUT} label='The rest'><fieldref var='picture'/><fieldref var='secret'/><fieldref var='copies'/></page>"
    "<field var='FORM_TYPE' type='hidden'><value>urn:example:report</value></field>"
    "<field var='name' type='text-single' label='Name'><required/><desc>As others know you.</desc></field>"
    "<field var='jid' type='jid-single' label='Address'/>"
    "<field var='grid' type='text-single' label='Grid'><required/><desc>Two digits and a letter.</desc>"
    f"<validate {_VALIDATE} datatype='xs:string'><regex>[0-9]{{2}}[A-Z]</regex></validate></field>"
    "<field var='urgency' type='list-single' label='Urgency'><required/>"
    "<option label='Urgent'><value>u</value></option><option label='Routine'><value>r</value></option></field>"
    "<field var='number' type='text-single' label='Number'><required/>"
    f"<validate {_VALIDATE} datatype='xs:integer'><range min='1' max='50'/></validate></field>"
    "<field var='frequency' type='text-single' label='Frequency'>"
    f"<validate {_VALIDATE} datatype='xs:decimal'><range min='2' max='400'/></validate></field>"
    "<field var='kinds' type='list-multi' label='Kinds'>"
    f"<validate {_VALIDATE} datatype='xs:string'><basic/><list-range min='1' max='2'/></validate>"
    "<option label='Fire'><value>f</value></option><option label='Water'><value>w</value></option>"
    "<option label='Wind'><value>i</value></option></field>"
    "<field var='colour' type='list-single' label='Colour'>"
    f"<validate {_VALIDATE} datatype='xs:string'><open/></validate>"
    "<option label='Red'><value>#f00</value></option><option label='Blue'><value>#00f</value></option></field>"
    f"<field var='when' type='text-single' label='When'><validate {_VALIDATE} datatype='xs:dateTime'/></field>"
    f"<field var='day' type='text-single' label='Day'><validate {_VALIDATE} datatype='xs:date'/></field>"
    f"<field var='clock' type='text-single' label='Clock'><validate {_VALIDATE} datatype='xs:time'/></field>"
    "<field var='note' type='text-multi' label='Note'><value>line one</value><value>line two</value></field>"
    "<field var='picture' type='list-single' label='Which of these'>"
    "<media xmlns='urn:xmpp:media-element' width='64' height='40'>"
    "<uri type='image/svg+xml'>/static/mlink/mark.svg</uri></media>"
    + "".join(f"<option label='Choice {letter}'><value>{letter}</value></option>" for letter in "ABCDEFGH")
    + "</field>"
    "<field var='sure' type='boolean' label='I have seen it myself'><value>1</value></field>"
    "<field var='secret' type='text-private' label='Code word'/>"
    "<field var='copies' type='jid-multi' label='Copies to'/></x>"
)


def open_forms(visit: Visits, user: User, peer: Peer | None = None, place: str = "", **options: object) -> Page:
    """Sign in and open the page, which then is connected; with the scripted server where one is given."""
    page = visit(user, "/", **options)
    if peer is not None:
        peer.serve(page, user.jid)
    page.goto(f"{visit.node.url}/forms/{place}")
    is_connected(page)
    return page


def is_connected(page: Page) -> None:
    """Wait until the page says so and does not read topics (any more)."""
    expect(page.locator("#link")).to_have_text("connected")
    expect(page.locator("#topics-state")).not_to_contain_text("…")


def choose(page: Page, title: str) -> None:
    """Open a topic by the list at the side."""
    page.locator("#topics").get_by_role("link", name=title).click()
    expect(page.locator("#desk").get_by_role("heading", level=2)).to_have_text(title)


def cut_off(page: Page) -> None:
    """Take the connection away, once the form is there to be filled in."""
    expect(page.locator("#desk [data-var]").first).to_be_visible()
    page.context.set_offline(True)


def field(page: Page, name: str) -> Locator:
    """The box of a field."""
    return page.locator(f"#desk [data-var='{name}']")


def error(page: Page, name: str) -> Locator:
    """What the page says is wrong with a field."""
    return field(page, name).locator(".error")


def publish(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Publish", exact=True).click()


def look_for(page: Page, title: str) -> None:
    """Open a topic that was made a moment ago and may still be on its way into the node."""
    link = page.locator("#topics").get_by_role("link", name=title)
    look = page.get_by_role("button", name="Look again")
    for _ in range(200):
        expect(look).to_be_enabled()
        if link.count():
            choose(page, title)
            return
        look.click()
        page.wait_for_timeout(100)
    raise AssertionError(f"{title} does not appear")


def sign_in(page: Page, node: LiveNode, user: User, path: str) -> None:
    """Sign in by the form, and land on a page."""
    page.goto(f"{node.url}/accounts/sign-in/?next={quote(path)}")
    page.get_by_label("XMPP address").fill(user.jid)
    page.get_by_label("Password").fill(user.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(node.url + path)
