"""TLS records of one connection over a pair of memory BIOs that all connections share (hot file).

Python's `ssl` encrypts between two memory BIOs that we fill and empty. Everybody gives each connection a pair of its
own, and each BIO keeps the largest buffer it ever needed: 25 KB per idle connection at best, 55 KB after one message
of 30 KB. But OpenSSL takes everything out of the incoming BIO before it says that it wants more (an unfinished record
waits in its own buffer, freed when idle), and we take everything out of the outgoing BIO after each call. So both are
empty between calls, and one pair serves all connections of a loop:

        bytes read --> incoming --> SSLObject --> plain text           empty --> empty
        records    <-- outgoing <-- SSLObject <-- what we send         empty --> empty

Measured (OpenSSL 3.0, P-256, TLS 1.3) 14 KB per idle connection, however much it has moved. What makes it safe is kept
in this one file: no callback to anybody runs between filling and emptying, each call here starts by checking that both
BIOs are empty, and an error empties them. Bytes of one connection can so never meet another.
"""

from __future__ import annotations

import ssl
from typing import Final

#: The most that goes through a BIO at once; also the largest plain text of one record.
CHUNK: Final = 16_384
_WANT_READ: Final = ssl.SSLWantReadError


class TlsError(Exception):
    """The connection cannot go on; the text says why. `alert` is what must still be sent to the peer."""

    def __init__(self, text: str, alert: bytes) -> None:
        super().__init__(text)
        self.alert = alert


class BioPair:
    """The BIOs that all connections of one loop take turns with."""

    __slots__ = ("incoming", "outgoing")

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()

    def drain(self) -> bytes:
        """Empty both after an error; returns what was to be sent (an alert)."""
        self.incoming.read()
        return self.outgoing.read()


class TlsLayer:
    """TLS on one connection: the server's side, or with `server_name` (which may be "" for none) the client's. Not to
    be used again after a TlsError or once `ended`."""

    __slots__ = ("_bios", "_incoming", "_outgoing", "ended", "established", "ssl")

    def __init__(self, context: ssl.SSLContext, bios: BioPair, server_name: str | None = None) -> None:
        self._bios = bios
        self._incoming = bios.incoming
        self._outgoing = bios.outgoing
        self.ssl = context.wrap_bio(
            bios.incoming, bios.outgoing, server_side=server_name is None, server_hostname=server_name or None
        )
        #: The handshake is done.
        self.established = False
        #: The peer has said that it sends no more (close_notify).
        self.ended = False

    def hello(self) -> bytes:
        """What the client's side sends first; b"" on the server's, which waits for that."""
        if self.ssl.server_side:
            return b""
        if self._incoming.pending or self._outgoing.pending:
            raise self._broken("bytes of another connection")
        try:
            self.ssl.do_handshake()
        except _WANT_READ:
            pass
        except (ssl.SSLError, OSError) as error:
            raise self._broken(reason(error)) from None
        return self._outgoing.read()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Bytes from the peer, at most CHUNK of them: the plain text they complete, and bytes to send back at once."""
        incoming = self._incoming
        if incoming.pending or self._outgoing.pending:
            raise self._broken("bytes of another connection")
        incoming.write(data)
        try:
            if not self.established:
                self.ssl.do_handshake()
                self.established = True
                if not incoming.pending:
                    return b"", self._outgoing.read()
            plain = self._read()
        except _WANT_READ:
            plain = b""
        except (ssl.SSLError, OSError) as error:
            raise self._broken(reason(error)) from None
        if incoming.pending:
            raise self._broken("bytes left over")
        return plain, self._outgoing.read() if self._outgoing.pending else b""

    def _read(self) -> bytes:
        """All plain text that the incoming BIO holds. The usual case, one record, does without an exception."""
        incoming = self._incoming
        read = self.ssl.read
        plain = read(CHUNK)
        if plain and not incoming.pending and not self.ssl.pending():
            return plain
        parts = [plain]
        try:
            while plain and (incoming.pending or self.ssl.pending()):
                plain = read(CHUNK)
                parts.append(plain)
        except _WANT_READ:
            pass
        if not plain:
            # An empty read is the peer's close_notify; what follows it means nothing.
            self.ended = True
            incoming.read()
        return b"".join(parts)

    def encrypt(self, data: bytes) -> bytes:
        """The records that carry `data`."""
        outgoing = self._outgoing
        if outgoing.pending or self._incoming.pending:
            raise self._broken("bytes of another connection")
        try:
            if len(data) <= CHUNK:
                self.ssl.write(data)
                return outgoing.read()
            records = []
            for start in range(0, len(data), CHUNK):
                self.ssl.write(data[start : start + CHUNK])
                records.append(outgoing.read())
            return b"".join(records)
        except (ssl.SSLError, OSError) as error:
            raise self._broken(reason(error)) from None

    def close_notify(self) -> bytes:
        """The farewell, once the handshake is done; does not wait for the peer's."""
        if not self.established or self._outgoing.pending:
            return b""
        try:
            self.ssl.unwrap()
        except (ssl.SSLError, OSError):
            pass
        return self._bios.drain()

    def _broken(self, text: str) -> TlsError:
        return TlsError(text, self._bios.drain())


def reason(error: Exception) -> str:
    """OpenSSL's own word for what went wrong, in small letters."""
    word = getattr(error, "reason", None)
    return word.lower().replace("_", " ") if isinstance(word, str) and word else str(error)
