"""A validating resolver on loopback: unbound, with zones of the test, signed or not.

    montague = Zone("montague.example", signed=True)
    montague.server(5269)                                   # SRV and address
    montague.tlsa(5269, certified.certificate)              # 3 1 1
    with Validator(montague) as dns:
        config = S2sConfig(nameservers=(dns.address,), dnssec=True)

It trusts the key of each signed zone, as a resolver does that has come down from the root, and nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
from datetime import UTC, datetime, timedelta

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.zone
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import PublicFormat

from tests.kits.authority import DER
from tests.services import Service

_CONFIG = """server:
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  chroot: ""
  username: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  module-config: "validator iterator"
{anchors}
{zones}
"""
_ZONE = """auth-zone:
  name: "{name}"
  zonefile: "{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""


class Zone:
    """The records of one domain, as lines of a zone file."""

    def __init__(self, domain: str, *, signed: bool) -> None:
        self.domain = domain
        self.signed = signed
        self.lines = [f"@ 60 IN SOA ns.{domain}. admin.{domain}. 1 3600 600 86400 60", f"@ 60 IN NS ns.{domain}."]
        self.lines.append("ns 60 IN A 127.0.0.1")
        #: Lines that come after the signatures were made: a line and what stands there instead.
        self.forged: list[tuple[str, str]] = []
        self.anchor = ""

    def add(self, *lines: str) -> None:
        """Add records, with names relative to the domain."""
        self.lines += lines

    def server(self, port: int, host: str = "xmpp") -> None:
        """A service record and the address of its host."""
        self.add(f"_xmpp-server._tcp 60 IN SRV 0 0 {port} {host}", f"{host} 60 IN A 127.0.0.1")

    def tlsa(
        self, port: int, certificate: x509.Certificate, usage: int = 3, selector: int = 1, matching: int = 1
    ) -> None:
        """The record of a certificate at the host of `server`."""
        self.add(f"_{port}._tcp.xmpp 60 IN TLSA {record(certificate, usage, selector, matching)}")

    def text(self) -> str:
        """The zone file; makes keys and signatures."""
        origin = dns.name.from_text(self.domain)
        zone = dns.zone.from_text("\n".join(self.lines), origin=origin, relativize=False)
        if self.signed:
            key = ec.generate_private_key(ec.SECP256R1())
            public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
            now = datetime.now(UTC)
            with zone.writer() as transaction:
                dns.dnssec.sign_zone(
                    zone,
                    transaction,
                    keys=[(key, public)],
                    dnskey_ttl=60,
                    inception=now - timedelta(hours=1),
                    expiration=now + timedelta(days=1),
                )
            self.anchor = f'  trust-anchor: "{origin} 60 IN DNSKEY {public.to_text()}"'
        text = zone.to_text(relativize=False, want_origin=False)
        for right, wrong in self.forged:
            assert text.count(right) == 1, text
            text = text.replace(right, wrong)
        return text


def record(certificate: x509.Certificate, usage: int = 3, selector: int = 1, matching: int = 1) -> str:
    """What a TLSA record says of a certificate."""
    data = certificate.public_bytes(DER)
    if selector:
        data = certificate.public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo)
    if matching:
        data = hashlib.new({1: "sha256", 2: "sha512"}[matching], data).digest()
    return f"{usage} {selector} {matching} {data.hex()}"


class Validator:
    """See the module. `with` starts and stops it; skips the test where unbound is not installed."""

    def __init__(self, *zones: Zone) -> None:
        program = shutil.which("unbound") or shutil.which("unbound", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("unbound is not installed; `make test` installs it")
        self.zones = zones
        self.service = Service("unbound")
        # AppArmor keeps the one of the system to the folders of the system.
        self.program = shutil.copy2(program, self.service.folder / "unbound")

    @property
    def address(self) -> str:
        """As `S2sConfig.nameservers` has it."""
        return f"127.0.0.1:{self.service.port}"

    def __enter__(self) -> Validator:
        for zone in self.zones:
            (self.service.folder / f"{zone.domain}.zone").write_text(zone.text())
        self.service.start(self._command, _connect)
        return self

    def __exit__(self, *error: object) -> None:
        self.service.stop_process(signal.SIGTERM)
        self.service.remove()

    def _command(self, port: int) -> list[str]:
        folder = self.service.folder
        zones = "".join(_ZONE.format(name=one.domain, file=folder / f"{one.domain}.zone") for one in self.zones)
        anchors = "\n".join(one.anchor for one in self.zones)
        config = folder / "unbound.conf"
        config.write_text(_CONFIG.format(port=port, folder=folder, anchors=anchors, zones=zones))
        return [str(self.program), "-d", "-c", str(config)]


def _connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()
