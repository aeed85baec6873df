"""Tokens for fast re-authentication (XEP-0484), and the mechanisms that prove them (the HT family of draft-schmaus-
kitten-sasl-ht).

        client  name NUL HMAC(token, "Initiator" + binding)
        server  HMAC(token, "Responder" + binding)

One message each way, so no challenge keeps an old message from being sent again: -NONE relies on TLS alone, -ENDP and
-EXPR bind the message to the certificate or to this very connection, and a client may count its attempts.

The text of a token is not stored. It is derived from the node's secret, the token's row and the key of the account's
password: a copy of the database is of no use without the secret, a row that somebody wrote or prolonged there gives
another text, and a new password ends every token by itself.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from xmpp_engine.sasl.keys import HASHES
from xmpp_engine.sasl.mechanism import Failure, Mechanism, Outcome, Success, Wait, refused_state
from xmpp_engine.storage.devices import FAST, TokenRow
from xmpp_engine.storage.types import Credentials

#: Mechanism to the channel binding it needs, the strongest first; "" is none.
MECHANISMS: Final = {
    "HT-SHA-256-EXPR": "tls-exporter",
    "HT-SHA-256-ENDP": "tls-server-end-point",
    "HT-SHA-256-NONE": "",
}
#: Seconds that a token lives, and its age from which a sign-in with it brings a new one.
LIFETIME: Final = 30 * 86_400.0
ROTATE: Final = 7 * 86_400.0
_MAX_COUNT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FastRequest:
    """What a client says beside its token: for which device, its counter (None for none), and whether the token is to
    end with this sign-in."""

    device: str
    count: int | None = None
    invalidate: bool = False


def offered(bindings: tuple[str, ...]) -> tuple[str, ...]:
    """The mechanisms for a connection with these channel bindings."""
    return tuple(name for name, kind in MECHANISMS.items() if not kind or kind in bindings)


def fresh(account_id: int, device: str, mechanism: str, now: float) -> TokenRow:
    """A new token that the device has not used yet."""
    return TokenRow(account_id, device, mechanism, secrets.token_bytes(16), now, float(int(now + LIFETIME)))


def text_of(secret: bytes, credentials: Credentials, row: TokenRow) -> str:
    """The text of a token, which the client keeps."""
    password = next((credentials.keys[name].stored_key for name in HASHES if name in credentials.keys), b"")
    parts = (credentials.bare, row.device, row.mechanism, row.nonce.hex(), str(int(row.expires)), password.hex())
    return urlsafe_b64encode(hmac.digest(secret, "\0".join(("fast token", *parts)).encode(), "sha256")).decode()


def count_of(text: str | None) -> int | None:
    """The counter of a `<fast/>`, None for none; raises ValueError for what is no counter."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > _MAX_COUNT:
        raise ValueError("the counter of the token is not a number")
    return int(text)


class HashedToken(Mechanism):
    """One sign-in with a token. `row` is the token once it is proved."""

    __slots__ = ("_credentials", "_proof", "_request", "row")

    def __init__(self, name: str, context: object, request: FastRequest) -> None:
        super().__init__(name, context)  # type: ignore[arg-type]
        self._request = request
        self._proof = b""
        self._credentials: Credentials | None = None
        self.row: TokenRow | None = None

    def respond(self, data: bytes) -> Outcome:
        """See `Mechanism.respond`."""
        name, mark, self._proof = data.partition(b"\0")
        try:
            local = name.decode()
        except ValueError:
            local = ""
        if not mark or not local or not self._proof:
            return Failure("malformed-request", "the name or the token is missing")
        wrong = self.claim(local, "")
        if wrong is not None:
            return wrong
        if self.account is None:
            return self._known(None)
        return Wait(self.context.credentials(self.account), self._known)

    def _known(self, credentials: Credentials | None) -> Outcome:
        self._credentials = credentials
        # An unknown account is looked up as far as a known one: the time shall not tell.
        account_id = credentials.account_id if credentials is not None else 0
        return Wait(self.context.fast_tokens(account_id, self._request.device), self._check)

    def _check(self, rows: list[TokenRow]) -> Outcome:
        credentials = self._credentials
        kind = MECHANISMS[self.name]
        bound = self.context.binding(kind) if kind else b""
        if credentials is None or self.account is None or bound is None:
            return Failure("not-authorized", "unknown account or token")
        for row in rows:
            text = text_of(self.context.secret, credentials, row).encode()
            proof = hmac.digest(text, b"Initiator" + bound, "sha256")
            if hmac.compare_digest(proof, self._proof) and row.mechanism == self.name:
                break
        else:
            return Failure("not-authorized", "unknown account or token")
        if row.expires <= self.context.now():
            return Failure("credentials-expired", "the token has expired")
        wrong = refused_state(credentials)
        if wrong is not None:
            return wrong
        success = Success(self.account, credentials, hmac.digest(text, b"Responder" + bound, "sha256"), method=FAST)
        request = self._request
        if request.invalidate:
            if request.count is not None and request.count <= row.count:
                return Failure("not-authorized", "the token was used with this counter before")
            return Wait(self.context.drop_fast_token(row), lambda done: self._used(done, success, None))
        if request.count is None and row.current:
            self.row = row
            return success
        return Wait(self.context.use_fast_token(row, request.count), lambda done: self._used(done, success, row))

    def _used(self, done: bool, success: Success, row: TokenRow | None) -> Outcome:
        if done is not True:
            return Failure("not-authorized", "the token has ended or was used with this counter before")
        self.row = row
        return success
