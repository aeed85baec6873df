"""Administrators' commands over XMPP (XEP-0050): every command of the registry becomes an ad-hoc command with a form
made of its arguments, and the nodes of XEP-0133 stand beside them (`service_administration.py`).

The registry comes from outside (`Services.extras["commands"]`), because commands on the database live outside the
engine; `extras["run_data"]` runs those, in a thread. Only local administrators see and run any of it: those of the
server everything, those of a domain what its rules say (`within.py`), by asking this domain. Each change goes to the
audit log (`extras["audit"]`); secrets stand in no log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from xmpp_engine.admin import live
from xmpp_engine.admin.command import Argument, Command, CommandError, Registry, cell
from xmpp_engine.admin.everywhere import Outcome
from xmpp_engine.admin.service_administration import ServiceAdministration
from xmpp_engine.admin.within import RULES, Domain, Rule
from xmpp_engine.observe.log import audit
from xmpp_engine.plugin.module import Module, Xep
from xmpp_engine.plugin.registrar import Registrar
from xmpp_engine.routing.commands import (
    Caller,
    CommandNode,
    Done,
    Form,
    Run,
    administrators,
    domain_administrators,
)
from xmpp_engine.stanza.forms import Field, Value, render
from xmpp_engine.storage.protocols import AccountExists
from xmpp_engine.xml import ns
from xmpp_engine.xml.element import Element
from xmpp_engine.xml.errors import StanzaError

NODE: Final = "mlink:command:"
#: Rows of a table, and lines of a text, in one answer.
MAX_ROWS: Final = 500
_YES_NO: Final = (("yes", "Yes"), ("no", "No"))

RunData = Callable[[Callable[..., Any], Mapping[str, str]], Awaitable[Any]]
#: Of who (a full address), which command, its arguments as a log may have them, and "done" or "failed".
KeepRecord = Callable[[str, str, Mapping[str, Any], str], Awaitable[None]]


async def _in_thread(function: Callable[..., Any], arguments: Mapping[str, str]) -> Any:
    return await asyncio.to_thread(partial(function, **arguments))


class Administration(Module):
    """The registry's commands, and those of XEP-0133, for administrators of the server and of the domain."""

    name = "administration"
    xeps = (Xep("0133", "1.3.1", "partial", "no black or white list; restart is the supervisor's"),)
    requires = ("adhoc",)

    def setup(self, reg: Registrar) -> None:
        adhoc = self.needs("adhoc")
        registry = self._registry()
        rules = self._rules()
        known = {command.name: command.name in rules for command in registry}
        for node in ServiceAdministration(self.perform, self.host, self.services).nodes(known):
            adhoc.add(node)
        for command in registry:
            if command.local:
                continue
            stages = (partial(_form, command),) if command.arguments else ()
            run = partial(self._run, command)
            allowed = domain_administrators if command.name in rules else administrators
            adhoc.add(CommandNode(NODE + command.name.replace(" ", "-"), command.help, allowed, run, stages))

    def _registry(self) -> Registry:
        registry: Registry = self.services.extras.get("commands") or live.registry
        return registry

    def _rules(self) -> Mapping[str, Rule]:
        rules: Mapping[str, Rule] = self.services.extras.get("within", RULES)
        return rules

    def _domain(self) -> Domain:
        return Domain(self.host.domain, self.host.table.services.keys(), self.services.router.hosts.keys())

    async def perform(self, caller: Caller, name: str, /, **arguments: str) -> Any:
        """Run a command for an administrator; returns its result. What it refuses becomes a StanzaError."""
        return (await self._perform(caller, name, arguments)).value

    async def _perform(self, caller: Caller, name: str, arguments: Mapping[str, str]) -> Outcome:
        """The same with sentences about nodes of a cluster that did not take part."""
        command = self._registry().get(name)
        # A session may last longer than the right to use it.
        whole = administrators(caller)
        rule = None if whole else self._rules().get(name)
        if not whole and (rule is None or not caller.domain_administrator):
            raise StanzaError("forbidden")
        told = self._domain().told if rule is not None else str
        outcome = "failed"
        try:
            if rule is None:
                result = await self._call(command, command.bind(arguments))
            else:
                result = await self._call_within(command, rule, arguments)
            outcome = "done"
            return result
        except AccountExists as error:
            raise StanzaError("conflict", told(str(error))) from None
        except (CommandError, ValueError) as error:
            raise StanzaError("not-acceptable", told(str(error))) from None
        finally:
            if command.permission == "manage":
                await self._record(caller, command, arguments, outcome)

    async def _record(self, caller: Caller, command: Command, arguments: Mapping[str, str], outcome: str) -> None:
        """Note who did what: in the audit log that the embedding application has, else in a line of the log, of JSON
        strings so that no value forges a second line."""
        told = command.told(arguments)
        keep: KeepRecord | None = self.services.extras.get("audit")
        if keep is not None:
            await keep(caller.jid.full, command.name, told, outcome)
            return
        audit.info(
            "who=%s did=%s with=%s outcome=%s over=XMPP",
            json.dumps(caller.jid.full),
            json.dumps(command.name),
            json.dumps(told),
            outcome,
        )

    async def _call_within(self, command: Command, rule: Rule, arguments: Mapping[str, str]) -> Outcome:
        """Run a command for an administrator of this domain."""
        domain = self._domain()
        bound = domain.bind(command, rule, arguments)
        may_change = self.services.extras.get("may change")
        for name in rule.accounts:
            if may_change is None:
                raise CommandError("Accounts cannot be changed here.")
            await self._data(may_change, {"domain": domain.name, "jid": bound[name].strip().partition("/")[0]})
        if rule.judge is not None:
            await self._data(partial(rule.judge, domain.name), bound)
        outcome = await self._call(command, bound)
        return Outcome(domain.shown(rule, outcome.value), outcome.warnings)

    async def _call(self, command: Command, bound: dict[str, str]) -> Outcome:
        if command.where == "node":
            found: Outcome = await self.services.extras["engine"].everywhere.run(command, bound)
            return found
        return Outcome(await self._data(command.function, bound))

    async def _data(self, function: Callable[..., Any], arguments: Mapping[str, str]) -> Any:
        run: RunData = self.services.extras.get("run_data") or _in_thread
        return await run(function, arguments)

    async def _run(self, command: Command, run: Run) -> Done:
        given = {name: _text(value) for name, value in run.values.items()}
        known = {argument.name: argument for argument in command.arguments}
        # An empty field is one that was left out: the default stands for it.
        arguments = {n: v for n, v in given.items() if v or known[n].default is None}
        outcome = await self._perform(run.caller, command.name, arguments)
        done = shown(outcome.value)
        if not outcome.warnings:
            return done
        return Done(" ".join(filter(None, (done.note, *outcome.warnings))), "warn", done.payloads)


