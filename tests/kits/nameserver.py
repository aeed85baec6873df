"""A name server on loopback, UDP and TCP, for tests: real answers to real questions, and all that can go wrong.

    with NameServer() as dns:
        dns.add("_xmpp-server._tcp.example.org", "SRV", "0 5 5269 xmpp.example.org.")
        dns.add("xmpp.example.org", "A", "127.0.0.1")
        config = S2sConfig(nameservers=(dns.address,))

It answers from what it was told: a name that has other records gets an empty answer (NODATA), one that it does not
know NXDOMAIN, CNAMEs are followed. It runs in threads of its own, so tests with and without a loop can use it, and
programs outside: a network namespace may want `port=53`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.services import free_port

UDP_SIZE = 1232


class NameServer:
    """See the module. `with` starts and stops it."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        #: (name, type) in the order they were asked, names without the last dot.
        self.asked: list[tuple[str, str]] = []
        #: Names below which nobody answers.
        self.silent: set[str] = set()
        #: Names below which the answer is an error: name to rcode, as in "SERVFAIL".
        self.failing: dict[str, str] = {}
        #: Whether answers over UDP are cut, so that who asks must come by TCP.
        self.truncating = False
        #: Replaces an answer by datagrams of its own: for forged ones.
        self.tamper: Callable[[dns.message.Message, bytes], list[bytes]] | None = None
        #: Seconds for which an absence may be remembered.
        self.negative_ttl = 60
        self._records: dict[tuple[dns.name.Name, int], list[tuple[dns.rdata.Rdata, int]]] = defaultdict(list)
        self._stopping = False
        # The same for both; an outgoing datagram may have any of the others.
        self._tcp = socket.create_server((address, port or free_port()))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((address, self._tcp.getsockname()[1]))
        self._threads = [
            threading.Thread(target=self._serve_udp, daemon=True),
            threading.Thread(target=self._serve_tcp, daemon=True),
        ]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._tcp.getsockname()[1])

    @property
    def address(self) -> str:
        """As `S2sConfig.nameservers` has it."""
        return f"{self._tcp.getsockname()[0]}:{self.port}"

    def add(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """Add records in the form of zone files: ("example.org", "A", "127.0.0.1")."""
        type_ = dns.rdatatype.from_text(kind)
        for value in values:
            data = dns.rdata.from_text(dns.rdataclass.IN, type_, value, origin=dns.name.root, relativize=False)
            self._records[dns.name.from_text(name), type_].append((data, ttl))

    def server(
        self, domain: str, port: int, *, address: str = "127.0.0.1", direct: bool = False, ttl: int = 60
    ) -> None:
        """All records of one XMPP server for a domain: SRV, and the address of a host `xmpp.<domain>`."""
        service = "_xmpps-server" if direct else "_xmpp-server"
        self.add(f"{service}._tcp.{domain}", "SRV", f"0 0 {port} xmpp.{domain}.", ttl=ttl)
        self.replace(f"xmpp.{domain}", "AAAA" if ":" in address else "A", address, ttl=ttl)

    def replace(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """Have these records and no others of the kind."""
        self.remove(name, kind)
        self.add(name, kind, *values, ttl=ttl)

    def remove(self, name: str, kind: str = "") -> None:
        """Forget records of a name, all of them without a kind."""
        wanted = dns.name.from_text(name)
        for key in list(self._records):
            if key[0] == wanted and kind in ("", dns.rdatatype.to_text(key[1])):
                del self._records[key]

    def count(self, name: str, kind: str = "") -> int:
        """How often a name was asked for."""
        return sum(1 for asked in list(self.asked) if asked[0] == name and kind in ("", asked[1]))

    def __enter__(self) -> NameServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping = True
        # The threads that wait in recvfrom and accept must wake up; a close alone leaves them there.
        with contextlib.suppress(OSError):
            self._udp.sendto(b"", self._udp.getsockname())
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def answer(self, wire: bytes, *, udp: bool) -> list[bytes]:
        """The answers to a question, none where there is silence."""
        try:
            query = dns.message.from_wire(wire)
            name, type_ = query.question[0].name, query.question[0].rdtype
        except (dns.exception.DNSException, IndexError):
            return []
        text = name.to_text(omit_final_dot=True).lower()
        self.asked.append((text, dns.rdatatype.to_text(type_)))
        if _below(text, self.silent):
            return []
        response = dns.message.make_response(query, recursion_available=True)
        failing = _below(text, self.failing)
        if failing is not None:
            response.set_rcode(dns.rcode.from_text(self.failing[failing]))
        else:
            self._fill(response, name, type_)
        data = response.to_wire(max_size=65_535)
        if udp and (self.truncating or len(data) > UDP_SIZE):
            cut = dns.message.make_response(query, recursion_available=True)
            cut.flags |= dns.flags.TC
            data = cut.to_wire()
        return self.tamper(query, data) if self.tamper else [data]

    def _fill(self, response: dns.message.Message, name: dns.name.Name, type_: int) -> None:
        alias = dns.rdatatype.CNAME
        for _ in range(16):
            found = self._records.get((name, type_)) or self._records.get((name, alias))
            if not found:
                break
            kind = found[0][0].rdtype
            rrset = dns.rrset.from_rdata_list(name, found[0][1], [data for data, _ in found])
            response.answer.append(rrset)
            if kind != alias or type_ == alias:
                return
            name = found[0][0].target  # type: ignore[attr-defined]
        if not any(known == name or known.is_subdomain(name) for known, _ in list(self._records)):
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.test. hostmaster.test. 1 3600 600 86400 {self.negative_ttl}"
        zone = name.parent() if len(name.labels) > 2 else name
        response.authority.append(dns.rrset.from_text(zone, self.negative_ttl, "IN", "SOA", soa))

    def _serve_udp(self) -> None:
        while not self._stopping:
            try:
                wire, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            if not wire and self._stopping:
                return
            for data in self.answer(wire, udp=True):
                with contextlib.suppress(OSError):
                    self._udp.sendto(data, sender)

    def _serve_tcp(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, struct.error):
            connection.settimeout(10)
            with connection.makefile("rb") as reader:
                while True:
                    (length,) = struct.unpack("!H", reader.read(2))
                    for data in self.answer(reader.read(length), udp=False):
                        connection.sendall(struct.pack("!H", len(data)) + data)


def _below(name: str, names: dict[str, str] | set[str]) -> str | None:
    """The first of `names` that is `name` or stands above it."""
    return next((known for known in names if name == known or name.endswith("." + known)), None)
