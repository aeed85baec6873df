"""Lines of the log: nobody forges one."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator

import pytest
from django.conf import settings
from redis.exceptions import ConnectionError as RedisConnectionError


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a handler writes that is set up as the product's."""
    formatter = logging.config.DictConfigurator(settings.LOGGING).configure_formatter(
        dict(settings.LOGGING["formatters"]["line"])
    )
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.getLogger("mlink.refused")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def test_what_a_stranger_sends_is_on_one_line(written: io.StringIO) -> None:
    logging.getLogger("mlink.refused").warning("no: %s", "é\n2026-11-21 INFO mlink.auth: forged\r\x1b[2J\u2028\u202e")
    lines = written.getvalue().split("\n")
    assert len(lines) == 2
    assert lines[0].endswith("mlink.refused: no: é\\n2026-11-21 INFO mlink.auth: forged\\r\\x1b[2J\\u2028\\u202e")


def test_a_traceback_keeps_its_lines(written: io.StringIO) -> None:
    try:
        raise ValueError("x\ny")
    except ValueError:
        logging.getLogger("mlink.refused").exception("it failed")
    assert "it failed\nTraceback" in written.getvalue()


@pytest.fixture
def layers() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A log with the filters of that of the channel layers, and what it writes."""
    logging_of = settings.LOGGING
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log = logging.getLogger("tests.layers")
    log.propagate = False
    log.addHandler(handler)
    configurator = logging.config.DictConfigurator(logging_of)
    made = [configurator.configure_filter(dict(logging_of["filters"][name])) for name in _filters()]
    for one in made:
        log.addFilter(one)
    yield log, stream
    for one in made:
        log.removeFilter(one)
    log.removeHandler(handler)


def _filters() -> list[str]:
    names: list[str] = settings.LOGGING["loggers"]["channels_redis.pubsub"]["filters"]
    return names


def _fail(log: logging.Logger, error: Exception) -> None:
    try:
        raise error
    except Exception:
        log.exception("Unexpected exception in receive task")


def test_redis_that_is_away_is_one_line(
    layers: tuple[logging.Logger, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, stream = layers
    clock = [100.0]
    monkeypatch.setattr("mlink_web.logs.time.monotonic", lambda: clock[0])
    line = "WARNING Redis does not answer, and is asked again: Connection closed by server.\n"
    for _ in range(60):
        _fail(log, RedisConnectionError("Connection closed by server."))
        _fail(log, ConnectionRefusedError("refused"))
        clock[0] += 1.0
    assert stream.getvalue() == line
    clock[0] += 60.0
    _fail(log, RedisConnectionError("Connection closed by server."))
    assert stream.getvalue() == 2 * line


def test_other_troubles_of_the_layers_keep_their_traceback(layers: tuple[logging.Logger, io.StringIO]) -> None:
    log, stream = layers
    _fail(log, KeyError("channel"))
    assert stream.getvalue().startswith("ERROR Unexpected exception in receive task\nTraceback")


def test_what_a_worker_says_of_it_is_the_same_line(layers: tuple[logging.Logger, io.StringIO]) -> None:
    log, stream = layers
    try:
        try:
            raise RedisConnectionError("refused")
        except RedisConnectionError as error:
            raise RuntimeError("a task that is due cannot be sent") from error
    except RuntimeError:
        log.exception("Message Error")
    assert stream.getvalue() == "WARNING Redis does not answer, and is asked again: refused\n"
    names = ("celery.beat", "celery.bootsteps", "celery.worker.consumer.consumer")
    assert all(settings.LOGGING["loggers"][name]["filters"] == _filters() for name in names)
