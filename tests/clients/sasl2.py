"""A strict client of SASL2, Bind 2 and FAST over any wire: it believes nothing that it has not checked, and counts how
often it had to wait for the server.

Features are kept from the first connection, as XEP-0388 allows: a client that knows them sends its stream header and
its `<authenticate/>` together.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from tests.durability.reader import STREAM, name
from tests.patience import in_time
from tests.scenarios.wires import TcpWire, Wire

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SASL2 = "urn:xmpp:sasl:2"
BIND2 = "urn:xmpp:bind:0"
FAST = "urn:xmpp:fast:0"
SM = "urn:xmpp:sm:3"
CARBONS = "urn:xmpp:carbons:2"
CB = "urn:xmpp:sasl-cb:0"
_SECONDS = 10.0
_IN_SUCCESS = {
    name(SASL2, "additional-data"),
    name(SASL2, "authorization-identifier"),
    name(BIND2, "bound"),
    name(FAST, "token"),
    name(SM, "resumed"),
    name(SM, "failed"),
}


class Refused(Exception):
    """The server's failure; the text is its condition."""


@dataclass
class Kept:
    """What a client keeps between connections."""

    bare: str
    password: str
    agent: str = field(default_factory=lambda: str(uuid.uuid4()))
    features: Element | None = None
    token: str = ""
    token_mechanism: str = ""
    count: int = 0


