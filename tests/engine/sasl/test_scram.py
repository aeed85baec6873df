"""SCRAM: the examples of the RFCs, every way to fail, and a property over names, passwords and bindings."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from tests.engine.sasl.fakes import FakeContext, settle
from tests.engine.stream.fakes import PASSWORD, ROUNDS, SALT, ScramClient, credentials
from xmpp_engine.sasl.keys import derive
from xmpp_engine.sasl.mechanism import Challenge, Failure, Outcome, Success
from xmpp_engine.sasl.scram import Scram
from xmpp_engine.storage.types import Credentials

EXPORTER = {"tls-exporter": b"\x01" * 32}


def exchange(context: FakeContext, client: ScramClient, mechanism: str = "SCRAM-SHA-256") -> Outcome:
    scram = Scram(mechanism, context)
    outcome = settle(scram.begin(client.first()))
    if not isinstance(outcome, Challenge):
        return outcome
    return settle(scram.respond(client.final(outcome.data)))


def condition(outcome: Outcome) -> str:
    assert isinstance(outcome, Failure), outcome
    return outcome.condition


@pytest.mark.parametrize(
    ("mechanism", "salt", "client", "server", "proof", "signature"),
    [
        (
            "SCRAM-SHA-1",
            "QSXCR+Q6sek8bf92",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            "SCRAM-SHA-256",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ],
)
def test_examples_of_rfc_5802_and_7677(
    mechanism: str, salt: str, client: str, server: str, proof: str, signature: str
) -> None:
    keys = derive(mechanism, "pencil", base64.b64decode(salt), 4096)
    scram = Scram(mechanism, FakeContext(Credentials(1, "user@localhost", "active", {mechanism: keys})))
    scram.make_nonce = lambda: server
    challenge = settle(scram.begin(f"n,,n=user,r={client}".encode()))
    assert isinstance(challenge, Challenge)
    assert challenge.data.decode() == f"r={client}{server},s={salt},i=4096"
    success = settle(scram.respond(f"c=biws,r={client}{server},p={proof}".encode()))
    assert isinstance(success, Success)
    assert success.data is not None
    assert success.data.decode() == f"v={signature}"
    assert success.account.bare == "user@localhost"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_the_servers_signature_proves_that_it_knows_the_key(mechanism: str) -> None:
    client = ScramClient(mechanism, PASSWORD)
    outcome = exchange(FakeContext(credentials()), client, mechanism)
    assert isinstance(outcome, Success)
    assert outcome.data == b"v=" + client.signature


def test_without_initial_response_the_server_asks_for_it() -> None:
    scram = Scram("SCRAM-SHA-1", FakeContext(credentials()))
    empty = scram.begin(None)
    assert isinstance(empty, Challenge)
    assert empty.data == b""
    client = ScramClient("SCRAM-SHA-1", PASSWORD)
    challenge = settle(scram.respond(client.first()))
    assert isinstance(challenge, Challenge)
    assert isinstance(settle(scram.respond(client.final(challenge.data))), Success)


def test_a_wrong_password_and_an_unknown_account_look_alike() -> None:
    context = FakeContext(credentials())
    wrong, unknown = ScramClient("SCRAM-SHA-256", "wrong"), ScramClient("SCRAM-SHA-256", PASSWORD, name="nobody")
    first, second = exchange(context, wrong), exchange(context, unknown)
    assert isinstance(first, Failure)
    assert isinstance(second, Failure)
    assert (first.condition, first.text) == (second.condition, second.text)
    assert first.condition == "not-authorized"
    assert len(wrong.salt) == len(unknown.salt)


def test_the_salt_of_an_unknown_account_stays_and_is_its_own() -> None:
    salts = []
    for name in ("nobody", "nobody", "somebody"):
        client = ScramClient("SCRAM-SHA-256", "x", name=name)
        exchange(FakeContext(), client)
        salts.append(client.salt)
    assert salts[0] == salts[1] != salts[2]


def test_a_name_that_cannot_be_a_localpart_fails_at_the_end_too() -> None:
    assert (
        condition(exchange(FakeContext(), ScramClient("SCRAM-SHA-1", "x", name="a@b"), "SCRAM-SHA-1"))
        == "not-authorized"
    )


def test_an_account_without_keys_of_the_hash_fails_at_the_end() -> None:
    account = credentials()
    del account.keys["SCRAM-SHA-1"]
    assert (
        condition(exchange(FakeContext(account), ScramClient("SCRAM-SHA-1", PASSWORD), "SCRAM-SHA-1"))
        == "not-authorized"
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("disabled", "account-disabled"),
        ("locked", "account-disabled"),
        ("expired", "credentials-expired"),
        ("?", "account-disabled"),
    ],
)
def test_only_who_knows_the_password_learns_the_state(state: str, expected: str) -> None:
    context = FakeContext(credentials(state=state))
    assert condition(exchange(context, ScramClient("SCRAM-SHA-256", PASSWORD))) == expected
    assert condition(exchange(context, ScramClient("SCRAM-SHA-256", "wrong"))) == "not-authorized"


# One-time tokens


def test_a_token_is_as_good_as_the_password_once() -> None:
    context = FakeContext(credentials(tokens=("token1", "token2")))
    client = ScramClient("SCRAM-SHA-256", "token2")
    outcome = exchange(context, client)
    assert isinstance(outcome, Success)
    assert outcome.data == b"v=" + client.signature
    assert context.spent == [derive("SCRAM-SHA-256", "token2", SALT, ROUNDS).stored_key]


def test_a_spent_token_fails() -> None:
    context = FakeContext(credentials(tokens=("token1",)))
    context.token_is_good = False
    assert condition(exchange(context, ScramClient("SCRAM-SHA-256", "token1"))) == "not-authorized"


def test_the_password_spends_no_token() -> None:
    context = FakeContext(credentials(tokens=("token1",)))
    assert isinstance(exchange(context, ScramClient("SCRAM-SHA-256", PASSWORD)), Success)
    assert context.spent == []


def test_a_token_of_a_disabled_account_is_not_spent() -> None:
    context = FakeContext(credentials(state="disabled", tokens=("token1",)))
    assert condition(exchange(context, ScramClient("SCRAM-SHA-256", "token1"))) == "account-disabled"
    assert context.spent == []


def test_a_token_with_another_salt_is_not_served_by_this_challenge() -> None:
    account = credentials()
    account.tokens = [derive("SCRAM-SHA-256", "token1", b"another salt 123", ROUNDS)]
    assert condition(exchange(FakeContext(account), ScramClient("SCRAM-SHA-256", "token1"))) == "not-authorized"


# Channel binding


@pytest.mark.parametrize("kind", ["tls-exporter", "tls-server-end-point"])
def test_a_bound_exchange(kind: str) -> None:
    context = FakeContext(credentials(), bindings={kind: b"\x02" * 32})
    client = ScramClient("SCRAM-SHA-256", PASSWORD, header=f"p={kind},,", bound=b"\x02" * 32)
    assert isinstance(exchange(context, client, "SCRAM-SHA-256-PLUS"), Success)


def test_somebody_in_between_has_another_binding() -> None:
    client = ScramClient("SCRAM-SHA-256", PASSWORD, header="p=tls-exporter,,", bound=b"\x02" * 32)
    assert (
        condition(exchange(FakeContext(credentials(), bindings=EXPORTER), client, "SCRAM-SHA-256-PLUS"))
        == "not-authorized"
    )


def test_a_client_that_was_told_we_cannot_bind_is_warned() -> None:
    client = ScramClient("SCRAM-SHA-256", PASSWORD, header="y,,")
    assert condition(exchange(FakeContext(credentials(), bindings=EXPORTER), client)) == "not-authorized"
    assert isinstance(
        exchange(FakeContext(credentials()), ScramClient("SCRAM-SHA-256", PASSWORD, header="y,,")), Success
    )


@pytest.mark.parametrize(
    ("mechanism", "header"),
    [
        ("SCRAM-SHA-256-PLUS", "n,,"),
        ("SCRAM-SHA-256-PLUS", "y,,"),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique,,"),
        ("SCRAM-SHA-256-PLUS", "p=,,"),
        ("SCRAM-SHA-256", "p=tls-exporter,,"),
    ],
)
def test_mechanism_and_flag_must_agree(mechanism: str, header: str) -> None:
    client = ScramClient(mechanism, PASSWORD, header=header)
    assert condition(exchange(FakeContext(credentials(), bindings=EXPORTER), client, mechanism)) == "malformed-request"


def test_the_header_cannot_be_changed_afterwards() -> None:
    """`c=` repeats the first message's header; another one there means that somebody rewrote the first message."""
    scram = Scram("SCRAM-SHA-1", FakeContext(credentials()))
    client = ScramClient("SCRAM-SHA-1", PASSWORD, header="n,,")
    challenge = settle(scram.begin(client.first()))
    assert isinstance(challenge, Challenge)
    client.header = "y,,"
    assert condition(scram.respond(client.final(challenge.data))) == "not-authorized"


