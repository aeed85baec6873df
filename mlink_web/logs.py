"""How lines of the log are written."""

from __future__ import annotations

import logging
import time
from typing import Final

#: Something tries again every few seconds; after so many without a complaint the next one is of another outage.
_QUIET_SECONDS: Final = 10.0
_LONGEST_CHAIN: Final = 20


class OneLine(logging.Formatter):
    """One record is one line, and moves no cursor: much of what is logged was sent by strangers. Tracebacks, which come
    behind it, keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line with everything that is not printable escaped."""
        text = super().formatMessage(record)
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class RedisAway(logging.Filter):
    """While Redis is away the channel layers log a traceback each second, each of them, and workers one for all that
    falls due: one line says so, once for each outage. What else they log stays as it is."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; one about Redis becomes a line."""
        error = _trouble_with_redis(record.exc_info[1]) if record.exc_info else None
        if error is None:
            return True
        now = time.monotonic()
        last, self._last = self._last, now
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "Redis does not answer, and is asked again: %s", (error,)
        record.exc_info = record.exc_text = None
        return now - last > _QUIET_SECONDS


def _trouble_with_redis(error: BaseException | None) -> BaseException | None:
    """The failed connection behind an exception, where there is one."""
    # Not above: commands that write no such line do not wait for the library.
    from redis.exceptions import RedisError

    for _ in range(_LONGEST_CHAIN):
        if error is None or isinstance(error, (RedisError, ConnectionError, TimeoutError)):
            return error
        error = error.__cause__ or error.__context__
    return None
