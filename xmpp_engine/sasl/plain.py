"""PLAIN (RFC 4616), checked against stored SCRAM keys; the password itself is kept nowhere.

The keys of the password are derived in a thread, for an unknown account too: both take the same time.
"""

from __future__ import annotations

import hmac

from xmpp_engine.sasl.keys import HASHES, derive, pretended
from xmpp_engine.sasl.mechanism import Failure, Mechanism, Outcome, Success, Wait, refused_state
from xmpp_engine.storage.devices import GRANT
from xmpp_engine.storage.types import Credentials, ScramKeys


class Plain(Mechanism):
    """One PLAIN attempt: name and password in one message."""

    __slots__ = ("_credentials", "_keys", "_password")

    def respond(self, data: bytes) -> Outcome:
        """See `Mechanism.respond`."""
        try:
            authzid, name, password = data.decode().split("\0")
        except ValueError:
            return Failure("malformed-request", "not a PLAIN message")
        if not name or not password:
            return Failure("malformed-request", "the name or the password is missing")
        wrong = self.claim(name, authzid)
        if wrong is not None:
            return wrong
        self._password = password
        if self.account is None:
            return self._check(None)
        return Wait(self.context.credentials(self.account), self._check)

    def _check(self, credentials: Credentials | None) -> Outcome:
        keys = None
        if credentials is not None:
            keys = next((credentials.keys[name] for name in HASHES if name in credentials.keys), None)
        if keys is None:
            credentials = None
            name = self.account.bare if self.account is not None else ""
            keys = pretended(self.context.secret, next(iter(HASHES)), name, self.context.iterations)
        self._credentials = credentials
        self._keys = keys
        password, self._password = self._password, ""
        return Wait(
            self.context.run_blocking(_derived, keys.mechanism, password, keys.salt, keys.iterations), self._compare
        )

    def _compare(self, found: ScramKeys | None) -> Outcome:
        credentials = self._credentials
        if found is None or credentials is None or self.account is None:
            return Failure("not-authorized", "wrong password or unknown account")
        token = False
        if not hmac.compare_digest(found.stored_key, self._keys.stored_key):
            token = any(
                other.mechanism == found.mechanism
                and other.salt == found.salt
                and other.iterations == found.iterations
                and hmac.compare_digest(found.stored_key, other.stored_key)
                for other in credentials.tokens
            )
            if not token:
                return Failure("not-authorized", "wrong password or unknown account")
        wrong = refused_state(credentials)
        if wrong is not None:
            return wrong
        success = Success(self.account, credentials)
        if not token:
            return success
        success.method = GRANT
        return Wait(self.context.spend_token(self.account, found.stored_key), lambda spent: _spent(spent, success))


def _derived(mechanism: str, password: str, salt: bytes, iterations: int) -> ScramKeys | None:
    """The password's keys, None (after the same work) for one that no account can have."""
    try:
        return derive(mechanism, password, salt, iterations)
    except ValueError:
        derive(mechanism, "no password", salt, iterations)
        return None


def _spent(spent: bool, success: Success) -> Outcome:
    return success if spent is True else Failure("not-authorized", "the one-time token was used already")
