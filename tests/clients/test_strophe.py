"""strophe.js in Chromium, over WebSocket and BOSH, from our own pages' origin and from a foreign one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import ROOT, LiveNode, User

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STROPHE = ROOT / "node_modules/strophe.js/dist/strophe.umd.min.js"
PEER = Path(__file__).with_name("strophe_peer.js")
PATIENCE = 20_000

pytestmark = pytest.mark.skipif(not STROPHE.exists(), reason="strophe.js is not installed; `make setup` installs it")
SERVICES = pytest.mark.parametrize("service", ["xmpp-websocket", "http-bind"])
Peers = Callable[..., "Peer"]


class Peer:
    """A strophe.js client in a page of its own."""

    def __init__(self, page: Page, service: str, user: User, password: str = "") -> None:
        self.page = page
        self.user = user
        self.page.evaluate(
            "([service, jid, password]) => { window.peer = new Peer(service, jid, password); }",
            [service, f"{user.jid}/browser", password or user.password],
        )

    def connect(self) -> str:
        """Sign in; the final state's name."""
        return str(self.page.evaluate("peer.connect()"))

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the client."""
        return self.page.evaluate("([method, given]) => peer[method](...given)", [method, list(arguments)])

    def waits_for(self, kind: str, text: str) -> str:
        """Wait until one of what was received (`messages`, `presences`, `rosterPushes`) holds this text; returns it."""
        found = self.page.wait_for_function(
            "([kind, text]) => peer[kind].find((stanza) => stanza.includes(text))", arg=[kind, text], timeout=PATIENCE
        )
        return str(found.json_value())


@pytest.fixture
def peers(browser: Browser, live_node: LiveNode) -> Iterator[Peers]:
    """A function that makes a client: `peers("http-bind", user, foreign=True)` on a page of another origin."""
    contexts = []

    def make(service: str, user: User, *, password: str = "", foreign: bool = False) -> Peer:
        context = browser.new_context(bypass_csp=True)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"http://{'127.0.0.1' if foreign else 'localhost'}:{live_node.http_port}/healthz")
        page.add_script_tag(path=str(STROPHE))
        page.evaluate("() => Object.assign(window, window.strophe || {})")
        page.add_script_tag(path=str(PEER))
        scheme = "ws" if service == "xmpp-websocket" else "http"
        return Peer(page, f"{scheme}://localhost:{live_node.http_port}/{service}", user, password)

    yield make
    for context in contexts:
        context.close()


@SERVICES
@pytest.mark.parametrize("foreign", [False, True], ids=["own-origin", "foreign-origin"])
def test_chats_both_ways(peers: Peers, user: Callable[[], User], service: str, foreign: bool) -> None:
    one, other = user(), user()
    # The other side uses the other transport.
    romeo = peers(service, one, foreign=foreign)
    juliet = peers("http-bind" if service == "xmpp-websocket" else "xmpp-websocket", other)
    assert romeo.connect() == "CONNECTED"
    assert juliet.connect() == "CONNECTED"
    romeo.call("say", other.jid, "Il n'y a pas de rose ☠ <&>")
    heard = juliet.waits_for("messages", "Il n'y a pas de rose ☠ &lt;&amp;&gt;")
    assert f'from="{one.jid}/browser"' in heard
    for number in range(30):
        juliet.call("say", f"{one.jid}/browser", f"line {number:02d}")
    romeo.waits_for("messages", "line 29")
    lines = romeo.page.evaluate("peer.messages.map((text) => (text.match(/line \\d\\d/) || [''])[0]).filter(Boolean)")
    assert lines == [f"line {number:02d}" for number in range(30)]


@SERVICES
def test_changes_contacts_and_reads_the_archive(peers: Peers, user: Callable[[], User], service: str) -> None:
    one, other = user(), user()
    romeo, juliet = peers(service, one), peers(service, other)
    assert (romeo.connect(), juliet.connect()) == ("CONNECTED", "CONNECTED")
    romeo.call("ask", "get", "<query xmlns='jabber:iq:roster'/>")
    juliet.call("ask", "get", "<query xmlns='jabber:iq:roster'/>")
    changed = romeo.call(
        "ask", "set", f"<query xmlns='jabber:iq:roster'><item jid='{other.jid}' name='Juliet'/></query>"
    )
    assert 'type="result"' in changed
    romeo.waits_for("rosterPushes", 'name="Juliet"')
    romeo.call("presence", {"to": other.jid, "type": "subscribe"})
    juliet.waits_for("presences", 'type="subscribe"')
    juliet.call("presence", {"to": one.jid, "type": "subscribed"})
    romeo.waits_for("rosterPushes", 'subscription="to"')
    romeo.waits_for("presences", f'from="{other.jid}/browser"')

    romeo.call("say", other.jid, "to be kept")
    juliet.waits_for("messages", "to be kept")
    answer = juliet.call("ask", "set", "<query xmlns='urn:xmpp:mam:2' queryid='q1'/>")
    assert "<fin" in answer
    assert 'complete="true"' in answer
    result = juliet.waits_for("messages", "urn:xmpp:mam:2")
    assert "to be kept" in result


@SERVICES
def test_a_wrong_password_is_refused(peers: Peers, user: Callable[[], User], service: str) -> None:
    assert peers(service, user(), password="wrong").connect() == "AUTHFAIL"


@SERVICES
def test_leaves_properly(peers: Peers, live_node: LiveNode, user: Callable[[], User], service: str) -> None:
    one = user()
    romeo = peers(service, one)
    assert romeo.connect() == "CONNECTED"
    assert one.jid in live_node.ctl("sessions").stdout
    romeo.call("leave")
    romeo.page.wait_for_function("peer.gone === true", timeout=PATIENCE)
    assert one.jid not in live_node.ctl("sessions").stdout
