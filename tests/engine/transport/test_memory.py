"""The pair in memory: cuts, pausing, closing."""

from __future__ import annotations

import asyncio

from tests.engine.transport.doubles import Recorder, until
from xmpp_engine.transport.flush import DirtySet
from xmpp_engine.transport.memory import MemoryTransport, every, memory_pair


def pair(**options: object) -> tuple[MemoryTransport, MemoryTransport, Recorder, Recorder]:
    """A pair with recorders."""
    left, right = memory_pair(DirtySet(asyncio.get_running_loop()), **options)  # type: ignore[arg-type]
    left.receiver, right.receiver = Recorder(left), Recorder(right)
    return left, right, left.receiver, right.receiver


async def test_pieces_have_the_size_asked_for() -> None:
    left, _, _, heard = pair(cuts=every(3))
    left.write(b"abcd")
    left.write(b"efgh")
    await until(lambda: len(heard.text) == 8)
    assert heard.data == [b"abc", b"def", b"gh"]


async def test_frames_stay_whole() -> None:
    left, _, _, heard = pair(framed=True, cuts=every(1))
    left.write(b"<a/>")
    left.write(b"<b/>")
    await until(lambda: len(heard.data) == 2)
    assert heard.data == [b"<a/>", b"<b/>"]


async def test_paused_holds_and_close_comes_last() -> None:
    left, right, told, heard = pair(cuts=every(1))
    right.pause()
    left.write(b"ab")
    left.close()
    await asyncio.sleep(0.01)
    assert (heard.data, heard.lost) == ([], [])
    right.resume()
    await until(lambda: heard.lost)
    assert heard.text == b"ab"
    assert heard.lost == ["closed by the peer"]
    assert told.lost == ["closed"]


async def test_a_slow_reader_is_cut() -> None:
    left, right, told, heard = pair(write_limit=10)
    right.pause()
    left.write(b"x" * 11)
    await until(lambda: told.lost)
    assert told.lost == ["policy-violation: slow reader"]
    right.resume()
    await until(lambda: heard.lost)
