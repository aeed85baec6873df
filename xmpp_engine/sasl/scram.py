"""SCRAM-SHA-1 and SCRAM-SHA-256, with and without -PLUS (RFC 5802, RFC 7677, RFC 9266 and 5929 for the bindings).

        client  gs2-header "n=" name ",r=" nonce            gs2-header: flag "," ["a=" authzid] ","
        server  "r=" nonce+ours ",s=" salt ",i=" rounds ",h=" hash        flag: "n" | "y" | "p=" binding
        client  "c=" gs2+binding ",r=" nonce ",p=" proof
        server  "v=" signature

Only keys are stored, so the server checks the proof by H(ClientKey) = StoredKey and shows by its signature that it
knows ServerKey. One challenge serves the password and the one-time tokens of the web's sign-in alike, because they
share salt and rounds; a token is spent before success is told. `h` is the downgrade protection of XEP-0474: a hash of
the mechanisms and channel bindings as we offered them, which the proof covers; who does not know it passes over it.

Whoever has no account gets the same exchange to its end, with a salt made from a secret: the answers do not tell who
exists.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from typing import Final

from xmpp_engine.sasl.keys import HASHES, pretended
from xmpp_engine.sasl.mechanism import Challenge, Context, Failure, Mechanism, Outcome, Success, Wait, refused_state
from xmpp_engine.storage.devices import GRANT
from xmpp_engine.storage.types import Credentials, ScramKeys

#: ASCII without control characters, blank and comma (RFC 5802, 7: printable).
_NONCE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]+\Z")
_BINDING_NAME: Final = re.compile(r"[A-Za-z0-9.-]+\Z")
#: `=` is allowed only as the start of these two (RFC 5802, 5.1).
_ESCAPES: Final = re.compile(r"=(?!2C|3D)")


class Scram(Mechanism):
    """One SCRAM exchange."""

    __slots__ = (
        "_bare",
        "_bound",
        "_credentials",
        "_hash",
        "_keys",
        "_nonce",
        "_plus",
        "_server_first",
        "_step",
        "_who",
        "make_nonce",
    )

    def __init__(self, name: str, context: Context) -> None:
        super().__init__(name, context)
        self._plus = name.endswith("-PLUS")
        self._hash = HASHES[name.removesuffix("-PLUS")]
        self._step: Callable[[bytes], Outcome] = self._first
        self._bound = b""
        self._bare = ""
        self._nonce = ""
        self._who = ""
        self._server_first = ""
        self._credentials: Credentials | None = None
        self._keys: ScramKeys | None = None
        self.make_nonce: Callable[[], str] = _make_nonce

    def respond(self, data: bytes) -> Outcome:
        """See `Mechanism.respond`."""
        return self._step(data)

    # The first message

    def _first(self, data: bytes) -> Outcome:
        try:
            flag, authzid, bare = data.decode().split(",", 2)
        except ValueError:
            return Failure("malformed-request", "not a SCRAM message")
        wrong = self._binding(flag, data[: len(data) - len(bare.encode())])
        if wrong is not None:
            return wrong
        if authzid:
            if not authzid.startswith("a="):
                return Failure("malformed-request", "not a SCRAM header")
            authzid = _unescape(authzid[2:])
            if not authzid:
                return Failure("malformed-request", "not an authorization identity")
        parts = bare.split(",")
        if len(parts) < 2 or not parts[0].startswith("n=") or not parts[1].startswith("r="):
            # That includes m=, an extension that whoever does not know it must refuse.
            return Failure("malformed-request", "the name or the nonce is missing")
        name = _unescape(parts[0][2:])
        nonce = parts[1][2:]
        if not name or not _NONCE.match(nonce):
            return Failure("malformed-request", "the name or the nonce is not acceptable")
        wrong = self.claim(name, authzid)
        if wrong is not None:
            return wrong
        self._bare = bare
        self._nonce = nonce + self.make_nonce()
        self._step = _out_of_order
        if self.account is None:
            self._who = name
            return self._challenge(None)
        self._who = self.account.bare
        return Wait(self.context.credentials(self.account), self._challenge)

    def _binding(self, flag: str, header: bytes) -> Failure | None:
        """Check the channel binding flag (RFC 5802, 6) and keep what `c=` must hold."""
        self._bound = header
        if flag.startswith("p="):
            kind = flag[2:]
            if not self._plus or not _BINDING_NAME.match(kind):
                return Failure("malformed-request", "a channel binding goes with a -PLUS mechanism")
            data = self.context.binding(kind) if kind in self.context.bindings else None
            if data is None:
                return Failure("malformed-request", "this channel binding is not supported")
            self._bound = header + data
            return None
        if flag not in ("n", "y"):
            return Failure("malformed-request", "not a SCRAM header")
        if self._plus:
            return Failure("malformed-request", "a -PLUS mechanism needs a channel binding")
        if flag == "y" and self.context.bindings:
            # The client could bind and was made to believe that we cannot: somebody changed the list on its way. Or it
            # knows none of our bindings and says so in a wrong way, as slixmpp did up to 1.8, and goes on to PLAIN.
            return Failure("not-authorized", "the server does support channel binding", guess=False)
        return None

    def _challenge(self, credentials: Credentials | None) -> Outcome:
        base = self.name.removesuffix("-PLUS")
        keys = credentials.keys.get(base) if credentials is not None else None
        if keys is None:
            credentials = None
            keys = pretended(self.context.secret, base, self._who, self.context.iterations)
        self._credentials = credentials
        self._keys = keys
        salt = b64encode(keys.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={keys.iterations}"
        shown = self.context.downgrade_hash(self._hash)
        if shown:
            self._server_first += f",h={shown}"
        self._step = self._final
        return Challenge(self._server_first.encode())

    # The final message

    def _final(self, data: bytes) -> Outcome:
        self._step = _out_of_order
        try:
            text = data.decode()
            without_proof, mark, proof64 = text.rpartition(",p=")
            proof = a2b_base64(proof64, strict_mode=True)
            binding, nonce = without_proof.split(",")[:2]
            bound = a2b_base64(binding[2:], strict_mode=True)
        except (ValueError, Base64Error):
            return Failure("malformed-request", "not a SCRAM message")
        if not mark or binding[:2] != "c=" or nonce[:2] != "r=":
            return Failure("malformed-request", "not a SCRAM message")
        if not hmac.compare_digest(bound, self._bound):
            return Failure("not-authorized", "the channel binding does not match")
        if not hmac.compare_digest(nonce[2:].encode(), self._nonce.encode()):
            return Failure("not-authorized", "the nonce does not match")
        message = f"{self._bare},{self._server_first},{without_proof}".encode()
        assert self._keys is not None
        credentials = self._credentials
        candidates = [self._keys] if credentials is None else [self._keys, *self._tokens(credentials, self._keys)]
        for keys in candidates:
            if self._proves(proof, keys, message):
                break
        else:
            return Failure("not-authorized", "wrong password or unknown account")
        if credentials is None or self.account is None:
            return Failure("not-authorized", "wrong password or unknown account")
        wrong = refused_state(credentials)
        if wrong is not None:
            return wrong
        signature = b"v=" + b64encode(hmac.digest(keys.server_key, message, self._hash))
        success = Success(self.account, credentials, signature)
        if keys is self._keys:
            return success
        success.method = GRANT
        return Wait(self.context.spend_token(self.account, keys.stored_key), lambda spent: _spent(spent, success))

    def _tokens(self, credentials: Credentials, keys: ScramKeys) -> list[ScramKeys]:
        """The tokens that this challenge serves."""
        return [
            token
            for token in credentials.tokens
            if token.mechanism == keys.mechanism and token.salt == keys.salt and token.iterations == keys.iterations
        ]

    def _proves(self, proof: bytes, keys: ScramKeys, message: bytes) -> bool:
        signature = hmac.digest(keys.stored_key, message, self._hash)
        if len(proof) != len(signature):
            return False
        size = len(proof)
        client_key = (int.from_bytes(proof, "big") ^ int.from_bytes(signature, "big")).to_bytes(size, "big")
        return hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), keys.stored_key)


def _spent(spent: bool, success: Success) -> Outcome:
    return success if spent is True else Failure("not-authorized", "the one-time token was used already")


def _out_of_order(_data: bytes) -> Outcome:
    return Failure("malformed-request", "nothing was asked")


def _unescape(name: str) -> str:
    """A saslname as text, "" where its escapes are wrong."""
    if "=" not in name:
        return name
    if _ESCAPES.search(name):
        return ""
    return name.replace("=2C", ",").replace("=3D", "=")


def _make_nonce() -> str:
    return secrets.token_urlsafe(18)
