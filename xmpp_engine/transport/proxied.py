"""Who is behind a load balancer: the PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt).

A balancer that passes TCP through hides the address of each client, and with it the limits per address, the throttle
of wrong passwords and every line of the log: ten thousand clients would be one stranger who guesses. So the balancer
says in front of the first byte of each connection whom it stands for.

Whoever may say so could be anybody. The header is therefore read from the networks that the operator names and from no
other, and there it must come: nothing is guessed. `ProxiedConnection` is the connection's protocol until the header is
complete, then gives way to the real one, which costs that one nothing:

    socket -> ProxiedConnection (header) -> TcpTransport (TLS, stream)

The library for this (proxy-protocol) lets struct.error out where an address is shorter than it says, bounds neither
header nor time for protocols of asyncio, and calls itself alpha.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, cast

from xmpp_engine.transport.tcp import TcpTransport

Network = IPv4Network | IPv6Network
#: Address and port of a client; None where the balancer speaks for itself (its health checks) or knows no more.
Source = tuple[str, int] | None

#: Seconds for the header: it comes with the connection.
HEADER_SECONDS: Final = 5.0
#: Bytes of a header: 107 in version 1; in version 2 what balancers put there (names of certificates, tokens) is less.
_MOST_TEXT: Final = 107
_MOST_BINARY: Final = 2_048
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_TEXT: Final = b"PROXY "


class HeaderError(ValueError):
    """What came is no header of the PROXY protocol; the text says why."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks or addresses in text; raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def within(address: str, proxies: tuple[Network, ...]) -> bool:
    """Whether one of the networks holds an address."""
    try:
        parsed = _plain(ip_address(address))
    except ValueError:
        return False
    return any(parsed in network for network in proxies)


def read_header(data: bytes) -> tuple[Source, int] | None:
    """The source and the length of the header with which `data` begins; None while it is incomplete. Raises
    HeaderError, as soon as the bytes that are there cannot be one."""
    if data.startswith(_SIGNATURE):
        return _binary(data)
    if data.startswith(_TEXT):
        return _text(data)
    if _SIGNATURE.startswith(data) or _TEXT.startswith(data):
        return None
    raise HeaderError("it does not begin with a header of the PROXY protocol")


def _text(data: bytes) -> tuple[Source, int] | None:
    """Version 1: `PROXY TCP4 source destination port port` and a line's end."""
    line, end, _rest = data[:_MOST_TEXT].partition(b"\r\n")
    if not end:
        if len(data) >= _MOST_TEXT:
            raise HeaderError("the header is too long")
        return None
    words = line.decode("latin-1").split(" ")
    length = len(line) + 2
    if words[1] == "UNKNOWN":
        return None, length
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise HeaderError("the header says neither TCP4, TCP6 nor UNKNOWN")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        source, _destination = kind(words[2]), kind(words[3])
    except ValueError as error:
        raise HeaderError(str(error)) from None
    ports = words[4:]
    if not all(port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65_536 for port in ports):
        raise HeaderError("the header has a wrong port")
    return (str(_plain(source)), int(ports[0])), length


def _binary(data: bytes) -> tuple[Source, int] | None:
    """Version 2: the signature, version and command, family and protocol, the length of the rest, addresses."""
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 15
    if version != 2 or command > 1:
        raise HeaderError("the header is of another version")
    length = 16 + int.from_bytes(data[14:16], "big")
    if length > _MOST_BINARY:
        raise HeaderError("the header is too long")
    if len(data) < length:
        return None
    family = data[13]
    if command == 0 or family not in (0x11, 0x21):
        # Its own connection, or one of another kind than TCP: it stands for nobody that could be named.
        return None, length
    size = 4 if family == 0x11 else 16
    if length < 16 + 2 * size + 4:
        raise HeaderError("the header is too short for its addresses")
    source = ip_address(data[16 : 16 + size])
    port = 16 + 2 * size
    return (str(_plain(source)), int.from_bytes(data[port : port + 2], "big")), length


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address in IPv6's clothes as what it is."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


class ProxiedConnection(asyncio.Protocol):
    """A new connection until it is known for whom it is."""

    __slots__ = ("_connection", "_data", "_loop", "_proxies", "_refused", "_timer", "_transport")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: TcpTransport,
        proxies: tuple[Network, ...],
        refused: Callable[[str, str], Any],
    ) -> None:
        """`connection` takes over; `refused` is called with the balancer's address and why where the header is none."""
        self._loop = loop
        self._connection = connection
        self._proxies = proxies
        self._refused = refused
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; who is no balancer goes on at once."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._address():
            # Closed already, so nobody knows by whom: perhaps a balancer that only looked.
            self._transport.abort()
        elif within(self._address(), self._proxies):
            self._timer = self._loop.call_later(HEADER_SECONDS, self._refuse, "no header within the time")
        else:
            self._give_way(None, b"")

    def data_received(self, data: bytes) -> None:
        """Bytes of the header, perhaps of the stream already."""
        data = self._data + data
        try:
            found = read_header(data)
        except HeaderError as error:
            self._refuse(str(error))
            return
        if found is None:
            self._data = data
        else:
            source, length = found
            self._give_way(source, data[length:])

    def connection_lost(self, error: Exception | None) -> None:
        """Closed before it said anything: a health check."""
        self._stop_timer()
        self._transport = None

    def _give_way(self, source: Source, rest: bytes) -> None:
        self._stop_timer()
        transport, self._transport = self._transport, None
        if transport is None:
            return
        connection = self._connection
        if source is not None:
            connection.come_from(*source)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if rest:
            connection.data_received(rest)

    def _refuse(self, why: str) -> None:
        self._stop_timer()
        if self._transport is not None:
            self._refused(self._address(), why)
            self._transport.abort()

    def _address(self) -> str:
        assert self._transport is not None
        name: Any = self._transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) and name else ""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
