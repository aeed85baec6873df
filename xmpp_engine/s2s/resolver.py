"""Where the server of a domain is: SRV records and addresses (RFC 6120, 3.2; RFC 2782; XEP-0368).

    peer.route               before all DNS
    an IP literal            itself, port 5269
    _xmpps-server._tcp       TLS from the first byte  \\  one list, by priority
    _xmpp-server._tcp        STARTTLS                 /   and weight
    A, AAAA                  port 5269, where there are no SRV records

Where the name servers are trusted to check DNSSEC (`S2sConfig.dnssec`), the keys of each server are asked for too
(dane.py), and service records that nobody could confirm end the search instead of being passed over.

What was found is remembered for its TTL, what was not for the zone's negative TTL, both within bounds. With the name
servers of the system, a name that DNS does not know is looked up as programs do too, so that /etc/hosts counts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import Clock
from xmpp_engine.runtime.joint import Joint
from xmpp_engine.s2s import dane
from xmpp_engine.s2s.dane import NOTHING, Dane
from xmpp_engine.s2s.names import ascii_domain

log = logging.getLogger("mlink.s2s.resolver")

PORT: Final = 5269
DIRECT_PORT: Final = 5270
#: SRV records of one domain and addresses of one host that are tried.
MAX_TARGETS: Final = 16
MAX_ADDRESSES: Final = 8
#: Names that are remembered; for how long at least and at most, and absences, and failures.
CACHE_SIZE: Final = 10_000
MIN_TTL: Final = 5.0
MAX_TTL: Final = 3_600.0
MAX_NEGATIVE_TTL: Final = 300.0
FAILURE_TTL: Final = 5.0
HOSTS_TTL: Final = 60.0
#: Seconds that one question may take, all servers and tries together.
LIFETIME: Final = 6.0
#: Questions under way at once: for our own, and because of servers that have proven nothing yet. Those may name whom
#: they like, and name servers that never answer; what our own people send must not wait behind that.
CONCURRENT: Final = 100
CONCURRENT_STRANGERS: Final = 50
_SYSTEM: Final = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Target:
    """One server to try: `direct` speaks TLS from the first byte; addresses in the order to try."""

    host: str
    port: int
    direct: bool
    addresses: tuple[str, ...]
    dane: Dane = NOTHING


class _Service(NamedTuple):
    """One server whose addresses are to be found; `secure` where DNSSEC, or the administrator, has named it."""

    host: str
    port: int
    direct: bool
    secure: bool


class Unreachable(Exception):
    """There is no way to a domain: the condition for the senders, and a sentence for people."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition
        self.text = text


@dataclass(frozen=True, slots=True)
class _Answer:
    """Records of one name and type; `failed` where nobody answered, `secure` where DNSSEC vouches for it."""

    records: tuple[Any, ...] = ()
    exists: bool = True
    failed: str = ""
    secure: bool = False