class Sasl2Client:
    """One connection. `trips` is how often it waited for an answer before it could go on."""

    def __init__(self, kept: Kept, wire: Wire) -> None:
        self.kept = kept
        self.wire = wire
        self.trips = 0
        self.jid = ""
        self.bound: Element | None = None
        self.success: Element | None = None
        self._local, _, self._domain = kept.bare.partition("@")

    async def _next(self) -> Element:
        element = await in_time(self.wire.inbox.get(), _SECONDS)
        assert element is not None, "the stream ended"
        return element

    async def sign_in(self, *, inline: str = "", mechanism: str = "", fast: str = "") -> None:
        """With the token where there is one, else with SCRAM; `inline` is what is asked for beside it."""
        known = self.kept.features is not None
        await self.wire.open(self._domain)
        if not known:
            self.trips += 1
            await self._features()
        if self.kept.token:
            await self._with_token(inline, fast)
        else:
            await self._with_password(mechanism or "SCRAM-SHA-256", inline, known)
        after = (
            await self._next() if self.success is not None and self.success.find(name(SM, "resumed")) is None else None
        )
        if after is not None:
            assert after.tag == name(STREAM, "features")
            assert after.find(name(SASL2, "authentication")) is None

    async def _features(self) -> None:
        features = await self._next()
        assert features.tag == name(STREAM, "features"), features.tag
        assert features.find(name(SASL2, "authentication")) is not None
        self.kept.features = features

    def offered(self, path: str) -> list[str]:
        """The texts of elements in the kept features."""
        assert self.kept.features is not None
        return [element.text or "" for element in self.kept.features.iterfind(path)]

    def _authenticate(self, mechanism: str, first: bytes, inline: str) -> str:
        agent = f"<user-agent id='{self.kept.agent}'><software>Strict</software><device>test</device></user-agent>"
        return (
            f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>"
            f"<initial-response>{b64encode(first).decode()}</initial-response>{agent}{inline}</authenticate>"
        )

    async def _with_token(self, inline: str, attrs: str) -> None:
        mechanism = self.kept.token_mechanism
        bound = self._end_point() if mechanism.endswith("-ENDP") else b""
        key = self.kept.token.encode()
        self.kept.count += 1
        proof = hmac.digest(key, b"Initiator" + bound, "sha256")
        fast = f"<fast xmlns='{FAST}' count='{self.kept.count}' {attrs}/>"
        first = self._local.encode() + b"\0" + proof
        await self.wire.send(self._authenticate(mechanism, first, inline + fast))
        self.trips += 1
        await self._features()
        data = self._take(await self._next())
        assert hmac.compare_digest(data, hmac.digest(key, b"Responder" + bound, "sha256")), "the server knows no token"

    async def _with_password(self, mechanism: str, inline: str, known: bool) -> None:
        hash = "sha256" if "256" in mechanism else "sha1"
        plus = mechanism.endswith("-PLUS")
        header, bound = (b"p=tls-server-end-point,,", self._end_point()) if plus else (b"n,,", b"")
        nonce = secrets.token_urlsafe(18)
        bare = f"n={self._local},r={nonce}"
        await self.wire.send(self._authenticate(mechanism, header + bare.encode(), inline))
        self.trips += 1
        if known:
            await self._features()
        challenge = await self._next()
        self._refusal(challenge)
        assert challenge.tag == name(SASL2, "challenge")
        server_first = b64decode(challenge.text or "", validate=True).decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(nonce)
        assert len(fields["r"]) > len(nonce)
        assert b64decode(fields["h"]) == self._downgrade_hash(hash), "the offer was changed on its way"
        salted = hashlib.pbkdf2_hmac(hash, self.kept.password.encode(), b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", hash)
        without_proof = f"c={b64encode(header + bound).decode()},r={fields['r']}"
        message = f"{bare},{server_first},{without_proof}".encode()
        mask = hmac.digest(hashlib.new(hash, client_key).digest(), message, hash)
        proof = bytes(a ^ b for a, b in zip(client_key, mask, strict=True))
        final = f"{without_proof},p={b64encode(proof).decode()}"
        await self.wire.send(f"<response xmlns='{SASL2}'>{b64encode(final.encode()).decode()}</response>")
        self.trips += 1
        signature = hmac.digest(hmac.digest(salted, b"Server Key", hash), message, hash)
        assert self._take(await self._next()) == b"v=" + b64encode(signature)

    def _downgrade_hash(self, hash: str) -> bytes:
        offer = "\x1e".join(sorted(self.offered(f"{name(SASL2, 'authentication')}/{name(SASL2, 'mechanism')}")))
        assert self.kept.features is not None
        kinds = self.kept.features.find(name(CB, "sasl-channel-binding"))
        if kinds is not None:
            offer += "\x1f" + "\x1e".join(sorted(kind.get("type") or "" for kind in kinds))
        return hashlib.new(hash, offer.encode()).digest()

    def _end_point(self) -> bytes:
        assert isinstance(self.wire, TcpWire)
        return hashlib.sha256(self.wire.peer_certificate()).digest()

    def _refusal(self, element: Element) -> None:
        if element.tag == name(SASL2, "failure"):
            condition = next(child.tag for child in element if child.tag.startswith(f"{{{SASL}}}"))
            raise Refused(condition.partition("}")[2])

    def _take(self, success: Element) -> bytes:
        """Check a success and keep what it brings; returns the mechanism's data."""
        self._refusal(success)
        assert success.tag == name(SASL2, "success"), success.tag
        tags = [child.tag for child in success]
        assert set(tags) <= _IN_SUCCESS, tags
        assert len(tags) == len(set(tags)), tags
        self.success = success
        self.bound = success.find(name(BIND2, "bound"))
        self.jid = success.findtext(name(SASL2, "authorization-identifier")) or ""
        assert self.jid.partition("/")[0] == self.kept.bare
        assert ("/" in self.jid) == (self.bound is not None or success.find(name(SM, "resumed")) is not None)
        token = success.find(name(FAST, "token"))
        if token is not None:
            expiry = datetime.fromisoformat(token.get("expiry") or "")
            assert expiry > datetime.now(UTC)
            self.kept.token, self.kept.count = token.get("token") or "", 0
            assert len(self.kept.token) >= 32
        return b64decode(success.findtext(name(SASL2, "additional-data")) or "", validate=True)

    async def asks(self, iq: str, id: str) -> Element:
        """Send an iq and wait for its answer."""
        await self.wire.send(iq)
        while True:
            element = await self._next()
            if element.get("id") == id:
                return element
