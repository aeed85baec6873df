"""manage.py xmppctl: administrators' commands for a terminal and for scripts.

Commands on the database work whether a node runs or not; a running one is told at once. Commands on sessions ask the
node. Errors are one sentence on standard error, and exit code 1 (2 for a wrong command line).
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseError

from mlink_web.admin_commands import stopped
from mlink_web.admin_commands.registry import registry
from mlink_web.audit import log as audit
from mlink_web.node.client import EngineClient, EngineError, NodeDown
from xmpp_engine.admin.command import Command as AdminCommand
from xmpp_engine.admin.command import CommandError, render


class Command(BaseCommand):
    """Finds the command in the registry, runs it where it belongs, shows its result."""

    help = "Administrators' commands: domains, users, sessions. `xmppctl --help` lists them."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Let a secret begin with a dash, which argparse would take for an option."""
        secrets = {f"--{argument.name}" for command in registry for argument in command.arguments if argument.secret}
        joined: list[str] = []
        for word in argv:
            if joined and joined[-1] in secrets:
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        if [word for word in joined[2:] if not word.startswith("-")] == ["cluster"]:
            joined.append("nodes")
        super().run_from_argv(joined)

    def add_arguments(self, parser: CommandParser) -> None:
        """One parser per command; all words but the last make groups (`domain add`, `archive hold place`)."""
        shared = argparse.ArgumentParser(add_help=False)
        shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, for scripts")
        shared.add_argument("--node", dest="on_node", default=argparse.SUPPRESS, help="only on this node of a cluster")
        parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
        parser.add_argument("--node", dest="on_node", default="", help="only on this node of a cluster")
        top = parser.add_subparsers(
            dest="group", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
        )
        groups: dict[tuple[str, ...], Any] = {(): top}
        for command in registry:
            *group, name = command.name.split()
            for depth in range(1, len(group) + 1):
                path = tuple(group[:depth])
                if path not in groups:
                    made = groups[path[:-1]].add_parser(path[-1], help=f"commands on {path[-1]}s")
                    groups[path] = made.add_subparsers(required=True, metavar="COMMAND")
            target = groups[tuple(group)]
            one = target.add_parser(name, help=command.help, description=command.help, parents=[shared])
            one.set_defaults(admin_command=command)
            for argument in command.arguments:
                if argument.flag:
                    one.add_argument(f"--{argument.name}", action="store_const", const="yes", help=argument.help)
                elif argument.option:
                    one.add_argument(f"--{argument.name}", required=argument.required, help=argument.help)
                else:
                    one.add_argument(argument.name, nargs=None if argument.required else "?", help=argument.help)

    def handle(self, *_args: Any, admin_command: AdminCommand, **options: Any) -> None:
        """Run the command; ends the process with code 1 where it fails."""
        given = {
            argument.name: self._value(argument.secret, options[argument.name])
            for argument in admin_command.arguments
            if options.get(argument.name) is not None
        }
        outcome = "failed"
        try:
            result = self.execute_command(admin_command, given, options.get("on_node") or "")
            outcome = "done"
        except (CommandError, EngineError, ValueError) as error:
            self._fail(str(error), options)
        except DatabaseError as error:
            text = str(error).strip()
            new = "no such table" in text or "does not exist" in text
            advice = " Start the node once, or run manage.py migrate." if new else ""
            self._fail(f"The database cannot be used: {text}.{advice}", options)
        else:
            self._show(result, as_json=bool(options.get("json")))
        finally:
            self._note(admin_command, given, outcome)

    def execute_command(self, command: AdminCommand, given: dict[str, str], node: str = "") -> Any:
        """Ask the node (in a cluster all that it concerns, or one alone), or work on the database and tell the node."""
        bound = command.bind(given)
        if command.where == "node":
            try:
                client = EngineClient(node=node)
                result = asyncio.run(client.call(command.name, **bound))
                for warning in client.warnings:
                    self.stderr.write(warning)
                return result
            except NodeDown as error:
                if command.name not in stopped.ANSWERS:
                    raise
                self.stderr.write(str(error))
                return stopped.ANSWERS[command.name](**bound)
        result = command.function(**bound, **({"report": self.stderr.write} if command.progress else {}))
        if command.permission == "manage":
            try:
                asyncio.run(EngineClient().wake())
            except NodeDown:
                pass
        return result

    def _note(self, command: AdminCommand, given: Mapping[str, str], outcome: str) -> None:
        """Put a change into the audit log. Whoever works at the machine itself must be able to, whatever is broken."""
        if command.permission != "manage":
            return
        try:
            who = getpass.getuser()
        except (KeyError, OSError):
            who = str(os.getuid())
        try:
            details = {"outcome": outcome, "with": command.told(given)}
            audit.append(f"command line ({who})", command.name, "", "", details)
        except audit.NotWritten as error:
            if outcome == "done":
                self.stderr.write(f"Done, but {error}")

    def _show(self, result: Any, *, as_json: bool) -> None:
        """Print a result; what part of a long command failed goes to standard error, and fails the whole."""
        errors = result.get("errors") if isinstance(result, Mapping) else None
        if as_json:
            self.stdout.write(json.dumps(result, default=str))
        else:
            shown = {key: value for key, value in result.items() if key != "errors"} if errors is not None else result
            text = render(shown)
            if text:
                self.stdout.write(text)
            for line in errors or ():
                self.stderr.write(line)
        if errors:
            sys.exit(1)

    def _value(self, secret: bool, text: str) -> str:
        """What was given; `-` for a secret reads a line, so that it stands in no process list."""
        return sys.stdin.readline().rstrip("\r\n") if secret and text == "-" else text

    def _fail(self, text: str, options: Mapping[str, Any]) -> None:
        if options.get("json"):
            self.stdout.write(json.dumps({"error": text}))
        self.stderr.write(text)
        sys.exit(1)
