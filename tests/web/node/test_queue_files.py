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
from mlink_web.node import queue_files, worker


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
        # Daemons: one that stands still fails the test, and does not keep the whole run from its end.
        processes = [context.Process(target=bind, args=given, daemon=True) for given in arguments]
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
    writers = [context.Process(target=put, args=(tmp_path, first), daemon=True) for first in (0, 300)]
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
        process.join(30)
    assert [process.exitcode for process in writers] == [0, 0]
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


def test_what_killed_processes_left_is_put_back_or_removed(tmp_path: Path) -> None:
    channel = connection(tmp_path).default_channel
    for number in range(4):
        channel._put("jobs", number)
    first, second, third, _ = sorted(tmp_path.glob("*.msg"))
    first.rename(first.with_suffix(".taken"))
    third.rename(third.with_suffix(".new"))
    (tmp_path / "9_cut.jobs.new").write_text('{"number": 4')
    (tmp_path / "9_empty.jobs.new").write_text("")
    assert not any(queue_files.sweep(tmp_path, time.time()).values())
    assert len(list(tmp_path.iterdir())) == 6
    later = time.time() + queue_files.LEFT_SECONDS + 1
    assert queue_files.sweep(tmp_path, later) == {"put back": 1, "finished": 1, "removed": 2}
    assert not any(queue_files.sweep(tmp_path, later).values())
    assert second.exists()
    # Each where it was in the queue, and once.
    assert [channel._get("jobs") for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(Empty):
        channel._get("jobs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["read_text", "unlink"])
def test_who_stood_still_while_taking_does_not_have_what_was_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    channel = connection(tmp_path).default_channel
    channel._put("jobs", "once")
    original = getattr(Path, step)
    swept: list[dict[str, int]] = []

    def slowly(path: Path) -> Any:
        if not swept:
            swept.append(queue_files.sweep(tmp_path, time.time() + queue_files.LEFT_SECONDS + 1))
        return original(path)

    monkeypatch.setattr(Path, step, slowly)
    with pytest.raises(Empty):
        channel._get("jobs")
    assert swept[0]["put back"] == 1
    assert channel._get("jobs") == "once"


def test_there_may_be_no_queue_yet(tmp_path: Path) -> None:
    assert not any(queue_files.sweep(tmp_path / "none", time.time()).values())


def test_a_node_sweeps_its_queue_before_its_workers_start(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue_files, "LEFT_SECONDS", -1.0)
    (tmp_path / "1_x.jobs.taken").write_text("1")
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path)}
    worker.sweep_queue()
    assert [path.name for path in tmp_path.iterdir()] == ["1_x.jobs.msg"]
    assert "have left in the queue: 1 put back" in caplog.text
    # Nor does anything of it keep a node from starting.
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path / "1_x.jobs.msg")}
    worker.sweep_queue()
    monkeypatch.setattr(queue_files, "sweep", fail)
    worker.sweep_queue()
    assert "cannot be looked at: no" in caplog.text
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {}
    worker.sweep_queue()


def fail(*_: object) -> None:
    """A folder that cannot be read."""
    raise OSError("no")