# Authorization identity


@pytest.mark.parametrize(
    ("authzid", "expected"),
    [
        ("alice@localhost", None),
        ("Alice@LOCALHOST", None),
        ("bob@localhost", "invalid-authzid"),
        ("alice@localhost/r", "invalid-authzid"),
        ("alice@elsewhere", "invalid-authzid"),
        ("@", "invalid-authzid"),
        ("=", "malformed-request"),
    ],
)
def test_nobody_acts_for_another(authzid: str, expected: str | None) -> None:
    outcome = exchange(FakeContext(credentials()), ScramClient("SCRAM-SHA-256", PASSWORD, header=f"n,a={authzid},"))
    assert isinstance(outcome, Success) if expected is None else condition(outcome) == expected


# Malformed messages


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=alice",
        b"n,,r=nonce",
        b"n,,r=nonce,n=alice",
        b"n,,n=,r=nonce",
        b"n,,n=alice,r=",
        b"n,,n=alice,r=white space",
        b"n,,n=alice,r=n\x00nce",
        b"n,,n=al=ice,r=nonce",
        b"n,,n=al=2cice,r=nonce",
        b"n,,m=ext,n=alice,r=nonce",
        b"n,alice,n=alice,r=nonce",
        b"n,a=,n=alice,r=nonce",
        b"x,,n=alice,r=nonce",
        b"\xff\xfe,,n=alice,r=nonce",
    ],
)
def test_malformed_first_messages(message: bytes) -> None:
    context = FakeContext(credentials())
    assert condition(settle(Scram("SCRAM-SHA-1", context).begin(message))) == "malformed-request"
    assert context.asked == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "malformed-request"),
        ("c=biws", "malformed-request"),
        ("c=biws,r={nonce}", "malformed-request"),
        ("c=biws,r={nonce},p=", "not-authorized"),
        ("c=biws,r={nonce},p=!!", "malformed-request"),
        ("c=biws,r={nonce},p=AAAA", "not-authorized"),
        ("c=!,r={nonce},p=AAAA", "malformed-request"),
        ("r={nonce},c=biws,p=AAAA", "malformed-request"),
        ("c=biws,r=another,p=AAAA", "not-authorized"),
        ("c=biws,r={nonce}x,p=AAAA", "not-authorized"),
        ("c=eSws,r={nonce},p=AAAA", "not-authorized"),
        ("c=biws,r=\u00e9,p=AAAA", "not-authorized"),
    ],
)
def test_malformed_final_messages(message: str, expected: str) -> None:
    scram = Scram("SCRAM-SHA-1", FakeContext(credentials()))
    challenge = settle(scram.begin(b"n,,n=alice,r=abc"))
    assert isinstance(challenge, Challenge)
    nonce = challenge.data.decode().split(",")[0][2:]
    assert condition(settle(scram.respond(message.replace("{nonce}", nonce).encode()))) == expected


