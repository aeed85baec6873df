"""Counters: plain integers on one object, read by whoever asks (hot data).

Hot code adds to attributes; rare events go through `count(name, label)`. Nothing is computed until the text exposition
is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable


class Counters:
    """The figures of one engine since its start."""

    __slots__ = (
        "_gauges",
        "_rare",
        "iqs",
        "logins",
        "messages",
        "messages_delivered",
        "presences",
        "started",
    )

    def __init__(self, started: float) -> None:
        self.started = started
        self.messages = 0
        self.messages_delivered = 0
        self.presences = 0
        self.iqs = 0
        self.logins = 0
        self._rare: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._gauges: dict[str, Callable[[], float]] = {}

    def count(self, name: str, label: str = "") -> None:
        """One more rare event; `name` ends in `_total`, `label` is from a small fixed set."""
        self._rare[name][label] += 1

    def rare(self, name: str) -> dict[str, int]:
        """The counts of a rare event by label."""
        return dict(self._rare[name])

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """Have a figure read whenever somebody asks for all."""
        self._gauges[name] = read

    def gauges(self) -> dict[str, float]:
        """The figures that are read when somebody asks."""
        return {name: read() for name, read in self._gauges.items()}

    def exposition(self, gauges: dict[str, float]) -> str:
        """Everything in the Prometheus text format, with `gauges` (name to value) added."""
        lines: list[str] = []
        for name in ("messages", "messages_delivered", "presences", "iqs", "logins"):
            lines += [f"# TYPE mlink_{name}_total counter", f"mlink_{name}_total {getattr(self, name)}"]
        for name, value in {**gauges, **self.gauges()}.items():
            lines += [f"# TYPE mlink_{name} gauge", f"mlink_{name} {value:g}"]
        for name, labels in sorted(self._rare.items()):
            lines.append(f"# TYPE mlink_{name} counter")
            for label, value in sorted(labels.items()):
                escaped = label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
                lines.append(f'mlink_{name}{{kind="{escaped}"}} {value}' if label else f"mlink_{name} {value}")
        return "\n".join(lines) + "\n"
