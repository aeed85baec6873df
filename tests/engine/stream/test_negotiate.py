"""Headers, the order of elements, and waiting."""

from __future__ import annotations

import pytest

from tests.engine.stream.fakes import HEADER, FakeBinder, FakeHost, Server, last_element
from xmpp_engine.config.schema import HostConfig
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StreamError


def header(**attrs: str) -> str:
    """A header with these attributes instead of the usual ones; "" leaves one out."""
    merged = {"to": "localhost", "version": "1.0"} | attrs
    text = " ".join(f"{name.replace('_', ':')}='{value}'" for name, value in merged.items() if value)
    return f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {text}>"


class TestHeader:
    @pytest.mark.parametrize(
        ("attrs", "condition"),
        [
            ({}, None),
            ({"to": "LOCALHOST"}, None),
            ({"to": "localhost."}, None),
            ({"to": ""}, None),
            ({"to": "elsewhere"}, "host-unknown"),
            ({"to": "not a domain"}, "host-unknown"),
            ({"version": ""}, "unsupported-version"),
            ({"version": "0.9"}, "unsupported-version"),
            ({"version": "1"}, "unsupported-version"),
            ({"version": "one.zero"}, "unsupported-version"),
            ({"version": "\u0661.0"}, "unsupported-version"),
            ({"version": "1.1"}, None),
            ({"version": "2.0"}, None),
            ({"from": "alice@localhost"}, None),
            ({"from": "@"}, "invalid-from"),
        ],
    )
    def test_addresses_and_version(self, attrs: dict[str, str], condition: str | None) -> None:
        client = Server().connect()
        client.send(header(**attrs))
        if condition is None:
            assert last_element(client.output).name == "features"
            assert "from='localhost'" in client.output
            assert "version='1.0'" in client.output
        else:
            assert client.error() == condition

    def test_the_senders_address_goes_back(self) -> None:
        client = Server().connect()
        client.send(header(**{"from": "Alice@localhost"}))
        assert " to='alice@localhost'" in client.output

    def test_the_language_is_kept_and_bounded(self) -> None:
        client = Server().connect()
        client.send(header(xml_lang="de" + "x" * 100))
        assert client.stream.lang.startswith("de")
        assert len(client.stream.lang) == 35
        assert "xml:lang='en'" in client.output

    def test_ids_differ_with_each_header(self) -> None:
        server = Server()
        ids = set()
        for _ in range(20):
            client = server.connect()
            client.open()
            ids.add(client.stream.id)
        assert len(ids) == 20
        assert min(map(len, ids)) >= 16

    def test_a_server_without_domains(self) -> None:
        server = Server()
        server.binder.hosts.clear()
        client = server.connect()
        client.send(header(to=""))
        assert client.error() == "host-unknown"

    def test_a_domain_that_went_while_the_stream_negotiated(self) -> None:
        server = Server()
        client = server.connect()
        client.open()
        client.plain()
        server.binder.hosts.clear()
        client.send(HEADER)
        assert client.error() == "host-unknown"


