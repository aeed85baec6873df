"""What every transport must show, whatever carries it: `run` one over a `Link` that a test brings.

A link is one accepted connection: the server's transport with its recorder on one side, and on the other a client that
sends and receives payloads over the real thing. Payloads are whole elements, because frames must be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from tests.engine.transport.doubles import Recorder, until
from tests.patience import in_time
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.writer import write


class Link(Protocol):
    """A connection, seen from both ends."""

    recorder: Recorder

    async def send(self, text: str) -> None:
        """The client sends one element."""

    async def receive(self) -> str:
        """The client receives one element, as text without white space around it; raises EOFError at the end."""

    async def leave(self) -> None:
        """The client cuts the connection without a word."""


def element(number: int, size: int = 0) -> str:
    """A payload."""
    return f"<message xmlns='jabber:client'><body>{number}{'x' * size}</body></message>"


def heard(recorder: Recorder) -> str:
    """All that the stream got, joined: bytes, frames, or elements written again."""
    if recorder.elements:
        return "".join(_text(item) for item in recorder.elements)
    return recorder.text.decode()


def _text(item: Element) -> str:
    return write(item)


async def facts_are_told(link: Link) -> None:
    """Name, peer, security and framing are what the contract says."""
    transport = link.recorder.transport
    assert transport.name in {"tcp", "tls", "websocket", "bosh", "memory"}
    assert isinstance(transport.peer, str)
    assert transport.peer
    assert isinstance(transport.secure, bool)
    assert transport.framed is (transport.name in {"websocket", "bosh"})
    assert transport.idle_bytes() == 0
    assert isinstance(transport.tls_facts(), dict)
    assert bool(transport.tls_facts()) is (transport.name == "tls")
    assert transport.channel_binding("tls-unique") is None
    assert isinstance(transport.can_start_tls, bool)


async def payloads_pass_in_order_both_ways(link: Link) -> None:
    """Nothing is lost, doubled or reordered, also when many are written in one tick."""
    for number in range(20):
        await link.send(element(number))
    expected = "".join(element(number) for number in range(20))
    await until(lambda: len(heard(link.recorder)) >= len(expected))
    assert heard(link.recorder) == expected
    for number in range(50):
        link.recorder.transport.write(element(number).encode())
    for number in range(50):
        assert await link.receive() == element(number)


async def large_payloads_pass(link: Link) -> None:
    """100 KB in each direction."""
    link.recorder.transport.authenticated()
    await link.send(element(1, 100_000))
    await until(lambda: len(heard(link.recorder)) == len(element(1, 100_000)))
    assert heard(link.recorder) == element(1, 100_000)
    link.recorder.transport.write(element(2, 100_000).encode())
    assert await link.receive() == element(2, 100_000)


async def close_sends_what_is_queued(link: Link) -> None:
    """The last words arrive, then the end; nothing written later does; `connection_lost` comes once."""
    transport = link.recorder.transport
    transport.write(element(1).encode())
    transport.close()
    transport.close()
    transport.write(element(2).encode())
    assert link.recorder.lost == [], "connection_lost comes in a turn of its own"
    assert await link.receive() == element(1)
    await _ends(link)
    await link.leave()
    await until(lambda: link.recorder.lost)
    assert len(link.recorder.lost) == 1


async def abort_ends_at_once(link: Link) -> None:
    """Queued bytes are dropped."""
    transport = link.recorder.transport
    transport.write(element(1).encode())
    transport.abort()
    transport.abort()
    transport.write(element(2).encode())
    await _ends(link)
    await until(lambda: link.recorder.lost)
    await asyncio.sleep(0.02)
    assert len(link.recorder.lost) == 1


async def pause_holds_and_resume_delivers(link: Link) -> None:
    """While paused nothing new is handed over; afterwards everything, in order."""
    link.recorder.transport.pause()
    link.recorder.transport.pause()
    await link.send(element(1))
    await link.send(element(2))
    await asyncio.sleep(0.05)
    # A transport that had begun to read may deliver that one read.
    assert heard(link.recorder) in ("", element(1))
    link.recorder.transport.resume()
    await until(lambda: heard(link.recorder) == element(1) + element(2))


async def a_client_that_leaves_is_noticed(link: Link) -> None:
    """`connection_lost` comes once, with a reason, and nothing after it."""
    await link.leave()
    await until(lambda: link.recorder.lost)
    assert link.recorder.lost[0]
    link.recorder.transport.write(element(1).encode())
    link.recorder.transport.close()
    link.recorder.transport.abort()
    await asyncio.sleep(0.02)
    assert len(link.recorder.lost) == 1


async def a_slow_reader_is_cut(link: Link) -> None:
    """For a link with a write limit of 200,000 bytes and a client that does not read."""
    transport = link.recorder.transport
    written = 0
    while not link.recorder.lost and written < 60_000_000:
        transport.write(element(1, 20_000).encode())
        written += 20_000
        await asyncio.sleep(0)
        assert transport.idle_bytes() < 1_000_000
    assert link.recorder.lost == ["policy-violation: slow reader"]


async def _ends(link: Link) -> None:
    """The client gets nothing but the end."""
    try:
        got = await in_time(link.receive(), 5)
    except (EOFError, OSError):
        return
    raise AssertionError(f"still received {got[:80]}")


#: Every behaviour that needs no special link.
BEHAVIOURS: tuple[Callable[[Any], Any], ...] = (
    facts_are_told,
    payloads_pass_in_order_both_ways,
    large_payloads_pass,
    close_sends_what_is_queued,
    abort_ends_at_once,
    pause_holds_and_resume_delivers,
    a_client_that_leaves_is_noticed,
)
