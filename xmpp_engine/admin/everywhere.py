"""Commands in a cluster: where each one runs, and how the answers of several nodes become one.

    Everywhere.run -> here | on the leader | on one node that was named | on all nodes, and the answers put together

What a command says of where it runs stands in RULES: by default here, for rooms and accounts are the same from every
node. A node that does not answer is told of by `Outcome.warnings`; the others' answers stand all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xmpp_engine.admin.command import Command, CommandError, Registry
from xmpp_engine.cluster.cluster import Cluster, NodeGone, Refused

#: The question by which a node has another one run a command.
QUESTION: Final = "command"
SECONDS: Final = 15.0
Answers = Sequence[tuple[str, Any]]
Merge = Callable[[Answers], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command, and sentences about nodes that did not take part."""

    value: Any
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """`merge` for all nodes; `leads` tells by the arguments whether the leader alone serves what is asked for; `named`
    is the argument that names the one node."""

    merge: Merge | None = None
    leads: Callable[[Mapping[str, str]], bool] | None = None
    named: str = ""


def rows(answers: Answers) -> list[dict[str, Any]]:
    """All rows, each with its node."""
    return [{**row, "node": node} for node, found in answers for row in found]


def sums(answers: Answers) -> dict[str, Any]:
    """Numbers are added up; the rest is as the first node says."""
    merged = dict(answers[0][1])
    for _node, found in answers[1:]:
        for key, value in found.items():
            before = merged.get(key, 0)
            if _is_number(value) and _is_number(before):
                merged[key] = before + value
    return merged


def newest(answers: Answers) -> list[dict[str, Any]]:
    """All rows, each with its node, by `time`."""
    return sorted(rows(answers), key=lambda row: str(row["time"]), reverse=True)


def components(answers: Answers) -> list[dict[str, Any]]:
    """Each component as the node that has its connection tells it."""
    found: dict[str, dict[str, Any]] = {}
    for node, one in answers:
        for row in one:
            served = row["connected"] and not row["node"]
            if served or row["domain"] not in found:
                found[row["domain"]] = {**row, "node": node} if served else row
    return list(found.values())


def first(answers: Answers) -> Any:
    """They all did the same."""
    return answers[0][1]


#: Of `stats`: what is as large as on the worst node, and what each node has for itself.
_GREATEST: Final = ("uptime", "loop_late_p99_seconds", "loop_late_worst_seconds")
_OWN: Final = ("node", "version", "domains")
_LINE: Final = (
    "node",
    "sessions",
    "streams",
    "rooms",
    "occupants",
    "messages",
    "messages_delivered",
    "logins",
    "ledger_waiting",
    "uptime",
)


def stats(answers: Answers) -> dict[str, Any]:
    """The figures of all nodes, and under `nodes` a line for each."""
    merged = sums([(node, {k: v for k, v in found.items() if k not in _OWN}) for node, found in answers])
    for key in _GREATEST:
        values = [found[key] for _node, found in answers if key in found]
        if values:
            merged[key] = max(values)
    own = {key: answers[0][1][key] for key in _OWN if key in answers[0][1]}
    # While a change of the configuration goes round they differ.
    if "domains" in own:
        own["domains"] = sorted({domain for _node, found in answers for domain in found.get("domains", ())})
    return {
        **own,
        **merged,
        "nodes": [{key: found.get(key) for key in _LINE} for _node, found in answers],
    }


def online(answers: Answers) -> list[dict[str, Any]]:
    """Somebody may have clients on several nodes, and is idle when all are."""
    people: dict[str, dict[str, Any]] = {}
    for _node, found in answers:
        for row in found:
            seen = people.get(row["jid"])
            if seen is None:
                people[row["jid"]] = dict(row)
            else:
                seen["resources"] += row["resources"]
                seen["idle"] = seen["idle"] and row["idle"]
    return [people[jid] for jid in sorted(people)]


def person(answers: Answers) -> dict[str, Any]:
    """An account's clients on all nodes."""
    merged = dict(answers[0][1])
    for key in ("addresses", "resources"):
        merged[key] = sorted({one for _node, found in answers for one in found[key]})
    return merged


def _is_service(arguments: Mapping[str, str]) -> bool:
    return "@" not in arguments.get("service", "")


