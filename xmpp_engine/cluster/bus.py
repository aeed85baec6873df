"""Bus: what carries envelopes between nodes. It may lose, double and reorder them; `link.py` mends that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

#: Called with each envelope that arrives, in the loop's thread.
Receiver = Callable[[bytes], None]


class BusError(Exception):
    """The bus does not take anything at the moment; the text is a sentence for people."""


class Bus(Protocol):
    """The way of one node to all others (`local_bus.py` in one process, `mlink_web/clusters/layer_bus.py` on Redis)."""

    @property
    def token(self) -> bytes:
        """Eight bytes that no other process has: they tell two nodes of one name apart."""

    async def open(self, receive: Receiver) -> None:
        """Begin to receive; raises BusError where that cannot be."""

    async def send(self, node: str, data: bytes) -> None:
        """Hand an envelope over for one node; raises BusError. That it arrives is not promised."""

    def shout(self, data: bytes, node: str = "") -> None:
        """Send something small to all nodes, or to one, without waiting and without being told of failures. This node
        may hear itself."""

    async def settle(self) -> None:
        """Wait a moment, for what was sent to arrive."""

    async def close(self) -> None:
        """Receive no more; what was shouted has gone out."""
