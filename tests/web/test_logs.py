"""Lines of the log: nobody forges one."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator

import pytest
from django.conf import settings


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