_ALL_ROWS: Final = _Rule(rows)
_ALL_SUMS: Final = _Rule(sums)
_LEADER: Final = _Rule(leads=_is_service)
RULES: Final[dict[str, _Rule]] = {
    "sessions": _ALL_ROWS,
    "kick": _ALL_SUMS,
    "stats": _Rule(stats),
    "online": _Rule(online),
    "user stats": _Rule(person),
    "announce": _ALL_SUMS,
    "refresh": _ALL_SUMS,
    "redacted": _ALL_SUMS,
    "device end": _ALL_SUMS,
    "push refresh": _Rule(first),
    "s2s list": _ALL_ROWS,
    "s2s rows": _ALL_ROWS,
    "s2s refused": _Rule(newest),
    "s2s close": _ALL_SUMS,
    "s2s retry": _ALL_SUMS,
    "s2s drop": _ALL_SUMS,
    "component status": _Rule(components),
    "component refused": _ALL_ROWS,
    "cluster report": _ALL_ROWS,
    "cluster links": _Rule(lambda answers: [row for _node, found in answers for row in found]),
    "cluster drain": _Rule(named="node"),
    "cluster undrain": _Rule(named="node"),
}
_HERE: Final = _Rule()


@dataclass(slots=True)
class Everywhere:
    """Runs commands of a node on behalf of one engine."""

    engine: Any
    cluster: Cluster | None
    #: The commands that other nodes may have this one run.
    registry: Registry | None = field(default=None)

    def offer(self, registry: Registry) -> None:
        """Let the other nodes use these commands."""
        self.registry = registry
        if self.cluster is not None:
            self.cluster.serve(QUESTION, self._answer)

    async def _answer(self, _node: str, command: str, given: dict[str, str]) -> Any:
        """Another node asks; it has looked at who may."""
        assert self.registry is not None
        try:
            wanted = self.registry.get(command)
            return await wanted.function(self.engine, **wanted.bind(given))
        except (CommandError, ValueError) as error:
            raise Refused(str(error)) from None

    async def run(
        self, command: Command, arguments: dict[str, str], node: str = "", seconds: float = SECONDS
    ) -> Outcome:
        """Run a command with complete arguments; `node` names the only one that it shall run on. Another node has
        `seconds` for its answer: who asks must hear of the others' before he gives up himself. Raises CommandError or
        ValueError."""
        cluster = self.cluster
        rule = RULES.get(command.name, _HERE)
        if command.name.startswith("pubsub ") and command.name not in RULES:
            rule = _LEADER
        if rule.named and arguments.get(rule.named):
            node = arguments[rule.named]
        if cluster is None or (not cluster.nodes and not rule.named and node in ("", cluster.name)):
            if node and node != self.engine.config.node:
                raise CommandError(f"There is no node {node}: this one is {self.engine.config.node}.")
            answer = await self._here(command, arguments)
            return Outcome(answer if cluster is None or rule.merge is None else rule.merge([(cluster.name, answer)]))
        if node:
            if node != cluster.name and node not in cluster.nodes:
                known = ", ".join(sorted((cluster.name, *cluster.nodes)))
                raise CommandError(f"There is no node {node} in the cluster now; there are {known}.")
            answer = await self._there(node, command, arguments, seconds)
            return Outcome(rule.merge([(node, answer)]) if rule.merge is not None else answer)
        if rule.leads is not None and rule.leads(arguments):
            return Outcome(await self._there(cluster.leader, command, arguments, seconds))
        if rule.merge is None:
            return Outcome(await self._here(command, arguments))
        return await self._all(rule.merge, command, arguments, seconds)

    async def _all(self, merge: Merge, command: Command, arguments: dict[str, str], seconds: float) -> Outcome:
        """On every node, at the same time."""
        assert self.cluster is not None
        names = (self.cluster.name, *self.cluster.nodes)
        results = await asyncio.gather(
            *(self._there(name, command, arguments, seconds) for name in names), return_exceptions=True
        )
        answers: list[tuple[str, Any]] = []
        warnings: list[str] = []
        refusals: list[Exception] = []
        for name, result in zip(names, results, strict=True):
            if isinstance(result, Silent):
                warnings.append(f"The node {name} did not answer: its part is missing.")
            elif isinstance(result, CommandError | ValueError):
                refusals.append(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                answers.append((name, result))
        if not answers:
            # What one node has, the others refuse: only where all do it is not there.
            raise refusals[0] if refusals else CommandError(" ".join(warnings))
        return Outcome(merge(answers), tuple(warnings))

    async def _here(self, command: Command, arguments: dict[str, str]) -> Any:
        return await command.function(self.engine, **arguments)

    async def _there(self, node: str, command: Command, arguments: dict[str, str], seconds: float) -> Any:
        assert self.cluster is not None
        if node == self.cluster.name:
            return await self._here(command, arguments)
        # What stands at its default is left out: a node of the version before may not know the argument yet.
        usual = {argument.name: argument.default for argument in command.arguments}
        given = {name: value for name, value in arguments.items() if value != usual.get(name)}
        try:
            return await self.cluster.ask(node, QUESTION, seconds, command=command.name, given=given)
        except Refused as error:
            raise CommandError(str(error)) from None
        except (NodeGone, TimeoutError) as error:
            raise Silent(str(error)) from None


class Silent(CommandError):
    """A node did not answer."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