class Resolver:
    """Asks DNS for the whole engine. `shuffle` orders by weight; tests give their own."""

    def __init__(self, clock: Clock, shuffle: random.Random | None = None) -> None:
        self._clock = clock
        self._random = shuffle or random.SystemRandom()
        self._nameservers: tuple[str, ...] = ()
        self._dnssec = False
        #: Whether what the name servers say of DNSSEC is believed: those of the system only on this machine.
        self._believed = False
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._read = 0.0
        self._cache: dict[tuple[str, str], tuple[float, _Answer]] = {}
        self._asking: Joint[tuple[str, str, bool], _Answer] = Joint()
        self._slots = {False: asyncio.Semaphore(CONCURRENT), True: asyncio.Semaphore(CONCURRENT_STRANGERS)}

    def configure(self, config: S2sConfig) -> None:
        """Take the name servers of a snapshot; other ones mean that nothing is remembered."""
        if (config.nameservers, config.dnssec) != (self._nameservers, self._dnssec):
            self._nameservers, self._dnssec = config.nameservers, config.dnssec
            self._resolver = None
            self._cache.clear()

    async def targets(self, domain: str, peer: PeerConfig, *, stranger: bool = False) -> list[Target]:
        """The servers of a domain in the order to try; `stranger` says that a server which has proven nothing yet has
        named it. Raises Unreachable."""
        try:
            name = ascii_domain(domain)
        except ValueError:
            raise Unreachable("remote-server-not-found", f"{domain} is no name that DNS could know") from None
        if peer.route:
            return await self._routed(peer, stranger)
        if _is_address(name):
            return await self._addressed(domain, [_Service(name, PORT, False, False)], peer, stranger)
        direct, plain = await asyncio.gather(
            self._ask(f"_xmpps-server._tcp.{name}", "SRV", stranger),
            self._ask(f"_xmpp-server._tcp.{name}", "SRV", stranger),
        )
        failed = direct.failed or plain.failed
        if failed and self._dnssec:
            # RFC 7673, 3.1: what DNSSEC finds forged comes as a failure, and must not open another way.
            raise Unreachable("remote-server-timeout", f"DNS gave no service records of {domain} to rely on: {failed}")
        records = [(record, True, direct.secure) for record in direct.records if not _is_dot(record)]
        records += [(record, False, plain.secure) for record in plain.records if not _is_dot(record)]
        if records:
            return await self._addressed(domain, self._ordered(records), peer, stranger)
        if direct.records or plain.records:
            raise Unreachable("remote-server-not-found", f"{domain} says that it has no XMPP server (SRV record “.”)")
        # RFC 6120, 3.2.1: also where the SRV question got no answer.
        # RFC 7673, 3.1 and RFC 7712, 5.1: DANE does not apply there.
        return await self._addressed(domain, [_Service(name, PORT, False, False)], peer, stranger)

    async def _routed(self, peer: PeerConfig, stranger: bool) -> list[Target]:
        try:
            host, port = split_route(peer.route, DIRECT_PORT if peer.direct else PORT)
        except ValueError as error:
            raise Unreachable("remote-server-not-found", f"the route {peer.route!r} cannot be read: {error}") from None
        return await self._addressed(peer.route, [_Service(host, port, peer.direct, True)], peer, stranger)

    def _ordered(self, records: Sequence[tuple[Any, bool, bool]]) -> list[_Service]:
        """By priority; within one, drawn by weight (RFC 2782). Zero gets a small chance."""
        by_priority: dict[int, list[tuple[Any, bool, bool]]] = {}
        for one in records:
            by_priority.setdefault(one[0].priority, []).append(one)
        ordered = []
        for priority in sorted(by_priority):
            left = by_priority[priority]
            # Equal records in no order of their own, direct TLS among them: an answer's order is nobody's wish.
            self._random.shuffle(left)
            while left:
                weights = [record.weight or 0.01 for record, _, _ in left]
                (chosen,) = self._random.choices(range(len(left)), weights)
                record, direct, secure = left.pop(chosen)
                host = record.target.to_text(omit_final_dot=True).lower()
                ordered.append(_Service(host, record.port, direct, secure))
        return list(dict.fromkeys(ordered))[:MAX_TARGETS]

    async def _addressed(
        self, domain: str, hosts: Sequence[_Service], peer: PeerConfig, stranger: bool
    ) -> list[Target]:
        """Targets with their addresses, without those that have none; raises Unreachable where none has."""
        found = await asyncio.gather(*(self._addresses(one.host, stranger) for one in hosts))
        reached = [(one, at) for one, at in zip(hosts, found, strict=True) if at.records]
        if reached:
            keys = await asyncio.gather(*(self._keys(one, at, peer, stranger) for one, at in reached))
            return [
                Target(one.host, one.port, one.direct, at.records, said)
                for (one, at), said in zip(reached, keys, strict=True)
            ]
        names = ", ".join(dict.fromkeys(one.host for one in hosts))
        failures = [at.failed for at in found if at.failed]
        if failures:
            raise Unreachable("remote-server-timeout", f"DNS gave no answer for {names}: {failures[0]}")
        text = f"{domain} has neither SRV records nor an address" if names == domain else f"{names} has no address"
        raise Unreachable("remote-server-not-found", text)

    async def _keys(self, service: _Service, at: _Answer, peer: PeerConfig, stranger: bool) -> Dane:
        """What secured DNS says of the keys of a server (RFC 7673, 3)."""
        if not dane.is_asked(peer) or not (self._dnssec or peer.dane == "require"):
            return NOTHING
        why, found = "", _Answer()
        if not self._believed:
            why = "the name servers are not trusted to check it"
        elif not service.secure:
            why = f"no secured service record names {service.host}"
        elif at.secure:
            found = await self._ask(dane.name(service.host, service.port), "TLSA", stranger)
        elif at.failed:
            # RFC 7673, 3.2: one kind of address that is not secured, and one that somebody may hold back.
            found = at
        else:
            why = f"the addresses of {service.host} are not secured"
        named = self._believed and service.secure and not peer.route
        return dane.conclude(service.host, service.port, found, why, required=peer.dane == "require", named=named)

    async def _addresses(self, host: str, stranger: bool) -> _Answer:
        """Addresses of a host, IPv6 and IPv4 in turn, and why there are none where nobody answered."""
        if _is_address(host):
            return _Answer((host,))
        v6, v4 = await asyncio.gather(self._ask(host, "AAAA", stranger), self._ask(host, "A", stranger))
        addresses = _in_turn([record.address for record in v6.records], [record.address for record in v4.records])
        if addresses:
            secure = any(answer.secure for answer in (v6, v4) if answer.records)
            return _Answer(addresses, failed=v4.failed or v6.failed, secure=secure)
        # Programs may ask for half a minute in one of few threads: not for a name that a stranger has made silent.
        # Nor where it may be silent because somebody has forged it.
        if not self._nameservers and not ((stranger or self._dnssec) and (v4.failed or v6.failed)):
            hosts = await self._ask(host, "hosts", stranger)
            if hosts.records:
                return hosts
        return _Answer(failed=v4.failed or v6.failed)

    async def _ask(self, name: str, kind: str, stranger: bool) -> _Answer:
        known = self._cache.get((name, kind))
        if known is not None and known[0] > self._clock.now():
            return known[1]
        return await self._asking.result(
            (name, kind, stranger), lambda: asyncio.ensure_future(self._look(name, kind, stranger))
        )

    async def _look(self, name: str, kind: str, stranger: bool) -> _Answer:
        async with self._slots[stranger]:
            answer, ttl = await (self._look_in_hosts(name) if kind == "hosts" else self._query(name, kind))
        if len(self._cache) >= CACHE_SIZE:
            self._shrink()
        self._cache[name, kind] = (self._clock.now() + ttl, answer)
        return answer

    async def _query(self, name: str, kind: str) -> tuple[_Answer, float]:
        try:
            resolver = await self._servers()
            question = dns.name.from_text(name, dns.name.root)
            found = await resolver.resolve(question, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as error:
            responses: dict[Any, Any] = error.responses()  # type: ignore[no-untyped-call]
            response = next(iter(responses.values()), None)
            return _Answer(exists=False, secure=self._is_secure(response)), _negative_ttl(response)
        except dns.exception.Timeout:
            return _Answer(failed=f"no answer within {LIFETIME:.0f} seconds"), FAILURE_TTL
        except dns.resolver.NoNameservers as error:
            return _Answer(failed=_shortened(error)), FAILURE_TTL
        except (dns.exception.DNSException, OSError, ValueError) as error:
            if isinstance(error, dns.name.LabelTooLong | dns.name.NameTooLong | dns.name.EmptyLabel):
                return _Answer(exists=False), MAX_NEGATIVE_TTL
            return _Answer(failed=_shortened(error)), FAILURE_TTL
        secure = self._is_secure(found.response)
        if found.rrset is None:
            return _Answer(secure=secure), _negative_ttl(found.response)
        # In some order, bounded: an answer with a thousand records costs no more than one with many.
        records = tuple(found.rrset)[: 4 * MAX_TARGETS]
        return _Answer(records, secure=secure), min(max(float(found.rrset.ttl), MIN_TTL), MAX_TTL)

    async def _look_in_hosts(self, name: str) -> tuple[_Answer, float]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LIFETIME):
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            return _Answer(exists=False), HOSTS_TTL
        addresses = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
        v6 = [address for address in addresses if ":" in address]
        return _Answer(_in_turn(v6, [address for address in addresses if ":" not in address])), HOSTS_TTL

    async def _servers(self) -> dns.asyncresolver.Resolver:
        """The resolver with the servers of the configuration, or of the system, read anew where they have changed."""
        if self._nameservers:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver(configure=False)
                self._resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(*split_route(server, 53)) for server in self._nameservers
                ]
                self._tune()
            return self._resolver
        changed = await asyncio.to_thread(_changed, _SYSTEM)
        if self._resolver is None or changed != self._read:
            self._resolver = await asyncio.to_thread(dns.asyncresolver.Resolver)
            self._read = changed
            self._tune()
        return self._resolver

    def _tune(self) -> None:
        resolver = self._resolver
        assert resolver is not None
        resolver.use_edns(0, 0, 1232)
        resolver.lifetime = LIFETIME
        resolver.timeout = 2.0
        resolver.cache = None
        # Without it a list of ten name servers of which one does not answer makes each question slow.
        resolver.rotate = False
        # RFC 6840, 5.7: asks for the flag, and for no signatures.
        resolver.set_flags(dns.flags.RD | dns.flags.AD)
        own = self._nameservers or all(_is_loopback(str(server)) for server in resolver.nameservers)
        self._believed = self._dnssec and bool(own)
        if self._dnssec and not own:
            log.warning("the system's name servers are not on this machine: what they say of DNSSEC is not believed")

    def _is_secure(self, response: Any) -> bool:
        return self._believed and response is not None and bool(response.flags & dns.flags.AD)

    def _shrink(self) -> None:
        """Drop what is over, and the oldest if that is not enough."""
        now = self._clock.now()
        over = [key for key, (until, _) in self._cache.items() if until <= now]
        for key in over or list(self._cache)[: CACHE_SIZE // 10]:
            del self._cache[key]


def split_route(route: str, port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port` or a bare address as host (A-labels, no brackets) and port.

    Raises ValueError for anything else.
    """
    host, rest = route.strip(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("after [ address ] comes : port or nothing")
        rest = rest[1:]
    elif host.count(":") == 1:
        host, _, rest = host.partition(":")
    if rest:
        port = int(rest)
    if not host or not 0 < port < 65_536:
        raise ValueError("a host and a port between 1 and 65535 are needed")
    return (str(ipaddress.ip_address(host)) if ":" in host else ascii_domain(host)), port


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _negative_ttl(response: Any) -> float:
    """RFC 2308, 5: the smaller of the SOA's TTL and its minimum."""
    for rrset in getattr(response, "authority", ()):
        if rrset.rdtype == dns.rdatatype.SOA:
            return float(min(max(min(rrset.ttl, rrset[0].minimum), MIN_TTL), MAX_NEGATIVE_TTL))
    return MIN_TTL


def _in_turn(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """Both kinds of address, one after the other (RFC 8305, 4)."""
    mixed = []
    for number in range(max(len(first), len(second))):
        mixed += [*first[number : number + 1], *second[number : number + 1]]
    return tuple(mixed[:MAX_ADDRESSES])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback


def _is_dot(record: Any) -> bool:
    return bool(record.target == dns.name.root)


def _shortened(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"