class TestOrder:
    @pytest.mark.parametrize(
        ("element", "condition"),
        [
            ("<message xmlns='jabber:client'/>", "not-authorized"),
            ("<presence xmlns='jabber:client'/>", "not-authorized"),
            ("<iq xmlns='jabber:client' type='get' id='1'/>", "not-authorized"),
            ("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>", "not-authorized"),
            ("<enable xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
            ("<message xmlns='jabber:server'/>", "unsupported-stanza-type"),
            ("<pigeon xmlns='jabber:client'/>", "unsupported-stanza-type"),
            ("<db:result xmlns:db='jabber:server:dialback'/>", "unsupported-stanza-type"),
            (f"<mechanisms xmlns='{ns.SASL}'/>", "unsupported-stanza-type"),
        ],
    )
    def test_what_has_no_place_before_authentication(self, element: str, condition: str) -> None:
        client = Server().connect()
        client.open()
        client.send(element)
        assert client.error() == condition

    @pytest.mark.parametrize(
        ("element", "condition"),
        [
            ("<message xmlns='jabber:client'/>", "not-authorized"),
            ("<iq xmlns='jabber:client' type='get' id='1'/>", "not-authorized"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'/>", "unsupported-stanza-type"),
        ],
    )
    def test_what_has_no_place_before_bind(self, element: str, condition: str) -> None:
        client = Server().connect()
        client.login()
        client.send(element)
        assert client.error() == condition

    def test_an_iq_may_be_answered_before_authentication(self) -> None:
        server = Server()
        seen: list[Element] = []

        def answer(stream: object, iq: Element) -> bool:
            seen.append(iq)
            return iq.get("id") == "known"

        server.c2s.before_login = answer
        client = server.connect()
        client.open()
        client.send("<iq type='get' id='known'/>")
        assert not client.stream.closed
        client.send("<iq type='get' id='unknown'/>")
        assert client.error() == "not-authorized"
        assert len(seen) == 2

    def test_but_not_for_ever(self) -> None:
        server = Server()
        server.c2s.before_login = lambda _stream, _iq: True
        client = server.connect()
        client.open()
        client.send("<iq type='get' id='1'/>" * 20)
        assert not client.stream.closed
        client.send("<iq type='get' id='1'/>")
        assert client.error() == "not-authorized"


class TestWaiting:
    def waiting(self) -> tuple[Server, object]:
        server = Server()
        client = server.connect()
        client.login()
        server.binder.slow = True
        return server, client

    def test_what_comes_meanwhile_keeps_its_order(self) -> None:
        server, client = self.waiting()
        client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq><presence/><message/>")
        assert client.transport.paused
        assert server.binder.received == []
        before = len(client.transport.written)
        server.binder.work()
        assert [e.name for e in server.binder.received] == ["presence", "message"]
        assert b"<jid>" in client.transport.written[before]
        assert not client.transport.paused

    def test_too_much_meanwhile(self) -> None:
        server, client = self.waiting()
        client.bind()
        client.send("<presence/>" * 40)
        assert client.error() == "policy-violation"
        server.binder.work()
        assert server.binder.received == []

    def test_the_client_is_gone_when_the_answer_comes(self) -> None:
        server, client = self.waiting()
        client.bind()
        client.stream.connection_lost("reset by peer")
        server.binder.work()
        assert server.binder.failed == []

    def test_the_client_is_gone_while_its_password_is_looked_at(self) -> None:
        server = Server()
        client = server.connect()
        client.open()
        server.binder.slow = True
        client.plain()
        client.stream.connection_lost("reset by peer")
        before = client.output
        server.binder.work()
        assert client.output == before
        assert server.binder.failed == []

    def test_an_error_in_what_waited(self) -> None:
        server, client = self.waiting()

        def refuse(_element: Element) -> None:
            raise StreamError("policy-violation")

        def broken(_element: Element) -> None:
            raise KeyError("defect")

        for handler, condition in ((refuse, "policy-violation"), (broken, "internal-server-error")):
            server, client = self.waiting()
            client.bind()
            client.send("<presence/><presence/>")
            server.binder.received = Trap(handler)  # type: ignore[assignment]
            server.binder.work()
            assert client.error() == condition

    def test_a_defect_of_the_binder_ends_the_stream_and_is_reported(self) -> None:
        server, client = self.waiting()
        server.binder.bind_raises = KeyError("defect")
        client.bind()
        server.binder.work()
        assert client.error() == "internal-server-error"
        assert [type(error) for error in server.binder.failed] == [KeyError]


class Trap(list[Element]):
    """Takes the place of the list of received elements; `append` is a handler."""

    def __init__(self, handler: object) -> None:
        self.append = handler  # type: ignore[assignment, method-assign]


class TestFeatures:
    def test_encoded_once_per_state_and_host(self) -> None:
        server = Server()
        first, second = server.connect(), server.connect()
        first.open()
        second.open()
        assert first.transport.written[-1] is second.transport.written[-1]

    def test_anew_when_the_configuration_changes(self) -> None:
        server = Server()
        server.connect().open()
        server.host.config = HostConfig("localhost", mechanisms=("SCRAM-SHA-1",))
        features = server.connect().open()
        mechanisms = features.find(ns.SASL, "mechanisms")
        assert mechanisms is not None
        assert [m.text for m in mechanisms.elements()] == ["SCRAM-SHA-1"]

    def test_each_host_has_its_own(self) -> None:
        server = Server()
        server.binder.hosts["other"] = FakeHost(HostConfig("other", mechanisms=("PLAIN",)))
        server.connect().open()
        features = server.connect().open(header(to="other"))
        mechanisms = features.find(ns.SASL, "mechanisms")
        assert mechanisms is not None
        assert [m.text for m in mechanisms.elements()] == ["PLAIN"]

    def test_the_binder_protocol_is_what_the_fake_implements(self) -> None:
        from xmpp_engine.routing.binder import SessionBinder
        from xmpp_engine.stream.role import Binder

        names = {name for name in vars(Binder) if not name.startswith("_")}
        assert names <= set(dir(FakeBinder))
        assert names <= set(dir(SessionBinder))
