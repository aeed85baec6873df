"""Calls: how streams to other servers come about (RFC 6120, 3; FEATURES, LIS-02).

    open_stream   for a destination: a stream that is there already and can carry one more pair, else a new one
    verify        for a dialback key: the same, without any proof
    dial          peer record -> addresses -> TCP, TLS -> header and features; one call for a pair at a time

Everything here is a coroutine that ends within `connect_seconds` for each server tried, or raises Failure.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from xmpp_engine.runtime.joint import Joint
from xmpp_engine.s2s.failure import Failure, refused
from xmpp_engine.s2s.outgoing import Outgoing
from xmpp_engine.s2s.resolver import Target, Unreachable
from xmpp_engine.stream.framing import SERVER_OUT
from xmpp_engine.stream.stream import Stream
from xmpp_engine.transport.admission import admission_key
from xmpp_engine.transport.connector import Call, CallFailed
from xmpp_engine.transport.tcp import TcpTransport

if TYPE_CHECKING:
    from xmpp_engine.config.schema import PeerConfig
    from xmpp_engine.s2s.destination import Destination
    from xmpp_engine.s2s.federation import Federation
    from xmpp_engine.s2s.peer_stream import PeerStream

Pair = tuple[str, str]
#: Keys that are verified at a time, in all and for one address: each may mean a connection to somebody whom a stranger
#: has named.
VERIFICATIONS: Final = 500
OF_ONE_ADDRESS: Final = 100
#: Seconds for the TCP connection (and the handshake of direct TLS) to one address.
_ADDRESS_SECONDS: Final = 10.0


class Calls:
    """The outgoing streams of one node. `streams` holds the newest one of each (local, remote)."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self.streams: dict[Pair, Outgoing] = {}
        self._dialling: Joint[Pair, Outgoing | Failure] = Joint()
        self._verifying: Counter[str] = Counter()

    # For destinations

    async def open_stream(self, destination: Destination) -> None:
        """Have a stream speak for the destination's pair and attach it there; raises Failure."""
        local, remote = destination.local, destination.remote
        peer = self.allowed(local, remote)
        own = self.streams.get((local, remote))
        if own is not None and not own.over:
            stream = own
        elif (local, remote) in self._federation.suspended.ours:
            # A lost stream is resumed on one of its own.
            stream = await self.dial(local, remote)
        else:
            stream = self._shareable(local, remote, peer) or await self._dial_unless_shared(local, remote, peer)
        try:
            await self._prove(stream, local, remote)
        except Failure as failure:
            if not failure.external or peer.authentication == "certificate":
                raise
            # EXTERNAL was refused and the stream went with it: dialback over another one.
            stream = await self.dial(local, remote)
            stream.offers_external = False
            await self._prove(stream, local, remote)
        if stream.over:
            raise Failure("remote-server-timeout", f"{remote} ended the stream as soon as it was there")
        # Where the stream before cannot be resumed on this one, nothing waits for that any longer.
        self._federation.suspended.give_up(local, remote)
        destination.attach(stream)

    async def _prove(self, stream: Outgoing, local: str, remote: str) -> None:
        try:
            async with asyncio.timeout(self._federation.config.s2s.connect_seconds):
                await stream.prove(local, remote)
        except TimeoutError:
            stream.stream.close()
            raise Failure("remote-server-timeout", f"{remote} did not answer in time") from None
        except Failure as failure:
            if not stream.sends and not stream.exchange.busy and not failure.external:
                stream.stream.close()
            raise

    def _shareable(self, local: str, remote: str, peer: PeerConfig) -> Outgoing | None:
        """A stream to the same domain that may carry one more of ours."""
        for stream in self.streams.values():
            if (
                stream.remote == remote
                and stream.authentication == "dialback"
                and stream.can_prove(local, remote, peer)
            ):
                return stream
        return None

    async def _dial_unless_shared(self, local: str, remote: str, peer: PeerConfig) -> Outgoing:
        """A stream to another domain at the same address, or a new one."""
        if any(stream.authentication == "dialback" for stream in self.streams.values()):
            targets = await self.targets(remote, peer)
            # Whose key is in secured DNS must show it, on a stream of his own.
            if any(target.dane.associations or target.dane.problem for target in targets):
                return await self.dial(local, remote)
            places = {_place(address, target.port) for target in targets for address in target.addresses}
            for stream in self.streams.values():
                # Where it goes, and not where its domain says that it is too: anybody can say that.
                if (
                    stream.local == local
                    and stream.authentication == "dialback"
                    and stream.address in places
                    and stream.can_prove(local, remote, peer)
                ):
                    return stream
        return await self.dial(local, remote)

    # For dialback keys

    async def verify(self, local: str, remote: str, id: str, key: str, asking: PeerStream) -> bool:
        """Ask the authoritative server of `remote` whether a key is good; raises Failure."""
        verifying = self._verifying
        who = admission_key(asking.stream.transport.peer.rpartition(":")[0].strip("[]"))
        if verifying.total() >= VERIFICATIONS or verifying[who] >= OF_ONE_ADDRESS:
            raise Failure("resource-constraint", "too many keys are verified at this moment")
        verifying[who] += 1
        try:
            async with asyncio.timeout(self._federation.config.s2s.connect_seconds):
                own = self.streams.get((local, remote))
                if own is None or own.over or own is asking:
                    own = await self.dial(local, remote, stranger=True)
                return await own.verify(local, remote, id, key)
        except TimeoutError:
            raise Failure("remote-server-timeout", f"{remote} did not answer in time") from None
        finally:
            verifying[who] -= 1
            if not verifying[who]:
                del verifying[who]

    # Connections

    def allowed(self, local: str, remote: str) -> PeerConfig:
        """What holds for the pair; raises Failure where there is to be no connection."""
        peer = self._federation.peer(remote)
        if not peer.enabled:
            raise refused(f"there is to be no connection with {remote}", "peer")
        if not self._federation.serves(local):
            raise refused(f"{local} does not talk to other servers", "peer")
        return peer

    async def targets(self, remote: str, peer: PeerConfig, stranger: bool = False) -> list[Target]:
        """Where the other server is, `stranger` as in `dial`; raises Failure."""
        try:
            return await self._federation.resolver.targets(remote, peer, stranger=stranger)
        except Unreachable as error:
            final = error.condition == "remote-server-not-found"
            raise Failure(error.condition, error.text, final=final, step="dns") from None

    async def dial(self, local: str, remote: str, stranger: bool = False) -> Outgoing:
        """A new stream, negotiated as far as needs no proof; raises Failure. `stranger` says that nobody of ours has
        anything to say there. It is given up once nobody waits for it any more."""
        outcome = await self._dialling.result(
            (local, remote),
            lambda: self._federation.services.tasks.spawn(
                f"call to {remote}", self._quietly(self._dial(local, remote, stranger))
            ),
        )
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    async def _quietly(self, dialling: Coroutine[Any, Any, Outgoing]) -> Outgoing | Failure:
        """Failures as values: nobody may be waiting for them any more."""
        try:
            return await dialling
        except Failure as failure:
            return failure

    async def _dial(self, local: str, remote: str, stranger: bool) -> Outgoing:
        failure = Failure("remote-server-not-found", "there is no server", final=True, step="dns")
        for target in await self.targets(remote, self.allowed(local, remote), stranger):
            try:
                outgoing = await self.call(local, remote, self.allowed(local, remote), target)
            except Failure as error:
                failure = error
            else:
                self.streams[(local, remote)] = outgoing
                return outgoing
        raise failure

    async def call(
        self,
        local: str,
        remote: str,
        peer: PeerConfig,
        target: Target,
        reached: Callable[[Outgoing], Any] | None = None,
    ) -> Outgoing:
        """The same with one server; `reached(outgoing)` is called once there is a connection. Raises Failure."""
        federation = self._federation
        if target.dane.problem:
            raise Failure("remote-server-timeout", f"{target.host}: {target.dane.problem}", step="dane")
        outgoing = Outgoing(federation, local, remote, peer, target)

        def receive(connection: TcpTransport) -> Stream:
            stream = Stream(connection, SERVER_OUT, outgoing, federation.clock, federation.limits)
            federation.began(outgoing)
            if reached is not None:
                reached(outgoing)
            if federation.peer(remote) != peer:
                outgoing.fail(Failure("remote-server-timeout", "the terms of the connection have changed", step="tcp"))
            else:
                outgoing.began()
            return stream

        try:
            tls = federation.tls.dial(local, remote, direct=True) if target.direct else None
            call = Call(receive, federation.limits, tls)
            async with asyncio.timeout(federation.config.s2s.connect_seconds):
                await call.connect(federation.dirty, target.addresses, target.port, _ADDRESS_SECONDS)
                await asyncio.shield(outgoing.negotiated)
        except CallFailed as error:
            raise Failure("remote-server-timeout", str(error), step="tls" if error.tls else "tcp") from None
        except LookupError as error:
            raise Failure("remote-server-timeout", str(error), step="tls") from None
        except TimeoutError:
            if call.winner is not None and not outgoing.over:
                outgoing.stream.close()
            raise Failure("remote-server-timeout", f"{target.host} did not answer in time", step="tcp") from None
        except asyncio.CancelledError:
            if call.winner is not None and not outgoing.over:
                outgoing.stream.close()
            raise
        return outgoing

    def ended(self, stream: Outgoing) -> None:
        """A stream is over."""
        pair = (stream.local, stream.remote)
        if self.streams.get(pair) is stream:
            del self.streams[pair]


def _place(address: str, port: int) -> str:
    """As connections call it (`Transport.peer`)."""
    parsed = ipaddress.ip_address(address)
    return f"{parsed}:{port}" if parsed.version == 4 else f"[{parsed}]:{port}"
