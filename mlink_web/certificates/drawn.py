"""The time of a certificate as a bar: how much is over, where today is, from when on it is urgent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

WIDTH: Final = 200.0
#: From here on people are warned.
WARNED: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Bar:
    """Lengths in a drawing that is WIDTH wide: `over` is behind us, `warned` begins where warnings do."""

    over: float
    warned: float
    state: str
    words: str


def bar(begins: datetime | None, ends: datetime | None, step: int, now: datetime | None = None) -> Bar | None:
    """The bar of a certificate; `step` as `expiry.Shown.step` gives it."""
    if begins is None or ends is None or ends <= begins:
        return None
    now = now or timezone.now()
    whole = (ends - begins).total_seconds()
    over = min(max((now - begins).total_seconds() / whole, 0.0), 1.0) * WIDTH
    warned = max(1.0 - WARNED.total_seconds() / whole, 0.0) * WIDTH
    days = (ends - now).days
    state = "ended" if ends <= now else "urgent" if 0 < step <= 7 else "soon" if step else "well"
    if state == "ended":
        words = f"ended on {ends:%Y-%m-%d}"
    else:
        words = "less than a day left" if days < 1 else f"{days:,} day{'' if days == 1 else 's'} left"
    return Bar(round(over, 2), round(warned, 2), state, words)
