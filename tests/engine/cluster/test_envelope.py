"""Envelopes that are damaged, repeated or somebody else's are dropped, and told once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kits.bus_kit import Nodes
from xmpp_engine.cluster import envelope
from xmpp_engine.cluster.envelope import Damaged, RecordError, Seal


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    made = Nodes(seed=7)
    yield made
    await made.end()


def test_an_envelope_is_one_value_behind_its_code() -> None:
    seal = Seal("secret")
    head = (1, envelope.LINK, "a", b"token", 5, 6, "b")
    for count in (0, 1, 15, 16, 70_000):
        records = [("say", number) for number in range(count)]
        data = seal.close(head, [envelope.pack(record) for record in records])
        assert seal.open(data) == (*head, tuple(records))
        assert msgpack.unpackb(data[16:], use_list=False) == (*head, tuple(records))
    assert seal.open(seal.close(head)) == head


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        Seal("secret").open(data)


@given(st.integers(0, 60), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(Seal("secret").close((1, envelope.LINK, "a", b"token", 5, 6), [envelope.pack(("say", "hello"))]))
    data[place % len(data)] ^= change
    with pytest.raises(Damaged):
        Seal("secret").open(bytes(data))


def test_what_has_the_code_but_not_the_form() -> None:
    seal = Seal("secret")
    for body in (b"\xc1", b"\x91", msgpack.packb(5), msgpack.packb((1, 2, 3)), msgpack.packb((1, 1, 7, b"", 1, 1))):
        import hmac

        code = hmac.digest(seal._key, body, "sha256")[:16]
        with pytest.raises(Damaged):
            seal.open(code + body)


def test_a_record_that_cannot_be_sent() -> None:
    for record in (("say", object()), ("say", 1 << 70), ("say", b"x" * envelope.MAX_RECORD)):
        with pytest.raises(RecordError):
            envelope.pack(record)


async def test_a_damaged_envelope_is_dropped_told_once_and_sent_again(
    nodes: Nodes, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await nodes.start("a", "b")
    nodes.hub.tamper = lambda _source, _target, data: data[:-1] + bytes((data[-1] ^ 1,))
    for number in range(3):
        a.cluster.post("b", ("say", number))
        await nodes.run(0.02)
    nodes.hub.tamper = None
    await nodes.until(lambda: len(b.got) == 3)
    assert b.says("a") == [0, 1, 2]
    assert caplog.text.count("was not made with the secret of this cluster") == 2, "once on each side"
    assert b.cluster.troubles["damaged"] >= 3


async def test_whoever_has_another_secret_is_nobody(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    (a,) = await nodes.start("a")
    stranger = nodes.make("b", secret="another one")
    await nodes.join(stranger)
    await nodes.run(3)
    assert (a.cluster.nodes, stranger.cluster.nodes) == ((), ())
    assert caplog.text.count("was not made with the secret") == 2


async def test_repeated_envelopes_change_nothing(nodes: Nodes) -> None:
    heard: list[bytes] = []

    def record(_source: str, target: str, data: bytes) -> bytes:
        if target == "b":
            heard.append(data)
        return data

    a, b = await nodes.start("a", "b")
    nodes.hub.tamper = record
    a.cluster.post("b", ("say", "pay 100"))
    await nodes.run(2)
    nodes.hub.tamper = None
    assert b.bus.receive is not None
    for data in heard:
        b.bus.receive(data)
    assert b.says("a") == ["pay 100"]
    # Also in a later life of the two, and after the node is gone.
    nodes.hub.cut("a", "b")
    await nodes.run(8)
    for data in heard:
        b.bus.receive(data)
    assert (b.says("a"), b.cluster.nodes) == (["pay 100"], ())
    nodes.hub.heal()
    await nodes.until(lambda: b.cluster.nodes == ("a",))
    for data in heard:
        b.bus.receive(data)
    await nodes.run(1)
    assert (b.says("a"), b.cluster.nodes, len(b.seen)) == (["pay 100"], ("a",), 3)
    fresh = nodes.make("c")
    await nodes.join(fresh)
    await nodes.run(10)
    nodes.kill(a)
    await nodes.run(8)
    assert fresh.bus.receive is not None
    for data in heard:
        fresh.bus.receive(data)
    await nodes.run(2)
    assert fresh.cluster.nodes == ("b",)


async def test_an_envelope_of_another_form_ends_nothing(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    a, b = await nodes.start("a", "b")
    seal = Seal(nodes.config.secret)
    token = a.bus.token
    assert b.bus.receive is not None
    for kind in (envelope.BEAT, envelope.LINK, envelope.REFUSE, envelope.LEAVE, 99):
        b.bus.receive(seal.close((1, kind, "a", token, 1, 1)))
        b.bus.receive(seal.close((1, kind, "a", token, "x", None, 3, 4, 5, 6, 7, 8, 9)))
    assert caplog.text.count("could not be read") == 1
    caplog.clear()
    a.cluster.post("b", ("say", 1))
    await nodes.run(0.5)
    assert b.says("a") == [1]
