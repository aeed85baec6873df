"""Loggers of the engine by subject. Bodies and credentials never go to a log."""

from __future__ import annotations

import logging
from typing import Final

#: Refused stanzas and hooks that failed.
refused: Final = logging.getLogger("mlink.refused")
#: Sessions: bound, resumed, ended.
sessions: Final = logging.getLogger("mlink.sessions")
#: What administrators did: one line each, with who.
audit: Final = logging.getLogger("mlink.audit")
#: Configuration and life cycle of the engine.
engine: Final = logging.getLogger("mlink.engine")
