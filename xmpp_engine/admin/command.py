"""The registry of administrators' commands: one definition, many front ends (XEP-0050, console, xmppctl).

    registry = Registry()

    @registry.command("kick", "End sessions.", Argument("jid", "full or bare address"), where="node")
    async def kick(engine, jid): ...

A function gets the object it works on (the engine for `where="node"`, nothing for `where="data"`) and its arguments as
keywords, all text. It returns plain data (text, numbers, lists and dictionaries of them) for a front end to show, and
raises CommandError or ValueError with a sentence for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

Permission = Literal["read", "manage"]
Where = Literal["node", "data"]
F = TypeVar("F", bound=Callable[..., Any])


class CommandError(Exception):
    """The command cannot do what was asked; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `option` ones are given by name (`--password PW`), others by place; `secret` ones are never shown
    or logged; what is typed for others may hold a secret too (the options of a room its password) and is then not
    `logged`; a `default` of None makes it required; a `flag` is an option that is yes where it is named."""

    name: str
    help: str
    option: bool = False
    secret: bool = False
    default: str | None = None
    logged: bool = True
    flag: bool = False

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is None


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `where` is "node" for what only a running node knows, "data" for what stands in the database."""

    name: str
    help: str
    arguments: tuple[Argument, ...]
    permission: Permission
    where: Where
    function: Callable[..., Any]
    #: Whether it works on files of the machine, and so is for people with a shell there only.
    local: bool = False
    #: Whether its function takes `report`, which it calls with what it is about while it runs; it need not be given.
    progress: bool = False

    def bind(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The arguments complete with defaults; raises CommandError for one that is missing, unknown or no text."""
        known = {argument.name: argument for argument in self.arguments}
        for name, value in given.items():
            if name not in known:
                raise CommandError(f"{self.name} has no argument {name!r}.")
            if not isinstance(value, str):
                raise CommandError(f"{self.name}: {name} must be text.")
        bound: dict[str, str] = {}
        for name, argument in known.items():
            if name in given:
                bound[name] = given[name]
            elif argument.default is not None:
                bound[name] = argument.default
            else:
                raise CommandError(f"{self.name} needs {name}: {argument.help}.")
        return bound

    def told(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as a log may have them."""
        hidden = {argument.name for argument in self.arguments if argument.secret or not argument.logged}
        return {name: "(not logged)" if name in hidden and value else value for name, value in arguments.items()}


class Registry:
    """Commands by name, in the order of their definition."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}

    def command(
        self,
        name: str,
        help: str,
        *arguments: Argument,
        permission: Permission = "manage",
        where: Where = "data",
        local: bool = False,
        progress: bool = False,
    ) -> Callable[[F], F]:
        """Decorator that registers a function; a name that is taken is an error of the program (ValueError)."""

        def register(function: F) -> F:
            if name in self._commands:
                raise ValueError(f"two commands are named {name}")
            self._commands[name] = Command(name, help, arguments, permission, where, function, local, progress)
            return function

        return register

    def get(self, name: str) -> Command:
        """The command with this name; raises CommandError."""
        try:
            return self._commands[name]
        except KeyError:
            raise CommandError(f"There is no command {name!r}.") from None

    def include(self, other: Registry) -> None:
        """Take over all commands of another registry."""
        for command in other:
            if command.name in self._commands:
                raise ValueError(f"two commands are named {command.name}")
            self._commands[command.name] = command

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())


NO_ROWS: Final = "none"


def render(result: Any) -> str:
    """A command's result as text for a terminal: rows become aligned columns, a mapping one line per key, with rows
    in it below."""
    if result is None:
        return ""
    if isinstance(result, Mapping):
        tables = {key: value for key, value in result.items() if _is_table(value)}
        lines = {key: value for key, value in result.items() if key not in tables}
        width = max((len(str(key)) for key in lines), default=0)
        shown = [f"{key:<{width}}  {cell(value)}" for key, value in lines.items()]
        for key, rows in tables.items():
            shown += ["", f"{key}:", _table(rows)]
        return "\n".join(shown)
    if isinstance(result, list):
        if not result:
            return NO_ROWS
        if all(isinstance(row, Mapping) for row in result):
            return _table(result)
        return "\n".join(cell(row) for row in result)
    return str(result)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _table(rows: list[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, *([cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cell(value: Any) -> str:
    """One value on one line; control characters, which a peer may have chosen, cannot move the cursor."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(cell, value)) or "-"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(value))
