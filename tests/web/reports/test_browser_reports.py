"""A report from a client's block request to its closing in the console, on a real node."""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser import Visits
from tests.live import LiveNode, User

if TYPE_CHECKING:
    from playwright.sync_api import Page


def shot(page: Page, name: str) -> None:
    """Keep a picture where the environment says so."""
    folder = os.environ.get("MLINK_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


class Sender:
    """A client of few words on a plain socket."""

    def __init__(self, node: LiveNode, user: User) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.c2s_port), timeout=15)
        self.seen = b""
        local = user.jid.partition("@")[0]
        start = (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{node.domain}' version='1.0'>"
        )
        secret = b64encode(f"\0{local}\0{user.password}".encode()).decode()
        self.says(start, "</stream:features>")
        self.says(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>", "<success")
        self.says(start, "</stream:features>")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>t</resource></bind>"
        self.says(f"<iq type='set' id='b'>{bind}</iq><presence/>", "</iq>")

    def says(self, text: str, answer: str) -> str:
        """Send, and read up to what is awaited; returns all that came."""
        self.seen = b""
        self.socket.sendall(text.encode())
        while answer.encode() not in self.seen:
            data = self.socket.recv(65536)
            assert data, f"the end of the stream came instead of {answer}"
            self.seen += data
        return self.seen.decode()


def test_a_report_from_the_block_to_its_closing(visit: Visits, live_node: LiveNode) -> None:
    victim, spammer = live_node.add_user("victim"), live_node.add_user("spammer")
    reads, sends = Sender(live_node, victim), Sender(live_node, spammer)
    sends.socket.sendall(f"<message to='{victim.jid}' type='chat'><body>Cheap watches</body></message>".encode())
    came = reads.says("", "Cheap watches</body>") + reads.says(
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>", "id='p'"
    )
    id = came.split("<stanza-id", 1)[1].split("id='", 1)[1].split("'")[0]
    reads.says(
        f"<iq type='set' id='r'><block xmlns='urn:xmpp:blocking'><item jid='{spammer.jid}'>"
        "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>"
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{victim.jid}' id='{id}'/><text>Never asked for this.</text>"
        "<third-party/></report></item></block></iq>",
        "type='result'",
    )
    page = visit(live_node.admin, "/admin/reports/")
    shot(page, "reports-1280")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(page, "reports-360")
    page.get_by_role("link", name=spammer.jid).click()
    page.get_by_text("Cheap watches").wait_for()
    page.get_by_text("Never asked for this.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(page, "report-360")
    page.set_viewport_size({"width": 1280, "height": 800})
    shot(page, "report-1280")
    page.get_by_label("Note").fill("A clear case.")
    page.get_by_role("button", name=f"Disable {spammer.jid} and close").click()
    page.get_by_text("is closed.").wait_for()
    sends.says("", "not-authorized")
    assert live_node.ctl_json("report", "list", "closed")[0]["reported"] == spammer.jid
    page.goto(f"{live_node.url}/admin/invitations/")
    shot(page, "console-invitations-1280")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(page, "console-invitations-360")
