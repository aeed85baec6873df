"""The SASL profile: what is offered, how attempts go, every failure of RFC 6120, 6.5."""

from __future__ import annotations

import base64
import logging

import pytest

from tests.engine.stream.fakes import (
    HEADER,
    PASSWORD,
    Client,
    FakeHost,
    ScramClient,
    Server,
    all_elements,
    credentials,
    failure,
    payload,
)
from xmpp_engine.config.schema import HostConfig, StreamLimits
from xmpp_engine.storage.protocols import StoreUnavailable
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element

BINDINGS = {"tls-exporter": b"\x01" * 32, "tls-server-end-point": b"\x02" * 32}


def opened(server: Server | None = None, **options: object) -> Client:
    client = (server or Server()).connect(**options)
    client.open()
    return client


def mechanisms(features: Element) -> list[str]:
    found = features.find(ns.SASL, "mechanisms")
    return [] if found is None else [child.text for child in found.elements()]


class TestOffer:
    def test_in_clear_where_it_is_allowed(self) -> None:
        assert mechanisms(Server(tls="optional").connect().open()) == ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
        assert mechanisms(Server(tls="none").connect().open()) == ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
        assert mechanisms(Server(tls="direct", clear=True).connect().open()) != []

    def test_nothing_in_clear_where_it_is_not(self) -> None:
        assert mechanisms(Server(tls="direct").connect(framed=True).open()) == []

    def test_channel_bindings_are_announced(self) -> None:
        features = Server(tls="direct").connect(secure=True, bindings=BINDINGS).open()
        assert mechanisms(features)[:2] == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]
        announced = features.find(ns.CHANNEL_BINDING, "sasl-channel-binding")
        assert announced is not None
        assert [kind.get("type") for kind in announced.elements()] == list(BINDINGS)

    def test_without_bindings_there_is_nothing_to_announce(self) -> None:
        features = Server(tls="direct").connect(secure=True).open()
        assert features.find(ns.CHANNEL_BINDING, "sasl-channel-binding") is None

    def test_the_limits_of_this_moment(self) -> None:
        server = Server(limits=StreamLimits(preauth_bytes=12_000, stanza_bytes=50_000, idle_seconds=60.0))
        client = server.connect()
        before = client.open().find(ns.LIMITS, "limits")
        client.plain()
        after = client.open().find(ns.LIMITS, "limits")
        assert before is not None
        assert after is not None
        assert before.child_text(ns.LIMITS, "max-bytes") == "12000"
        assert after.child_text(ns.LIMITS, "max-bytes") == "50000"
        assert after.child_text(ns.LIMITS, "idle-seconds") == "120"


