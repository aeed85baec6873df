"""Questions between nodes: `serve` on one side, `ask` on the other.

-> ("?", number, name, arguments)
<- ("!", number, last, outcome, bytes)      the packed answer in parts, so that a long one holds up nothing else
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]

from xmpp_engine.runtime.clock import Clock
from xmpp_engine.runtime.tasks import Tasks

log = logging.getLogger("mlink.cluster")

#: Kinds of records.
ASK: Final = "?"
ANSWER: Final = "!"
#: How an answer came about.
DONE: Final = 0
REFUSED: Final = 1
FAILED: Final = 2
#: Questions that wait for one node, and that are answered for one node at a time.
MAX_ASKED: Final = 1_000
MAX_SERVED: Final = 256
PART_BYTES: Final = 65_536
MAX_ANSWER: Final = 67_108_864

Record = tuple[Any, ...]


class NodeGone(Exception):
    """The node that was asked is not in the cluster (any more); the text is a sentence for people."""


class Refused(Exception):
    """A function that answers raises it to say no, and who asked gets it; the text is a sentence for people."""


class _Question:
    __slots__ = ("answer", "node", "parts", "size")

    def __init__(self, node: str, answer: asyncio.Future[Any]) -> None:
        self.node = node
        self.answer = answer
        self.parts: list[bytes] = []
        self.size = 0


class Calls:
    """The questions of one node, both ways."""

    def __init__(self, name: str, clock: Clock, tasks: Tasks, post: Callable[[str, Record], bool]) -> None:
        self._name = name
        self._clock = clock
        self._tasks = tasks
        self._post = post
        #: Functions, and which arguments each knows; None for all.
        self._served: dict[str, tuple[Callable[..., Awaitable[Any]], frozenset[str] | None]] = {}
        self._asked: dict[int, _Question] = {}
        self._answering: dict[str, int] = {}
        self._last = 0

    def serve(self, name: str, function: Callable[..., Awaitable[Any]]) -> None:
        """Answer questions of this name. Arguments that the function does not know are of a later version: without
        them it does what it did."""
        parameters = inspect.signature(function).parameters.values()
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
        self._served[name] = function, None if takes_all else frozenset(one.name for one in parameters)

    async def ask(self, node: str, name: str, seconds: float, arguments: dict[str, Any]) -> Any:
        """Ask; raises NodeGone, TimeoutError, or Refused."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, self._too_late, answer, node, name)
        try:
            if node == self._name:
                self._tasks.spawn(f"answer to {name}", self._ask_self(answer, name, arguments))
                return await answer
            if sum(question.node == node for question in self._asked.values()) >= MAX_ASKED:
                raise TimeoutError(f"{node} has {MAX_ASKED} questions to answer already.")
            self._last += 1
            number = self._last
            self._asked[number] = _Question(node, answer)
            try:
                if not self._post(node, (ASK, number, name, arguments)):
                    raise NodeGone(f"There is no node {node}.")
                return await answer
            finally:
                del self._asked[number]
        finally:
            timer.cancel()

    @staticmethod
    def _too_late(answer: asyncio.Future[Any], node: str, name: str) -> None:
        if not answer.done():
            answer.set_exception(TimeoutError(f"{node} did not answer ({name})."))

    async def _ask_self(self, answer: asyncio.Future[Any], name: str, arguments: dict[str, Any]) -> None:
        outcome, value = await self._run(self._name, name, arguments)
        _settle(answer, outcome, value)

    def asked(self, node: str, record: Record) -> None:
        """A question of another node."""
        _kind, number, name, arguments = record[:4]
        if self._answering.get(node, 0) >= MAX_SERVED:
            self._reply(node, number, FAILED, f"{self._name} has too many questions to answer.")
            return
        self._answering[node] = self._answering.get(node, 0) + 1
        self._tasks.spawn(f"answer to {name}", self._answer(node, number, str(name), arguments))

    async def _answer(self, node: str, number: int, name: str, arguments: dict[str, Any]) -> None:
        try:
            outcome, value = await self._run(node, name, arguments)
        finally:
            self._answering[node] -= 1
        self._reply(node, number, outcome, value)

    async def _run(self, node: str, name: str, arguments: dict[str, Any]) -> tuple[int, Any]:
        served = self._served.get(name)
        if served is None:
            return REFUSED, f"{self._name} does not know the question {name}."
        function, known = served
        if known is not None and not arguments.keys() <= known:
            arguments = {key: value for key, value in arguments.items() if key in known}
        try:
            return DONE, await function(node, **arguments)
        except Refused as error:
            return REFUSED, str(error)
        except Exception:
            log.exception("the question %s of %s could not be answered", name, node)
            return FAILED, f"{self._name} could not answer ({name}); its log says why."

    def _reply(self, node: str, number: int, outcome: int, value: Any) -> None:
        try:
            packed: bytes = msgpack.packb(value, default=str)
        except (TypeError, ValueError, OverflowError):
            log.exception("an answer to %s cannot be packed", node)
            outcome, packed = FAILED, msgpack.packb(f"{self._name} has an answer that cannot be sent.")
        if len(packed) > MAX_ANSWER:
            outcome, packed = FAILED, msgpack.packb(f"The answer of {self._name} is too long.")
        for start in range(0, len(packed), PART_BYTES):
            part = packed[start : start + PART_BYTES]
            self._post(node, (ANSWER, number, start + PART_BYTES >= len(packed), outcome, part))

    def answered(self, node: str, record: Record) -> None:
        """A part of an answer; one that nobody waits for any more is dropped."""
        _kind, number, last, outcome, part = record[:5]
        question = self._asked.get(number)
        if question is None or question.node != node or question.answer.done():
            return
        question.size += len(part)
        if question.size > MAX_ANSWER:
            question.answer.set_exception(Refused(f"The answer of {node} is too long."))
            return
        question.parts.append(part)
        if last:
            value = msgpack.unpackb(b"".join(question.parts), strict_map_key=False)
            _settle(question.answer, outcome, value)

    def gone(self, node: str) -> None:
        """The node is gone: who waits for it learns it now."""
        for question in self._asked.values():
            if question.node == node and not question.answer.done():
                question.answer.set_exception(NodeGone(f"The node {node} is gone."))


def _settle(answer: asyncio.Future[Any], outcome: int, value: Any) -> None:
    if answer.done():
        return
    if outcome == DONE:
        answer.set_result(value)
    else:
        answer.set_exception(Refused(str(value)))
