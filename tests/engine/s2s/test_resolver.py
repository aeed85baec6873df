"""Where the server of a domain is, asked of a real name server on loopback; the clock is ours."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import dns.message
import dns.rrset
import pytest

from tests.engine.s2s.servers import until
from tests.kits.nameserver import NameServer
from xmpp_engine.config.schema import PeerConfig, S2sConfig
from xmpp_engine.runtime.clock import FakeClock
from xmpp_engine.s2s import resolver as module
from xmpp_engine.s2s.resolver import Resolver, Target, Unreachable, split_route

ANY = PeerConfig()


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def resolver(names: NameServer, clock: FakeClock) -> Resolver:
    return _resolver(names, clock)


def _resolver(names: NameServer, clock: FakeClock, seed: int = 1) -> Resolver:
    made = Resolver(clock, random.Random(seed))
    made.configure(S2sConfig(nameservers=(names.address,)))
    return made


async def _condition(resolver: Resolver, domain: str, peer: PeerConfig = ANY) -> str:
    with pytest.raises(Unreachable) as caught:
        await resolver.targets(domain, peer)
    assert caught.value.text
    return caught.value.condition


async def test_srv(names: NameServer, resolver: Resolver) -> None:
    names.server("example.org", 5299)
    assert await resolver.targets("example.org", ANY) == [Target("xmpp.example.org", 5299, False, ("127.0.0.1",))]


async def test_both_services_are_one_list(names: NameServer, resolver: Resolver) -> None:
    names.add("_xmpp-server._tcp.example.org", "SRV", "10 0 5269 a.example.org.", "30 0 5269 c.example.org.")
    names.add("_xmpps-server._tcp.example.org", "SRV", "20 0 5270 b.example.org.")
    for host in "abc":
        names.add(f"{host}.example.org", "A", "127.0.0.1")
    found = await resolver.targets("example.org", ANY)
    assert [(target.host, target.direct) for target in found] == [
        ("a.example.org", False),
        ("b.example.org", True),
        ("c.example.org", False),
    ]


async def test_weights(names: NameServer, clock: FakeClock) -> None:
    names.add("_xmpp-server._tcp.example.org", "SRV", "5 90 1 a.test.", "5 10 1 b.test.", "5 0 1 c.test.")
    for host in "abc":
        names.add(f"{host}.test", "A", "127.0.0.1")
    resolver = _resolver(names, clock)
    first: Counter[str] = Counter()
    for _ in range(300):
        found = await resolver.targets("example.org", ANY)
        assert len(found) == 3
        first[found[0].host] += 1
    assert first["a.test"] > 230
    assert 5 < first["b.test"] < 70
    assert first["c.test"] < 5


@pytest.mark.parametrize("service", ["_xmpp-server", "_xmpps-server"])
async def test_dot_is_no(names: NameServer, resolver: Resolver, service: str) -> None:
    names.add(f"{service}._tcp.example.org", "SRV", "0 0 0 .")
    names.add("example.org", "A", "127.0.0.1")
    assert await _condition(resolver, "example.org") == "remote-server-not-found"


async def test_dot_for_one_service_leaves_the_other(names: NameServer, resolver: Resolver) -> None:
    names.add("_xmpps-server._tcp.example.org", "SRV", "0 0 0 .")
    names.server("example.org", 5269)
    assert [target.direct for target in await resolver.targets("example.org", ANY)] == [False]


async def test_without_srv_the_address_counts(names: NameServer, resolver: Resolver) -> None:
    names.add("example.org", "A", "127.0.0.7", "127.0.0.8")
    names.add("example.org", "AAAA", "::1")
    (target,) = await resolver.targets("Example.ORG.", ANY)
    assert (target.host, target.port, target.direct) == ("example.org", 5269, False)
    assert target.addresses[0] == "::1"
    assert set(target.addresses) == {"::1", "127.0.0.7", "127.0.0.8"}


async def test_without_an_answer_to_srv_the_address_counts(names: NameServer, resolver: Resolver) -> None:
    names.failing["_tcp.example.org"] = "SERVFAIL"
    names.add("example.org", "A", "127.0.0.7")
    (target,) = await resolver.targets("example.org", ANY)
    assert target.addresses == ("127.0.0.7",)


async def test_aliases(names: NameServer, resolver: Resolver) -> None:
    names.add("_xmpp-server._tcp.example.org", "SRV", "0 0 5269 alias.example.org.")
    names.add("alias.example.org", "CNAME", "host.example.net.")
    names.add("host.example.net", "A", "127.0.0.9")
    (target,) = await resolver.targets("example.org", ANY)
    assert (target.host, target.addresses) == ("alias.example.org", ("127.0.0.9",))


async def test_aliases_in_a_circle(names: NameServer, resolver: Resolver) -> None:
    names.add("a.test", "CNAME", "b.test.")
    names.add("b.test", "CNAME", "a.test.")
    assert await _condition(resolver, "a.test") in {"remote-server-not-found", "remote-server-timeout"}


async def test_unknown_names(names: NameServer, resolver: Resolver) -> None:
    assert await _condition(resolver, "nowhere.example") == "remote-server-not-found"
    names.add("_xmpp-server._tcp.example.org", "SRV", "0 0 5269 nowhere.example.")
    assert await _condition(resolver, "example.org") == "remote-server-not-found"


@pytest.mark.parametrize("domain", ["a" * 70 + ".example", "a..example", ".".join(["abcdefgh"] * 40), "\u2488.example"])
async def test_names_that_cannot_be(resolver: Resolver, domain: str) -> None:
    assert await _condition(resolver, domain) == "remote-server-not-found"


async def test_silence(names: NameServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    names.silent.add("example.org")
    (await resolver._servers()).lifetime = 0.4
    assert await _condition(resolver, "example.org") == "remote-server-timeout"
    names.silent.clear()
    names.add("example.org", "A", "127.0.0.1")
    # Remembered for a moment, so that a dead name server is not asked for every stanza.
    assert await _condition(resolver, "example.org") == "remote-server-timeout"
    resolver._clock.advance(module.FAILURE_TTL + 1)  # type: ignore[attr-defined]
    assert await resolver.targets("example.org", ANY)


async def test_servers_that_fail(names: NameServer, resolver: Resolver) -> None:
    names.failing["example.org"] = "SERVFAIL"
    names.failing["refused.example"] = "REFUSED"
    assert await _condition(resolver, "example.org") == "remote-server-timeout"
    assert await _condition(resolver, "refused.example") == "remote-server-timeout"


async def test_idn(names: NameServer, resolver: Resolver) -> None:
    names.server("xn--bcher-kva.example", 5269)
    (target,) = await resolver.targets("bücher.example", ANY)
    assert target.host == "xmpp.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("domain", "address"), [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("[2001:db8::1]", "2001:db8::1")]
)
async def test_literals(names: NameServer, resolver: Resolver, domain: str, address: str) -> None:
    assert await resolver.targets(domain, ANY) == [Target(address, 5269, False, (address,))]
    assert names.asked == []


async def test_routes_come_before_dns(names: NameServer, resolver: Resolver) -> None:
    names.server("example.org", 1)
    names.add("gate.test", "A", "127.0.0.5")
    for route, direct, expected in (
        ("127.0.0.1:7000", False, Target("127.0.0.1", 7000, False, ("127.0.0.1",))),
        ("gate.test", False, Target("gate.test", 5269, False, ("127.0.0.5",))),
        ("gate.test", True, Target("gate.test", 5270, True, ("127.0.0.5",))),
        ("[::1]:7001", True, Target("::1", 7001, True, ("::1",))),
    ):
        peer = PeerConfig(domain="example.org", route=route, direct=direct)
        assert await resolver.targets("example.org", peer) == [expected]
    assert names.count("_xmpp-server._tcp.example.org") == 0
    for route in ("gate.test:0", "gate.test:x", "[::1", ":5269"):
        peer = PeerConfig(domain="example.org", route=route)
        assert await _condition(resolver, "example.org", peer) == "remote-server-not-found"


async def test_answers_are_remembered_for_their_time(names: NameServer, resolver: Resolver, clock: FakeClock) -> None:
    names.server("example.org", 5269, ttl=100)
    question = "_xmpp-server._tcp.example.org"
    for _ in range(3):
        await resolver.targets("example.org", ANY)
    assert names.count(question) == 1
    clock.advance(99)
    await resolver.targets("example.org", ANY)
    assert names.count(question) == 1
    clock.advance(2)
    await resolver.targets("example.org", ANY)
    assert names.count(question) == 2


async def test_absences_are_remembered(names: NameServer, resolver: Resolver, clock: FakeClock) -> None:
    assert await _condition(resolver, "example.org") == "remote-server-not-found"
    names.server("example.org", 5269)
    assert await _condition(resolver, "example.org") == "remote-server-not-found"
    clock.advance(names.negative_ttl + 1)
    assert await resolver.targets("example.org", ANY)


async def test_one_question_for_all_who_wait(names: NameServer, resolver: Resolver) -> None:
    names.server("example.org", 5269)
    waiting = [asyncio.ensure_future(resolver.targets("example.org", ANY)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, list) for one in found[1:])
    assert names.count("_xmpp-server._tcp.example.org") == 1


async def test_who_gives_up_takes_the_questions_along(names: NameServer, resolver: Resolver) -> None:
    names.silent.add("silent.example")
    waiting = [
        asyncio.ensure_future(resolver.targets(f"n{number}.silent.example", ANY, stranger=True))
        for number in range(200)
    ]
    await until(lambda: len(resolver._asking) == 400, "the questions")
    # Ours do not stand in their row.
    names.server("example.org", 5269)
    async with asyncio.timeout(3):
        assert await resolver.targets("example.org", ANY)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(resolver._asking) == 0
    assert not resolver._slots[True].locked()


async def test_other_servers_forget(names: NameServer, resolver: Resolver) -> None:
    names.server("example.org", 5269)
    await resolver.targets("example.org", ANY)
    with NameServer() as other:
        other.server("example.org", 5555)
        resolver.configure(S2sConfig(nameservers=(other.address,)))
        (target,) = await resolver.targets("example.org", ANY)
        assert target.port == 5555


async def test_the_cache_is_bounded(
    names: NameServer, resolver: Resolver, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHE_SIZE", 50)
    for number in range(40):
        with pytest.raises(Unreachable):
            await resolver.targets(f"n{number}.example", ANY)
        assert len(resolver._cache) <= 50


async def test_large_answers_are_bounded_and_come_by_tcp(names: NameServer, resolver: Resolver) -> None:
    for number in range(400):
        names.add("_xmpp-server._tcp.example.org", "SRV", f"{number} 0 5269 h{number}.example.org.")
        names.add(f"h{number}.example.org", "A", "127.0.0.1")
    names.add("many.example", "A", *(f"127.0.{number // 200}.{number % 200}" for number in range(600)))
    found = await resolver.targets("example.org", ANY)
    assert 1 <= len(found) <= module.MAX_TARGETS
    (target,) = await resolver.targets("many.example", ANY)
    assert len(target.addresses) == module.MAX_ADDRESSES


async def test_forged_answers_are_not_believed(names: NameServer, resolver: Resolver) -> None:
    """A wrong number or another question is thrown away; the true answer that comes later counts."""

    def forge(query: dns.message.Message, wire: bytes) -> list[bytes]:
        name = query.question[0].name.to_text()
        wrong_id = dns.message.make_response(query)
        wrong_id.id = (query.id + 1) % 65_536
        wrong_id.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "203.0.113.66"))
        other = dns.message.make_response(dns.message.make_query("evil.example.", "A", id=query.id))
        other.answer.append(dns.rrset.from_text("evil.example.", 60, "IN", "A", "203.0.113.67"))
        return [wrong_id.to_wire(), other.to_wire(), b"\x00\x01garbage", wire]

    names.tamper = forge
    names.add("example.org", "A", "127.0.0.1")
    (target,) = await resolver.targets("example.org", ANY)
    assert target.addresses == ("127.0.0.1",)


async def test_names_of_the_system(clock: FakeClock) -> None:
    """Without name servers of our own /etc/hosts counts, whether or not there is a name server at all."""
    resolver = Resolver(clock)
    resolver.configure(S2sConfig())
    with NameServer() as silent_world:
        # The system's servers are not ours to ask in a test: ones that know nothing stand in their place.
        fake = _resolver(silent_world, clock)
        made = await fake._servers()

        async def servers() -> object:
            return made

        resolver._servers = servers  # type: ignore[method-assign,assignment]
        (target,) = await resolver.targets("localhost", ANY)
    assert set(target.addresses) <= {"127.0.0.1", "::1"}
    assert target.addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org", ("example.org", 53)),
        ("Example.org:1", ("example.org", 1)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:99", ("::1", 99)),
        ("bücher.example:7", ("xn--bcher-kva.example", 7)),
    ],
)
def test_routes(text: str, expected: tuple[str, int]) -> None:
    assert split_route(text, 53) == expected


@pytest.mark.parametrize("text", ["", "a:b", "a:70000", "[::1]x", "[::1", "::g"])
def test_routes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        split_route(text, 53)
