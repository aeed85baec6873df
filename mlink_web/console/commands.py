"""What the console's pages ask of the running node by commands, with time limits.

While no node runs, reading is answered from the database (`Answer.warning` says so), and every change is refused: what
a node may hold in memory is never written behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mlink_web.admin_commands.stopped import ANSWERS
from mlink_web.console.node import NodeUnavailable
from mlink_web.node.client import EngineClient, EngineError, NodeDown

READ_SECONDS = 5.0
#: Destroying a room of some thousand occupants, or a report on all rooms, takes its time.
CHANGE_SECONDS = 20.0
REMOVE_SECONDS = 120.0
#: Of the time that the page waits for its node, the share that this one waits for the others of a cluster: so that the
#: page has what answered, and the names of those that did not.
OTHERS = 0.6


class Refused(Exception):
    """The node refuses what was asked; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked for, and `warning` where it is not all of it: nodes of a cluster gave no answer, or none runs and
    it comes from the database."""

    value: Any
    warning: str = ""


async def aanswer(
    command: str,
    seconds: float = READ_SECONDS,
    progress: Callable[[Any], Awaitable[None]] | None = None,
    on: str = "",
    **arguments: str,
) -> Answer:
    """Run a command of the node; raises Refused or NodeUnavailable. `progress` gets what it tells while it runs, `on`
    names the only node of a cluster that it shall run on."""
    client = EngineClient(node=on, seconds=OTHERS * seconds)
    try:
        async with asyncio.timeout(seconds):
            value = await client.call(command, progress=progress, **arguments)
    except TimeoutError:
        raise NodeUnavailable(f"The node did not answer within {seconds:.0f} seconds.") from None
    except NodeDown as error:
        raise NodeUnavailable(f"{error} Changes are possible once it runs.") from None
    except EngineError as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise NodeUnavailable(f"The node cannot be asked: {error}") from None
    return Answer(value, " ".join(client.warnings))


async def aask(command: str, *given: Any, **arguments: Any) -> Any:
    """What `aanswer` has, where it is of no matter whether all nodes answered."""
    return (await aanswer(command, *given, **arguments)).value


def answer(command: str, seconds: float = READ_SECONDS, on: str = "", **arguments: str) -> Answer:
    """See `aanswer`; for threads."""
    return asyncio.run(aanswer(command, seconds, None, on, **arguments))


def ask(command: str, seconds: float = READ_SECONDS, on: str = "", **arguments: str) -> Any:
    """See `aask`; for threads."""
    return answer(command, seconds, on, **arguments).value


def change(command: str, on: str = "", **arguments: str) -> Any:
    """Run a command that changes something; see `aask`."""
    return ask(command, CHANGE_SECONDS, on, **arguments)


def read(command: str, **arguments: str) -> Answer:
    """Run a command that only reads, from the database where no node answers; raises Refused, or NodeUnavailable for
    what only a node can tell."""
    try:
        return Answer(ask(command, **arguments))
    except NodeUnavailable as error:
        if command not in ANSWERS:
            raise
        try:
            return Answer(ANSWERS[command](**arguments), f"{error} This is what the database holds.")
        except Exception as refusal:
            # CommandError is the engine's own; only its sentence matters here.
            if type(refusal).__name__ != "CommandError":
                raise
            raise Refused(str(refusal)) from None
