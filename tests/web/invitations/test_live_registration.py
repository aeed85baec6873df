"""XEP-0445 on a real node over a plain socket: a token lets one stranger in, and the rosters hold both."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from typing import Any

from tests.live import LiveNode

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


class Stranger:
    """A client of few words on a plain socket; `says` returns what came up to the awaited text."""

    def __init__(self, node: LiveNode) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.c2s_port), timeout=15)
        self.start = (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{node.domain}' version='1.0'>"
        )
        self.features = self.says(self.start, "</stream:features>")

    def says(self, text: str, answer: str) -> str:
        """Send, and read up to what is awaited."""
        seen = b""
        self.socket.sendall(text.encode())
        while answer.encode() not in seen:
            data = self.socket.recv(65536)
            assert data, f"the end of the stream came instead of {answer}"
            seen += data
        return seen.decode()

    def registers(self, name: str, password: str) -> str:
        """The answer to a registration."""
        fields = f"<username>{name}</username><password>{password}</password>"
        return self.says(f"<iq type='set' id='r'><query xmlns='jabber:iq:register'>{fields}</query></iq>", "id='r'")

    def shows(self, token: str) -> str:
        """The answer to a token."""
        return self.says(f"<iq type='set' id='t'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>", "id='t'")

    def signs_in(self, name: str, password: str) -> None:
        """PLAIN and bind."""
        secret = b64encode(f"\0{name}\0{password}".encode()).decode()
        self.says(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>", "<success")
        self.says(self.start, "</stream:features>")
        self.says("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")


def token_of(made: Any) -> str:
    """The token in what a command answers."""
    found = re.search(r"/invite/([A-Za-z0-9_-]+)", str(made))
    assert found is not None
    return found.group(1)


def test_a_token_lets_one_in(live_node: LiveNode) -> None:
    made = live_node.ctl_json("invite", "create", "localhost", "--name", "invited")
    first, second = Stranger(live_node), Stranger(live_node)
    assert "urn:xmpp:ibr-token:0" in first.features
    assert "not-allowed" in first.registers("invited", "correct horse")
    for stranger in (first, second):
        assert "type='result'" in stranger.shows(token_of(made))
    assert "item-not-found" in Stranger(live_node).shows("guess")
    assert "type='result'" in first.registers("invited", "correct horse")
    assert "type='error'" in second.registers("invited", "correct horse")
    Stranger(live_node).signs_in("invited", "correct horse")
    (row,) = [row for row in live_node.ctl_json("invite", "list") if row["number"] == made["number"]]
    assert (row["state"], row["used_by"]) == ("used", "invited@localhost")
    assert token_of(made) not in live_node.log.read_text()


def test_the_command_by_which_pages_register_logs_no_secret(live_node: LiveNode) -> None:
    token = token_of(live_node.ctl_json("invite", "create"))
    done = live_node.ctl("invite", "redeem", "localhost", "paged", "--token", token, "--password", "corr3ct-h0rse")
    assert "paged@localhost" in done.stdout
    again = live_node.ctl(
        "invite", "redeem", "localhost", "other", "--token", token, "--password", "corr3ct-h0rse", check=False
    )
    assert again.returncode != 0
    log = live_node.log.read_text()
    assert "invite redeem" in log
    assert token not in log
    assert "corr3ct-h0rse" not in log
