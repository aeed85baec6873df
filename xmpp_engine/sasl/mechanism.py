"""SASL mechanisms without I/O (RFC 4422): data in, an outcome out. Start here, then `scram.py`.

A mechanism is a small state machine. `begin` and `respond` return one of four outcomes; what needs the database or much
time is not done here but handed back as `Wait`: the driver (`stream/feature_sasl.py`) awaits the work and asks `then`
for the next outcome. So a mechanism is tested with plain calls, and only waiting costs a task.

        begin(data) / respond(data) --> Challenge | Success | Failure | Wait(work, then)
                                                                          `--> then(result) --> ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from xmpp_engine.addressing.jid import Jid
from xmpp_engine.sasl.keys import HASHES
from xmpp_engine.storage.devices import PASSWORD, TokenRow
from xmpp_engine.storage.types import Credentials

#: SASL conditions of RFC 6120, 6.5.
CONDITIONS: Final = frozenset(
    {
        "aborted",
        "account-disabled",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    }
)
#: Everything this server can do, strongest first; a domain's configuration names the ones it wants without -PLUS.
KNOWN: Final = (*(f"{name}-PLUS" for name in HASHES), *HASHES, "PLAIN")
#: Channel bindings we can check, best first (RFC 9266, RFC 5929).
BINDINGS: Final = ("tls-exporter", "tls-server-end-point")
#: Failures that say something about a guess.
_GUESSES: Final = frozenset({"not-authorized", "account-disabled", "credentials-expired", "invalid-authzid"})
#: What an account's state means to somebody who knows its password (AUTH-07).
_STATES: Final = {"expired": "credentials-expired"}


class Challenge:
    """Send this and wait for the answer."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Success:
    """Somebody is authenticated. `data` goes with the success, None where the mechanism has none; `method` says by what
    (`storage.devices.METHODS`)."""

    __slots__ = ("account", "credentials", "data", "method")

    def __init__(
        self, account: Jid, credentials: Credentials, data: bytes | None = None, method: int = PASSWORD
    ) -> None:
        self.account = account
        self.credentials = credentials
        self.data = data
        self.method = method


class Failure:
    """The attempt has failed; `condition` is one of CONDITIONS, `text` is for the client and the log. `guess` is False
    where it failed before anything secret was looked at, whatever the condition: nobody has guessed then."""

    __slots__ = ("condition", "guess", "text")

    def __init__(self, condition: str, text: str = "", *, guess: bool = True) -> None:
        if condition not in CONDITIONS:
            raise ValueError(f"unknown SASL condition {condition!r}")
        self.condition = condition
        self.guess = guess and condition in _GUESSES
        self.text = text


class Wait:
    """Await `work`, then ask `then(result)` for the next outcome."""

    __slots__ = ("then", "work")

    def __init__(self, work: Awaitable[Any], then: Callable[[Any], Outcome]) -> None:
        self.work = work
        self.then = then


Outcome = Challenge | Success | Failure | Wait


class Context(Protocol):
    """What a mechanism may ask of the stream it runs on."""

    #: The domain of the stream.
    domain: str
    #: Channel bindings that were announced; with any, -PLUS was offered too.
    bindings: tuple[str, ...]
    #: Key of the pretended salts, and the rounds that go with them.
    secret: bytes
    iterations: int
    #: The accounts of the domain that the client's certificate speaks for.
    certificate: tuple[str, ...]

    def now(self) -> float:
        """Seconds since the epoch."""

    def downgrade_hash(self, hash: str) -> str:
        """XEP-0474: what was offered, hashed, in base64; "" where that is not to be shown."""

    async def fast_tokens(self, account_id: int, device: str) -> list[TokenRow]:
        """The tokens of a device, the newest first (XEP-0484); raises StoreUnavailable, as the next two do."""

    async def use_fast_token(self, row: TokenRow, count: int | None) -> bool:
        """Take a token as the current one, with its counter; False when it is gone or the counter was used."""

    async def drop_fast_token(self, row: TokenRow) -> bool:
        """End a token; False when it is gone already."""

    def binding(self, kind: str) -> bytes | None:
        """The data of an announced channel binding."""

    async def credentials(self, account: Jid) -> Credentials | None:
        """What is stored of the account; raises StoreUnavailable."""

    async def spend_token(self, account: Jid, stored_key: bytes) -> bool:
        """Use up a one-time token; False when it was spent before."""

    async def run_blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something slow outside the loop's thread."""


class Mechanism:
    """One attempt with one mechanism. `account` is whom the client claims to be, once it has said so."""

    __slots__ = ("account", "context", "name")

    def __init__(self, name: str, context: Context) -> None:
        self.name = name
        self.context = context
        self.account: Jid | None = None

    def begin(self, data: bytes | None) -> Outcome:
        """The first step; `data` is the initial response, None for none."""
        if data is None:
            return Challenge(b"")
        return self.respond(data)

    def respond(self, data: bytes) -> Outcome:
        """The client's answer to a challenge."""
        raise NotImplementedError

    def claim(self, name: str, authzid: str) -> Failure | None:
        """Take who the client says it is; a failure when the name or the wish to act for somebody is not acceptable.

        A name that is no localpart leaves `account` at None: it is treated as one without an account.
        """
        try:
            self.account = Jid.make(name, self.context.domain)
        except ValueError:
            self.account = None
        if not authzid:
            return None
        try:
            wanted = Jid.parse(authzid)
        except ValueError:
            return Failure("invalid-authzid", "the authorization identity is not an address")
        if self.account is None or wanted.full != self.account.bare:
            return Failure("invalid-authzid", "nobody may act for another account")
        return None


def refused_state(credentials: Credentials) -> Failure | None:
    """Why an account with the right password may not sign in, None when it may. Everything but `active` is refused."""
    if credentials.state == "active":
        return None
    return Failure(_STATES.get(credentials.state, "account-disabled"), f"the account is {credentials.state}")


@lru_cache(256)
def offered(configured: tuple[str, ...], bindings: tuple[str, ...], protected: bool) -> tuple[str, ...]:
    """The mechanisms to offer, strongest first.

    `configured` is the domain's list; `bindings` the channel bindings at hand; `protected` whether a password may be
    sent here: over TLS, or where the operator allows it in clear. Where it may not, nothing is offered.
    """
    if not protected:
        return ()
    usable = KNOWN if bindings else tuple(name for name in KNOWN if not name.endswith("-PLUS"))
    return tuple(name for name in usable if name.removesuffix("-PLUS") in configured)


def refusal(name: str, configured: tuple[str, ...], protected: bool) -> Failure:
    """Why a mechanism that was not offered is refused (RFC 6120, 6.5)."""
    base = name.removesuffix("-PLUS")
    if name not in KNOWN:
        return Failure("invalid-mechanism", "this mechanism is not known here")
    if base not in configured:
        return Failure("mechanism-too-weak", "this domain does not accept the mechanism")
    if not protected:
        return Failure("encryption-required", "authentication needs TLS here")
    return Failure("invalid-mechanism", "this connection has no channel binding")
