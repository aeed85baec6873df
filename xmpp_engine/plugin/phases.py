"""The law of order. Hooks run phase by phase; inside a phase in the order of the module list.

VALIDATE, POLICY and REWRITE refuse the stanza when a hook raises: nothing passes a check that crashed. STORE refuses
too, so nothing is delivered that the domain wanted archived and lost. COPY and OBSERVE log and go on. DELIVER is
the step that hands a stanza to its special consumer (presence, subscriptions) before the router's own delivery.
"""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """Phases in the order in which they run."""

    VALIDATE = 1
    POLICY = 2
    REWRITE = 3
    STORE = 4
    COPY = 5
    DELIVER = 6
    OBSERVE = 7


#: Phases whose exception refuses the stanza.
FAIL_CLOSED = frozenset({Phase.VALIDATE, Phase.POLICY, Phase.REWRITE, Phase.STORE, Phase.DELIVER})