def _form(command: Command, _run: Run) -> Form:
    return Form(tuple(map(_field, command.arguments)), title=command.help)


def _field(argument: Argument) -> Field:
    values = (argument.default,) if argument.default else ()
    kind = "text-single"
    options: tuple[tuple[str, str], ...] = ()
    if argument.secret:
        kind, values = "text-private", ()
    elif argument.default in ("yes", "no"):
        kind, options = "list-single", _YES_NO
    elif argument.name == "jid" and argument.required:
        kind = "jid-single"
    elif argument.name == "text":
        kind = "text-multi"
    label = argument.help[:1].upper() + argument.help[1:]
    return Field(argument.name, kind, label, values, options, argument.required)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else "\n".join(value)


def shown(result: Any) -> Done:
    """A command's result as a note or a form of type result: rows become a table (XEP-0004, 3.4), a mapping a field per
    key. No more than MAX_ROWS of them, and a note where there are more."""
    if result is None:
        return Done("Done.")
    if isinstance(result, Mapping):
        fields = [_result(f"field-{n}", str(key), value) for n, (key, value) in enumerate(result.items())]
        return Done(payloads=(render("result", "", fields),))
    if not isinstance(result, list):
        return Done(str(result))
    if not result:
        return Done("There is nothing to show.")
    rows = result[:MAX_ROWS]
    note = f"The first {MAX_ROWS} of {len(result)}." if len(result) > MAX_ROWS else ""
    if all(isinstance(row, Mapping) for row in rows):
        return Done(note, "warn" if note else "info", (_table(rows),))
    field = Field("result", "text-multi", "Result", tuple(cell(row) for row in rows))
    return Done(note, "warn" if note else "info", (render("result", "", [field]),))


def _result(var: str, label: str, value: Any) -> Field:
    if isinstance(value, str) and "\n" in value:
        return Field(var, "text-multi", label, tuple(cell(line) for line in value.splitlines()[:MAX_ROWS]))
    if isinstance(value, list | tuple):
        return Field(var, "text-multi", label, tuple(cell(one) for one in value[:MAX_ROWS]))
    return Field(var, "text-single", label, (cell(value),))


def _table(rows: list[Mapping[str, Any]]) -> Element:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    form = render("result", "", ())
    reported = form.add(ns.DATA_FORMS, "reported")
    for column in columns:
        reported.append(Field(column, "text-single", column.replace("_", " ").capitalize()).element())
    for row in rows:
        item = form.add(ns.DATA_FORMS, "item")
        for column in columns:
            field = item.add(ns.DATA_FORMS, "field", {"var": column})
            field.add(ns.DATA_FORMS, "value", text=cell(row.get(column)))
    return form
