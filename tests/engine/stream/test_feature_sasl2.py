"""SASL2, tokens and downgrade protection over fakes: what is offered, asked for, answered and refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from typing import Any

import pytest

from tests.engine.stream.fakes import HEADER, PASSWORD, Client, ScramClient, Server, all_elements, credentials
from xmpp_engine.sasl import fast
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

AGENT = str(uuid.UUID(int=7, version=4))
NONE = "HT-SHA-256-NONE"
EXPR = "HT-SHA-256-EXPR"
BINDINGS = {"tls-exporter": b"exported", "tls-server-end-point": b"end point"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def connect(server: Server | None = None, **options: Any) -> Client:
    client = (server or Server()).connect(**{"secure": True, **options})
    client.open()
    return client


def authenticate(mechanism: str, data: bytes | None, more: str = "", agent: str = AGENT) -> str:
    first = "" if data is None else f"<initial-response>{b64(data)}</initial-response>"
    id = f" id='{agent}'" if agent else ""
    who = f"<user-agent{id}><software>Psi</software><device>laptop</device></user-agent>"
    return f"<authenticate xmlns='{ns.SASL2}' mechanism='{mechanism}'>{first}{who}{more}</authenticate>"


def plain(client: Client, more: str = "", password: str = PASSWORD, **options: str) -> list[Element]:
    return all_elements(client.send(authenticate("PLAIN", f"\0alice\0{password}".encode(), more, **options)))


def with_token(client: Client, text: str, mechanism: str = NONE, attrs: str = "", **options: str) -> list[Element]:
    bound = BINDINGS.get(fast.MECHANISMS[mechanism], b"")
    proof = hmac.digest(text.encode(), b"Initiator" + bound, "sha256")
    more = f"<fast xmlns='{ns.FAST}' {attrs}/>" + options.pop("more", "")
    return all_elements(client.send(authenticate(mechanism, b"alice\0" + proof, more, **options)))


def token_of(answer: list[Element]) -> str:
    found = answer[0].find(ns.FAST, "token")
    assert found is not None, answer[0].name
    text = found.get("token")
    assert text
    return text


def request(mechanism: str = NONE) -> str:
    return f"<request-token xmlns='{ns.FAST}' mechanism='{mechanism}'/>"


def condition(answer: list[Element]) -> str:
    assert (answer[0].ns, answer[0].name) == (ns.SASL2, "failure")
    first = answer[0].first()
    assert first is not None
    assert first.ns == ns.SASL
    return first.name


def test_what_is_offered() -> None:
    server = Server()
    server.host.table.bind_inline = {ns.SM: None, ns.CARBONS: None}
    features = server.connect(secure=True, bindings=BINDINGS).open()
    offer = features.find(ns.SASL2, "authentication")
    old = features.find(ns.SASL, "mechanisms")
    assert offer is not None
    assert old is not None
    names = [child.text for child in offer.find_all(ns.SASL2, "mechanism")]
    assert names == [child.text for child in old.elements()]
    inline = offer.find(ns.SASL2, "inline")
    assert inline is not None
    assert [(child.ns, child.name) for child in inline.elements()] == [
        (ns.BIND2, "bind"),
        (ns.SM, "sm"),
        (ns.FAST, "fast"),
    ]
    bind, _sm, tokens = inline.elements()
    assert [child.get("var") for child in bind.find(ns.BIND2, "inline").elements()] == [ns.CARBONS, ns.SM]  # type: ignore[union-attr]
    assert [child.text for child in tokens.elements()] == list(fast.MECHANISMS)
    assert ns.SASL2 not in server.connect().send(HEADER)


def test_it_needs_tls_even_where_passwords_may_pass_in_clear() -> None:
    client = Server().connect()
    client.open()
    assert condition(plain(client)) == "encryption-required"


def test_a_password_and_the_features_that_follow_at_once() -> None:
    client = connect()
    success, features = plain(client)
    assert (success.ns, success.name) == (ns.SASL2, "success")
    assert [child.name for child in success.elements()] == ["authorization-identifier"]
    assert success.child_text(ns.SASL2, "authorization-identifier") == "alice@localhost"
    assert features.find(ns.BIND, "bind") is not None
    assert "result" in client.bind()
    facts = client.server.binder.bound[0][2]
    assert (facts.mechanism, facts.agent) == ("PLAIN", ("Psi", "laptop"))
    assert AGENT not in facts.device


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1-PLUS"])
def test_scram_with_channel_binding_and_its_signature(mechanism: str) -> None:
    client = connect(bindings=BINDINGS)
    plus = mechanism.endswith("-PLUS")
    header, bound = ("p=tls-exporter,,", b"exported") if plus else ("n,,", b"")
    scram = ScramClient(mechanism, PASSWORD, header=header, bound=bound)
    (challenge,) = all_elements(client.send(authenticate(mechanism, scram.first())))
    assert (challenge.ns, challenge.name) == (ns.SASL2, "challenge")
    final = scram.final(base64.b64decode(challenge.text))
    success, _features = all_elements(client.send(f"<response xmlns='{ns.SASL2}'>{b64(final)}</response>"))
    data = success.child_text(ns.SASL2, "additional-data")
    assert data is not None
    assert base64.b64decode(data) == b"v=" + scram.signature


def test_the_offer_is_hashed_as_the_client_saw_it() -> None:
    for server, bindings in ((Server(), BINDINGS), (Server(mechanisms=("SCRAM-SHA-1",)), {})):
        client = server.connect(secure=True, bindings=bindings)
        features = client.open()
        offer = features.find(ns.SASL2, "authentication")
        assert offer is not None
        seen = "\x1e".join(sorted(child.text for child in offer.find_all(ns.SASL2, "mechanism")))
        kinds = features.find(ns.CHANNEL_BINDING, "sasl-channel-binding")
        if kinds is not None:
            seen += "\x1f" + "\x1e".join(sorted(child.get("type") or "" for child in kinds.elements()))
        (challenge,) = all_elements(
            client.send(authenticate("SCRAM-SHA-1", ScramClient("SCRAM-SHA-1", PASSWORD).first()))
        )
        fields = dict(part.split("=", 1) for part in base64.b64decode(challenge.text).decode().split(","))
        assert fields["h"] == b64(hashlib.sha1(seen.encode()).digest())


def test_the_hash_of_the_specification() -> None:
    from xmpp_engine.sasl.downgrade import hashed

    # XEP-0474, example 1, whatever the order of the offer.
    mechanisms = ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
    bindings = ("tls-server-end-point", "tls-exporter")
    assert hashed("sha1", mechanisms, bindings) == "G6k/rBLDqgOhRRaCuuatSDFkJ08="


def test_a_changed_hash_fails_the_proof() -> None:
    client = connect()
    scram = ScramClient("SCRAM-SHA-256", PASSWORD)
    (challenge,) = all_elements(client.send(authenticate("SCRAM-SHA-256", scram.first())))
    text = base64.b64decode(challenge.text).decode()
    forged = f"{text.partition(',h=')[0]},h={b64(bytes(32))}"
    final = scram.final(forged.encode())
    assert condition(all_elements(client.send(f"<response xmlns='{ns.SASL2}'>{b64(final)}</response>"))) == (
        "not-authorized"
    )


def test_everything_in_one_round_trip() -> None:
    client = connect()
    more = f"<bind xmlns='{ns.BIND2}'><tag>Psi</tag></bind>{request()}"
    success, features = plain(client, more)
    assert [child.name for child in success.elements()] == ["authorization-identifier", "bound", "token"]
    full = success.child_text(ns.SASL2, "authorization-identifier") or ""
    assert full.startswith("alice@localhost/Psi/")
    assert AGENT not in full
    assert features.find(ns.BIND, "bind") is None
    client.send("<presence/>")
    assert [element.name for element in client.server.binder.received] == ["presence"]
    assert client.stream.role._negotiation is None  # type: ignore[attr-defined]
    again, _ = plain(connect(client.server), more)
    assert again.child_text(ns.SASL2, "authorization-identifier") == full
    other, _ = plain(connect(client.server), more, agent=str(uuid.UUID(int=8, version=4)))
    assert other.child_text(ns.SASL2, "authorization-identifier") != full


def test_header_authentication_and_stanzas_in_one_packet() -> None:
    client = Server().connect(secure=True)
    more = f"<bind xmlns='{ns.BIND2}'/>"
    client.send(HEADER + authenticate("PLAIN", f"\0alice\0{PASSWORD}".encode(), more) + "<presence/>")
    assert [element.name for element in client.server.binder.received] == ["presence"]


def test_a_tag_that_is_no_resource_is_left_out() -> None:
    client = connect()
    success, _ = plain(client, f"<bind xmlns='{ns.BIND2}'><tag>{'x' * 3000}</tag></bind>")
    assert len(success.child_text(ns.SASL2, "authorization-identifier") or "") < 40


def test_a_bind_that_fails_leaves_the_old_way() -> None:
    client = connect()
    client.server.binder.bind_raises = StanzaError("resource-constraint")
    success, features = plain(client, f"<bind xmlns='{ns.BIND2}'/>")
    assert success.find(ns.BIND2, "failed") is not None
    assert success.child_text(ns.SASL2, "authorization-identifier") == "alice@localhost"
    assert features.find(ns.BIND, "bind") is not None
    client.server.binder.bind_raises = None
    assert "result" in client.bind()


def test_resumption_comes_before_the_bind_and_without_features() -> None:
    client = connect()
    client.server.binder.resumes = True
    more = f"<resume xmlns='{ns.SM}' previd='x' h='0'/><bind xmlns='{ns.BIND2}'/>"
    (success,) = plain(client, more)
    assert success.find(ns.SM, "resumed") is not None
    assert success.find(ns.BIND2, "bound") is None
    assert success.child_text(ns.SASL2, "authorization-identifier") == "alice@localhost/old"


def test_a_resumption_that_fails_goes_on_with_the_bind() -> None:
    client = connect()
    success, _features = plain(client, f"<resume xmlns='{ns.SM}' previd='x' h='0'/><bind xmlns='{ns.BIND2}'/>")
    assert [child.name for child in success.elements()] == ["authorization-identifier", "failed", "bound"]


def test_nothing_is_done_for_who_fails() -> None:
    client = connect()
    answer = plain(client, f"<bind xmlns='{ns.BIND2}'/>{request()}", password="wrong")
    assert condition(answer) == "not-authorized"
    assert client.server.binder.bound == []
    assert (len(answer), len(plain(client))) == (1, 2)


def test_three_failures_end_the_stream_whatever_the_profile() -> None:
    client = connect()
    assert condition(plain(client, password="a")) == "not-authorized"
    assert "failure" in client.plain("b")
    client.send(authenticate("PLAIN", b"\0alice\0c"))
    client.server.clock.advance(10)
    assert client.error() == "policy-violation"


def test_the_two_profiles_do_not_mix() -> None:
    client = connect()
    client.send(authenticate("SCRAM-SHA-256", ScramClient("SCRAM-SHA-256", PASSWORD).first()))
    client.respond(b"x")
    assert client.error() == "policy-violation"


def test_nothing_else_may_come_during_the_exchange() -> None:
    client = connect()
    client.server.c2s.before_login = lambda _stream, _iq: True
    client.send("<iq xmlns='jabber:client' type='get' id='r'/>")
    client.send(authenticate("SCRAM-SHA-256", ScramClient("SCRAM-SHA-256", PASSWORD).first()))
    assert not client.stream.closed
    client.send("<iq xmlns='jabber:client' type='get' id='r'/>")
    assert client.error() == "policy-violation"


def test_an_abort() -> None:
    client = connect()
    client.send(authenticate("SCRAM-SHA-256", ScramClient("SCRAM-SHA-256", PASSWORD).first()))
    assert condition(all_elements(client.send(f"<abort xmlns='{ns.SASL2}'/>"))) == "aborted"
    assert len(plain(client)) == 2


def test_a_second_authentication_ends_the_stream() -> None:
    client = connect()
    plain(client)
    client.send(authenticate("PLAIN", b"\0alice\0pencil"))
    assert client.error() == "unsupported-stanza-type"


def test_a_header_for_somebody_else() -> None:
    client = Server().connect(secure=True)
    client.open(HEADER.replace("to=", "from='bob@localhost' to="))
    assert condition(plain(client)) == "invalid-authzid"


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (authenticate("PLAIN", b"\0alice\0pencil", agent="no-uuid"), "malformed-request"),
        (authenticate("PLAIN", b"\0alice\0pencil", f"<fast xmlns='{ns.FAST}'/>"), "malformed-request"),
        (authenticate(NONE, b"alice\0x"), "malformed-request"),
        (authenticate(NONE, b"alice\0x", f"<fast xmlns='{ns.FAST}'/>", agent=""), "malformed-request"),
        (authenticate(NONE, b"alice\0x", f"<fast xmlns='{ns.FAST}' count='-1'/>"), "malformed-request"),
        (authenticate(NONE, b"alice", f"<fast xmlns='{ns.FAST}'/>"), "malformed-request"),
        (authenticate(EXPR, b"alice\0x", f"<fast xmlns='{ns.FAST}'/>"), "invalid-mechanism"),
        (authenticate("HT-SHA-256-UNIQ", b"alice\0x", f"<fast xmlns='{ns.FAST}'/>"), "malformed-request"),
        (authenticate("X-UNKNOWN", None), "invalid-mechanism"),
        (authenticate("EXTERNAL", b""), "invalid-mechanism"),
        (f"<authenticate xmlns='{ns.SASL2}' mechanism='PLAIN'><initial-response>=</initial-response></authenticate>",
         "incorrect-encoding"),
        (f"<response xmlns='{ns.SASL2}'>AA==</response>", "malformed-request"),
    ],
)  # fmt: skip
def test_what_is_refused(element: str, expected: str) -> None:
    assert condition(all_elements(connect().send(element))) == expected


class TestTokens:
    """XEP-0484."""

    def test_a_token_signs_in_and_shows_that_the_server_knows_it(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        success, _features = with_token(connect(server), text)
        data = success.child_text(ns.SASL2, "additional-data")
        assert data is not None
        assert base64.b64decode(data) == hmac.digest(text.encode(), b"Responder", "sha256")
        assert success.find(ns.FAST, "token") is None
        # Nothing in the store is the token or leads to it without the node's secret.
        (row,) = server.binder.devices._tokens
        assert text.encode() not in repr(row).encode()
        assert fast.text_of(b"another secret", credentials(), row) != text

    def test_a_channel_binding(self) -> None:
        server = Server()
        text = token_of(plain(connect(server, bindings=BINDINGS), request(EXPR)))
        assert with_token(connect(server, bindings=BINDINGS), text, EXPR)[0].name == "success"
        other = {**BINDINGS, "tls-exporter": b"another connection"}
        assert condition(with_token(connect(server, bindings=other), text, EXPR)) == "not-authorized"
        # Bound to its mechanism: what asks for less is refused.
        assert condition(with_token(connect(server, bindings=BINDINGS), text, NONE)) == "not-authorized"

    def test_another_device_or_account_cannot_use_it(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        other = str(uuid.UUID(int=8, version=4))
        assert condition(with_token(connect(server), text, agent=other)) == "not-authorized"
        assert condition(with_token(connect(server), "guessed")) == "not-authorized"
        proof = hmac.digest(text.encode(), b"Initiator", "sha256")
        more = f"<fast xmlns='{ns.FAST}'/>"
        answer = connect(server).send(authenticate(NONE, b"nobody\0" + proof, more))
        assert condition(all_elements(answer)) == "not-authorized"

    def test_a_counter_is_taken_once(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        assert with_token(connect(server), text, attrs="count='5'")[0].name == "success"
        assert condition(with_token(connect(server), text, attrs="count='5'")) == "not-authorized"
        assert condition(with_token(connect(server), text, attrs="count='4' invalidate='true'")) == "not-authorized"
        assert with_token(connect(server), text, attrs="count='6'")[0].name == "success"

    def test_it_expires(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        server.clock.advance(fast.LIFETIME + 1)
        assert condition(with_token(connect(server), text)) == "credentials-expired"

    def test_an_old_one_brings_a_new_one_and_stays_until_that_is_used(self) -> None:
        server = Server()
        first = token_of(plain(connect(server), request()))
        server.clock.advance(fast.ROTATE + 1)
        second = token_of(with_token(connect(server), first))
        third = token_of(with_token(connect(server), first))
        assert len({first, second, third}) == 3
        # The second was never used and is gone; the third ends the first.
        assert condition(with_token(connect(server), second)) == "not-authorized"
        assert with_token(connect(server), third)[0].name == "success"
        assert condition(with_token(connect(server), first)) == "not-authorized"

    def test_it_is_invalidated_with_its_last_use(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        server.clock.advance(fast.ROTATE + 1)
        success = with_token(connect(server), text, attrs="invalidate='true'")[0]
        assert success.name == "success"
        assert success.find(ns.FAST, "token") is None
        assert condition(with_token(connect(server), text)) == "not-authorized"

    def test_a_new_password_ends_it_though_the_row_is_there(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        server.binder.accounts["alice@localhost"] = credentials("other password")
        assert server.binder.devices._tokens
        assert condition(with_token(connect(server), text)) == "not-authorized"

    def test_a_disabled_account(self) -> None:
        server = Server()
        text = token_of(plain(connect(server), request()))
        server.binder.accounts["alice@localhost"] = credentials(state="disabled")
        assert condition(with_token(connect(server), text)) == "account-disabled"

    def test_a_token_is_not_traded_for_one_that_asks_for_less(self) -> None:
        server = Server()
        text = token_of(plain(connect(server, bindings=BINDINGS), request(EXPR)))
        token_of(with_token(connect(server, bindings=BINDINGS), text, EXPR, more=request(NONE)))
        assert {row.mechanism for row in server.binder.devices._tokens} == {EXPR}

    @pytest.mark.parametrize("more", [request("HT-SHA-256-UNIQ"), request(EXPR), request("PLAIN"), ""])
    def test_no_token_for_what_was_not_offered(self, more: str) -> None:
        assert plain(connect(), more)[0].find(ns.FAST, "token") is None

    def test_no_token_without_a_device_or_for_a_one_time_password(self) -> None:
        server = Server()
        assert plain(connect(server), request(), agent="")[0].find(ns.FAST, "token") is None
        server.binder.accounts["alice@localhost"] = credentials(tokens=("once",))
        success = plain(connect(server), request(), password="once")[0]
        assert success.name == "success"
        assert success.find(ns.FAST, "token") is None

    def test_guessing_is_slowed_down_as_for_passwords(self) -> None:
        server = Server(per_pair=3)
        text = token_of(plain(connect(server), request()))
        for _ in range(3):
            client = connect(server)
            with_token_guess = authenticate(NONE, b"alice\0guess", f"<fast xmlns='{ns.FAST}'/>")
            client.send(with_token_guess)
            server.clock.advance(5)
        assert condition(with_token(connect(server), text)) == "temporary-auth-failure"


class TestCertificates:
    """What the stream makes of a client certificate; the certificates are in test_external.py."""

    def test_external_is_offered_to_who_has_an_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("xmpp_engine.sasl.external.addresses", lambda der, domain: (f"alice@{domain}",))
        server = Server()
        client = server.connect(secure=True)
        client.transport.certificate = b"certificate"
        features = client.open()
        assert next(iter(features.find(ns.SASL, "mechanisms").elements())).text == "EXTERNAL"  # type: ignore[union-attr]
        success = all_elements(client.send(authenticate("EXTERNAL", b"", request())))[0]
        assert success.child_text(ns.SASL2, "authorization-identifier") == "alice@localhost"
        assert success.find(ns.FAST, "token") is None, "a token would outlive the certificate"
        old = server.connect(secure=True)
        old.transport.certificate = b"certificate"
        old.open()
        assert "<success" in old.auth("EXTERNAL", b"")
