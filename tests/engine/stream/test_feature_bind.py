"""Resource binding and resumption."""

from __future__ import annotations

import pytest

from tests.engine.stream.fakes import Client, Server, last_element
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError


def authenticated(server: Server | None = None) -> Client:
    client = (server or Server()).connect()
    client.login()
    return client


def test_what_is_offered() -> None:
    server = Server()
    server.host.table.stream_features = (
        lambda host: Element("urn:xmpp:csi:0", "csi"),
        lambda host: None,
        lambda host: Element(ns.SM, "sm", None, Element(ns.SM, "optional")),
    )
    client = server.connect()
    client.open()
    client.plain()
    features = client.open()
    names = [child.name for child in features.elements()]
    assert names == ["bind", "session", "limits", "csi", "sm"]
    session = features.find(ns.SESSION, "session")
    assert session is not None
    assert session.find(ns.SESSION, "optional") is not None


def test_a_resource_of_the_clients_choice() -> None:
    client = authenticated()
    answer = last_element(client.bind("balcony"))
    assert (answer.name, answer.get("type"), answer.get("id")) == ("iq", "result", "b1")
    bind = answer.find(ns.BIND, "bind")
    assert bind is not None
    assert bind.child_text(ns.BIND, "jid") == "alice@localhost/balcony"


@pytest.mark.parametrize("resource", ["", "<resource/>"])
def test_a_resource_of_ours(resource: str) -> None:
    client = authenticated()
    client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'>{resource}</bind></iq>")
    assert client.server.binder.bound[0][1] is None


def test_the_session_learns_how_the_client_signed_in() -> None:
    client = authenticated()
    client.bind()
    facts = client.server.binder.bound[0][2]
    assert (facts.mechanism, facts.account_id, facts.peer, facts.secure) == ("PLAIN", 7, "192.0.2.1", False)


def test_an_error_leaves_the_client_another_try() -> None:
    client = authenticated()
    client.server.binder.bind_raises = StanzaError("conflict", "in use")
    answer = last_element(client.bind())
    assert (answer.get("type"), answer.get("id")) == ("error", "b1")
    error = answer.find(ns.CLIENT, "error")
    assert error is not None
    assert error.find(ns.STANZA_ERRORS, "conflict") is not None
    client.server.binder.bind_raises = None
    assert "<jid>" in client.bind()


def test_but_not_for_ever() -> None:
    client = authenticated()
    client.server.binder.bind_raises = StanzaError("conflict")
    for _ in range(11):
        client.bind()
    assert client.error() == "policy-violation"


@pytest.mark.parametrize(
    "iq",
    [
        f"<iq type='get' id='b'><bind xmlns='{ns.BIND}'/></iq>",
        f"<iq type='set' id='b'><session xmlns='{ns.SESSION}'/></iq>",
        "<iq type='set' id='b'/>",
    ],
)
def test_other_requests_are_too_early(iq: str) -> None:
    client = authenticated()
    client.send(iq)
    assert client.error() == "not-authorized"


def test_a_resumed_stream_is_taken_over() -> None:
    server = Server()
    server.binder.resumes = True
    client = authenticated(server)
    assert "<resumed" in client.send("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
    client.send("<message/>")
    assert len(server.binder.received) == 1


def test_after_a_failed_resumption_a_resource_is_bound() -> None:
    client = authenticated()
    assert "<failed" in client.send("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")
    assert "<jid>" in client.bind()


def test_stream_management_comes_after_the_resource() -> None:
    client = authenticated()
    answer = last_element(client.send("<enable xmlns='urn:xmpp:sm:3'/>"))
    assert answer.name == "failed"
    assert answer.find(ns.STANZA_ERRORS, "unexpected-request") is not None
    assert "<jid>" in client.bind()
