"""The name server of tests answers dnspython's own resolver."""

from __future__ import annotations

import dns.resolver
import pytest

from tests.kits.nameserver import NameServer


def _resolver(server: NameServer) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = server.port
    resolver.lifetime = 10
    return resolver


def test_answers() -> None:
    with NameServer() as server:
        server.server("example.org", 5269)
        server.add("www.example.org", "CNAME", "xmpp.example.org.")
        resolver = _resolver(server)
        (record,) = resolver.resolve("_xmpp-server._tcp.example.org", "SRV")
        assert (record.port, record.target.to_text()) == (5269, "xmpp.example.org.")
        assert [one.address for one in resolver.resolve("www.example.org", "A")] == ["127.0.0.1"]
        with pytest.raises(dns.resolver.NoAnswer):
            resolver.resolve("xmpp.example.org", "AAAA")
        with pytest.raises(dns.resolver.NXDOMAIN):
            resolver.resolve("other.example.org", "A")
        assert server.count("xmpp.example.org", "AAAA") == 1


def test_faults() -> None:
    with NameServer() as server:
        server.add("many.example", "A", *(f"10.0.{number // 250}.{number % 250}" for number in range(300)))
        server.failing["broken.example"] = "SERVFAIL"
        server.silent.add("silent.example")
        resolver = _resolver(server)
        assert len(resolver.resolve("many.example", "A")) == 300  # by TCP
        with pytest.raises(dns.resolver.NoNameservers):
            resolver.resolve("a.broken.example", "A")
        with pytest.raises(dns.resolver.LifetimeTimeout):
            resolver.resolve("silent.example", "A", lifetime=0.2)
