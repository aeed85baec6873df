"""Commands on options of nodes: what holds for all of them, and what one of them has of its own."""

from __future__ import annotations

from typing import Any, Final

from mlink_web.conf import node_options, services
from xmpp_engine.admin.command import Argument, Registry

registry: Final = Registry()
KEY: Final = Argument("key", "key of the option, for example c2s.stanza_bytes")
ONLY: Final = Argument("only", "name of the node that it is to hold for; all by default", option=True, default="")


@registry.command(
    "option list",
    "List the options of nodes: what is set for all, and what nodes have of their own.",
    Argument("only", "name of a node: every option as it holds for this one", option=True, default=""),
    permission="read",
)
def option_list(only: str) -> list[dict[str, Any]]:
    """By group. Without a node what differs stands as "node: value"."""
    everywhere = node_options.values_of()
    if only:
        own = _own(only)
        return [_of_one(option, everywhere, own) for option in node_options.OPTIONS.values()]
    differing = node_options.nodes()
    return [
        {
            "key": key,
            "value": node_options.written(everywhere.get(key, option.default)),
            "default": node_options.written(option.default),
            "unit": option.unit,
            "differs": ", ".join(
                f"{node}: {node_options.written(values[key])}" for node, values in differing.items() if key in values
            ),
        }
        for key, option in node_options.OPTIONS.items()
    ]


def _own(node: str) -> dict[str, node_options.Value]:
    if node not in node_options.known():
        raise ValueError(f"There is no node {node!r}; there are {', '.join(node_options.known())}.")
    return node_options.values_of(node)


def _of_one(
    option: node_options.Option, everywhere: dict[str, node_options.Value], own: dict[str, node_options.Value]
) -> dict[str, Any]:
    key = option.key
    source = "of its own" if key in own else "all nodes" if key in everywhere else "default"
    value = own.get(key, everywhere.get(key, option.default))
    return {"key": key, "value": node_options.written(value), "unit": option.unit, "from": source}


@registry.command("option set", "Set an option of all nodes, or of one.", KEY, Argument("value", "the new value"), ONLY)
def option_set(key: str, value: str, only: str) -> str:
    """Running nodes follow within seconds; ports whose limits change are closed and opened again."""
    option = node_options.find(key)
    services.set_node_options({option.key: node_options.read(option, value)}, only)
    now = node_options.values_of(only).get(option.key, option.default)
    return f"{option.key} is {node_options.written(now) or 'empty'} now, {_whose(only)}."


@registry.command("option reset", "Take back what is set for all nodes, or for one.", KEY, ONLY)
def option_reset(key: str, only: str) -> str:
    """Then holds what is set for all, else the default."""
    option = node_options.find(key)
    services.set_node_options({option.key: None}, only)
    holds = node_options.values_of().get(option.key, option.default)
    return f"{option.key} is {node_options.written(holds) or 'empty'} again, {_whose(only)}."


def _whose(only: str) -> str:
    return f"for {only} alone" if only else "for all nodes that have none of their own"