def test_nothing_comes_after_the_end() -> None:
    scram = Scram("SCRAM-SHA-1", FakeContext(credentials()))
    client = ScramClient("SCRAM-SHA-1", PASSWORD)
    challenge = settle(scram.begin(client.first()))
    assert isinstance(challenge, Challenge)
    final = client.final(challenge.data)
    assert isinstance(settle(scram.respond(final)), Success)
    assert condition(settle(scram.respond(final))) == "malformed-request"


def test_nonces_of_the_server_differ() -> None:
    nonces = set()
    for _ in range(50):
        challenge = settle(Scram("SCRAM-SHA-1", FakeContext()).begin(b"n,,n=alice,r=abc"))
        assert isinstance(challenge, Challenge)
        nonces.add(challenge.data.split(b",")[0])
    assert len(nonces) == 50


# Property


def _prepared(text: str) -> bool:
    try:
        return bool(get_profile("OpaqueString").enforce(text) == text)
    except UnicodeEncodeError:
        return False


@given(
    password=st.text(min_size=1, max_size=40).filter(_prepared),
    guess=st.text(min_size=1, max_size=40).filter(_prepared),
    mechanism=st.sampled_from(["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]),
    bound=st.binary(min_size=1, max_size=64),
    nonce=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1, max_size=64
    ),
    name=st.sampled_from(["alice", "a=2Cb", "a=3Db", "\u00fcnal"]),
)
def test_exactly_the_password_opens(
    password: str, guess: str, mechanism: str, bound: bytes, nonce: str, name: str
) -> None:
    base = mechanism.removesuffix("-PLUS")
    bare = name.replace("=2C", ",").replace("=3D", "=") + "@localhost"
    account = Credentials(1, bare, "active", {base: derive(base, password, SALT, 2)})
    plus = mechanism.endswith("-PLUS")
    context = FakeContext(account, bindings={"tls-exporter": bound} if plus else None)
    for attempt in (password, guess):
        client = ScramClient(
            mechanism, attempt, name, "p=tls-exporter,," if plus else "n,,", bound if plus else b"", nonce
        )
        outcome = exchange(context, client, mechanism)
        assert isinstance(outcome, Success if attempt == password else Failure)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_message_raises(first: bytes, final: bytes) -> None:
    scram = Scram("SCRAM-SHA-256", FakeContext(credentials()))
    outcome = settle(scram.begin(first))
    if isinstance(outcome, Challenge):
        outcome = settle(scram.respond(final))
    assert not isinstance(outcome, Success)
    scram = Scram("SCRAM-SHA-256", FakeContext(credentials()))
    settle(scram.begin(b"n,,n=alice,r=abc"))
    assert isinstance(settle(scram.respond(b"c=biws," + final)), Failure)