class TestSuccess:
    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
    def test_scram(self, mechanism: str) -> None:
        client = opened()
        scram = ScramClient(mechanism, PASSWORD)
        challenge = client.auth(mechanism, scram.first())
        success = client.respond(scram.final(payload(challenge)))
        assert all_elements(success)[0].name == "success"
        assert payload(success) == b"v=" + scram.signature

    @pytest.mark.parametrize("kind", list(BINDINGS))
    def test_scram_bound_to_the_channel(self, kind: str) -> None:
        client = opened(secure=True, bindings=BINDINGS)
        answer = client.scram("SCRAM-SHA-256-PLUS", header=f"p={kind},,", bound=BINDINGS[kind])
        assert "<success" in answer

    def test_somebody_in_between(self) -> None:
        client = opened(secure=True, bindings=BINDINGS)
        answer = client.scram("SCRAM-SHA-256-PLUS", header="p=tls-exporter,,", bound=b"\x03" * 32)
        assert failure(answer) == "not-authorized"

    def test_somebody_who_shortened_the_list(self) -> None:
        client = opened(secure=True, bindings=BINDINGS)
        assert failure(client.scram("SCRAM-SHA-256", header="y,,")) == "not-authorized"

    def test_plain_has_no_data(self) -> None:
        assert opened().plain() == f"<success xmlns='{ns.SASL}'/>"

    def test_without_initial_response(self) -> None:
        client = opened()
        assert payload(client.auth("PLAIN", None)) == b""
        assert "<success" in client.respond(f"\0alice\0{PASSWORD}".encode())

    def test_an_empty_initial_response_is_an_equals_sign(self) -> None:
        client = opened()
        assert failure(client.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>=</auth>")) == "malformed-request"

    def test_the_transport_learns_of_it(self) -> None:
        client = opened()
        client.plain()
        assert "authenticated" in client.transport.calls

    def test_what_was_sent_behind_the_last_word_is_dropped(self) -> None:
        client = opened()
        scram = ScramClient("SCRAM-SHA-1", PASSWORD)
        challenge = client.auth("SCRAM-SHA-1", scram.first())
        final = base64.b64encode(scram.final(payload(challenge))).decode()
        answer = client.send(f"<response xmlns='{ns.SASL}'>{final}</response><message xmlns='jabber:client'/>")
        assert "<success" in answer
        assert not client.stream.closed
        client.open()

    def test_over_frames(self) -> None:
        client = opened(framed=True, secure=True)
        assert "<success" in client.scram()
        client.open()
        assert "<jid>alice@localhost/r</jid>" in client.bind()

    def test_a_token_signs_in_once(self) -> None:
        server = Server()
        server.binder.accounts["alice@localhost"] = credentials(tokens=("token1",))
        assert "<success" in opened(server).scram(password="token1")
        assert len(server.binder.spent) == 1
        server.binder.refuse_token = True
        assert failure(opened(server).scram(password="token1")) == "not-authorized"


class TestFailures:
    @pytest.mark.parametrize(
        ("element", "condition"),
        [
            (f"<auth xmlns='{ns.SASL}'/>", "invalid-mechanism"),
            (f"<auth xmlns='{ns.SASL}' mechanism='DIGEST-MD5'/>", "invalid-mechanism"),
            (f"<auth xmlns='{ns.SASL}' mechanism='SCRAM-SHA-1-PLUS'/>", "invalid-mechanism"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>!!!</auth>", "incorrect-encoding"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGFsaWNl AHBlbmNpbA==</auth>", "incorrect-encoding"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AGFsaWNlAHBlbmNpbA</auth>", "incorrect-encoding"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>\u00e4</auth>", "incorrect-encoding"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>AAAA</auth>", "malformed-request"),
            (f"<response xmlns='{ns.SASL}'/>", "malformed-request"),
            (f"<abort xmlns='{ns.SASL}'/>", "aborted"),
        ],
    )
    def test_at_the_first_word(self, element: str, condition: str) -> None:
        server = Server()
        client = opened(server)
        assert failure(client.send(element)) == condition
        assert server.counters.rare("sasl_failures_total") == {condition: 1}
        assert "<success" in client.scram()

    @pytest.mark.parametrize(
        ("element", "condition"),
        [
            (f"<abort xmlns='{ns.SASL}'/>", "aborted"),
            (f"<response xmlns='{ns.SASL}'>!</response>", "incorrect-encoding"),
            (f"<response xmlns='{ns.SASL}'/>", "malformed-request"),
            (f"<response xmlns='{ns.SASL}'>=</response>", "malformed-request"),
            (f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'/>", "malformed-request"),
        ],
    )
    def test_in_the_middle(self, element: str, condition: str) -> None:
        client = opened()
        client.auth("SCRAM-SHA-1", ScramClient("SCRAM-SHA-1", PASSWORD).first())
        assert failure(client.send(element)) == condition
        assert "<success" in client.scram()

    def test_wrong_password(self) -> None:
        assert failure(opened().plain("wrong")) == "not-authorized"
        assert failure(opened().scram(password="wrong")) == "not-authorized"
        assert failure(opened().plain(name="nobody")) == "not-authorized"

    def test_for_somebody_else(self) -> None:
        assert failure(opened().plain(authzid="bob@localhost")) == "invalid-authzid"

    @pytest.mark.parametrize(
        ("state", "condition"), [("disabled", "account-disabled"), ("expired", "credentials-expired")]
    )
    def test_account_states(self, state: str, condition: str) -> None:
        server = Server()
        server.binder.accounts["alice@localhost"] = credentials(state=state)
        assert failure(opened(server).scram()) == condition

    def test_a_mechanism_the_domain_does_not_want(self) -> None:
        assert failure(opened(Server(mechanisms=("SCRAM-SHA-256",))).plain()) == "mechanism-too-weak"

    def test_a_password_in_clear(self) -> None:
        assert failure(opened(Server(tls="direct"), framed=True).plain()) == "encryption-required"

    @pytest.mark.parametrize("error", [StoreUnavailable("no database"), KeyError("defect")])
    def test_accounts_that_cannot_be_read(self, error: Exception) -> None:
        server = Server()
        server.binder.raises = error
        client = opened(server)
        answer = client.scram()
        assert failure(answer) == "temporary-auth-failure"
        assert "database" not in answer
        server.binder.raises = None
        assert "<success" in client.scram()

    def test_three_attempts(self) -> None:
        client = opened()
        for _ in range(2):
            client.plain("wrong")
            client.server.clock.advance(10)
        assert not client.stream.closed
        client.plain("wrong")
        client.server.clock.advance(10)
        assert client.error() == "policy-violation"
        assert client.output.count("<failure") == 3

    def test_a_client_that_knows_none_of_the_bindings_comes_to_a_mechanism_that_it_can_do(self) -> None:
        # What slixmpp 1.8 sends (Poezio 0.14): it asks for a binding that nobody offered, then says that we have none.
        server = Server(per_pair=1)
        client = opened(server, secure=True, bindings=BINDINGS)
        first = b"n=alice,r=9752819177799134"
        for mechanism, header, condition in (
            ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,", "malformed-request"),
            ("SCRAM-SHA-1-PLUS", b"p=tls-unique,,", "malformed-request"),
            ("SCRAM-SHA-256", b"y,,", "not-authorized"),
            ("SCRAM-SHA-1", b"y,,", "not-authorized"),
        ):
            assert failure(client.auth(mechanism, header + first)) == condition
        assert "<success" in client.plain()
        # Nobody has guessed: the next one from there is as welcome.
        assert len(server.c2s.throttle) == 0

    def test_six_attempts_of_any_kind(self) -> None:
        client = opened(secure=True, bindings=BINDINGS)
        for _ in range(5):
            client.auth("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=alice,r=x")
        assert not client.stream.closed
        client.auth("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=alice,r=x")
        assert client.error() == "policy-violation"
        assert client.output.count("<failure") == 6

    def test_a_failure_is_logged_once_with_who_where_and_why(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "mlink.auth"):
            opened().plain("wrong")
        assert len(caplog.records) == 1
        for word in ("alice@localhost", "192.0.2.1", "not-authorized"):
            assert word in caplog.text
        assert "wrong password" in caplog.text
        assert PASSWORD not in caplog.text

    def test_a_name_with_a_line_break_cannot_forge_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "mlink.auth"):
            opened().plain(name="a\nsign-in of admin")
        assert "admin" not in caplog.text

    def test_too_big_a_message(self) -> None:
        client = opened(Server(limits=StreamLimits(preauth_bytes=10_000)))
        client.plain("x" * 20_000)
        assert client.error() == "policy-violation"


class TestThrottle:
    def test_answers_are_delayed_and_nothing_is_read_meanwhile(self) -> None:
        server = Server()
        for _ in range(2):
            assert failure(opened(server).plain("wrong")) == "not-authorized"
        client = opened(server)
        assert client.plain("wrong") == ""
        assert client.transport.paused
        assert client.plain() == ""
        server.clock.advance(5)
        assert not client.transport.paused
        assert "<failure" in client.output
        assert "<success" in client.output

    def test_too_many_from_one_address_for_one_account(self) -> None:
        server = Server(per_pair=3)
        for _ in range(3):
            opened(server).plain("wrong")
            server.clock.advance(5)
        assert failure(opened(server).scram()) == "temporary-auth-failure"
        assert "<success" in opened(server, peer="198.51.100.7").scram()
        server.clock.advance(300)
        assert "<success" in opened(server).scram()

    def test_too_many_from_one_address(self) -> None:
        server = Server(per_address=3)
        for number in range(3):
            opened(server).plain(name=f"user{number}")
        assert failure(opened(server).plain()) == "temporary-auth-failure"
        assert "<success" in opened(server, peer="198.51.100.7").plain()

    def test_the_client_goes_before_the_late_answer(self) -> None:
        server = Server()
        for _ in range(2):
            opened(server).plain("wrong")
        client = opened(server)
        client.plain("wrong")
        client.stream.connection_lost("reset by peer")
        before = client.output
        server.clock.advance(10)
        assert client.output == before

    def test_a_defect_that_is_no_guess_is_answered_at_once(self) -> None:
        server = Server()
        for _ in range(10):
            assert failure(opened(server).auth("DIGEST-MD5", None)) == "invalid-mechanism"


def test_the_new_header_must_be_for_the_same_account_and_domain() -> None:
    for attribute, condition in (("from='bob@localhost'", "invalid-from"), ("from='alice@localhost/x'", None)):
        client = opened()
        client.plain()
        client.send(HEADER.replace(" to=", f" {attribute} to="))
        if condition is None:
            assert not client.stream.closed
        else:
            assert client.error() == condition
    server = Server()
    client = opened(server)
    client.plain()
    server.binder.hosts["other"] = FakeHost(HostConfig("other"))
    client.send(HEADER.replace("to='localhost'", "to='other'"))
    assert client.error() == "not-authorized"
