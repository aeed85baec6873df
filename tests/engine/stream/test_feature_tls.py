"""STARTTLS."""

from __future__ import annotations

from tests.engine.stream.fakes import HEADER, Client, Server, failure
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

STARTTLS = f"<starttls xmlns='{ns.TLS}'/>"


def encrypted(server: Server) -> Client:
    """A client after its handshake."""
    client = server.connect()
    client.open()
    client.send(STARTTLS)
    client.transport.secure = True
    client.transport.can_start_tls = False
    client.stream.tls_established()
    return client


def names(features: Element) -> list[str]:
    return [child.name for child in features.elements()]


def test_where_it_is_required_nothing_else_is_offered() -> None:
    features = Server(tls="required").connect().open()
    assert names(features) == ["starttls"]
    starttls = features.find(ns.TLS, "starttls")
    assert starttls is not None
    assert starttls.find(ns.TLS, "required") is not None


def test_where_it_is_optional_authentication_is_offered_too() -> None:
    features = Server(tls="optional").connect().open()
    assert names(features)[:2] == ["starttls", "mechanisms"]
    starttls = features.find(ns.TLS, "starttls")
    assert starttls is not None
    assert starttls.first() is None


def test_the_handshake_begins_after_the_answer() -> None:
    client = Server(tls="required").connect()
    client.open()
    assert client.send(STARTTLS) == f"<proceed xmlns='{ns.TLS}'/>"
    assert client.transport.tls == ("contexts", "localhost")


def test_a_new_stream_follows() -> None:
    client = encrypted(Server(tls="required"))
    first = client.stream.id
    assert names(client.open()) == ["authentication", "mechanisms", "limits"]
    assert client.stream.id != first


def test_what_was_sent_in_clear_behind_the_request_is_dropped() -> None:
    """Otherwise somebody in between could put words into the protected stream (CVE-2011-0411 and its kin)."""
    server = Server(tls="required")
    client = server.connect()
    client.open()
    injected = f"{HEADER}<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGFsaWNlAHBlbmNpbA==</auth>"
    assert client.send(STARTTLS + injected) == f"<proceed xmlns='{ns.TLS}'/>"
    client.transport.secure = True
    client.stream.tls_established()
    assert client.stream.role.account is None  # type: ignore[attr-defined]
    assert names(client.open()) == ["authentication", "mechanisms", "limits"]


def test_authentication_before_it_needs_encryption() -> None:
    client = Server(tls="required").connect()
    client.open()
    assert failure(client.plain()) == "encryption-required"


def test_no_second_handshake() -> None:
    client = encrypted(Server(tls="required"))
    client.open()
    assert client.send(STARTTLS).startswith(f"<failure xmlns='{ns.TLS}'/>")
    assert client.stream.closed
    assert client.output.endswith("</stream:stream>")


def test_not_after_authentication() -> None:
    server = Server(tls="optional")
    client = server.connect()
    client.open()
    client.plain()
    assert "starttls" not in names(client.open())
    assert f"<failure xmlns='{ns.TLS}'/>" in client.send(STARTTLS)
    assert client.stream.closed


def test_not_without_a_certificate() -> None:
    server = Server(tls="required")
    server.c2s.contexts = None
    client = server.connect()
    assert names(client.open()) == ["limits"]
    client.send(STARTTLS)
    assert client.transport.tls is None
    assert client.stream.closed


def test_the_end_of_a_handshake_after_the_stream_ended() -> None:
    client = Server(tls="required").connect()
    client.open()
    client.send(STARTTLS)
    client.stream.close()
    client.stream.tls_established()
    assert client.stream.closed
