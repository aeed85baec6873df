"""The queue of files: processes that start at the same time, and one that was killed while it did."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from mlink_web.celery import app
from mlink_web.node import queue_files


def connection(folder: Path) -> Connection:
    """A connection as a worker has it."""
    queue_files.use()
    options = {name: str(folder) for name in ("data_folder_in", "data_folder_out", "control_folder")}
    return Connection("filesystem://", transport_options=options)


def bind(folder: Path, exchange: str, name: str, barrier: Any) -> None:
    """What each process does when it starts."""
    channel = connection(folder).default_channel
    barrier.wait(20)
    channel._queue_bind(exchange, "", "", name)


def test_the_product_uses_it() -> None:
    with app.connection_for_write("filesystem://") as used:
        assert used.get_transport_cls() is queue_files.Transport


def test_many_bind_at_once_and_none_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(10):
        barrier = context.Barrier(4)
        arguments = [(tmp_path, f"e{number}", f"q{one}", barrier) for one in range(4)]
        processes = [context.Process(target=bind, args=given) for given in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0] * 4
        found = connection(tmp_path).default_channel.get_table(f"e{number}")
        assert {one.queue for one in found} == {"q0", "q1", "q2", "q3"}


def put(folder: Path, first: int) -> None:
    """One who has much to do."""
    channel = connection(folder).default_channel
    for number in range(first, first + 300):
        channel._put("jobs", {"number": number, "text": "x" * 2_000})


def test_messages_are_taken_whole_and_once_while_others_are_put(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=put, args=(tmp_path, first)) for first in (0, 300)]
    for process in writers:
        process.start()
    channels = [connection(tmp_path).default_channel for _ in range(2)]
    taken: list[int] = []
    deadline = time.monotonic() + 30
    while len(taken) < 600 and time.monotonic() < deadline:
        for channel in channels:
            with suppress(Empty):
                taken.append(channel._get("jobs")["number"])
    for process in writers:
        process.join()
    assert sorted(taken) == list(range(600))
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".msg", ".new", ".taken")]


def test_each_queue_has_its_own_and_the_first_comes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    channel = connection(tmp_path).default_channel
    (tmp_path / "0_cut.jobs.msg").write_text("")
    for number in range(3):
        channel._put("jobs", number)
        time.sleep(0.002)
    channel._put("celery", "other")
    assert [channel._get("jobs") for _ in range(3)] == [0, 1, 2]
    assert "is damaged and left out: 0_cut.jobs.msg" in caplog.text
    assert channel._size("celery") == 1
    with pytest.raises(Empty):
        channel._get("jobs")


@pytest.mark.parametrize("left", ["", '[["", "", "q'])
def test_a_file_that_was_cut_off_is_written_anew(tmp_path: Path, left: str) -> None:
    (tmp_path / "tasks.exchange").write_text(left)
    channel = connection(tmp_path).default_channel
    assert channel.get_table("tasks") == []
    channel._queue_bind("tasks", "key", "", "tasks")
    channel._queue_bind("tasks", "key", "", "tasks")
    assert [tuple(one) for one in channel.get_table("tasks")] == [("key", "", "tasks")]
