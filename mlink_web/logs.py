"""How lines of the log are written."""

from __future__ import annotations

import logging


class OneLine(logging.Formatter):
    """One record is one line, and moves no cursor: much of what is logged was sent by strangers. Tracebacks, which come
    behind it, keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line with everything that is not printable escaped."""
        text = super().formatMessage(record)
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
