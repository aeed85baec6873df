"""Listening sockets: bind, accept within the limits per address, close.

A direct TLS listener does the handshake before there is a stream. When the process runs out of file descriptors, libuv
takes each waiting connection and closes it, so the listener neither spins nor dies.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket

from xmpp_engine.config.schema import ListenerConfig
from xmpp_engine.transport.admission import Admission, admission_key
from xmpp_engine.transport.base import Accept, Receiver
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.proxied import ProxiedConnection, networks
from xmpp_engine.transport.tcp import Owner, TcpTransport
from xmpp_engine.transport.tls import Contexts

log = logging.getLogger("mlink.transport")

_BACKLOG = 1024


class ListenError(Exception):
    """A listener cannot be opened; the text is a sentence for the operator."""


class Listener(Owner):
    """One listening socket and its open connections.

    `accept` makes the receiver of each new connection; `dirty` and `admission` are shared by all listeners of an
    engine.
    """

    __slots__ = (
        "_accept",
        "_admission",
        "_contexts",
        "_dirty",
        "_headless",
        "_loop",
        "_open",
        "_proxies",
        "_server",
        "config",
        "refused",
    )

    def __init__(
        self,
        config: ListenerConfig,
        accept: Accept,
        contexts: Contexts,
        dirty: DirtySet,
        admission: Admission,
    ) -> None:
        self.config = config
        self._accept = accept
        self._contexts = contexts
        self._dirty = dirty
        self._admission = admission
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        #: Open connections, each with whether it has authenticated.
        self._open: dict[TcpTransport, bool] = {}
        self._proxies = networks(config.proxies)
        #: Connections of balancers that did not say for whom they are.
        self._headless = 0
        self._server: asyncio.Server | None = None
        #: Connections refused by the limits per address since the start.
        self.refused = 0

    async def start(self) -> None:
        """Bind and listen; raises ListenError."""
        config = self.config
        try:
            self._server = await self._loop.create_server(
                self._connection,
                config.address or None,
                config.port,
                reuse_port=config.reuse_port or None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise ListenError(_sentence(config, error)) from error

    @property
    def port(self) -> int:
        """The port in use; it differs from the configuration where that says 0. 0 while closed."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def close(self) -> None:
        """Stop listening. Open connections stay: their streams say goodbye first."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def abort(self) -> None:
        """Stop listening and cut every open connection."""
        self.close()
        for connection in list(self._open):
            connection.abort()

    def _connection(self) -> TcpTransport | ProxiedConnection:
        contexts = self._contexts.peers if self.config.kind == "s2s" else self._contexts
        direct = contexts if self.config.tls == "direct" else None
        connection = TcpTransport(self._loop, self._dirty, self.config.limits, self, direct)
        if self._proxies:
            return ProxiedConnection(self._loop, connection, self._proxies, self._without_header)
        return connection

    def _without_header(self, address: str, why: str) -> None:
        self._headless += 1
        if self._headless & (self._headless - 1) == 0:
            log.warning(
                "%s: connection from the load balancer %s refused: %s (%d so far)",
                self.config.name,
                address,
                why,
                self._headless,
            )

    # Owner

    def admit(self, connection: TcpTransport) -> bool:
        """See `Owner.admit`: False when the peer's address has too many connections."""
        limits = self.config.limits
        key = admission_key(connection.address)
        if not self._admission.admit(key, limits.connections_per_address, limits.unauthenticated_per_address):
            self.refused += 1
            if self.refused & (self.refused - 1) == 0:
                # 1, 2, 4, 8...: a flood of connections shall not become a flood of lines.
                log.warning(
                    "%s: connection from %s refused, its address has too many (%d refused so far)",
                    self.config.name,
                    connection.address,
                    self.refused,
                )
            return False
        self._open[connection] = False
        return True

    def accepted(self, connection: TcpTransport) -> Receiver | None:
        """See `Owner.accepted`."""
        return self._accept(connection, self.config)

    def authenticated(self, connection: TcpTransport) -> None:
        """See `Owner.authenticated`."""
        if self._open.get(connection) is False:
            self._open[connection] = True
            self._admission.authenticated(admission_key(connection.address))

    def gone(self, connection: TcpTransport) -> None:
        """See `Owner.gone`."""
        authenticated = self._open.pop(connection, None)
        if authenticated is not None:
            self._admission.gone(admission_key(connection.address), authenticated)


def _sentence(config: ListenerConfig, error: OSError) -> str:
    where = f"{config.address or 'all addresses'} port {config.port}"
    if error.errno == errno.EADDRINUSE:
        why = "another program has that port"
    elif error.errno == errno.EACCES:
        why = "ports below 1024 need a privileged process"
    elif error.errno == errno.EADDRNOTAVAIL:
        why = "this machine does not have that address"
    elif isinstance(error, socket.gaierror):
        why = "the address is not known"
    else:
        why = error.strerror or str(error)
    return f"listener {config.name} cannot listen on {where}: {why}"
