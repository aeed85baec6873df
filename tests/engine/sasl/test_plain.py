"""PLAIN against stored keys."""

from __future__ import annotations

import pytest

from tests.engine.sasl.fakes import FakeContext, settle
from tests.engine.stream.fakes import PASSWORD, credentials
from xmpp_engine.sasl.mechanism import Challenge, Failure, Outcome, Success
from xmpp_engine.sasl.plain import Plain


def attempt(context: FakeContext, message: bytes) -> Outcome:
    return settle(Plain("PLAIN", context).begin(message))


def condition(outcome: Outcome) -> str:
    assert isinstance(outcome, Failure), outcome
    return outcome.condition


def test_the_right_password() -> None:
    outcome = attempt(FakeContext(credentials()), f"\0alice\0{PASSWORD}".encode())
    assert isinstance(outcome, Success)
    assert outcome.data is None
    assert outcome.account.bare == "alice@localhost"


def test_the_password_is_prepared() -> None:
    context = FakeContext(credentials("caf\u00e9"))
    assert isinstance(attempt(context, "\0alice\0cafe\u0301".encode()), Success)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\0alice\0wrong", "not-authorized"),
        (b"\0nobody\0pencil", "not-authorized"),
        (b"\0a@b\0pencil", "not-authorized"),
        (b"\0alice\0tab\there", "not-authorized"),
        (b"bob@localhost\0alice\0pencil", "invalid-authzid"),
        (b"alice\0pencil", "malformed-request"),
        (b"", "malformed-request"),
        (b"\0\0pencil", "malformed-request"),
        (b"\0alice\0", "malformed-request"),
        (b"\0alice\0pencil\0", "malformed-request"),
        (b"\0alice\0\xff", "malformed-request"),
    ],
)
def test_failures(message: bytes, expected: str) -> None:
    assert condition(attempt(FakeContext(credentials()), message)) == expected


def test_own_address_as_authorization_identity() -> None:
    assert isinstance(attempt(FakeContext(credentials()), b"alice@localhost\0alice\0pencil"), Success)


@pytest.mark.parametrize("name", ["alice", "nobody", "a@b"])
def test_the_same_work_whether_the_account_exists_or_not(name: str) -> None:
    context = FakeContext(credentials())
    attempt(context, f"\0{name}\0wrong".encode())
    assert context.derived == 1


@pytest.mark.parametrize(("state", "expected"), [("disabled", "account-disabled"), ("expired", "credentials-expired")])
def test_only_who_knows_the_password_learns_the_state(state: str, expected: str) -> None:
    context = FakeContext(credentials(state=state))
    assert condition(attempt(context, b"\0alice\0pencil")) == expected
    assert condition(attempt(context, b"\0alice\0wrong")) == "not-authorized"


def test_a_token_is_spent() -> None:
    context = FakeContext(credentials(tokens=("token1",)))
    assert isinstance(attempt(context, b"\0alice\0token1"), Success)
    assert len(context.spent) == 1
    context.token_is_good = False
    assert condition(attempt(context, b"\0alice\0token1")) == "not-authorized"


def test_without_initial_response_the_server_asks_for_it() -> None:
    plain = Plain("PLAIN", FakeContext(credentials()))
    assert isinstance(plain.begin(None), Challenge)
    assert isinstance(settle(plain.respond(b"\0alice\0pencil")), Success)
